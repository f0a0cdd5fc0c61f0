"""Instructions that end a block: where its threads go next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .errors import OutOfBounds
from .operands import Reader

if TYPE_CHECKING:
    from .executor import Executor
    from .program import Program
    from .state import Batch
    from .syntax import Function, Instruction
    from .threads import Threads


class Terminator:
    """`run` sends each thread of the set to a block, to a wait, or out of the kernel.

    Threads for which the guard does not hold go on with the next block; the executor sees to them. `alone` says that
    no other instruction may stand in its block, since threads may come back to it.
    """

    guard: Reader | None = None
    alone = False

    def link(self, program: Program, target: Callable[[str], int]) -> None:
        """Called once all blocks of the function are numbered."""

    def run(self, x: Executor, t: Threads, here: int) -> None:
        raise NotImplementedError


class Branch(Terminator):
    """`bra`"""

    def __init__(self, label: str):
        self.label = label

    def link(self, program: Program, target: Callable[[str], int]) -> None:
        self.target = target(self.label)

    def run(self, x: Executor, t: Threads, here: int) -> None:
        x.go(t, self.target)


class IndexedBranch(Terminator):
    """`brx.idx`: through a table of labels."""

    def __init__(self, instruction: Instruction, index: Reader, labels: tuple[str, ...]):
        self.instruction, self.index, self.labels = instruction, index, labels

    def link(self, program: Program, target: Callable[[str], int]) -> None:
        self.targets = np.array([target(label) for label in self.labels], np.int32)

    def run(self, x: Executor, t: Threads, here: int) -> None:
        index = self.index(x.batch, t)
        beyond = t.each(index) >= len(self.targets)
        if beyond.any():
            at = int(np.flatnonzero(beyond)[0])
            message = f"a branch through entry {int(t.each(index)[at])} of a table of {len(self.targets)}"
            raise x.batch.fault(OutOfBounds, message, t, at, self.instruction, count=int(beyond.sum()))
        # (threads that are not in the set may hold anything)
        x.scatter(t, self.targets[np.minimum(index, len(self.targets) - 1)])


class End(Terminator):
    """`ret` and `exit`: out of a function, or out of the kernel."""

    def __init__(self, register: int, leaves: bool):
        self.register, self.leaves = register, leaves

    def run(self, x: Executor, t: Threads, here: int) -> None:
        if self.leaves:
            x.leave(t)
            return
        targets = x.batch.registers[self.register]
        x.scatter(t, targets if t.dense or targets.size == 1 else targets[t.index])


class Call(Terminator):
    """A call: the actual parameters become the formal ones, and the threads go to the function's first block.

    They come back to the block behind the call, which fetches the results.
    """

    def __init__(self, caller: Function, name: str, given: tuple[str, ...], back: tuple[str, ...]):
        self.caller, self.name, self.given, self.back = caller, name, given, back

    def link(self, program: Program, target: Callable[[str], int]) -> None:
        self.entry = program.entries[self.name]
        self.register = program.return_register[self.name]
        self.callee = program.unit.functions[self.name]
        self.own_memory = [
            (program.addresses[self.name, v.name], v.size) for v in self.callee.variables.values() if v.space == "local"
        ]

    def run(self, x: Executor, t: Threads, here: int) -> None:
        m = x.batch
        for formal, actual in zip(self.callee.parameters, self.given):
            source = m.parameter((self.caller.name, actual), formal.size)
            m.parameter((self.name, formal.name), formal.size)[t.index] = source[t.index]
        for start, size in self.own_memory:
            m.local.forget(t, start, size)
        returns = m.registers[self.register]
        if t.whole:
            m.registers[self.register] = np.array([here + 1], np.int32)
        else:
            returns = np.array(np.broadcast_to(returns, (m.n,)))
            returns[t.index] = here + 1
            m.registers[self.register] = returns
        x.go(t, self.entry)

    def fetch(self, m: Batch, t: Threads) -> None:
        """The one step of the block behind the call."""
        for formal, actual in zip(self.callee.results, self.back):
            source = m.parameter((self.name, formal.name), formal.size)
            m.parameter((self.caller.name, actual), formal.size)[t.index] = source[t.index]
