"""The primal program together with the shadows of its memory: what forward mode and the forward sweep of reverse mode
share.

A copier that follows each memref with shadowed memory by its shadow: allocations get a zeroed one beside them, views
are taken of both, and where a memref is carried around a loop, out of a branch, or on a cache, so is its shadow.
Scalars' tangents, which only forward mode has, take the same ways through `extra`.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir.ir import Block, Operation, Type, Value

from .activity import Activity
from .builder import Builder, is_memref, operation, terminator
from .copier import Copier, add_block, attributes_of, pick
from .launches import add_launch, fill_zero_together, is_shared
from .objects import VIEWS
from .tangents import Shadow, Tangents


class Augmenter(Copier):
    """Copies ops of a function in normal form, memory with shadows.

    `shadows[m]` is the shadow of the primal memref `m`. Subclasses refine `extra`, the values that travel beside a
    primal value.
    """

    def __init__(self, builder: Builder, activity: Activity, width: int):
        super().__init__(builder)
        self.activity, self.width = activity, width
        self.tangents = Tangents(builder, width)
        self.shadows: dict[Value, Shadow] = {}

    # what travels beside a value -----------------------------------------------------------------------------------
    def extra_types(self, old: Value) -> list[Type]:
        """The types of the values that travel beside `old` around loops and out of branches."""
        return [old.type] * self.width if self.activity.memory(old) else []

    def extra(self, old: Value) -> list[Value]:
        """Those values for `old`, at the current place, where it is about to travel on."""
        return list(self.shadow(old))

    def set_extra(self, old: Value, values: Sequence[Value]) -> None:
        """They have arrived, as `values`, with `old`."""
        self.shadows[old] = tuple(values)

    def shadow(self, old: Value) -> Shadow:
        return self.shadows[old]

    def travel(self, olds: Sequence[Value], targets: Sequence[Value]) -> list[Value]:
        """`olds` and what travels beside them, for an edge whose other end is `targets`."""
        values = self.values(olds)
        for old, target in zip(olds, targets, strict=True):
            if self.extra_types(target):
                values += self.extra(old)
        return values

    def arrive(self, targets: Sequence[Value], values: Sequence[Value], carried: Sequence[Value] | None = None) -> None:
        """`values` reach `targets`; where `targets` are results of a loop, what travels beside is as for the
        `carried` arguments.
        """
        self.map.update(zip(targets, values))
        rest = list(values)[len(targets) :]
        for target, like in zip(targets, carried or targets, strict=True):
            count = len(self.extra_types(like))
            if count:
                self.set_extra(target, rest[:count])
                del rest[:count]

    def travel_types(self, targets: Sequence[Value]) -> list[Type]:
        return [t.type for t in targets] + [t for target in targets for t in self.extra_types(target)]

    # structured ops ------------------------------------------------------------------------------------------------
    def carried(self, op: Operation) -> list[int]:
        """Which of the values that `op` carries (or, an scf.if, gives) are copied: all, unless a slice needs
        fewer.
        """
        return list(range(len(op.results)))

    def copy_scf_for(self, op: Operation) -> Operation:
        keep = self.carried(op)
        old = op.regions[0].blocks[0]
        arguments = pick(list(old.arguments)[1:], keep)
        inits = self.travel(pick(list(op.operands)[3:], keep), arguments) + self.more_inits(op)
        lower, upper, step = self.values(list(op.operands)[:3])
        body = self.b.for_loop(lower, upper, step, inits)
        self.map[old.arguments[0]] = body.arguments[0]
        self.arrive(arguments, list(body.arguments)[1:])
        with self.b.at(body):
            self.enter(op, old, body)
            more = self.more_carried(op, body)
            self.block(old)
            self.b.op("scf.yield", self.travel(pick(yielded(old), keep), arguments) + more)
        new = operation(body.owner)
        self.arrive(pick(list(op.results), keep), list(new.results), arguments)
        return new

    def copy_scf_while(self, op: Operation) -> Operation:
        """A rotated while: all arguments are carried, the first is the condition."""
        keep = self.carried(op)
        old = op.regions[1].blocks[0]
        arguments = pick(list(old.arguments), keep)
        inits = self.travel(pick(list(op.operands), keep), arguments) + self.trip_inits(op)
        types = [v.type for v in inits]
        new = self.b.op("scf.while", inits, types, regions=2)
        head = add_block(new.regions[0], types, self.b.loc)
        with self.b.at(head):
            self.b.op("scf.condition", [head.arguments[0], *head.arguments])
        body = add_block(new.regions[1], types, self.b.loc)
        self.arrive(arguments, list(body.arguments))
        with self.b.at(body):
            self.enter(op, old, body)
            self.block(old)
            counted = self.count_trip(op, body)
            self.b.op("scf.yield", self.travel(pick(yielded(old), keep), arguments) + counted)
        self.arrive(pick(list(op.results), keep), list(new.results), arguments)
        return new

    def copy_scf_if(self, op: Operation) -> Operation:
        keep = self.carried(op)
        results = pick(list(op.results), keep)
        new = self.b.op("scf.if", [self.value(op.operands[0])], self.travel_types(results), regions=2)
        for old_region, new_region in zip(op.regions, new.regions, strict=True):
            for old in old_region.blocks:
                with self.b.at(add_block(new_region, [], self.b.loc)):
                    self.enter(op, old, new_region.blocks[0])
                    self.block(old)
                    self.b.op("scf.yield", self.travel(pick(yielded(old), keep), results))
        self.arrive(results, list(new.results))
        return new

    def copy_gpu_launch(self, op: Operation) -> Operation:
        old = op.regions[0].blocks[0]
        new, body = add_launch(self.b, self.values(op.operands), op)
        with self.b.at(body):
            self.enter(op, old, body)
            self.block(old)
            self.b.op("gpu.terminator")
        return new

    def enter(self, op: Operation, old: Block, new: Block) -> None:
        """Called at the start of each copied region block."""

    def more_inits(self, op: Operation) -> list[Value]:
        """Initial values of what an scf.for is to carry last."""
        return []

    def more_carried(self, op: Operation, body: Block) -> list[Value]:
        """What it carries on of that, computed at the start of an iteration."""
        return []

    def trip_inits(self, op: Operation) -> list[Value]:
        """Initial values of counters that a while loop is to carry last."""
        return []

    def count_trip(self, op: Operation, body: Block) -> list[Value]:
        """The counters of `trip_inits` after one more trip."""
        return []

    # memory --------------------------------------------------------------------------------------------------------
    def copy(self, op: Operation) -> Operation:
        new = super().copy(op)
        if op.name in VIEWS and self.activity.memory(op.results[0]):
            shadow = self.view_shadow(op, new)
            if shadow:
                self.shadows[op.results[0]] = shadow
        return new

    def view_shadow(self, op: Operation, new: Operation) -> Shadow:
        rest = list(new.operands)[1:]
        types = [r.type for r in new.results]
        return tuple(
            self.b.op(op.name, [s, *rest], types, attributes_of(new)).results[0] for s in self.shadow(op.operands[0])
        )

    def copy_memref_alloc(self, op: Operation) -> None:
        new = super().copy(op)
        if self.activity.memory(op.results[0]):
            self.shadows[op.results[0]] = self.zeroed_like(op, list(new.operands))

    def zeroed_like(self, op: Operation, operands: Sequence[Value]) -> Shadow:
        """Zeroed memory of the shape that the allocation `op` has, given its mapped operands."""
        type_, attributes = op.results[0].type, attributes_of(op)
        made = [self.b.value("memref.alloc", list(operands), type_, attributes) for _ in range(self.width)]
        if is_shared(type_):
            for memref in made:
                fill_zero_together(self.b, memref)
        else:
            self.b.fill_zero(*made)
        return tuple(made)

    def copy_arith_select(self, op: Operation) -> None:
        new = super().copy(op)
        if is_memref(op.results[0].type) and self.activity.memory(op.results[0]):
            pairs = zip(self.shadow(op.operands[1]), self.shadow(op.operands[2]), strict=True)
            condition = new.operands[0]
            self.shadows[op.results[0]] = tuple(
                self.b.value("arith.select", [condition, a, b], op.results[0].type) for a, b in pairs
            )
        else:
            self.after_select(op, new)

    def after_select(self, op: Operation, new: Operation) -> None:
        """A select of scalars was copied."""


def yielded(block: Block) -> list[Value]:
    return list(terminator(block).operands)
