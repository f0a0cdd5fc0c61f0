"""Atomic updates: the threads of a set take their turns in the order of their numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import types
from ..arithmetic.exact import flush
from ..forms import Binder, Form, Step, form
from ..memory import Access, Memory
from ..operands import put
from ..syntax import Instruction, Vector
from .loads import parts, space_of
from .small import _WIDE, both, one

if TYPE_CHECKING:
    from ..operands import Scope
    from ..state import Batch
    from ..threads import Threads

_SPACES = "global shared shared::cta"
_SEM = "relaxed acquire release acq_rel"
_OPS = [
    ("and or xor", "b32 b64"),
    ("exch", "b32 b64"),
    ("cas", "b16 b32 b64"),
    ("add", "u32 s32 u64 s64 f32 f64"),
    ("min max", "u32 s32 u64 s64"),
    ("inc dec", "u32"),
]


def _increment(old: np.ndarray, limit: np.ndarray) -> np.ndarray:
    return np.where(old >= limit, np.uint32(0), old + np.uint32(1))


def _decrement(old: np.ndarray, limit: np.ndarray) -> np.ndarray:
    return np.where((old == 0) | (old > limit), limit, old - np.uint32(1))


_UPDATES: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "exch": lambda old, new: new,
    "cas": lambda old, compare, new: np.where(old == compare, new, old),
    "inc": _increment,
    "dec": _decrement,
}


def _update(f: Form) -> Callable[..., np.ndarray]:
    if f.op == "add" and f.type in ("f16", "bf16"):
        return one(f, f.type, _WIDE["add"])
    if f.op == "add" and f.type in ("f16x2", "bf16x2"):
        kind = f.type[:-2]
        return both(kind, one(f, kind, _WIDE["add"]))
    return _UPDATES[f.op]


def _rows(name: str):
    def add(build: Callable[[Form], object]) -> Callable[[Form], object]:
        for ops, kinds in _OPS:
            if name == "red" and ops in ("exch", "cas"):
                continue
            form(f"{name}{{.sem}}{{.scope}}{{.space}}.op.type", op=ops, type=kinds, sem=_SEM, space=_SPACES)(build)
        half = f"{name}{{.sem}}{{.scope}}{{.space}}.op.noftz.type"
        form(half, op="add", type="f16 f16x2 bf16 bf16x2", sem=_SEM, space=_SPACES)(build)
        return build

    return add


@_rows("atom")
@_rows("red")
def atom(f: Form) -> Binder:
    reduces = f.opcode.startswith("red")
    space = space_of(f)
    type = "b32" if f.type.endswith("x2") else f.type
    size, dtype = types.size(type), types.dtype(type)
    # On global memory the machine's f32 addition knows no subnormal numbers.
    flushes = f.op == "add" and f.type == "f32"
    update = _update(f)
    values = 2 if f.op == "cas" else 1
    ufunc = update if isinstance(update, np.ufunc) else None

    def bind(instruction: Instruction, scope: Scope) -> Step:
        scope.expect(1 + values if reduces else 2 + values)
        operands = list(instruction.operands)
        if any(isinstance(o, Vector) for o in operands):
            raise scope.error("atomic operations on vectors are not known to the simulator")
        write = None if reduces else scope.writer(operands.pop(0), type)
        read_address = scope.address(operands[0])
        reads = [scope.reader(o, type) for o in operands[1:]]
        access = Access(instruction, size, 1, "atomic")

        def on(memory: Memory, m: Batch, t: Threads, address: np.ndarray, given: list[np.ndarray]) -> np.ndarray:
            offsets = memory.offsets(m, t, address, access, True)
            if offsets.size != t.count:
                offsets = np.broadcast_to(offsets, (t.count,))
            if memory.initialised is not None:
                memory.check_initialised(m, t, offsets, access)
            memory.record_atomic(m, t, offsets, access)
            view = memory.views[size].view(dtype)
            index = offsets >> (size.bit_length() - 1)
            work = update
            if flushes and memory is m.memory:
                given = [flush(x) for x in given]

                def work(old: np.ndarray, new: np.ndarray) -> np.ndarray:
                    return flush(np.add(flush(old), new))

            return _in_turn(view, index, given, work, None if flushes and memory is m.memory else ufunc)

        def step(m: Batch, t: Threads) -> None:
            address = t.select(read_address(m, t))
            given = [t.each(read(m, t)) for read in reads]
            clock = m.clock
            if m.launch.program.fences:
                blocks = np.unique(m.block_numbers[t.index])
                if f.sem in ("release", "acq_rel"):
                    clock.pass_fence(blocks)
                clock.pass_message(blocks)
            found = parts(m, t, space, address)
            if len(found) == 1 and found[0][3] is None:
                old = on(found[0][0], m, t, found[0][2], given)
            else:
                old = np.zeros(t.count, dtype)
                for memory, some, local, at in found:
                    old[at] = on(memory, m, some, local, [x[at] for x in given])
            if write is not None:
                put(write, m, t, old)

        return step

    return bind


def _in_turn(
    view: np.ndarray,
    index: np.ndarray,
    given: list[np.ndarray],
    update: Callable[..., np.ndarray],
    ufunc: np.ufunc | None,
) -> np.ndarray:
    """Update `view[index]` by one thread after the other; gives what each one found there."""
    count = len(index)
    order = np.argsort(index, kind="stable")
    place = index[order]
    starts = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]]))
    if len(starts) == count:  # each its own place
        old = view[index]
        view[index] = update(old, *given)
        return old
    lengths = np.diff(np.append(starts, count))
    given = [x[order] for x in given]
    found = np.empty(count, view.dtype)
    longest = int(lengths.max())
    if ufunc is not None and len(starts) * 4 < longest:
        # Few places, many threads each: running totals, which NumPy adds up in order.
        for start, length in zip(starts.tolist(), lengths.tolist()):
            chain = np.concatenate([view[place[start] : place[start] + 1], given[0][start : start + length]])
            totals = ufunc.accumulate(chain, dtype=chain.dtype)
            found[start : start + length] = totals[:-1]
            view[place[start]] = totals[-1]
    else:
        # All places at once, by one thread of each in a round.
        for turn in range(longest):
            now = starts[lengths > turn] + turn
            old = view[place[now]]
            found[now] = old
            view[place[now]] = update(old, *[x[now] for x in given])
    result = np.empty_like(found)
    result[order] = found
    return result
