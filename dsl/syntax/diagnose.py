"""Why a text did not parse: not Python at all, or Python that the language lacks. Runs only after a failure.

Python's own parser says which: if it refuses the text, its message is the best there is; if it accepts, its tree holds
the construct to name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..errors import CompileError, KernelSyntaxError, UnsupportedSyntax
from .loc import Loc

# What the language lacks: how to call it, and what to do instead.
_LACKING: dict[str, tuple[str, str]] = {
    "AsyncFunctionDef": ("an async function", "kernels are ordinary functions"),
    "ClassDef": ("a class inside a kernel", "define a dataclass or NamedTuple outside and use it here"),
    "Try": ("`try`", "test for the condition with `if`; errors leave the kernel by `assert`"),
    "TryStar": ("`try`", "test for the condition with `if`; errors leave the kernel by `assert`"),
    "With": ("`with`", "acquire resources outside the kernel"),
    "AsyncWith": ("`async with`", "acquire resources outside the kernel"),
    "AsyncFor": ("`async for`", "use an ordinary `for`"),
    "Await": ("`await`", "kernels are ordinary functions"),
    "Yield": ("`yield`", "write the values into an array and return it"),
    "YieldFrom": ("`yield from`", "write the values into an array and return it"),
    "Import": ("`import` inside a kernel", "import the module at the top of the file"),
    "ImportFrom": ("`import` inside a kernel", "import the module at the top of the file"),
    "Global": ("`global`", "globals are compile-time constants: return the new value instead"),
    "Nonlocal": ("`nonlocal`", "return the new value instead"),
    "Delete": ("`del`", "leave it out: memory is freed by itself"),
    "Match": ("`match`", "use if/elif/else"),
    "TypeAlias": ("a type alias inside a kernel", "write the type where it is used"),
    "SetComp": ("a set comprehension", "use arrays and loops"),
    "DictComp": ("a dict comprehension", "use arrays, tuples or a dataclass"),
    "Dict": ("a dict", "use a dataclass, a NamedTuple or a tuple"),
    "Set": ("a set", "use a tuple or an array"),
    "TemplateStr": ("a t-string", "use a plain string"),
}  # fmt: skip


def diagnose(
    text: str, file: str, first_line: int, first_col: int, is_lambda: bool, at: tuple[int, int]
) -> CompileError:
    """The error for a text that the grammar refused at line and column `at` (-1 for its end)."""
    if is_lambda:
        where = _Place(file, first_line, first_col, text, prefix_lines=0, prefix_cols=1)
        program = f"({text})"
    elif text[:1] in (" ", "\t"):
        where = _Place(file, first_line, first_col, text, prefix_lines=1, prefix_cols=0)
        program = f"if 1:\n{text}\n"
    else:
        where = _Place(file, first_line, first_col, text, prefix_lines=0, prefix_cols=0)
        program = text + "\n"
    try:
        tree = ast.parse(program)
    except SyntaxError as e:  # IndentationError and TabError among them
        line, offset = e.lineno or 1, e.offset or 1
        end_line, end_offset = e.end_lineno or line, e.end_offset or offset + 1
        if end_line < line or (end_line == line and end_offset <= offset):
            end_line, end_offset = line, offset + 1
        return KernelSyntaxError(f"not Python: {e.msg}", where.loc(line, offset, end_line, end_offset))
    except (ValueError, RecursionError, MemoryError) as e:  # null bytes; nesting deeper than Python's parser bears
        return KernelSyntaxError(f"not Python: {e}", where.loc(1, 1, 1, 2))
    root: ast.AST | None = tree.body[0] if len(tree.body) == 1 else None
    if not is_lambda and isinstance(root, ast.If):
        root = root.body[0] if len(root.body) == 1 else None
    if isinstance(root, ast.Expr):
        root = root.value
    line, col = at if at[0] > 0 else (1, 1)
    place = where.loc(line + where.prefix_lines, col, line + where.prefix_lines, col + 1)
    if not isinstance(root, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return KernelSyntaxError("a kernel is the text of one function or one lambda", place)
    for found in _lacking(root, where):
        return found
    return UnsupportedSyntax("this is not part of the kernel language", place)


def _lacking(root: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, where: _Place) -> Iterator[CompileError]:
    """The constructs that the language lacks, in source order."""
    if isinstance(root, ast.AsyncFunctionDef):
        yield _named(root, where)
        return
    for decorator in getattr(root, "decorator_list", []):
        yield KernelSyntaxError("the text of a kernel starts at its `def`", where.of(decorator))
    for node in _in_order(root):
        yield from _half_lacking(node, where)
        if type(node).__name__ in _LACKING:
            yield _named(node, where)
        elif isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            yield UnsupportedSyntax("a bytes literal is not supported", where.of(node), "use a string or an array")
        elif isinstance(node, ast.keyword) and node.arg is None:
            yield UnsupportedSyntax("unpacking with `**` is not supported", where.of(node), "write the arguments out")


def _half_lacking(node: ast.AST, where: _Place) -> Iterator[CompileError]:
    """Forms and places that the language lacks of what else it has."""
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        for parameter, star in ((node.args.vararg, "*"), (node.args.kwarg, "**")):
            if parameter is not None:
                hint = "name each parameter; pass several values as a tuple or an array"
                yield UnsupportedSyntax(f"`{star}{parameter.arg}` is not supported", where.of(parameter), hint)
        for type_parameter in getattr(node, "type_params", []):
            hint = "kernels are specialised for their argument types by themselves"
            yield UnsupportedSyntax("type parameters are not supported", where.of(type_parameter), hint)
        for decorator in getattr(node, "decorator_list", []):
            hint = "define the function outside, or leave the decorator out"
            yield UnsupportedSyntax("a decorator inside a kernel is not supported", where.of(decorator), hint)
    elif isinstance(node, ast.Raise) and (node.exc is None or node.cause is not None):
        what = "`raise` without an exception" if node.exc is None else "`raise` with a cause"
        yield UnsupportedSyntax(f"{what} is not supported", where.of(node), 'write `raise ValueError("message")`')
    elif isinstance(node, (ast.Subscript, ast.For, ast.comprehension)):
        target = node.slice if isinstance(node, ast.Subscript) else node.target
        for element in getattr(target, "elts", []):
            if isinstance(element, ast.Starred):
                yield UnsupportedSyntax(
                    "unpacking with `*` is not supported here", where.of(element), "write the elements out"
                )


def _named(node: ast.AST, where: _Place) -> UnsupportedSyntax:
    name, hint = _LACKING[type(node).__name__]
    return UnsupportedSyntax(f"{name} is not supported", where.of(node), hint)


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes as they stand in the text, without decorators. Not recursive: the text may be nested deeply."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed([c for c in ast.iter_child_nodes(top) if c not in getattr(top, "decorator_list", [])]))


class _Place:
    """From the places in what Python's parser was given to those in the user's file."""

    def __init__(self, file: str, line: int, col: int, text: str, prefix_lines: int, prefix_cols: int) -> None:
        self.file, self.line, self.col = file, line, col
        self.lines = text.splitlines()
        self.prefix_lines, self.prefix_cols = prefix_lines, prefix_cols

    def loc(self, line: int, col: int, end_line: int, end_col: int) -> Loc:
        """Lines and columns in characters, from 1."""
        start = self._move(line, col)
        end = self._move(end_line, end_col)
        return Loc(self.file, *start, *max(end, (start[0], start[1] + 1)))

    def of(self, node: ast.AST) -> Loc:
        """The place of a node; for a statement with a body only its keyword and name are marked."""
        line, col = node.lineno, self._chars(node.lineno, node.col_offset) + 1  # type: ignore[attr-defined]
        end_line = node.end_lineno  # type: ignore[attr-defined]
        end_col = self._chars(end_line, node.end_col_offset) + 1  # type: ignore[attr-defined]
        if isinstance(node, ast.stmt) and end_line > line:
            end_line, end_col = line, len(self._text(line)) + 1
        return self.loc(line, col, end_line, end_col)

    def _text(self, line: int) -> str:
        index = line - 1 - self.prefix_lines
        text = self.lines[index] if 0 <= index < len(self.lines) else ""
        return "(" * self.prefix_cols + text if index == 0 else text

    def _chars(self, line: int, byte_offset: int) -> int:
        """`ast` counts bytes of UTF-8."""
        return len(self._text(line).encode()[:byte_offset].decode(errors="ignore"))

    def _move(self, line: int, col: int) -> tuple[int, int]:
        index = line - self.prefix_lines
        col = col - self.prefix_cols + self.col - 1 if index == 1 else col
        return max(index, 1) + self.line - 1, max(col, 1)
