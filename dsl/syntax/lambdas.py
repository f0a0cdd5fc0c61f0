"""Which text a lambda has: several may stand on one line, or spread over lines, and Python keeps only the first line.

The lambdas of the file that start on that line are compiled and compared with the code of the function; where several
have the same code, the columns of their instructions decide.
"""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, NamedTuple

from ..errors import SourceError
from .compare import code_of, positions, same_code
from .loc import Loc

if TYPE_CHECKING:
    import ast


class File(NamedTuple):
    """What is needed of a file as a whole, as long as its lines stay the same."""

    lines: list[str]
    lambdas: list[ast.Lambda]
    imports: list[str]  # the names that its own level imports


_files: dict[str, File] = {}


def whole_file(file: str, lines: list[str]) -> File:
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
    found = _files[file] = File(lines, lambdas, imports)
    return found


def find_lambda(code: CodeType, lines: list[str]) -> tuple[str, int, int] | None:
    """The text of the lambda with this code, its line and column; None where there is none.

    SourceError where several have it and differ (in their defaults), and nothing tells which is meant.
    """
    whole = whole_file(code.co_filename, lines)
    made = [(node, _compiled(node, code, whole)) for node in whole.lambdas if node.lineno == code.co_firstlineno]
    made = [(node, c) for node, c in made if same_code(c, code)]
    if not made:
        return None
    # Where several have the same code, the columns of the instructions tell them apart, if Python keeps them (3.11).
    exact = [node for node, c in made if positions(c) == positions(code)]
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
    return text, node.lineno, col


def _compiled(node: ast.Lambda, like: CodeType, whole: File) -> CodeType | None:
    """The code of a lambda, compiled with the same free variables as `like`."""
    import ast

    return code_of([ast.copy_location(ast.Return(node), node)], like, whole.imports)


def _segment(node: ast.Lambda, lines: list[str]) -> tuple[str, int]:
    """The text of a node, and the column of its start, counted from 1 in characters (`ast` counts bytes)."""
    assert node.end_lineno is not None and node.end_col_offset is not None
    part = lines[node.lineno - 1 : node.end_lineno]
    start = len(part[0].encode()[: node.col_offset].decode(errors="ignore"))
    end = len(part[-1].encode()[: node.end_col_offset].decode(errors="ignore"))
    part[-1] = part[-1][:end]  # the end first: start and end may stand on one line
    part[0] = part[0][start:]
    return "".join(part), start + 1
