"""A kernel decoded: its functions' blocks in one row, with the layout of its shared and local memory.

Functions that a kernel calls stand before their callers, so that the scheduler, which runs the threads at the lowest
block first, brings threads out of a call before it lets others run past it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from . import forms, types
from .control import Call, End, Terminator
from .errors import PtxError
from .forms import Step
from .operands import Scope
from .printing import HOST_FUNCTIONS
from .ranges import Ranges
from .syntax import Function, Group, Instruction, Name, Not, Operand, Unit, Variable

_GAP = 64  # bytes between variables in shared memory, so that a step past the end of one is seen


@dataclass
class Block:
    """Instructions that run one after the other, and what comes after the last."""

    steps: list[Step] = field(default_factory=list)
    instructions: list[Instruction] = field(default_factory=list)
    terminator: Terminator | None = None


class Program:
    """One kernel, ready to run on any grid."""

    def __init__(self, unit: Unit, kernel: Function):
        self.unit, self.kernel, self.name = unit, kernel, kernel.name
        self.functions = _reachable(unit, kernel)
        self.addresses: dict[tuple[str, str], int] = {}
        self.parameters, self.parameter_bytes = self._lay_out_parameters()
        self._lay_out_memory()
        self.registers: list[np.ndarray] = []
        self.return_register: dict[str, int] = {}
        self.entries: dict[str, int] = {}
        self.blocks: list[Block] = []
        used: list[Instruction] = []
        for function in self.functions:
            self._decode(function)
            used += function.body
        self.granule = _granule(used)
        self.fences = any(i.opcode.startswith(("fence", "membar")) or ".acq_rel" in i.opcode for i in used)

    # --- layout

    def _lay_out_parameters(self) -> tuple[list[tuple[Variable, int]], int]:
        laid, offset = [], 0
        for parameter in self.kernel.parameters:
            offset = -(-offset // parameter.align) * parameter.align
            laid.append((parameter, offset))
            self.addresses[self.kernel.name, parameter.name] = offset
            offset += parameter.size
        return laid, offset

    def _lay_out_memory(self) -> None:
        shared, local = 0, 0
        self._shared = Ranges()
        self.local_ranges = Ranges()
        self._dynamic: list[tuple[str, str]] = []
        for owner, variable in self._variables():
            key = (owner, variable.name)
            if variable.space == "shared":
                if variable.count == 0:
                    self._dynamic.append(key)
                    continue
                shared = -(-shared // max(variable.align, 16)) * max(variable.align, 16)
                self.addresses[key] = shared
                self._shared.add(shared, variable.size)
                shared += variable.size + _GAP
            elif variable.space == "local":
                local = -(-local // max(variable.align, 16)) * max(variable.align, 16)
                self.addresses[key] = local
                self.local_ranges.add(local, variable.size)
                local += variable.size + 16
        self.shared_bytes = -(-shared // 128) * 128
        self.static_shared: int = sum(v.size for _, v in self._variables() if v.space == "shared")
        self.local_bytes = local
        for key in self._dynamic:
            self.addresses[key] = self.shared_bytes

    def _variables(self) -> list[tuple[str, Variable]]:
        named = {name for f in self.functions for name in _names(f)}
        of_module = [("", v) for v in self.unit.variables.values() if v.name in named]
        return of_module + [(f.name, v) for f in self.functions for v in f.variables.values()]

    def shared_ranges(self, dynamic: int) -> Ranges:
        """What of shared memory may be accessed with so many bytes of dynamic shared memory."""
        if not (dynamic and self._dynamic):
            return self._shared
        ranges = Ranges()
        for start in self._shared.starts:
            ranges.add(start, self._shared.sizes[start])
        ranges.add(self.shared_bytes, dynamic)
        return ranges

    # --- decoding

    def _decode(self, function: Function) -> None:
        numbers = {}
        for name, type in function.registers.items():
            numbers[name] = len(self.registers)
            self.registers.append(np.zeros(1, types.bits(type)))
        self.return_register[function.name] = len(self.registers)
        self.registers.append(np.zeros(1, np.int32))
        symbols = {v.name for v in self.unit.variables.values()} | set(function.variables)
        if function.kernel:
            symbols |= {p.name for p in function.parameters}
        scope = Scope(self.unit, function, numbers, symbols, self.return_register[function.name])
        self.entries[function.name] = len(self.blocks)
        targets = {
            o.name for i in function.body if i.opcode.startswith("bra") for o in i.operands if isinstance(o, Name)
        }
        targets.update(label for table in function.tables.values() for label in table)
        starts_at = {index for label, index in function.labels.items() if label in targets}
        first: dict[int, int] = {}  # index of an instruction that begins a block, to the block
        block: Block | None = None
        begun: list[Block] = []
        for index, instruction in enumerate(function.body):
            if block is None or index in starts_at:
                block = Block()
                first[index] = len(self.blocks)
                self.blocks.append(block)
                begun.append(block)
            step = self._bind(instruction, scope)
            if isinstance(step, Terminator):
                if step.alone and block.steps:
                    block = Block()
                    self.blocks.append(block)
                    begun.append(block)
                block.terminator = step
                block.instructions.append(instruction)
                block = None
                if isinstance(step, Call):
                    self.blocks.append(Block([step.fetch], [instruction]))
            elif step is not None:
                block.steps.append(step)
                block.instructions.append(instruction)
        first[len(function.body)] = len(self.blocks)
        end = Block()
        end.terminator = End(self.return_register[function.name], function.kernel)
        self.blocks.append(end)
        for made in begun:
            if made.terminator is not None:
                made.terminator.link(self, lambda label: self._target(function, label, first))

    def _target(self, function: Function, label: str, first: dict[int, int]) -> int:
        if label not in function.labels:
            raise PtxError(f"there is no label {label} in `{function.name}`")
        return first[function.labels[label]]

    def _bind(self, instruction: Instruction, scope: Scope) -> Step | Terminator | None:
        binder = forms.find(instruction.opcode)
        scope.instruction = instruction
        if binder is None:
            raise scope.error(f"the opcode `{instruction.opcode}` is not known to the simulator")
        bound = binder(instruction, scope)
        if instruction.guard is None or bound is None:
            return bound
        condition = scope.reader(_guard(instruction), "pred")
        if isinstance(bound, Call):
            raise scope.error("a call under a guard is not known to the simulator")
        if isinstance(bound, Terminator):
            bound.guard = condition
            return bound
        step: Step = bound

        def guarded(m, t):
            chosen = t.where(condition(m, t))
            if chosen is not None:
                step(m, chosen)

        return guarded


def _guard(instruction: Instruction) -> Operand:
    assert instruction.guard is not None
    return Not(instruction.guard) if instruction.guard_negated else Name(instruction.guard)


def _names(function: Function) -> set[str]:
    """Every name that the function's operands mention."""
    found: set[str] = set()

    def visit(operand) -> None:
        for name in (getattr(operand, "name", None), getattr(operand, "base", None)):
            if name:
                found.add(name)
        for item in getattr(operand, "items", ()):
            visit(item)

    for instruction in function.body:
        for operand in instruction.operands:
            visit(operand)
    return found


def callee(instruction: Instruction) -> str | None:
    """The function that a call instruction names, if it names one directly."""
    for operand in instruction.operands:
        if isinstance(operand, Name):
            return operand.name
        if not isinstance(operand, Group):
            return None
    return None


def _reachable(unit: Unit, kernel: Function) -> list[Function]:
    """The kernel and what it calls, callees first. Recursion is refused."""
    done: list[Function] = []
    open: list[str] = []

    def visit(function: Function) -> None:
        open.append(function.name)
        for instruction in function.body:
            if not instruction.opcode.startswith("call"):
                continue
            name = callee(instruction)
            called = unit.functions.get(name or "")
            place = (instruction.line, instruction.text, instruction.place)
            if called is None:
                raise PtxError("a call that is indirect, or of a function that is not declared", *place)
            if called.name in HOST_FUNCTIONS:
                continue
            if not called.defined:
                raise PtxError(f"the function `{called.name}` is only declared", *place)
            if called.name in open:
                raise PtxError(f"`{called.name}` calls itself: the simulator has no recursion", *place)
            if called not in done:
                visit(called)
        open.pop()
        done.append(function)

    visit(kernel)
    return done


def _granule(instructions: list[Instruction]) -> int:
    """The narrowest access to memory that threads share, in bytes."""
    narrowest = 8
    for instruction in instructions:
        parts = instruction.opcode.split(".")
        if parts[0] in ("ld", "ldu", "st", "atom", "red") and "param" not in parts and "local" not in parts:
            narrowest = min(narrowest, types.size(parts[-1]))
    return narrowest
