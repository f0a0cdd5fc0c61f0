"""`Loc`, a range of source text; apart from the nodes so that the errors, and a warm start, need no syntax tree."""

from __future__ import annotations

from typing import NamedTuple


class Loc(NamedTuple):
    """A range of source text. Lines and columns count from 1; `end_col` is one past the last character."""

    file: str
    line: int
    col: int
    end_line: int
    end_col: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}"

    def to(self, end: Loc) -> Loc:
        """The range from the start of this one to the end of `end`."""
        return Loc(self.file, self.line, self.col, end.end_line, end.end_col)
