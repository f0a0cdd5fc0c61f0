"""Errors of the derivative engine: each names the op, the place in the user's source, and what to do."""

from __future__ import annotations

from mlir.ir import Location, Operation


class DerivativeError(Exception):
    """A derivative that cannot be given.

    `loc` is (file, line, column), 1-based, of the user's source where it is known, else None. `argument` is the
    number of the function's argument that it is about, which `message` calls "argument N"; those who know its name
    put it in.
    """

    def __init__(
        self,
        message: str,
        op_name: str = "",
        loc: tuple[str, int, int] | None = None,
        hint: str = "",
        argument: int | None = None,
    ):
        self.message, self.op_name, self.loc, self.hint, self.argument = message, op_name, loc, hint, argument
        where = f"{loc[0]}:{loc[1]}:{loc[2]}: " if loc else ""
        super().__init__(f"{where}{message}" + (f"\n  help: {hint}" if hint else ""))


def source_position(location: Location) -> tuple[str, int, int] | None:
    """The innermost file position of a location: through names, calls (the callee's place) and fusions (the
    first).
    """
    if location.is_a_file():
        return location.filename, location.start_line, location.start_col
    if location.is_a_name():
        return source_position(location.child_loc)
    if location.is_a_callsite():
        return source_position(location.callee) or source_position(location.caller)
    if location.is_a_fused():
        for part in location.locations:
            position = source_position(part)
            if position:
                return position
    return None


def refuse(op: Operation, message: str, hint: str = "", argument: int | None = None) -> DerivativeError:
    """The error for `op`, at its place in the source."""
    return DerivativeError(message, op.name, source_position(op.location), hint, argument)
