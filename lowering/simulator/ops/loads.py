"""Loads and stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import types
from ..forms import Binder, Form, Step, form
from ..memory import LOCAL_WINDOW, SHARED_WINDOW, Access, Memory
from ..operands import put
from ..syntax import Address, Instruction, Operand, Vector

if TYPE_CHECKING:
    from ..operands import Reader, Scope, Writer
    from ..state import Batch
    from ..threads import Threads

_TYPES = "b8 b16 b32 b64 u8 u16 u32 u64 s8 s16 s32 s64 f16 bf16 f32 f64"
_STRONG = ("volatile", "relaxed", "acquire", "release")
_SPACE = "global shared shared::cta local const param param::entry param::func"


def space_of(f: Form) -> str:
    return f.space.split("::")[0]


def parts(
    m: Batch, t: Threads, space: str, address: np.ndarray
) -> list[tuple[Memory, Threads, np.ndarray, np.ndarray | None]]:
    """The memories that addresses of a space (or generic ones) are in: memory, threads, addresses, and positions in
    the set where not all are there."""
    if space == "shared":
        return [(m.shared, t, address, None)]
    if space == "local":
        return [(m.local, t, address, None)]
    if space:
        return [(m.memory, t, address, None)]
    high = address >= np.uint64(SHARED_WINDOW)
    if not high.any():
        return [(m.memory, t, address, None)]
    local = address >= np.uint64(LOCAL_WINDOW)
    found: list[tuple[Memory, Threads, np.ndarray, np.ndarray | None]] = []
    for memory, here, base in (
        (m.memory, ~high, 0),
        (m.shared, high & ~local, SHARED_WINDOW),
        (m.local, local, LOCAL_WINDOW),
    ):
        if here.all():
            return [(memory, t, address - np.uint64(base), None)]
        if here.any():
            at = np.flatnonzero(here)
            found.append((memory, t.pick(at), address[at] - np.uint64(base), at))
    return found


def _kind(f: Form) -> str:
    if f.nc:
        return "constant"
    return "strong" if any(getattr(f, word) for word in _STRONG) else "plain"


def _items(scope: Scope, f: Form, operand: Operand) -> tuple[Operand, ...]:
    lanes = int(f.lanes[1:]) if f.lanes else 1
    if lanes == 1 and not isinstance(operand, Vector):
        return (operand,)
    if not isinstance(operand, Vector) or len(operand.items) != lanes:
        raise scope.error(f"a vector of {lanes} operands is needed")
    return operand.items


@form("ld{.weak}{.space}{.cache}{.evict}{.prefetch}{.lanes}.type", type=_TYPES, space=_SPACE)
@form("ld.weak{.space}{.evict}{.prefetch}{.lanes}.type", type=_TYPES, space=_SPACE)
@form(
    "ld.global{.cache}{.evict}.nc{.evict2}{.prefetch}{.lanes}.type",
    type=_TYPES,
    evict2="L1::evict_last L1::evict_first L1::no_allocate L1::evict_normal L1::evict_unchanged",
)
@form("ldu{.global}{.lanes}.type", type=_TYPES)
@form("ld.volatile{.space}{.prefetch}{.lanes}.type", type=_TYPES, space=_SPACE)
@form("ld.relaxed.scope{.space}{.evict}{.prefetch}{.lanes}.type", type=_TYPES, space=_SPACE)
@form("ld.acquire.scope{.space}{.evict}{.prefetch}{.lanes}.type", type=_TYPES, space=_SPACE)
def ld(f: Form) -> Binder:
    space = space_of(f) or ("global" if ".global" in f.opcode else "")
    size, dtype = types.size(f.type), types.dtype(f.type)
    kind = _kind(f)

    def bind(instruction: Instruction, scope: Scope) -> Step:
        scope.expect(2)
        items = _items(scope, f, instruction.operands[0])
        writes = [scope.writer(item, f.type, widening=True) for item in items]
        if space == "param":
            return _ld_param(instruction, scope, writes, f.type)
        read_address = scope.address(instruction.operands[1])
        guess = kind == "plain" and instruction.operands[1] in scope.swapped
        access = Access(instruction, size, len(items), "strong" if guess else kind)

        def step(m: Batch, t: Threads) -> None:
            address = t.select(read_address(m, t))
            if kind == "strong" and m.launch.program.fences:
                m.clock.pass_message(np.unique(m.block_numbers[t.index]))
            found = parts(m, t, space, address)
            if len(found) == 1 and found[0][3] is None:
                memory, _, local, _ = found[0]
                values = memory.load(m, t, local, access)
            else:
                values = [np.zeros(t.count, types.UNSIGNED[size]) for _ in items]
                for memory, some, local, at in found:
                    for value, got in zip(values, memory.load(m, some, local, access)):
                        value[at] = got
            for write, value in zip(writes, values):
                put(write, m, t, value.view(dtype))

        return step

    return bind


@form("st{.weak}{.space}{.cache}{.evict}{.lanes}.type", type=_TYPES, space=_SPACE)
@form("st.volatile{.space}{.lanes}.type", type=_TYPES, space=_SPACE)
@form("st.relaxed.scope{.space}{.evict}{.lanes}.type", type=_TYPES, space=_SPACE)
@form("st.release.scope{.space}{.evict}{.lanes}.type", type=_TYPES, space=_SPACE)
def st(f: Form) -> Binder:
    space = space_of(f) or ("global" if ".global" in f.opcode else "")
    size = types.size(f.type)
    kind = _kind(f)

    def bind(instruction: Instruction, scope: Scope) -> Step:
        scope.expect(2)
        items = _items(scope, f, instruction.operands[1])
        reads = [scope.reader(item, _stored(f.type, item), narrowing=True) for item in items]
        if space == "param":
            return _st_param(instruction, scope, reads, size)
        read_address = scope.address(instruction.operands[0])
        access = Access(instruction, size, len(items), kind)
        bits = types.UNSIGNED[size]

        def step(m: Batch, t: Threads) -> None:
            address = t.select(read_address(m, t))
            values = [t.select(read(m, t)).view(bits) for read in reads]
            if f.release and m.launch.program.fences:
                m.clock.pass_fence(np.unique(m.block_numbers[t.index]))
            found = parts(m, t, space, address)
            if len(found) == 1 and found[0][3] is None:
                found[0][0].store(m, t, found[0][2], access, values)
                return
            for memory, some, local, at in found:
                memory.store(m, some, local, access, [v if v.size == 1 else v[at] for v in values])

        return step

    return bind


def _stored(type: str, item: Operand) -> str:
    """Registers are stored as bits; constants know their type."""
    from ..syntax import Float, Int

    return type if isinstance(item, Float | Int) else f"b{8 * types.size(type)}"


# --- parameters


def _ld_param(instruction: Instruction, scope: Scope, writes: list[Writer], type: str) -> Step:
    operand = instruction.operands[1]
    assert isinstance(operand, Address)
    size, dtype = types.size(type), types.dtype(type)
    function = scope.function
    key = (function.name, operand.base or "")
    if _is_call_parameter(scope, operand.base):
        offset = operand.offset
        total = scope.call_parameters[operand.base or ""].size
        _fits(scope, offset, size * len(writes), total)

        def load_call(m: Batch, t: Threads) -> None:
            held = m.parameter(key, total)
            rows = held if t.whole else held[t.index]
            for k, write in enumerate(writes):
                column = np.ascontiguousarray(rows[:, offset + k * size : offset + (k + 1) * size])
                put(write, m, t, column.view(dtype)[:, 0])

        return load_call
    if not function.kernel:
        raise scope.error("a parameter of a function is addressed by a register")
    fixed = {p.name: p for p in function.parameters}.get(operand.base or "")
    if fixed is not None:
        _fits(scope, operand.offset, size * len(writes), fixed.size)
    read_address = scope.address(operand)

    def load_kernel(m: Batch, t: Threads) -> None:
        data = m.launch.parameters
        address = t.select(read_address(m, t)).astype(np.int64)
        if address.size > 1 and (address == address[0]).all():
            address = address[:1]
        if (address < 0).any() or (address + size * len(writes) > data.size).any():
            raise scope.error("an address beyond the kernel's parameters")
        for k, write in enumerate(writes):
            rows = [bytes(data[a + k * size : a + (k + 1) * size]) for a in address.tolist()]
            put(write, m, t, np.frombuffer(b"".join(rows), dtype).copy())

    return load_kernel


def _st_param(instruction: Instruction, scope: Scope, reads: list[Reader], size: int) -> Step:
    operand = instruction.operands[0]
    if not isinstance(operand, Address) or not _is_call_parameter(scope, operand.base):
        raise scope.error("only parameters of calls can be stored to, by name")
    key, offset = (scope.function.name, operand.base or ""), operand.offset
    total = scope.call_parameters[operand.base or ""].size
    _fits(scope, offset, size * len(reads), total)

    def step(m: Batch, t: Threads) -> None:
        held = m.parameter(key, total)
        for k, read in enumerate(reads):
            value = np.ascontiguousarray(t.each(read(m, t))).view(np.uint8).reshape(-1, size)
            held[t.index, offset + k * size : offset + (k + 1) * size] = value

    return step


def _is_call_parameter(scope: Scope, name: str | None) -> bool:
    return name is not None and name in scope.call_parameters


def _fits(scope: Scope, offset: int, nbytes: int, total: int) -> None:
    if offset < 0 or offset + nbytes > total:
        raise scope.error("the access goes beyond the parameter")
