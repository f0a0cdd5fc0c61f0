"""How IR is shown: each MLIR op under its source line, and text that is in colour on a terminal and in a notebook."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from .errors import source_line


class IRText(str):
    """IR as text. `print` shows it in colour on a terminal (unless NO_COLOR is set); `.plain` is without any."""

    __slots__ = ("language",)

    def __new__(cls, text: str, language: str) -> IRText:
        made = super().__new__(cls, text)
        made.language = language  # python, mlir, llvm or gas
        return made

    language: str

    @property
    def plain(self) -> str:
        """The text as an ordinary string."""
        return str.__str__(self)

    def __str__(self) -> str:
        return self.coloured() if on_terminal() else self.plain

    def __repr__(self) -> str:
        return str(self)  # an interactive prompt shows it as print does

    def _repr_html_(self) -> str:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter

        return highlight(self.plain, self._lexer(), HtmlFormatter(noclasses=True))

    def coloured(self) -> str:
        """The text with the colour codes of a terminal."""
        from pygments import highlight
        from pygments.formatters import TerminalFormatter

        return highlight(self.plain, self._lexer(), TerminalFormatter())

    def _lexer(self) -> Any:
        if self.language == "mlir":
            from mlir_pygments import MLIRLexer

            return MLIRLexer(stripnl=False)
        from pygments.lexers import get_lexer_by_name

        return get_lexer_by_name(self.language, stripnl=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return IRText, (self.plain, self.language)


def on_terminal() -> bool:
    """Whether what is printed goes to a terminal that is to have colours."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # no standard output, or a closed one
        return False


# --- locations ----------------------------------------------------------------------------------------------------

_ALIAS = re.compile(r"^(#loc\d*) = loc\((.*)\)$")
_PLACE = re.compile(r'"((?:[^"\\]|\\.)*)":(\d+):(\d+)|(#loc\d*)')
_MARGIN = 76  # where the places stand, unless the op is longer


def with_source_lines(text: str) -> str:
    """MLIR text with its locations (one `loc(...)` an op) made readable: comments, and the source lines.

    What comes out parses as the same module, without locations.
    """
    aliases: dict[str, str] = {}
    lines: list[str] = []
    for line in text.splitlines():
        alias = _ALIAS.match(line)
        if alias:
            aliases[alias[1]] = alias[2]
        else:
            lines.append(line)
    places: list[tuple[str, int, int] | None] = []
    opened: list[int] = []  # lines whose region is open: its location stands behind the brace that closes it
    bare: list[str] = []
    for number, line in enumerate(lines):
        code, location = _split(line)
        place = _place(location, aliases) if location else None
        bare.append(code)
        places.append(None if code.lstrip().startswith("}") else place)
        closes, opens = code.lstrip().startswith("}"), code.endswith("{")
        if closes and opened:
            first = opened[-1] if opens else opened.pop()
            places[first] = places[first] or place
        elif opens:
            opened.append(number)
    return "".join(_annotated(bare, places))


def _annotated(lines: list[str], places: list[tuple[str, int, int] | None]) -> list[str]:
    out: list[str] = []
    shown: tuple[str, int] | None = None
    for line, place in zip(lines, places):
        if place is None:
            out.append(f"{line}\n")
            continue
        file, row, col = place
        if shown != (file, row):
            shown = (file, row)
            source = source_line(file, row).strip()
            indent = line[: len(line) - len(line.lstrip())]
            out.append(f"{indent}// {os.path.basename(file)}:{row}  {source}".rstrip() + "\n")
        out.append(f"{line:<{_MARGIN}}  // {row}:{col}\n")
    return out


def _split(line: str) -> tuple[str, str]:
    """A line without any `loc(...)`, and the inside of the one at its end."""
    kept: list[str] = []
    at, last = 0, ""
    while True:
        start = _find(line, " loc(", at)
        if start < 0:
            kept.append(line[at:])
            return "".join(kept), last if not line[at:] else ""
        end = _closing(line, start + 5)
        kept.append(line[at:start])
        last, at = line[start + 5 : end], end + 1


def _find(line: str, what: str, start: int) -> int:
    """Where `what` is, outside of strings."""
    quoted = False
    i = start
    while i < len(line):
        if line[i] == "\\" and quoted:
            i += 1
        elif line[i] == '"':
            quoted = not quoted
        elif not quoted and line.startswith(what, i):
            return i
        i += 1
    return -1


def _closing(line: str, start: int) -> int:
    """The bracket that closes the one before `start`."""
    depth, quoted = 1, False
    i = start
    while i < len(line):
        c = line[i]
        if c == "\\" and quoted:
            i += 1
        elif c == '"':
            quoted = not quoted
        elif not quoted:
            depth += (c == "(") - (c == ")")
            if not depth:
                return i
        i += 1
    return len(line)


def _place(location: str, aliases: dict[str, str], depth: int = 0) -> tuple[str, int, int] | None:
    """The first file, line and column in a location: of an op from a call, where it stands in the callee."""
    for found in _PLACE.finditer(location):
        if found[4] is None:
            return re.sub(r"\\(.)", r"\1", found[1]), int(found[2]), int(found[3])
        inner = _place(aliases.get(found[4], ""), aliases, depth + 1) if depth < 50 else None
        if inner is not None:
            return inner
    return None
