"""Between lexer and parser: line ends become INDENT and DEDENT, and vanish within brackets.

As in Python, a tab moves to the next multiple of 8. The text may be indented as a whole (a method, a nested function):
the first line that says something gives the level from which the others count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lark import Token
from lark.lark import PostLex

_OPEN = frozenset({"LPAR", "LSQB"})
_CLOSE = frozenset({"RPAR", "RSQB"})


# Columns with a tab to the next multiple of 8, and with a tab of 1: where the two disagree about what is deeper, the
# meaning hangs on the width of a tab, and Python refuses.
Width = tuple[int, int]


class IndentationMismatch(Exception):
    """A line at a level that fits no line before it."""

    def __init__(self, token: Token) -> None:
        super().__init__(str(token))
        self.token = token


class PythonIndenter(PostLex):
    """All state is local to one `process`, so one parser serves several threads."""

    always_accept = ("_NEWLINE",)

    def process(self, stream: Iterable[Token]) -> Iterator[Token]:
        brackets = 0
        levels: list[Width] = []
        first = (0, 0)  # the level of the first line
        for token in stream:
            if token.type == "_NEWLINE":
                width = _width(token)
                if not levels:
                    first = width
                elif not brackets:
                    yield token
                    yield from _change(token, width, levels)
                continue
            if not levels:
                levels.append(first)
            if token.type in _OPEN:
                brackets += 1
            elif token.type in _CLOSE:
                brackets -= 1
            yield token
        while len(levels) > 1:
            levels.pop()
            yield Token("_DEDENT", "")


def _width(newline: Token) -> Width:
    """The indentation after a line end."""
    blanks = newline.rsplit("\n", 1)[-1].rsplit("\f", 1)[-1]  # a form feed starts the count anew, as in Python
    return len(blanks.expandtabs(8)), len(blanks)


def _change(newline: Token, width: Width, levels: list[Width]) -> Iterator[Token]:
    """The INDENT or DEDENTs that lead to a line of this width; keeps `levels` in step."""
    if width[0] > levels[-1][0]:
        if width[1] <= levels[-1][1]:
            raise IndentationMismatch(newline)
        levels.append(width)
        yield Token.new_borrow_pos("_INDENT", "", newline)
        return
    while width[0] < levels[-1][0] and len(levels) > 1:
        levels.pop()
        yield Token.new_borrow_pos("_DEDENT", "", newline)
    if width[0] < levels[-1][0]:  # back beyond the first line: the text ends here
        return
    if width != levels[-1]:
        raise IndentationMismatch(newline)
