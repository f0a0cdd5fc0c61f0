"""Calls of kernels inside launches, inlined: MLIR's inliner does not look into launches.

Only functions that ask for a thread's number, wait, or have shared memory or atomics need it; calls of others stay.
"""

from __future__ import annotations

from mlir.ir import FlatSymbolRefAttr, InsertionPoint, Module, Operation, Value

from ..errors import LoweringError, position
from ..rewriting import functions, symbol_name
from .emit import Emitter, attributes_of, operations, walk


def inline_calls(module: Module, launch: Operation) -> None:
    """Put the bodies of functions that know of threads in place of their calls in `launch`."""
    defined = {symbol_name(op): op for op in functions(module) if op.name == "func.func"}
    knows: dict[str, bool] = {}
    while True:
        calls = [op for op in walk(launch) if op.name == "func.call" and _knows(_callee(op), defined, knows, set())]
        if not calls:
            return
        for call in calls:
            _inline(call, defined[_callee(call)])


def _callee(call: Operation) -> str:
    return FlatSymbolRefAttr(call.attributes["callee"]).value


def _knows(name: str, defined: dict[str, Operation], known: dict[str, bool], inside: set[str]) -> bool:
    """Whether a function, or one that it calls, has anything of grids in it."""
    if name not in known:
        function = defined.get(name)
        if function is None:
            return False
        if name in inside:
            raise LoweringError(f"the kernel @{name} calls itself", position(function.location), "write it as a loop")
        known[name] = any(
            op.name.startswith(("gpu.", "nvvm."))
            or "atomic" in op.name
            or "address_space" in "".join(str(r.type) for r in op.results)
            or (op.name == "func.call" and _knows(_callee(op), defined, known, inside | {name}))
            for op in walk(function)
        )
    return known[name]


def _inline(call: Operation, function: Operation) -> None:
    blocks = list(function.regions[0].blocks)
    if len(blocks) != 1:
        raise LoweringError("a grid kernel with branches between blocks", position(call.location), "use scf")
    e = Emitter(InsertionPoint(call), call.location)
    copy = Copier(e)
    copy.map.update(zip(blocks[0].arguments, call.operands, strict=True))
    ops = operations(blocks[0])
    for op in ops[:-1]:
        copy.operation(op)
    for result, value in zip(call.results, ops[-1].operands, strict=True):
        result.replace_all_uses_with(copy.map.get(value, value))
    call.erase()


class Copier:
    """Copies operations one for one, with what is nested in them."""

    def __init__(self, e: Emitter):
        self.e = e
        self.map: dict[Value, Value] = {}

    def operation(self, op: Operation) -> None:
        with self.e.at(self.e.ip, op.location):
            new = self.e.op(
                op.name,
                [self.map.get(v, v) for v in op.operands],
                [r.type for r in op.results],
                attributes_of(op),
                len(op.regions),
            )
        self.map.update(zip(op.results, new.results, strict=True))
        for old_region, new_region in zip(op.regions, new.regions, strict=True):
            for old in old_region.blocks:
                block = new_region.blocks.append(
                    *[a.type for a in old.arguments], arg_locs=[a.location for a in old.arguments]
                )
                self.map.update(zip(old.arguments, block.arguments, strict=True))
                with self.e.at(block):
                    for inner in operations(old):
                        self.operation(inner)
