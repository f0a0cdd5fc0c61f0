"""Instructions in which the lanes of a warp take part together: shuffles, votes, matches, reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .. import types
from ..control import Terminator
from ..errors import WarpError
from ..forms import Binder, Form, form
from ..operands import put
from ..syntax import Instruction, Name, Operand, Pair

if TYPE_CHECKING:
    from ..executor import Executor
    from ..operands import Reader, Scope
    from ..state import Batch
    from ..threads import Threads

_ALL = np.uint32(0xFFFFFFFF)


def lanes_of(m: Batch, threads: np.ndarray) -> np.ndarray:
    """For each warp of the batch, a bit for each of its lanes that is among the threads."""
    bits = (np.uint64(1) << m.lane[threads].astype(np.uint64)).astype(np.float64)
    return np.bincount(m.warp[threads], bits, m.blocks * m.block_warps).astype(np.uint32)


class Lanes:
    """The values of the lanes that take part, a row for each warp."""

    def __init__(self, m: Batch, t: Threads, mask: np.ndarray):
        self.m, self.t, self.mask = m, t, mask
        warps = m.warp[t.index]
        first = np.concatenate([[True], warps[1:] != warps[:-1]])
        self.row = np.cumsum(first) - 1
        self.rows = int(self.row[-1]) + 1
        self.lane = m.lane[t.index]
        self.present = np.zeros((self.rows, 32), bool)
        self.present[self.row, self.lane] = True
        # lanes of the member mask of each thread, among those present
        self.members = ((mask[:, None] >> np.arange(32, dtype=np.uint32)) & 1).astype(bool)
        self.members &= self.present[self.row]

    def table(self, values: np.ndarray, missing: int = 0) -> np.ndarray:
        """A row of 32 for each warp."""
        bits = values.view(f"u{values.dtype.itemsize}") if values.dtype != bool else values
        table = np.full((self.rows, 32), missing, bits.dtype) if bits.dtype != bool else np.zeros((self.rows, 32), bool)
        table[self.row, self.lane] = bits
        return table.view(values.dtype)


class WarpWide(Terminator):
    """Runs once all lanes of the member mask that still run are there."""

    alone = True

    def __init__(self, instruction: Instruction, mask: Reader, work: Callable[[Batch, Threads, Lanes], None] | None):
        self.instruction, self.mask, self.work = instruction, mask, work

    def run(self, x: Executor, t: Threads, here: int) -> None:
        m = x.batch
        waiting = x.warp_waits.pop(here, None)
        if waiting is not None:
            t = t.union(waiting.threads)
        mask = t.each(self.mask(m, t))
        if not (t.whole and (mask == _ALL).all()):
            t, mask = self._complete(x, t, mask, here)
            if not len(mask):
                return
        if self.work is None:
            m.clock.sync_warp(m.thread_numbers[t.index])
        else:
            self.work(m, t, Lanes(m, t, mask))
        x.go(t, here + 1)

    def _complete(self, x: Executor, t: Threads, mask: np.ndarray, here: int) -> tuple[Threads, np.ndarray]:
        from ..executor import Waiting

        m = x.batch
        outside = ((mask >> m.lane[t.index].astype(np.uint32)) & 1) == 0
        if outside.any():
            at = int(np.flatnonzero(outside)[0])
            raise m.fault(
                WarpError,
                f"a thread of lane {int(m.lane[t.index[at]])} is not in its own member mask {int(mask[at]):#x}",
                t,
                at,
                self.instruction,
                count=int(outside.sum()),
            )
        warp = m.warp[t.index]
        here_now = lanes_of(m, t.index)[warp]
        # Lanes that never were, or have left the kernel, need not come.
        living = lanes_of(m, np.flatnonzero(~x.exited))[warp]
        ready = (mask & living & ~here_now) == 0
        if ready.all():
            return t, mask
        x.warp_waits[here] = Waiting(self, t.pick(~ready))
        if not ready.any():
            return t, mask[:0]
        return t.pick(ready), mask[ready]


def _two(scope: Scope, operand: Operand) -> tuple[Operand, Operand | None]:
    if isinstance(operand, Pair):
        return Name(operand.first), Name(operand.second)
    return operand, None


def _check_sources(m: Batch, t: Threads, lanes: Lanes, source: np.ndarray, instruction: Instruction) -> None:
    absent = ~lanes.members[np.arange(len(source)), source]
    if not absent.any():
        return
    lane = lanes.lane
    absent &= m.in_block[t.index] - lane + source < m.block_threads
    if absent.any():
        at = int(np.flatnonzero(absent)[0])
        raise m.fault(
            WarpError,
            f"lane {int(lane[at])} takes the value of lane {int(source[at])}, which does not take part",
            t,
            at,
            instruction,
            count=int(absent.sum()),
            hint="let all lanes of the warp reach the shuffle: guard the work, not the shuffle",
        )


@form("shfl.sync.mode.b32", mode="up down bfly idx")
def shfl(f: Form) -> Binder:
    """A lane's value from another lane. From a lane that the block does not have it is all ones; one that does not take
    part is refused.
    """

    def bind(instruction: Instruction, scope: Scope) -> WarpWide:
        scope.expect(5)
        first, second = _two(scope, instruction.operands[0])
        write = scope.writer(first, "b32")
        write_valid = scope.writer(second, "pred") if second is not None else None
        value, by, clamp = (scope.reader(o, t) for o, t in zip(instruction.operands[1:], ("b32", "u32", "u32")))
        mask = scope.reader(instruction.operands[4], "b32")

        def work(m: Batch, t: Threads, lanes: Lanes) -> None:
            b = t.each(by(m, t)).astype(np.int64) & 31
            c = t.each(clamp(m, t)).astype(np.int64)
            segment = (c >> 8) & 31
            lane = lanes.lane
            last = (lane & segment) | (c & 31 & ~segment)
            if f.mode == "up":
                source = lane - b
                valid = source >= last
            elif f.mode == "down":
                source = lane + b
                valid = source <= last
            elif f.mode == "bfly":
                source = lane ^ b
                valid = source <= last
            else:
                source = (lane & segment) | (b & ~segment & 31)
                valid = source <= last
            source = np.where(valid, source, lane)
            if m.launch.checks.shuffles:
                _check_sources(m, t, lanes, source, instruction)
            table = lanes.table(t.each(value(m, t)), missing=0xFFFFFFFF)
            put(write, m, t, table[lanes.row, source])
            if write_valid is not None:
                put(write_valid, m, t, valid)

        return WarpWide(instruction, mask, work)

    return bind


@form("vote.sync.mode.pred", mode="all any uni")
@form("vote.sync.ballot.b32")
def vote(f: Form) -> Binder:
    def bind(instruction: Instruction, scope: Scope) -> WarpWide:
        scope.expect(3)
        write = scope.writer(instruction.operands[0], "pred" if f.mode else "b32")
        value = scope.reader(instruction.operands[1], "pred")
        mask = scope.reader(instruction.operands[2], "b32")

        def work(m: Batch, t: Threads, lanes: Lanes) -> None:
            said = lanes.table(t.each(value(m, t)))[lanes.row] & lanes.members
            every = (said == lanes.members).all(1)
            if not f.mode:
                bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
                put(write, m, t, (said * bits).sum(1, dtype=np.uint32))
            else:
                put(write, m, t, {"all": every, "any": said.any(1), "uni": every | ~said.any(1)}[f.mode])

        return WarpWide(instruction, mask, work)

    return bind


@form("match.any.sync.type", "match.all.sync.type", type="b32 b64")
def match(f: Form) -> Binder:
    """Which lanes have the same value."""

    def bind(instruction: Instruction, scope: Scope) -> WarpWide:
        scope.expect(3)
        first, second = _two(scope, instruction.operands[0])
        write = scope.writer(first, "b32")
        write_all = scope.writer(second, "pred") if second is not None else None
        value = scope.reader(instruction.operands[1], f.type)
        mask = scope.reader(instruction.operands[2], "b32")
        bits = np.uint32(1) << np.arange(32, dtype=np.uint32)

        def work(m: Batch, t: Threads, lanes: Lanes) -> None:
            mine = t.each(value(m, t))
            same = (lanes.table(mine)[lanes.row] == mine[:, None]) & lanes.members
            found = (same * bits).sum(1, dtype=np.uint32)
            if f.any:
                put(write, m, t, found)
                return
            every = (same == lanes.members).all(1)
            put(write, m, t, np.where(every, (lanes.members * bits).sum(1, dtype=np.uint32), np.uint32(0)))
            if write_all is not None:
                put(write_all, m, t, every)

        return WarpWide(instruction, mask, work)

    return bind


_REDUCTIONS: dict[str, np.ufunc] = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


@form("redux.sync.op.type", op="add min max", type="u32 s32")
@form("redux.sync.op.type", op="and or xor", type="b32")
def redux(f: Form) -> Binder:
    def bind(instruction: Instruction, scope: Scope) -> WarpWide:
        scope.expect(3)
        write = scope.writer(instruction.operands[0], f.type)
        value = scope.reader(instruction.operands[1], f.type)
        mask = scope.reader(instruction.operands[2], "b32")
        dtype = types.dtype(f.type)
        info = np.iinfo(dtype)
        neutral = {"min": info.max, "max": info.min, "and": info.max}.get(f.op, 0)

        def work(m: Batch, t: Threads, lanes: Lanes) -> None:
            table = np.where(lanes.members, lanes.table(t.each(value(m, t)))[lanes.row], dtype.type(neutral))
            put(write, m, t, _REDUCTIONS[f.op].reduce(table, axis=1).astype(dtype))

        return WarpWide(instruction, mask, work)

    return bind


@form("elect.sync")
def elect(f: Form) -> Binder:
    """The lowest lane of the member mask is the leader."""

    def bind(instruction: Instruction, scope: Scope) -> WarpWide:
        scope.expect(2)
        first, second = _two(scope, instruction.operands[0])
        write = scope.writer(first, "b32")
        write_leader = scope.writer(second, "pred") if second is not None else None
        mask = scope.reader(instruction.operands[1], "b32")

        def work(m: Batch, t: Threads, lanes: Lanes) -> None:
            leader = lanes.members.argmax(1)
            put(write, m, t, leader.astype(np.uint32))
            if write_leader is not None:
                put(write_leader, m, t, leader == lanes.lane)

        return WarpWide(instruction, mask, work)

    return bind


@form("bar.warp.sync")
def warp_sync(f: Form) -> Binder:
    def bind(instruction: Instruction, scope: Scope) -> WarpWide:
        scope.expect(1)
        return WarpWide(instruction, scope.reader(instruction.operands[0], "b32"), None)

    return bind
