"""What lowering a kernel gives: the MLIR text, and what a caller must know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .. import types

if TYPE_CHECKING:
    from .rules import RuleMaker


class Writeback(NamedTuple):
    """A scalar field of a struct argument that the kernel assigned to: one of the extra results, to be stored by the
    caller.

    `argument` is the argument's number and `path` the fields that lead to it (`params.net.w` is ("net", "w")); `leaf`
    is its number among the leaves of all arguments.
    """

    argument: int
    path: tuple[str, ...]
    type: types.Type
    leaf: int


class Lowered(NamedTuple):
    """The function `entry` of `module_text` takes the leaves of `arg_types` (then, iff `errors` is not empty, the
    error cell).

    It returns the leaves of `result_type`, then for each of `writebacks` the new value of that leaf of the arguments.
    """

    module_text: str
    entry: str
    arg_types: tuple[types.Type, ...]
    result_type: types.Type
    errors: list[dict[str, Any]]
    writebacks: tuple[int, ...]
    #: Makes the rules of kernels in the module that have some: for the derivative engine.
    rules: RuleMaker | None = None
