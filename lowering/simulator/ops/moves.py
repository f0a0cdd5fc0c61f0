"""Moves, packing and unpacking, and addresses of one space as those of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import types
from ..forms import Alu, Binder, Form, Step, form
from ..memory import WINDOWS
from ..syntax import Instruction, Vector

if TYPE_CHECKING:
    from ..operands import Scope


@form("mov.type", type="pred b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64")
def mov(f: Form) -> Binder:
    size = types.size(f.type)

    def bind(instruction: Instruction, scope: Scope) -> Step:
        scope.expect(2)
        target, source = instruction.operands
        if isinstance(source, Vector):
            part = _part(scope, size, source)
            reads = [scope.reader(item, part) for item in source.items]
            write = scope.writer(target, f"b{8 * size}")
            wide, width = types.UNSIGNED[size], 8 * types.size(part)

            def pack(m, t) -> None:
                values = [read(m, t).astype(wide) for read in reads]
                result = values[0]
                for k, value in enumerate(values[1:], 1):
                    result = result | (value << wide.type(k * width))
                write(m, t, result)

            return pack
        if isinstance(target, Vector):
            part = _part(scope, size, target)
            writes = [scope.writer(item, part) for item in target.items]
            read = scope.reader(source, f"b{8 * size}")
            wide, narrow = types.UNSIGNED[size], types.dtype(part)
            width = 8 * narrow.itemsize

            def unpack(m, t) -> None:
                value = read(m, t)
                for k, write in enumerate(writes):
                    write(m, t, (value >> wide.type(k * width)).astype(narrow))

            return unpack
        read, write = scope.reader(source, f.type), scope.writer(target, f.type)

        def move(m, t) -> None:
            # A copy: a register that is written later under a mask must not be another one's, too.
            write(m, t, read(m, t).copy())

        return move

    return bind


def _part(scope: Scope, size: int, vector: Vector) -> str:
    if size % len(vector.items) or size // len(vector.items) not in types.UNSIGNED:
        raise scope.error("the parts do not make up the whole")
    return f"b{8 * size // len(vector.items)}"


@form("cvta{.to}.space.type", space="global shared shared::cta local const", type="u32 u64")
def cvta(f: Form) -> Alu:
    shift = WINDOWS.get(f.space.split("::")[0], 0)
    if f.to:
        shift = -shift
    displacement = types.dtype(f.type).type(shift & ((1 << 8 * types.size(f.type)) - 1))
    return Alu(f.type, (f.type,), lambda a: a + displacement)


@form("isspacep.space", space="global shared shared::cta local const")
def isspacep(f: Form) -> Alu:
    space = f.space.split("::")[0]
    lowest = min(WINDOWS.values())
    if space in WINDOWS:
        base = WINDOWS[space]
        return Alu("pred", ("u64",), lambda a: (a >= np.uint64(base)) & (a < np.uint64(base + (1 << 40))))
    return Alu("pred", ("u64",), lambda a: a < np.uint64(lowest))


@form("activemask.b32")
def activemask(f: Form) -> Binder:
    """Which lanes of the warp run here."""

    def bind(instruction: Instruction, scope: Scope) -> Step:
        scope.expect(1)
        write = scope.writer(instruction.operands[0], "b32")

        def step(m, t) -> None:
            from ..operands import put
            from .warp import lanes_of

            put(write, m, t, lanes_of(m, t.index)[m.warp[t.index]])

        return step

    return bind


@form("nanosleep.u32", "prefetch.space.level", "prefetchu.L1", space="global local", level="L1 L2")
@form("prefetch.level", "discard.global.L2", level="L1 L2")
@form("griddepcontrol.what", what="launch_dependents wait")
def nothing(f: Form) -> Binder:
    """What changes no value: the simulator has no caches and no other grids."""
    return lambda instruction, scope: None


@form("membar.level", level="cta gl sys")
@form("fence{.sem}.scope", sem="sc acq_rel acquire release", scope="cta cluster gpu sys")
def fence(f: Form) -> Binder:
    def bind(instruction: Instruction, scope: Scope) -> Step:
        def step(m, t) -> None:
            m.clock.pass_fence(np.unique(m.block_numbers[t.index]))

        return step

    return bind
