"""What split mode needs of MLIR: the pullback's entry, and the layout of a type on the tape."""

from __future__ import annotations

from mlir import ir

from dialects.lanes import narrow
from dialects.tape_memory import element_bytes

from .derivative import ENTRY, _apart, _declare, _fresh, _function, _joined, _types
from .request import Request
from .tape import TapePart


def pullback(module: ir.Module, callee: str, request: Request, seeds: int, tape: int, error: bool) -> str:
    """Add an entry for the pullback @callee, whose last arguments are seeds and a tape of so many values; returns its
    name.

    The entry takes the lanes of vectors one by one, and the error cell last, as those of all derivatives do; @callee
    takes it before the seeds.
    """
    width = request.width
    inputs, results = _types(_function(module, callee))
    if not error and width == 1:
        return callee
    first = len(inputs) - tape - seeds  # of the seeds
    cell = inputs[first - 1 : first] if error else []
    lanes = [
        width if first <= k < len(inputs) - tape and isinstance(t, ir.VectorType) else 1 for k, t in enumerate(inputs)
    ]
    given = [(narrow(t) if n > 1 else t, n) for t, n in zip(inputs, lanes)]
    own = given[: first - len(cell)] + given[first:]
    results_apart = [narrow(t) if width > 1 else t for t in results for _ in range(width)]
    with ir.InsertionPoint(module.body):
        entry = _fresh(module, ENTRY)
        types = [t for t, n in own for _ in range(n)] + cell
        function = _declare(entry, types, results_apart, "public", {})
        block = function.regions[0].blocks.append(*types, arg_locs=[ir.Location.unknown()] * len(types))
        with ir.InsertionPoint(block):
            arguments = iter(block.arguments)
            operands = [_joined(arguments, n) for _, n in own]
            operands[first - len(cell) : first - len(cell)] = arguments
            call = ir.Operation.create("func.call", results, operands, {"callee": ir.FlatSymbolRefAttr.get(callee)})
            returned = [
                v
                for value in call.results
                for v in _apart(value, width, narrow(value.type) if width > 1 else value.type)
            ]
            ir.Operation.create("func.return", [], returned)
    return entry


def results(module: ir.Module, name: str) -> int:
    """How many values a function returns."""
    return len(_types(_function(module, name))[1])


def part(text: str) -> TapePart:
    """The layout of a type on the tape."""
    type_ = ir.Type.parse(text)
    if isinstance(type_, ir.MemRefType):
        element = type_.element_type
        if isinstance(element, ir.MemRefType) and type_.rank == 0:
            inner = element.element_type
            descriptor = 3 + 2 * inner.rank if isinstance(inner, ir.MemRefType) else 0
            return TapePart(text, element_bytes(inner), element.rank, True, 3, descriptor)
        return TapePart(text, element_bytes(element), type_.rank, False, 3 + 2 * type_.rank)
    return TapePart(text, element_bytes(type_), None, False, 2 if isinstance(type_, ir.ComplexType) else 1)
