"""What goes wrong while lowering, as one exception with a place in the user's source where one is known."""

from __future__ import annotations

import re

_POSITION = re.compile(r'"([^"]*)":(\d+):(\d+)')


class LoweringError(Exception):
    """A module that cannot be lowered, or an object that cannot be loaded.

    `message` says what; `loc` is (file, line, column), 1-based, of the user's source where it is known, else None;
    `hint` says what to do instead.
    """

    def __init__(self, message: str, loc: tuple[str, int, int] | None = None, hint: str = ""):
        self.message, self.loc, self.hint = message, loc, hint
        where = f"\n  --> {loc[0]}:{loc[1]}:{loc[2]}" if loc else ""
        super().__init__(f"{message}{where}" + (f"\n  help: {hint}" if hint else ""))


def position(location: object) -> tuple[str, int, int] | None:
    """The first file position in the text of an MLIR location: (file, line, column), or None.

    Text that was parsed from a string names its file "-": that is no file of the user's, and gives None.
    """
    found = _POSITION.search(str(location))
    if not found or found[1] == "-":
        return None
    return found[1], int(found[2]), int(found[3])


def from_mlir(error: Exception, doing: str) -> LoweringError:
    """MLIR's own diagnostics as a LoweringError: the first one's message and place, the others listed below it."""
    diagnostics = getattr(error, "error_diagnostics", None)
    if not diagnostics:
        return LoweringError(f"{doing}: {error}")
    first, others = diagnostics[0], diagnostics[1:]
    message = f"{doing}: {first.message}" + "".join(f"\n  also: {other.message}" for other in others)
    return LoweringError(message, position(first.location))
