"""Branches, calls, and the ways out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import printing
from ..control import Branch, Call, End, IndexedBranch, Terminator
from ..errors import Trap
from ..forms import Binder, Form, form
from ..syntax import Group, Instruction, Name

if TYPE_CHECKING:
    from ..executor import Executor
    from ..operands import Scope
    from ..threads import Threads


@form("bra{.uni}")
def bra(f: Form) -> Binder:
    def bind(instruction: Instruction, scope: Scope) -> Branch:
        scope.expect(1)
        label = instruction.operands[0]
        if not isinstance(label, Name) or label.name not in scope.function.labels:
            raise scope.error("the target of a branch must be a label of the function")
        return Branch(label.name)

    return bind


@form("brx.idx{.uni}")
def brx(f: Form) -> Binder:
    def bind(instruction: Instruction, scope: Scope) -> IndexedBranch:
        scope.expect(2)
        table = instruction.operands[1]
        labels = scope.function.tables.get(table.name) if isinstance(table, Name) else None
        if labels is None:
            raise scope.error("the table of an indexed branch must be a .branchtargets of the function")
        return IndexedBranch(instruction, scope.reader(instruction.operands[0], "u32"), labels)

    return bind


@form("ret{.uni}")
def ret(f: Form) -> Binder:
    return lambda instruction, scope: End(scope.return_register, scope.function.kernel)


@form("exit")
def leave(f: Form) -> Binder:
    return lambda instruction, scope: End(scope.return_register, True)


class _Trap(Terminator):
    def __init__(self, instruction: Instruction):
        self.instruction = instruction

    def run(self, x: Executor, t: Threads, here: int) -> None:
        raise x.batch.fault(Trap, "the kernel executes `trap`", t, 0, self.instruction, count=t.count)


@form("trap")
def trap(f: Form) -> Binder:
    return lambda instruction, scope: _Trap(instruction)


@form("call{.uni}")
def call(f: Form) -> Binder:
    def bind(instruction: Instruction, scope: Scope):
        operands = list(instruction.operands)
        back: tuple[str, ...] = ()
        if operands and isinstance(operands[0], Group):
            back = _parameters(scope, operands.pop(0))
        called = operands.pop(0) if operands else None
        if not isinstance(called, Name):
            raise scope.error("only calls by a function's name are known to the simulator")
        name = called.name
        given = _parameters(scope, operands.pop(0)) if operands else ()
        if name in printing.HOST_FUNCTIONS:
            return printing.HOST_FUNCTIONS[name](instruction, scope, given)
        callee = scope.unit.functions.get(name)
        if callee is None or operands:
            raise scope.error("only calls by a function's name are known to the simulator")
        if len(callee.parameters) != len(given) or len(callee.results) != len(back):
            raise scope.error(f"`{name}` takes {len(callee.parameters)} parameters and gives {len(callee.results)}")
        return Call(scope.function, name, given, back)

    return bind


def _parameters(scope: Scope, operand: object) -> tuple[str, ...]:
    if not isinstance(operand, Group):
        raise scope.error("the parameters of a call are given in ( )")
    names = []
    for item in operand.items:
        if not isinstance(item, Name) or item.name not in scope.call_parameters:
            raise scope.error("a parameter of a call must be a .param variable")
        names.append(item.name)
    return tuple(names)
