"""What split mode needs of MLIR: the pullback's entry, and the layout of a type on the tape."""

from __future__ import annotations

from mlir import ir

from .derivative import ENTRY, _declare, _fresh, _function, _types
from .errors import DifferentiationError
from .kernel import Kernel
from .tape import TapePart


def pullback(module: ir.Module, callee: str, tape: int, error: bool) -> str:
    """Add an entry for the pullback @callee, whose last arguments are a tape of so many values; returns its name.

    The entry takes the error cell last, as those of all derivatives do; @callee takes it before seeds and tape.
    """
    inputs, results = _types(_function(module, callee))
    if not error:
        return callee
    # The cell is the last memref<1xi64> before seeds, which are scalars, and tape.
    cell = len(inputs) - tape - 1
    while not isinstance(inputs[cell], ir.MemRefType):
        cell -= 1
    with ir.InsertionPoint(module.body):
        entry = _fresh(module, ENTRY)
        types = [*inputs[:cell], *inputs[cell + 1 :], inputs[cell]]
        function = _declare(entry, types, results, "public", {})
        block = function.regions[0].blocks.append(*types, arg_locs=[ir.Location.unknown()] * len(types))
        given = list(block.arguments)
        operands = [*given[:cell], given[-1], *given[cell:-1]]
        with ir.InsertionPoint(block):
            call = ir.Operation.create("func.call", results, operands, {"callee": ir.FlatSymbolRefAttr.get(callee)})
            ir.Operation.create("func.return", [], list(call.results))
    return entry


def part(text: str, kernel: Kernel) -> TapePart:
    """The layout of a type on the tape."""
    type_ = ir.Type.parse(text)
    if isinstance(type_, ir.MemRefType):
        element = type_.element_type
        if isinstance(element, ir.MemRefType) and type_.rank == 0:
            return TapePart(text, _bytes(element.element_type, kernel), element.rank, True, 3)
        return TapePart(text, _bytes(element, kernel), type_.rank, False, 3 + 2 * type_.rank)
    size = _bytes(type_, kernel)
    return TapePart(text, size, None, False, 2 if isinstance(type_, ir.ComplexType) else 1)


def _bytes(type_: ir.Type, kernel: Kernel) -> int:
    if isinstance(type_, ir.ComplexType):
        return 2 * _bytes(type_.element_type, kernel)
    if isinstance(type_, ir.IndexType):
        return 8
    if isinstance(type_, (ir.IntegerType, ir.FloatType)):
        return int(type_.width + 7) // 8
    raise DifferentiationError(
        f"split mode of {kernel.name} needs values of type {type_} on its tape, which is not supported: "
        "it makes arrays in a loop, which the pullback uses",
        kernel.loc,
        "make the arrays before the loop, or use dsl.Reverse",
    )
