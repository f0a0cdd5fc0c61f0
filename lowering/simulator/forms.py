"""The table of opcodes: a row for each form, in the notation of NVIDIA's manual.

    @form("add{.rnd}{.ftz}{.sat}.f32")
    def add(f: Form) -> Alu: ...

`{.x}` may be absent; `.name` of a class of modifiers, either one of `CLASSES` or one given to the row, stands for any
word of the class. Every other modifier stands for itself. What matched is asked of the `Form` by the class's name, or
by the modifier's own: "" if it was absent. An opcode that no row matches is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .operands import Scope
    from .state import Batch
    from .syntax import Instruction
    from .threads import Threads

Step = Callable[["Batch", "Threads"], None]
"""One decoded instruction: does its work for the threads of the set."""

CLASSES = {
    "rnd": "rn rz rm rp",
    "whole": "rni rzi rmi rpi",
    "scope": "cta cluster gpu sys",
    "space": "global shared local const param shared::cta",
    "cache": "ca cg cs lu cv wb wt",
    "evict": "L1::evict_normal L1::evict_unchanged L1::evict_first L1::evict_last L1::no_allocate",
    "prefetch": "L2::64B L2::128B L2::256B",
    "lanes": "v2 v4 v8",
}


@dataclass(frozen=True)
class Form:
    """An opcode and what its modifiers are."""

    opcode: str
    parts: dict[str, str] = field(hash=False)

    def __getattr__(self, name: str) -> str:
        return self.parts.get(name) or ""


Builder = Callable[[Form], Any]
Binder = Callable[["Instruction", "Scope"], Any]
"""What a row gives: from an instruction and its function's names to a Step, a `control.Terminator`, or None."""

_ROWS: dict[str, list[tuple[re.Pattern[str], Builder, str]]] = {}
_PART = re.compile(r"\{\.([\w:]+)\}|\.([\w:]+)")


def form(*patterns: str, **classes: str) -> Callable[[Builder], Builder]:
    """Add rows. The function gets the Form and returns what binds an instruction of that form to its operands."""

    def add(build: Builder) -> Builder:
        for pattern in patterns:
            name = pattern.split(".")[0].rstrip("{")
            _ROWS.setdefault(name, []).append((_compile(pattern, {**CLASSES, **classes}), build, pattern))
        return build

    return add


def _compile(pattern: str, classes: dict[str, str]) -> re.Pattern[str]:
    name = pattern.split(".")[0].rstrip("{")
    text = re.escape(name)
    for optional, required in _PART.findall(pattern):
        part = optional or required
        words = "|".join(map(re.escape, classes[part].split())) if part in classes else re.escape(part)
        group = re.sub(r"\W", "_", part)
        if f"(?P<{group}>" in text:  # a modifier that stands twice: asked for by its first place
            group += "_again"
        text += rf"(?:\.(?P<{group}>{words})){'?' if optional else ''}"
    return re.compile(text)


@cache
def find(opcode: str) -> Any:
    """What binds instructions of this opcode, or None if no row knows it."""
    _load()
    for pattern, build, _ in _ROWS.get(opcode.split(".")[0], ()):
        found = pattern.fullmatch(opcode)
        if found:
            return build(Form(opcode, found.groupdict()))
    return None


def _load() -> None:
    from . import ops  # noqa: F401  (its modules fill the table)


@dataclass(frozen=True)
class Alu:
    """An instruction that computes one value from its operands, each thread for itself.

    The function takes arrays of the source types, each of one element or of as many as the others, and returns a new
    array of the result type (see `types.dtype`).
    """

    result: str
    sources: tuple[str, ...]
    function: Callable[..., Any]
    widening: bool = False  # operands may be narrower than their registers

    def __call__(self, instruction: Instruction, scope: Scope) -> Step:
        scope.expect(1 + len(self.sources))
        write = scope.writer(instruction.operands[0], self.result, self.widening)
        reads = [
            scope.reader(operand, type, self.widening) for operand, type in zip(instruction.operands[1:], self.sources)
        ]
        function = self.function
        if len(reads) == 1:
            (one,) = reads

            def unary(m: Batch, t: Threads) -> None:
                write(m, t, function(one(m, t)))

            return unary
        if len(reads) == 2:
            one, two = reads

            def binary(m: Batch, t: Threads) -> None:
                write(m, t, function(one(m, t), two(m, t)))

            return binary

        def any_number(m: Batch, t: Threads) -> None:
            write(m, t, function(*[read(m, t) for read in reads]))

        return any_number
