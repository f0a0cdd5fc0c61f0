"""The source text of a function, and its place: under decorators, of one lambda among several, or of a given text.

What comes out is exactly what the parser takes: a text that starts at its `def` or `lambda`, and where that stands.
"""

from __future__ import annotations

import os
import time
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import KernelSyntaxError, SourceError, register_source
from .loc import Loc

if TYPE_CHECKING:
    import ast  # imported where it is used: a kernel from a `def` needs it not


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
    source = _lambda_source(fn, lines) if code.co_name == "<lambda>" else _def_source(fn, lines)
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
    return _same_code(_code_of([node], code, _whole(code.co_filename, lines).imports), code)


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

# The flags of a code that say what it is (*args, **kwargs, generator, coroutine); the others say where it stands.
_KIND = 0x04 | 0x08 | 0x20 | 0x80 | 0x200


class _File(NamedTuple):
    """What is needed of a file as a whole, as long as its lines stay the same."""

    lines: list[str]
    lambdas: list[ast.Lambda]
    imports: list[str]  # the names that its own level imports


_files: dict[str, _File] = {}


def _whole(file: str, lines: list[str]) -> _File:
    import ast

    known = _files.get(file)
    if known is not None and known.lines is lines:
        return known
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        raise SourceError(
            f"{file} is not Python as a whole: a lambda cannot be found in it", None, "use `def`"
        ) from None
    lambdas = [node for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    imports: list[str] = []
    level: list[ast.AST] = [tree]
    while level:
        for node in ast.iter_child_nodes(level.pop()):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imports += [(alias.asname or alias.name).split(".")[0] for alias in node.names if alias.name != "*"]
            elif isinstance(node, ast.stmt) and not isinstance(
                node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
            ):
                level.append(node)
    if len(_files) > 100:
        _files.clear()
    found = _files[file] = _File(lines, lambdas, imports)
    return found


def _lambda_source(fn: FunctionType, lines: list[str]) -> Source:
    code = fn.__code__
    whole = _whole(code.co_filename, lines)
    made = [(node, _compiled(node, code, whole)) for node in whole.lambdas if node.lineno == code.co_firstlineno]
    made = [(node, c) for node, c in made if _same_code(c, code)]
    if not made:
        raise _stale(fn)
    # Where several have the same code, the columns of the instructions tell them apart, if Python keeps them (3.11).
    exact = [node for node, c in made if _positions(c) == _positions(code)]
    fits = exact or [node for node, _ in made]
    import ast

    if len({ast.dump(node) for node in fits}) > 1:
        node = fits[0]
        raise SourceError(
            "several lambdas on this line are alike: which one is meant cannot be told",
            Loc(code.co_filename, node.lineno, 1, node.lineno, 2),
            "put each on a line of its own, or use `def`",
        )
    node = fits[0]
    text, col = _segment(node, lines)
    return Source(text, code.co_filename, node.lineno, col)


def _compiled(node: ast.Lambda, like: CodeType, whole: _File) -> CodeType | None:
    """The code of a lambda, compiled with the same free variables as `like`."""
    import ast

    return _code_of([ast.copy_location(ast.Return(node), node)], like, whole.imports)


def _code_of(body: list[ast.stmt], like: CodeType, imports: list[str]) -> CodeType | None:
    """The code of the first function in a body, compiled with the same free variables as `like`.

    The code of `m.f()` depends on whether `m` is imported by the same file.
    """
    import ast

    outer = ast.parse(f"def outer({', '.join(like.co_freevars)}): pass").body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.body = body
    imported = ast.parse(f"import {', '.join(imports)}").body if imports else []
    try:
        module = compile(ast.Module([*imported, outer], []), like.co_filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None  # for instance a `yield`, or a name that cannot be a parameter
    function = next(c for c in module.co_consts if isinstance(c, CodeType))
    return next((c for c in function.co_consts if isinstance(c, CodeType)), None)


def _same_code(a: CodeType | None, b: CodeType) -> bool:
    """Whether two codes do the same, wherever they stand."""
    if a is None or (a.co_code, a.co_names, a.co_varnames, a.co_freevars, a.co_cellvars) != (
        b.co_code,
        b.co_names,
        b.co_varnames,
        b.co_freevars,
        b.co_cellvars,
    ):
        return False
    if (a.co_argcount, a.co_posonlyargcount, a.co_kwonlyargcount, a.co_flags & _KIND) != (
        b.co_argcount,
        b.co_posonlyargcount,
        b.co_kwonlyargcount,
        b.co_flags & _KIND,
    ):
        return False
    return len(a.co_consts) == len(b.co_consts) and all(map(_same_constant, a.co_consts, b.co_consts))


def _same_constant(a: Any, b: Any) -> bool:
    if isinstance(a, CodeType) and isinstance(b, CodeType):
        return _same_code(a, b)
    # Within a lambda's lambda the qualified name is a constant (Python 3.10): it says where, not what.
    if isinstance(a, str) and isinstance(b, str) and "<lambda>" in a and "<lambda>" in b:
        return True
    return type(a) is type(b) and repr(a) == repr(b)  # 0.0 and -0.0 differ; nan is like itself


def _positions(code: CodeType | None) -> list[Any]:
    if code is None or not hasattr(code, "co_positions"):
        return []
    return list(code.co_positions())


def _segment(node: ast.Lambda, lines: list[str]) -> tuple[str, int]:
    """The text of a node, and the column of its start, counted from 1 in characters (`ast` counts bytes)."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    part = lines[node.lineno - 1 : node.end_lineno]
    start = len(part[0].encode()[: node.col_offset].decode(errors="ignore"))
    end = len(part[-1].encode()[: node.end_col_offset].decode(errors="ignore"))
    part[-1] = part[-1][:end]  # the end first: start and end may stand on one line
    part[0] = part[0][start:]
    return "".join(part), start + 1


# --- a given text -------------------------------------------------------------------------------------------------


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
