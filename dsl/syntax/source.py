"""The source text of a function and its place, under decorators and wherever it stands.

What comes out is exactly what the parser takes: a text that starts at its `def` or `lambda`, and where that stands.
"""

from __future__ import annotations

import os
import time
from types import CodeType, FunctionType
from typing import NamedTuple

from ..errors import SourceError
from .compare import code_of, same_code
from .lambdas import find_lambda, whole_file
from .loc import Loc


class Source(NamedTuple):
    """The text of one function or lambda, and where in `file` its first character stands (both counted from 1)."""

    text: str
    file: str
    line: int
    col: int

    @property
    def loc(self) -> Loc:
        """The place of its first word, for errors about the kernel as a whole."""
        first = self.text.partition("\n")[0]
        word = first.split()[0] if first.split() else first
        col = self.col + len(first) - len(first.lstrip())
        return Loc(self.file, self.line, col, self.line, col + len(word))


# Every evaluation of a lambda makes a new function of the same code, so what is found is kept by code. The code is
# kept too, which keeps its id from being given to another.
_known: dict[int, tuple[CodeType, Source]] = {}


def source_of(fn: FunctionType) -> Source:
    """The source of a function or lambda; SourceError where it is not to be had or not to be told from another's."""
    code = fn.__code__
    known = _known.get(id(code))
    if known is not None:
        return known[1]
    lines = _lines(fn)
    source = (_lambda_source if code.co_name == "<lambda>" else _def_source)(fn, lines)
    if len(_known) > 10_000:
        _known.clear()
    _known[id(code)] = (code, source)
    return source


def _lines(fn: FunctionType) -> list[str]:
    import linecache

    file = fn.__code__.co_filename
    linecache.checkcache(file)
    lines = linecache.getlines(file, fn.__globals__)
    if not lines:
        raise SourceError(
            f"the source text of `{fn.__qualname__}` is not to be had (it comes from {file})",
            None,
            'give the text itself: dsl.kernel(source="def f(x): ..."), or write the kernel in a file',
        )
    return lines


def _stale(fn: FunctionType) -> SourceError:
    code = fn.__code__
    line = code.co_firstlineno
    return SourceError(
        f"the text of `{fn.__qualname__}` is not where Python says; was the file changed after it was imported?",
        Loc(code.co_filename, line, 1, line, 2),
        'reload the module, or give the text itself: dsl.kernel(source="...")',
    )


# --- def ----------------------------------------------------------------------------------------------------------


def _def_source(fn: FunctionType, lines: list[str]) -> Source:
    code = fn.__code__
    block = _block(lines, code.co_firstlineno - 1)
    if block is None:
        raise _stale(fn)
    start, end, name = block
    last = max((line for _, _, line in code.co_lines() if line is not None), default=start + 1)
    text = "".join(lines[start:end]).rstrip() + "\n"
    if name != code.co_name or last > end or (_edited(code.co_filename) and not _compiles_to(text, code, lines)):
        raise _stale(fn)
    return Source(text, code.co_filename, start + 1, 1)


_STARTED = time.time()


def _edited(file: str) -> bool:
    """Whether a file was written in the lifetime of this process, and so perhaps after it was imported."""
    try:
        return os.stat(file).st_mtime >= _STARTED - 1
    except OSError:
        return False


def _compiles_to(text: str, code: CodeType, lines: list[str]) -> bool:
    """Whether a function's text gives this code. Where tools rewrite functions (`assert` under pytest) nobody knows."""
    import ast
    import textwrap

    try:
        node = ast.parse(textwrap.dedent(text)).body[0]
    except SyntaxError:
        return False
    if not isinstance(node, ast.FunctionDef) or any(isinstance(inner, ast.Assert) for inner in ast.walk(node)):
        return True
    node.returns, node.args.defaults, node.args.kw_defaults = None, [], [None] * len(node.args.kwonlyargs)
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    if any("__" in name.lstrip("_") for name in (*code.co_names, *code.co_varnames)):
        return True  # perhaps a name that its class has changed
    try:
        imports = whole_file(code.co_filename, lines).imports
    except SourceError:
        return False
    return same_code(code_of([node], code, imports), code)


def _block(lines: list[str], first: int) -> tuple[int, int, str] | None:
    """The function whose decorators or `def` stand at index `first`: its first and one past its last line, its name."""
    import tokenize

    start = end = depth = indents = 0
    name = ""
    at_name = header_done = False
    rest = iter(lines[first:])
    try:
        for token in tokenize.generate_tokens(lambda: next(rest, "")):
            kind, text = token.type, token.string
            if kind == tokenize.OP and text in "([{":
                depth += 1
            elif kind == tokenize.OP and text in ")]}":
                depth -= 1
            elif at_name:
                name, at_name = text, False
            elif not name:  # still in the decorators
                if kind == tokenize.NAME and text == "def" and not depth:
                    start, at_name = first + token.start[0] - 1, True
            elif kind == tokenize.NEWLINE:
                end, header_done = first + token.end[0], True
            elif kind == tokenize.INDENT:
                indents += 1
            elif kind == tokenize.DEDENT:
                indents -= 1
                if indents <= 0:
                    break
            elif header_done and indents == 0 and kind not in (tokenize.COMMENT, tokenize.NL):
                break  # the body stood on the line of the `def`
    except (tokenize.TokenError, IndentationError):
        pass  # the lines after a nested function may go back to a level that this scan has not seen
    return (start, end, name) if end else None


# --- lambda -------------------------------------------------------------------------------------------------------


def _lambda_source(fn: FunctionType, lines: list[str]) -> Source:
    file = fn.__code__.co_filename
    found = find_lambda(fn.__code__, lines)
    if found is None:
        raise _stale(fn)
    text, line, col = found
    return Source(text, file, line, col)
