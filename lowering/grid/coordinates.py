"""The numbers of a thread and of its block: what gpu.thread_id and its like read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlir.ir import Operation, Value

from .emit import Emitter, constant

WARP = 32
#: Those that differ between the threads of a block.
OF_THREAD = frozenset({"gpu.thread_id", "gpu.global_id", "gpu.lane_id", "gpu.subgroup_id"})
OF_BLOCK = frozenset({"gpu.block_id", "gpu.block_dim", "gpu.grid_dim", "gpu.subgroup_size", "gpu.num_subgroups"})
AXES = "xyz"


@dataclass
class Block:
    """The block that is being run: its place in the grid, and the extents of both."""

    ids: list[Value]
    grid: list[Value]
    extents: list[Value]
    threads: Value

    def value(self, e: Emitter, op: Operation) -> Value:
        """What an operation of OF_BLOCK gives."""
        if op.name == "gpu.subgroup_size":
            return e.integer(WARP)
        if op.name == "gpu.num_subgroups":
            return e.value("arith.ceildivui", [self.threads, e.integer(WARP)], self.threads.type)
        return {"gpu.block_id": self.ids, "gpu.block_dim": self.extents, "gpu.grid_dim": self.grid}[op.name][axis(op)]


@dataclass
class Thread:
    """A thread of the block: its number among all of the block, and its place."""

    number: Value
    ids: list[Value]

    def value(self, e: Emitter, op: Operation, block: Block) -> Value:
        """What an operation of OF_THREAD gives."""
        if op.name == "gpu.thread_id":
            return self.ids[axis(op)]
        if op.name == "gpu.global_id":
            first = e.binary("muli", block.ids[axis(op)], block.extents[axis(op)])
            return e.binary("addi", first, self.ids[axis(op)])
        name = "arith.remui" if op.name == "gpu.lane_id" else "arith.divui"
        return e.value(name, [self.number, e.integer(WARP)], self.number.type)


def axis(op: Operation) -> int:
    """The axis that an operation asks for; 0 where it asks for none."""
    if "dimension" not in op.attributes:
        return 0
    return AXES.index(str(op.attributes["dimension"]).removeprefix("#gpu<dim ").removesuffix(">").strip())


def all_threads(e: Emitter, block: Block, body: Callable[[Thread], None]) -> None:
    """A loop over a block's threads, x innermost; axes of extent 1 need none."""
    zero = e.integer(0)

    def nest(k: int, number: Value, ids: list[Value]) -> None:
        if k < 0:
            body(Thread(number, ids))
            return

        def inner(i: Value) -> None:
            nest(k - 1, e.binary("addi", e.binary("muli", number, block.extents[k]), i), [i, *ids])

        if constant(block.extents[k]) == 1:
            nest(k - 1, number, [zero, *ids])
        else:
            e.loop(block.extents[k], inner)

    nest(2, zero, [])


def warp_threads(e: Emitter, block: Block, warp: Value, body: Callable[[Thread], None]) -> None:
    """A loop over the threads of warp number `warp`."""
    first = e.value("arith.muli", [warp, e.integer(WARP)], warp.type)
    last = e.value(
        "arith.minui", [e.value("arith.addi", [first, e.integer(WARP)], first.type), block.threads], first.type
    )

    def one(number: Value) -> None:
        x, y, _ = block.extents
        if constant(block.extents[1]) == 1 and constant(block.extents[2]) == 1:
            body(Thread(number, [number, e.integer(0), e.integer(0)]))
            return
        rest = e.value("arith.divui", [number, x], x.type)
        ids = [e.value("arith.remui", [number, x], x.type)]
        ids += [e.value("arith.remui", [rest, y], x.type), e.value("arith.divui", [rest, y], x.type)]
        body(Thread(number, ids))

    e.loop(last, one, first)


def warps(e: Emitter, block: Block) -> Value:
    return e.value("arith.ceildivui", [block.threads, e.integer(WARP)], block.threads.type)
