"""`parse`: the text of a kernel to its syntax tree, or an error that points at what is wrong."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import UnsupportedSyntax
from .loc import Loc
from .nodes import FunctionDef

if TYPE_CHECKING:
    from lark import Lark


@lru_cache(maxsize=1)
def _parser() -> Lark:
    from .tables import load

    return load()


def parse(text: str, file: str, first_line: int = 1, first_col: int = 1) -> FunctionDef:
    """The tree of one function (`def ...`, without its decorators) or one lambda expression.

    `text` may be indented as a whole. `first_line` and `first_col` say where in `file` its first character stands, so
    that the tree carries the true places. Raises KernelSyntaxError for what is not Python and UnsupportedSyntax for
    Python that the language lacks.
    """
    from lark.exceptions import UnexpectedInput

    from .build import Builder
    from .diagnose import diagnose
    from .indent import IndentationMismatch

    is_lambda = text.lstrip().startswith("lambda") and not text.lstrip()[6:7].isidentifier()
    try:
        if is_lambda:
            tree = _parser().parse(f"({text})\n", start="lambda_function")
            return Builder(file, first_line, first_col - 1).lambda_function(tree)
        tree = _parser().parse(text + "\n", start="function")
        return Builder(file, first_line, first_col).function(tree)
    except UnexpectedInput as e:
        at = (getattr(e, "line", -1), getattr(e, "column", -1))
    except RecursionError:
        place = Loc(file, first_line, first_col, first_line, first_col + 1)
        hint = "give parts of it names of their own"
        raise UnsupportedSyntax("an expression or a block is nested too deeply", place, hint) from None
    except IndentationMismatch as e:
        at = (e.token.end_line or -1, e.token.end_column or -1)
    # outside the handler, so that the user sees one error and not lark's as its cause
    raise diagnose(text, file, first_line, first_col, is_lambda, at)
