"""The part of `structure` that deals with scf.parallel: a launch whose blocks, of one thread, run chunks of iterations.

How many chunks there are depends on the number of iterations alone. A chunk's reductions go into a place of its own;
the places are combined in order after the launch, as `lowering` does it for the loop itself. So all that is known of
launches holds: threads that are shown to have cells of their own add to a shadow plainly, what all read is summed for
each chunk first. Where a launch cannot do what the body does (allocate by an extent that is known only when it runs,
launch, call functions that are not known), and inside of launches, the loop is a nest of scf.for that carries the
reductions: the sequential order is one of those allowed. `Parallel` notes which loops of host code these are, and why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mlir.ir import FlatSymbolRefAttr, FloatAttr, MemRefType, Operation, ShapedType, Value

from . import rules
from .builder import is_differentiable, is_float, operation, operations, walk
from .custom.marks import is_custom
from .errors import DerivativeError, source_position
from .findings import InOrder, Reason
from .launches import LAUNCH, LaunchForms, add_launch, equal, place

#: Into how many chunks a parallel loop is cut, at most.
CHUNKS = 256
#: What combining with changes nothing, of floats.
_NEUTRAL = {
    "arith.addf": -0.0, "arith.mulf": 1.0, "arith.minimumf": float("inf"), "arith.minnumf": float("inf"),
    "arith.maximumf": float("-inf"), "arith.maxnumf": float("-inf"),
}  # fmt: skip
#: Ops that chunks that run at once do not have in them, and what is said of them.
_HOST = {
    LAUNCH: "line N launches a grid",
    "memref.realloc": "line N makes an array larger",
    "autodiff.checkpoint": "line N is a checkpointed loop",
}


@dataclass
class Parallel:
    """What becomes of the parallel loops of a function: launches, unless these are not wanted or were `refused`.
    `in_order` fills with those that run in order although launches were wanted.
    """

    launches: bool = True
    refused: DerivativeError | None = None
    in_order: list[InOrder] = field(default_factory=list)


class ParallelForms(LaunchForms):
    #: The functions of the module that have bodies.
    bodies: dict[str, Operation]
    parallel: Parallel

    def copy_scf_parallel(self, op: Operation) -> None:
        rank = len(op.regions[0].blocks[0].arguments)
        given = self.values(op.operands)
        lower, upper, step = (given[k * rank : (k + 1) * rank] for k in range(3))
        inits = given[3 * rank :]
        trips = [self.b.integer("maxsi", self.trips(*b), self.b.index(0)) for b in zip(lower, upper, step, strict=True)]
        wanted = self.parallel.launches and not self.device
        reason = self._why_in_order(op) if wanted else None
        if not wanted or reason is not None:
            made = self._nest(op, lower, step, trips, inits)
        else:
            made = self._launch(op, lower, step, trips, inits)
        if reason is not None:
            self.parallel.in_order.append(InOrder(source_position(op.location), reason))
        self.map.update(zip(op.results, made, strict=True))

    def trips(self, lower: Value, upper: Value, step: Value) -> Value:
        raise NotImplementedError

    def induction(self, counter: Value, lower: Value, step: Value) -> Value:
        raise NotImplementedError

    def _why_in_order(self, op: Operation) -> Reason | None:
        refused = self.parallel.refused
        if refused is None:
            return self._hindrance(op, set())
        return Reason(f"threads cannot run its derivative at once: {refused.message} (line N)", refused.loc)

    def _hindrance(self, op: Operation, seen: set[str]) -> Reason | None:
        """What in `op` a launch cannot do."""
        for inner in walk(op):
            text = _HOST.get(inner.name)
            if inner.name == "memref.alloc" and len(inner.operands):
                text = "line N makes an array whose extent is known only when it runs"
            if inner.name == "func.call":
                name = FlatSymbolRefAttr(inner.attributes["callee"]).value
                body = self.bodies.get(name)
                if name in seen or (body is None and rules.lookup(inner) is not None):
                    continue
                if body is None or is_custom(body):
                    text = f"line N calls `{name}`, " + (
                        "whose code is not known" if body is None else "which has a rule of its own"
                    )
                elif (found := self._hindrance(body, seen | {name})) is not None:
                    return found
            if text is not None:
                return Reason(text, source_position(inner.location))
        return None

    # in order ------------------------------------------------------------------------------------------------------
    def _nest(
        self, op: Operation, lower: list[Value], step: list[Value], trips: list[Value], inits: list[Value]
    ) -> list[Value]:
        block = op.regions[0].blocks[0]

        def nest(axis: int, carried: list[Value]) -> list[Value]:
            if axis == len(trips):
                self.block(block)
                return self._combine(op, carried, self.values(operations(block)[-1].operands))

            def inner(i: Value, handed: list[Value]) -> list[Value]:
                self.map[block.arguments[axis]] = self.induction(i, lower[axis], step[axis])
                return nest(axis + 1, handed)

            return self._loop(trips[axis], carried, inner)

        return nest(0, inits)

    def _loop(self, trips: Value, inits: list[Value], body: Callable[[Value, list[Value]], list[Value]]) -> list[Value]:
        block = self.b.for_loop(self.b.index(0), trips, self.b.index(1), inits)
        with self.b.at(block):
            self.b.op("scf.yield", body(block.arguments[0], list(block.arguments)[1:]))
        return list(operation(block.owner).results)

    # at once -------------------------------------------------------------------------------------------------------
    def _launch(
        self, op: Operation, lower: list[Value], step: list[Value], trips: list[Value], inits: list[Value]
    ) -> list[Value]:
        b, one = self.b, self.b.index(1)
        total = trips[0]
        for n in trips[1:]:
            total = b.integer("muli", total, n)
        size = b.integer("maxsi", b.integer("ceildivsi", total, b.index(CHUNKS)), one)
        chunks = b.integer("ceildivsi", total, size)
        dynamic = ShapedType.get_dynamic_size()
        partial = [b.alloc(MemRefType.get([dynamic], init.type), [chunks]) for init in inits]
        _, block = add_launch(b, [chunks, *[one] * 5])
        with b.at(block):
            self.device = True
            chunk = place(b, "block_id", 0)
            first = b.integer("muli", chunk, size)
            count = b.integer("minsi", size, b.integer("subi", total, first))
            neutral, starts = zip(*(self._neutral(op, i, init) for i, init in enumerate(inits))) if inits else ((), ())

            def iteration(i: Value, carried: list[Value]) -> list[Value]:
                self._place(op, b.integer("addi", first, i), lower, step, trips)
                self.block(op.regions[0].blocks[0])
                found = self.values(operations(op.regions[0].blocks[0])[-1].operands)
                combined = self._combine(op, carried, found)
                for k, value in enumerate(found):
                    if neutral[k] is None:  # the first iteration's value is where the chunk begins
                        begins = equal(b, i, b.index(0))
                        combined[k] = b.value("arith.select", [begins, value, combined[k]], value.type)
                return combined

            results = self._loop(count, list(starts), iteration)
            for value, memory in zip(results, partial, strict=True):
                b.store(value, memory, [chunk])
            b.op("gpu.terminator")
            self.device = False
        if not inits:
            return []
        return self._loop(
            chunks, inits, lambda c, carried: self._combine(op, carried, [b.load(memory, [c]) for memory in partial])
        )

    def _place(self, op: Operation, number: Value, lower: list[Value], step: list[Value], trips: list[Value]) -> None:
        """The iteration's indices, from its number; the last axis counts fastest."""
        b = self.b
        for k in reversed(range(len(trips))):
            at = b.integer("remui", number, trips[k]) if k else number
            number = b.integer("divui", number, trips[k]) if k else number
            self.map[op.regions[0].blocks[0].arguments[k]] = self.induction(at, lower[k], step[k])

    def _neutral(self, op: Operation, i: int, init: Value) -> tuple[float | None, Value]:
        """What reduction number `i` begins with in a chunk: what changes nothing, if that is known, else anything."""
        ops = operations(operations(op.regions[0].blocks[0])[-1].regions[i].blocks[0])
        known = _NEUTRAL.get(ops[0].name) if len(ops) == 2 and is_float(init.type) else None
        if known is None:
            return None, self.b.zero(init.type) if is_differentiable(init.type) else init
        return known, self.b.value("arith.constant", [], init.type, {"value": FloatAttr.get(init.type, known)})

    def _combine(self, op: Operation, accumulated: list[Value], given: list[Value]) -> list[Value]:
        reduce, made = operations(op.regions[0].blocks[0])[-1], []
        for region, a, b in zip(reduce.regions, accumulated, given, strict=True):
            block = region.blocks[0]
            self.map.update(zip(block.arguments, (a, b), strict=True))
            ops = operations(block)
            for inner in ops[:-1]:
                self.operation(inner)
            made.append(self.value(ops[-1].operands[0]))
        return made
