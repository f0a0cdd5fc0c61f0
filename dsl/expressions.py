"""What stands at a place of a source text: the name or the expression that an op of the IR came from.

Places are all that the IR knows of the source. The text is read with Python's own `ast`: it finds functions wherever
they stand, in files, notebook cells and registered texts, those that a kernel calls included.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator

from .errors import source_line

# What an op comes from. Where several expressions begin at one place this tells which one it is.
_BINARY = {
    "addf": ast.Add, "addi": ast.Add, "subf": ast.Sub, "subi": ast.Sub, "mulf": ast.Mult, "muli": ast.Mult,
    "divf": ast.Div, "powf": ast.Pow, "fpowi": ast.Pow, "add": ast.Add, "sub": ast.Sub, "mul": ast.Mult,
    "div": ast.Div,
}  # fmt: skip
_LONGEST = 40
_FEW = 3  # names that are listed


class Sources:
    """The texts of files, parsed when they are first asked about."""

    def __init__(self) -> None:
        self._trees: dict[str, ast.Module | None] = {}

    def line(self, file: str, number: int) -> str:
        """A source line, without its end; empty where it is not to be had."""
        return source_line(file, number)

    def function(self, file: str, line: int) -> tuple[int, int]:
        """First and last line of the innermost function around a line; the line itself where there is none."""
        best = (line, line)
        for node in self._nodes(file):
            if isinstance(node, (ast.FunctionDef, ast.Lambda)) and node.lineno <= line <= (node.end_lineno or 0):
                best = (node.lineno, node.end_lineno or node.lineno)
        return best

    def is_loop(self, place: tuple[str, int, int] | None) -> bool:
        """Whether a `for` or `while` begins at the place."""
        if place is None:
            return False
        return any(isinstance(n, (ast.For, ast.While)) and n.lineno == place[1] for n in self._nodes(place[0]))

    def name(self, op: str, place: tuple[str, int, int] | None, given: tuple[str, int, int] | None = None) -> str:
        """What the user calls the value of `op` at `place`, or what a loop carries and computes at `given`: the name
        that it is assigned to, or the expression. Empty where the text does not say.
        """
        if given is not None:
            statement = self._statement(given)
            return _assigned(statement) if statement is not None else ""
        if place is None:
            return ""
        found = self._expression(op, place)
        if found is None:
            statement = self._statement(place)
            return _assigned(statement) if isinstance(statement, (ast.If, ast.For, ast.While)) else ""
        if ".cmp" in op:  # a part of what is assigned
            return _short(ast.unparse(found))
        statement = self._statement(place)
        if isinstance(statement, ast.Assign) and statement.value is found and _target(statement):
            return _target(statement)
        return _short(ast.unparse(found))

    def _expression(self, op: str, place: tuple[str, int, int]) -> ast.expr | None:
        """The outermost expression that begins at the place and is of the op's kind."""
        file, line, col = place
        here = [
            node
            for node in self._nodes(file)
            if isinstance(node, ast.expr) and node.lineno == line and self._column(file, node) == col
        ]
        return next((node for node in here if _fits(op, node)), here[0] if here else None)

    def _statement(self, place: tuple[str, int, int]) -> ast.stmt | None:
        """The innermost statement around the place."""
        file, line, col = place
        found = None
        for node in self._nodes(file):
            if isinstance(node, ast.stmt) and (node.lineno, self._column(file, node)) <= (line, col):
                if (line, col - 1) <= (node.end_lineno or 0, node.end_col_offset or 0):
                    found = node
        return found

    def _column(self, file: str, node: ast.expr | ast.stmt) -> int:
        """The column that a node begins in, from 1, in characters: `ast` counts bytes."""
        text = source_line(file, node.lineno).encode()
        return len(text[: node.col_offset].decode(errors="replace")) + 1

    def _nodes(self, file: str) -> Iterator[ast.AST]:
        """All nodes of a file, outer ones first."""
        if file not in self._trees:
            try:
                self._trees[file] = ast.parse("".join(linecache.getlines(file)))
            except (SyntaxError, ValueError):
                self._trees[file] = None
        tree = self._trees[file]
        return ast.walk(tree) if tree is not None else iter(())


def _fits(op: str, node: ast.expr) -> bool:
    """Whether an op may have come from an expression of this kind."""
    name = op.partition(".")[2]
    if op == "memref.load":
        return isinstance(node, ast.Subscript)
    if name in _BINARY:
        if isinstance(node, ast.Call):
            return True
        return isinstance(node, ast.BinOp) and isinstance(node.op, _BINARY[name])
    if name.startswith("cmp"):
        return isinstance(node, (ast.Compare, ast.Call, ast.IfExp))
    if name == "negf":
        return isinstance(node, ast.UnaryOp)
    return isinstance(node, (ast.Call, ast.IfExp, ast.BinOp, ast.UnaryOp))


def _target(statement: ast.stmt) -> str:
    """The names that a statement assigns to; empty if it assigns none."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return _short(ast.unparse(statement.targets[0]))
    if isinstance(statement, (ast.AugAssign, ast.AnnAssign)):
        return _short(ast.unparse(statement.target))
    return ""


def _assigned(statement: ast.stmt) -> str:
    """The names that a statement, and those in it, assign to: one of them is the value that is meant."""
    names = dict.fromkeys(
        name for node in ast.walk(statement) if isinstance(node, ast.stmt) and (name := _target(node))
    )
    few = list(names)[:_FEW]
    return " or ".join(few) if len(few) == len(names) else f"{', '.join(few)} ..."


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
