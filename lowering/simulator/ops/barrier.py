"""Barriers of a block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..barriers import Arrival
from ..control import Terminator
from ..forms import Binder, Form, form
from ..operands import put

if TYPE_CHECKING:
    from ..executor import Executor
    from ..operands import Reader, Scope
    from ..syntax import Instruction
    from ..threads import Threads


class Barrier(Terminator):
    """`bar.sync`, `bar.arrive` and `bar.red`, and the same with `barrier`."""

    alone = True

    def __init__(self, instruction: Instruction, number: Reader, expected: Reader, waits: bool):
        self.instruction, self.number, self.expected, self.waits = instruction, number, expected, waits

    def run(self, x: Executor, t: Threads, here: int) -> None:
        m = x.batch
        number, expected = (t.each(read(m, t)).astype(np.int64) for read in (self.number, self.expected))
        if not self.waits:
            x.go(t, here + 1)
        x.barriers.arrive(Arrival(here, self, t, number, expected, self.waits))

    def complete(self, x: Executor, arrivals: list[Arrival]) -> None:
        """Called when all are there, before they go on."""

    def passed(self, x: Executor, t: Threads, here: int) -> None:
        x.go(t, here + 1)


class Reduction(Barrier):
    """`bar.red`: the threads also learn how many of them said yes, or whether all did, or any."""

    def __init__(self, instruction: Instruction, number: Reader, expected: Reader, scope: Scope, op: str, said: Reader):
        super().__init__(instruction, number, expected, True)
        self.op, self.said = op, said
        self.write = scope.writer(instruction.operands[0], "u32" if op == "popc" else "pred")

    def complete(self, x: Executor, arrivals: list[Arrival]) -> None:
        m = x.batch
        yes = np.zeros(m.blocks, np.int64)
        all_of = np.zeros(m.blocks, np.int64)
        mine = [a for a in arrivals if a.instruction is self]
        for a in mine:
            said = a.threads.each(self.said(m, a.threads))
            blocks = m.block[a.threads.index]
            yes += np.bincount(blocks[said], minlength=m.blocks)
            all_of += np.bincount(blocks, minlength=m.blocks)
        result = {"popc": yes.astype(np.uint32), "and": yes == all_of, "or": yes > 0}[self.op]
        for a in mine:
            put(self.write, m, a.threads, result[m.block[a.threads.index]])


def _operands(scope: Scope, instruction: Instruction, at: int, extra: int) -> tuple[Reader, Reader]:
    """The barrier's number and how many threads take part (0 for all), the latter optional."""
    given = len(instruction.operands) - extra
    zero = np.zeros(1, np.uint32)
    number = scope.reader(instruction.operands[at], "u32")
    expected = scope.reader(instruction.operands[at + 1], "u32") if given > at + 1 else (lambda m, t: zero)
    return number, expected


@form("bar{.cta}.sync", "barrier{.cta}.sync{.aligned}")
def sync(f: Form) -> Binder:
    def bind(instruction: Instruction, scope: Scope) -> Barrier:
        scope.expect(1, 2)
        return Barrier(instruction, *_operands(scope, instruction, 0, 0), True)

    return bind


@form("bar{.cta}.arrive", "barrier{.cta}.arrive{.aligned}")
def arrive(f: Form) -> Binder:
    def bind(instruction: Instruction, scope: Scope) -> Barrier:
        scope.expect(2)
        return Barrier(instruction, *_operands(scope, instruction, 0, 0), False)

    return bind


@form("bar{.cta}.red.op.u32", "barrier{.cta}.red.op{.aligned}.u32", op="popc")
@form("bar{.cta}.red.op.pred", "barrier{.cta}.red.op{.aligned}.pred", op="and or")
def red(f: Form) -> Binder:
    def bind(instruction: Instruction, scope: Scope) -> Barrier:
        scope.expect(3, 4)
        number, expected = _operands(scope, instruction, 1, 1)
        said = scope.reader(instruction.operands[-1], "pred")
        return Reduction(instruction, number, expected, scope, f.op, said)

    return bind
