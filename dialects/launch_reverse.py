"""Adjoints of launches, barriers and exchanges between threads.

The reverse of a launch is a launch of the same extents. Each thread first runs again what the adjoint needs of it, as
the body of a replayed loop does (its frame), then its adjoint; what it cannot run again it reads from the tape, in
which each thread of the grid has a place. Barriers stand where they stood, mirrored; where a block's threads share
memory they also meet between the two halves. The cotangent of a number from outside of the launch is a sum over all
threads: of each block first, then of the grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlir.ir import Attribute, IndexType, IntegerAttr, IntegerType, MemRefType, Operation, Type, Value, VectorType

from .activity import Activity
from .builder import Builder, is_float, operation
from .errors import refuse
from .launches import (
    LAUNCH,
    add_launch,
    barrier,
    block_extents,
    equal,
    extents,
    if_then,
    meets,
    number_in_block,
    number_in_grid,
    thread_count,
)
from .recompute import lookup_all
from .sweep import Frame, ReplaySweep
from .tangents import Shadow, Tangents

if TYPE_CHECKING:
    from .plan import Planner
    from .recompute import ReverseScope
    from .sharing import Sharing

#: gpu.address_space of the memory of a block.
WORKGROUP = "#gpu.address_space<workgroup>"


class LaunchAdjoints:
    """The part of the reverse sweep that deals with threads; `Reverse` provides the rest."""

    b: Builder
    activity: Activity
    tangents: Tangents
    planner: Planner
    sharing: Sharing
    width: int
    adjoint: dict[Value, Value]
    #: Sums over all threads that the launch being reversed makes at its end: per thread cell → shadow and indices.
    sums: dict[tuple[Value, tuple[Value, ...]], Value]

    if TYPE_CHECKING:

        def lookup(self, old: Value, scope: ReverseScope) -> Value: ...
        def add(self, old: Value, cotangent: Value | None) -> None: ...
        def take(self, old: Value) -> Value | None: ...
        def block(self, scope: ReverseScope) -> None: ...

    def reverse_gpu_launch(self, op: Operation, scope: ReverseScope) -> None:
        sizes = lookup_all(self, extents(op), scope)  # type: ignore[arg-type]
        body = op.regions[0].blocks[0]
        captures = self.activity.captured(op)
        cells = [self._cell(op, v.type) for v in captures]
        outer, self.adjoint = self.adjoint, {}
        outer_sums, self.sums = self.sums, {}
        new, block = add_launch(self.b, sizes, op)
        scope.cursor = new
        with self.b.at(block):
            inner = scope.iteration(body, block, number_in_grid(self.b, sizes))
            replay = self.planner.replay(op, body, scope.frame)
            if replay is None:
                obstacle = self.planner.obstacles.get(op, op)
                raise refuse(
                    obstacle,
                    "what threads compute here cannot be run again in the reverse sweep, and cannot be taped",
                    "call the function in a loop of host code"
                    if obstacle.name == "func.call"
                    else "split the kernel in two",
                )
            frame = Frame(body, outer=inner)
            sweep = ReplaySweep(self, frame, replay)  # type: ignore[arg-type]
            sweep.map, sweep.shadows = inner.values, inner.shadows
            inner.replayed(frame)
            sweep.block(body)
            inner.swept()
            if meets(op):
                barrier(self.b)
            self.block(inner)
            parts: list[tuple[Value, Value, list[Value]]] = []
            for value, cell in zip(captures, cells, strict=True):
                total = self.take(value)
                if total is not None:
                    parts += [
                        (self.tangents.lane(total, k, value.type), cell, [self.b.index(k)]) for k in range(self.width)
                    ]
            for (memref, at), own in self.sums.items():
                parts.append((self.b.load(own, []), memref, list(at)))
            self._sum(parts)
            self.b.op("gpu.terminator")
        scope.cursor = None
        self.adjoint, self.sums = outer, outer_sums
        for value, cell in zip(captures, cells, strict=True):
            self.add(value, self._gathered(cell, value.type))

    # sums over threads ---------------------------------------------------------------------------------------------
    def _cell(self, op: Operation, type_: Type) -> Value:
        """Where the host finds the cotangent of a number that a launch uses."""
        if not is_float(type_):
            raise refuse(op, f"a launch uses an active value of type {type_} from outside", "hand it over in an array")
        cell = self.b.alloc(MemRefType.get([self.width], type_))
        zero = self.b.zero(type_)
        for k in range(self.width):
            self.b.store(zero, cell, [self.b.index(k)])
        return cell

    def _gathered(self, cell: Value, type_: Type) -> Value:
        parts = [self.b.load(cell, [self.b.index(k)]) for k in range(self.width)]
        if self.width == 1:
            return parts[0]
        return self.b.value("vector.from_elements", parts, VectorType.get([self.width], type_))

    def _sum(self, parts: list[tuple[Value, Value, list[Value]]]) -> None:
        """Add each thread's value to a cell outside: in the block's memory first, then once a block."""
        if not parts:
            return
        b = self.b
        number = number_in_block(b, block_extents(b, b.ip.block))
        first, zero = equal(b, number, b.index(0)), b.index(0)
        space = Attribute.parse(WORKGROUP)
        local = [b.alloc(MemRefType.get([1], value.type, None, space)) for value, _, _ in parts]

        def clear() -> None:
            for memory, (value, _, _) in zip(local, parts, strict=True):
                b.store(b.zero(value.type), memory, [zero])

        def hand_over() -> None:
            for memory, (_, target, at) in zip(local, parts, strict=True):
                total = b.load(memory, [zero])
                # A cell that no thread has read may not be there: it gets no zero either.
                code = IntegerAttr.get(IntegerType.get_signless(64), 13)  # une
                truth = IntegerType.get_signless(1)
                some = b.value("arith.cmpf", [total, b.zero(total.type)], truth, {"predicate": code})
                if_then(b, some, lambda total=total, target=target, at=at: atomic_add(b, total, target, at))  # type: ignore[misc]

        if_then(b, first, clear)
        barrier(b)
        for memory, (value, _, _) in zip(local, parts, strict=True):
            atomic_add(b, value, memory, [zero])
        barrier(b)
        if_then(b, first, hand_over)

    # memory --------------------------------------------------------------------------------------------------------
    def accumulate(
        self, op: Operation, memref: Value, shadow: Shadow, at: list[Value], cotangent: Value, scope: ReverseScope
    ) -> None:
        """Add to the shadow of what `op` read, safely where other threads may add to the same cell."""
        how = self.sharing.how(op, memref)
        if how.kind == "own":
            old = self.tangents.load(shadow, at)
            self.tangents.store(self.b.add(old, cotangent), shadow, at)
            return
        element = MemRefType(shadow[0].type).element_type
        if not is_float(element):
            raise refuse(op, f"threads may add to the same cell of an array of {element}", how.reason)
        for k, target in enumerate(shadow):
            part = self.tangents.lane(cotangent, k, element)
            if how.kind == "one":
                own = self._own_sum(target, tuple(at), scope)
                self.b.store(self.b.add(self.b.load(own, []), part), own, [])
            else:
                atomic_add(self.b, part, target, at)

    def _own_sum(self, target: Value, at: tuple[Value, ...], scope: ReverseScope) -> Value:
        """The thread's own sum of what is added to a cell that all threads read."""
        own = self.sums.get((target, at))
        if own is None:
            while operation(scope.old.owner).name != LAUNCH:
                assert scope.parent is not None
                scope = scope.parent
            with self.b.at(scope.start()):
                own = self.b.alloc(MemRefType.get([], MemRefType(target.type).element_type))
                self.b.store(self.b.zero(MemRefType(own.type).element_type), own, [])
            self.sums[target, at] = own
        return own

    # threads -------------------------------------------------------------------------------------------------------
    def reverse_gpu_barrier(self, op: Operation, scope: ReverseScope) -> None:
        barrier(self.b)

    def reverse_nvvm_bar_warp_sync(self, op: Operation, scope: ReverseScope) -> None:
        self.b.op(op.name, [self.lookup(op.operands[0], scope)])

    def reverse_gpu_shuffle(self, op: Operation, scope: ReverseScope) -> None:
        """Each thread gets back what those gave it that had read its value."""
        cotangent = self.take(op.results[0])
        if cotangent is None:
            return
        offset, width = (self.lookup(v, scope) for v in list(op.operands)[1:])
        mode = shuffle_mode(op)
        lanes = [self.tangents.lane(cotangent, k, op.results[0].type) for k in range(self.width)]
        back = [self._shuffle_back(mode, lane, offset, width) for lane in lanes]
        self.add(op.operands[0], back[0] if self.width == 1 else self._vector(back, cotangent.type))

    def _vector(self, parts: list[Value], type_: Type) -> Value:
        return self.b.value("vector.from_elements", parts, type_)

    def _shuffle_back(self, mode: str, given: Value, offset: Value, width: Value) -> Value:
        b, zero = self.b, self.b.zero(given.type)
        if mode == "idx":
            return self._scatter(given, offset, width)
        # The value comes back from where it went; a thread that had no partner had its own value.
        there = {"up": "down", "down": "up", "xor": "xor"}[mode]
        value, valid = self._from_lane(there, given, offset, width)
        _, had_partner = self._from_lane(mode, given, offset, width)
        value = b.value("arith.select", [valid, value, zero], zero.type)
        own = b.value("arith.select", [had_partner, zero, given], zero.type)
        return b.add(value, own)

    def _from_lane(self, mode: str, value: Value, offset: Value, width: Value) -> tuple[Value, Value]:
        """A shuffle, and whether there is such a lane: in a block's last warp there may be fewer than 32."""
        b = self.b
        found, valid = shuffle(b, mode, value, offset, width)
        if mode == "up":
            return found, valid
        lane = b.value("gpu.lane_id", [], IndexType.get())
        source = b.value("arith.index_cast", [offset], IndexType.get())
        if mode != "idx":
            source = b.integer("xori" if mode == "xor" else "addi", lane, source)
        sizes = block_extents(b, b.ip.block)
        first = b.integer("subi", number_in_block(b, sizes), lane)
        threads = thread_count(b, sizes)
        less = {"predicate": IntegerAttr.get(IntegerType.get_signless(64), 2)}
        there = b.value("arith.cmpi", [b.integer("addi", first, source), threads], valid.type, less)
        return found, b.integer("andi", valid, there)

    def _scatter(self, given: Value, source: Value, width: Value) -> Value:
        """For each lane the sum of what the lanes that read it have: one lane after the other is asked."""
        b, word = self.b, IntegerType.get_signless(32)
        lane = b.value("arith.index_cast", [b.value("gpu.lane_id", [], IndexType.get())], word)
        mask = b.value("arith.constant", [], word, {"value": IntegerAttr.get(word, 31)})
        source = b.integer("andi", source, mask)
        # A thread that asked for a lane that is not there had its own value.
        _, had_partner = self._from_lane("idx", given, source, width)
        source = b.value("arith.select", [had_partner, source, lane], word)
        body = b.for_loop(b.index(0), b.index(32), b.index(1), [b.zero(given.type)])
        with b.at(body):
            asked = b.value("arith.index_cast", [body.arguments[0]], word)
            value, there = self._from_lane("idx", given, asked, width)
            wanted, _ = shuffle(b, "idx", source, asked, width)
            mine = b.integer("andi", equal(b, wanted, lane), there)
            part = b.value("arith.select", [mine, value, b.zero(given.type)], given.type)
            b.op("scf.yield", [b.add(body.arguments[1], part)])
        return operation(body.owner).results[0]


def shuffle_mode(op: Operation) -> str:
    return str(op.attributes["mode"]).removeprefix("#gpu<shuffle_mode ").removesuffix(">").strip()


def shuffle(b: Builder, mode: str, value: Value, offset: Value, width: Value) -> tuple[Value, Value]:
    """gpu.shuffle: the value of another lane, and whether there is such a lane."""
    attributes = {"mode": Attribute.parse(f"#gpu<shuffle_mode {mode}>")}
    op = b.op("gpu.shuffle", [value, offset, width], [value.type, IntegerType.get_signless(1)], attributes)
    return op.results[0], op.results[1]


def atomic_add(b: Builder, value: Value, memref: Value, at: list[Value]) -> None:
    kind = {"kind": IntegerAttr.get(IntegerType.get_signless(64), 0)}
    b.op("memref.atomic_rmw", [value, memref, *at], [value.type], kind)
