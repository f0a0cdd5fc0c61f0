"""A kernel from a text that is in no Python file."""

from __future__ import annotations

from typing import Any

from ..errors import KernelSyntaxError, SourceError, register_source
from .loc import Loc


def define(text: str, name: str | None, namespace: dict[str, Any], file: str | None = None) -> Any:
    """Run a text that defines one function (or is one lambda) in `namespace` and return what it defines.

    The text is registered, so that errors and tracebacks show its lines. Without `file`, its made-up file name depends
    on nothing but the text, so that it is the same in every process. With several functions in the text, `name` says
    which one.
    """
    import ast
    import hashlib
    import textwrap

    text = textwrap.dedent(text)
    if file is None:
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        file = f"<kernel source {digest}>"
    register_source(file, text)
    try:
        tree = ast.parse(text, file)
    except SyntaxError as e:
        line, col = e.lineno or 1, e.offset or 1
        raise KernelSyntaxError(f"not Python: {e.msg}", Loc(file, line, col, line, col + 1)) from None
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Lambda):
        expression = ast.Expression(tree.body[0].value)
        fn = eval(compile(expression, file, "eval", dont_inherit=True), namespace)
        if name is not None:
            fn.__name__ = fn.__qualname__ = name
        return fn
    names = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    if name is None:
        if len(names) != 1:
            what = f"defines {len(names)} functions ({', '.join(names)})" if names else "defines no function"
            raise SourceError(f"the text {what}", Loc(file, 1, 1, 1, 2), "say which one is the kernel: name=...")
        name = names[0]
    elif name not in names:
        raise SourceError(f"the text defines no function `{name}`", Loc(file, 1, 1, 1, 2))
    exec(compile(tree, file, "exec", dont_inherit=True), namespace)
    return namespace[name]
