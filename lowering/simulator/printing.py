"""What kernels call of the CUDA runtime: printf, and failed assertions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import Trap
from .forms import Step
from .memory import LOCAL_WINDOW, SHARED_WINDOW
from .syntax import Instruction

if TYPE_CHECKING:
    from .operands import Scope
    from .state import Batch
    from .threads import Threads

_CONVERSION = re.compile(r"%(?:%|[-+ #0]*\d*(?:\.\d+)?(hh|h|ll|l|j|z|t)?([a-zA-Z]))")


def _bytes_at(m: Batch, thread: int, address: int, nbytes: int) -> bytes:
    """Bytes behind a generic address, as one thread sees them; fewer where an allocation ends."""
    if address >= LOCAL_WINDOW:
        start = int(m.local.starts[thread]) + address - LOCAL_WINDOW
        return m.local.bytes[start : start + nbytes].tobytes()
    if address >= SHARED_WINDOW:
        start = int(m.shared.starts[thread]) + address - SHARED_WINDOW
        return m.shared.bytes[start : start + nbytes].tobytes()
    start_of = m.memory.ranges.find(address)
    if start_of is None:
        return b""
    end = start_of + m.memory.ranges.sizes[start_of]
    found = m.memory.slice(address, min(nbytes, end - address))
    return b"" if found is None else found.tobytes()


def _string(m: Batch, thread: int, address: int) -> str:
    return _bytes_at(m, thread, address, 1 << 16).split(b"\0")[0].decode(errors="replace")


def _format(m: Batch, thread: int, text: str, arguments: int) -> str:
    """C's printf, the arguments lying at an address, each aligned to its own size."""
    at = arguments

    def one(found: re.Match[str]) -> str:
        nonlocal at
        if found[0] == "%%":
            return "%"
        length, kind = found[1], found[2]
        size = 8 if kind in "aAeEfFgGps" or length in ("l", "ll", "j", "z", "t") else 4
        at = -(-at // size) * size
        raw = _bytes_at(m, thread, at, size)
        at += size
        plain = found[0].replace(length, "", 1) if length else found[0]
        if kind in "aAeEfFgG":
            return plain % np.frombuffer(raw, np.float64)[0]
        number = int.from_bytes(raw, "little", signed=kind in "di")
        if kind == "s":
            return plain % _string(m, thread, number)
        if kind == "p":
            return hex(number)
        if kind == "c":
            return plain % chr(number & 255)
        return plain.replace("u", "d") % number

    return _CONVERSION.sub(one, text)


def _vprintf(instruction: Instruction, scope: Scope, given: tuple[str, ...]) -> Step:
    function = scope.function.name
    text, arguments = given

    def step(m: Batch, t: Threads) -> None:
        texts = m.parameters[function, text].view(np.uint64)[:, 0]
        addresses = m.parameters[function, arguments].view(np.uint64)[:, 0]
        for thread in t.index.tolist():
            printed = _format(m, thread, _string(m, thread, int(texts[thread])), int(addresses[thread]))
            m.launch.output.append(printed)

    return step


def _assertfail(instruction: Instruction, scope: Scope, given: tuple[str, ...]) -> Step:
    function = scope.function.name

    def step(m: Batch, t: Threads) -> None:
        thread = int(t.index[0])
        message, file, line = (m.parameters[function, name][thread] for name in given[:3])
        said = _string(m, thread, int(message.view(np.uint64)[0]))
        where = f"{_string(m, thread, int(file.view(np.uint64)[0]))}:{int(line.view(np.uint32)[0])}"
        raise m.fault(Trap, f"assertion `{said}` failed at {where}", t, 0, instruction, count=t.count)

    return step


HOST_FUNCTIONS: dict[str, Callable[[Instruction, Any, tuple[str, ...]], Step]] = {
    "vprintf": _vprintf,
    "__assertfail": _assertfail,
}
