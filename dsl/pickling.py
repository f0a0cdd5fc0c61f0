"""Kernels in another process: found again by name, or made again from their text.

A kernel goes by name where its module can be imported and has it under that name; else its text, options and constants
go (see `Kernel.__reduce__`), and the text is evaluated in a namespace of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

from .errors import register_source, source_line
from .kernel import Kernel, as_kernel
from .syntax.source import Source


def find(module: str, qualname: str) -> Any:
    import sys

    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def by_name(module: str, qualname: str) -> Kernel:
    import importlib

    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return as_kernel(found)


def by_text(place: tuple[str, str, int, int], names: tuple[Any, ...], options: Mapping[str, bool]) -> Kernel:
    """A kernel of its text alone, in a namespace of its own that its state will fill."""
    source = Source(*place)
    if not source_line(source.file, source.line):
        register_source(source.file, source.text, source.line)
    fn = _evaluate(source, {"__name__": names[2]})
    fn.__name__, fn.__qualname__, fn.__module__, fn.__doc__ = names
    return Kernel(fn, options, source)


def _evaluate(source: Source, namespace: dict[str, Any]) -> FunctionType:
    """The Python function of a text, at its old place in its file. Neither defaults nor annotations are evaluated."""
    import ast

    is_lambda = source.text.startswith("lambda")
    text = f"({source.text})" if is_lambda else source.text
    indented = text[:1] in " \t"
    tree = ast.parse(f"if 1:\n{text}" if indented else text)
    ast.increment_lineno(tree, source.line - (2 if indented else 1))
    body: Iterable[ast.stmt] = tree.body[0].body if indented else tree.body  # type: ignore[attr-defined]
    (statement,) = body
    if is_lambda:
        assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Lambda)
        arguments = statement.value.args
    else:
        assert isinstance(statement, ast.FunctionDef)
        arguments, statement.returns = statement.args, None
        for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            a.annotation = None
    arguments.defaults = []
    arguments.kw_defaults = [None] * len(arguments.kwonlyargs)
    if is_lambda:
        assert isinstance(statement, ast.Expr)
        return eval(compile(ast.Expression(statement.value), source.file, "eval", dont_inherit=True), namespace)
    exec(compile(ast.Module([statement], []), source.file, "exec", dont_inherit=True), namespace)
    assert isinstance(statement, ast.FunctionDef)
    return namespace.pop(statement.name)
