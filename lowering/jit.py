"""Puts object code into this process: LLVM's ORC linker.

A warm start does only this, so it must be quick: it imports neither MLIR nor llvmlite's Python modules (see `llvm_c`).
"""

from __future__ import annotations

import ctypes
import itertools
import os
import struct
import sys
import threading
from collections.abc import Iterator, Mapping

from . import scipy_symbols, vector_library
from .abi import (
    BAD_EXTENT,
    BLOCK_COUNT,
    BLOCKS,
    DISAGREEMENT,
    DONE,
    JOBS,
    JUMP_KEY,
    KEEP_LIMIT,
    KEPT,
    LOCK,
    OUT_OF_MEMORY,
    POOL,
    RUN_POOL,
    SHARED,
    SHARED_OUT,
    SHARED_WORDS,
    STARTED,
    THREADS,
    USABLE_SIZE,
    WAKE,
    file_and_line,
    symbol,
)  # fmt: skip
from .errors import LoweringError
from .llvm_c import OBJECT, PROCESS, Element, Symbol, llvm

_PROTOTYPE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)


class Loaded:
    """Code in the process, for as long as this object lives.

    `address` is that of the entry function, `int64 entry(int64 *slots)`; `function` is the same as a ctypes function,
    which takes the slots' address and returns a status; `call` also turns the status into an exception. Calls release
    the GIL. Don't let go of the object while a call is running.
    """

    __slots__ = ("_tracker", "address", "function", "keep")

    def __init__(self, address: int, tracker: int):
        self.address, self._tracker = address, tracker
        self.keep: object = None  # what must live as long: the owners of what the code calls, say
        self.function = _PROTOTYPE(address)

    def call(self, slots: int) -> None:
        """Run the code on the slots at this address."""
        status = self.function(slots)
        if status:
            raise failure(status)

    def __del__(self) -> None:
        tracker, self._tracker = self._tracker, 0
        # At the end of the process the linker goes with it, and ctypes may be half gone already.
        if tracker and sys is not None and not sys.is_finalizing():  # (modules are emptied last of all)
            _linker().unload(tracker)


def failure(status: int) -> Exception:
    """The exception for an entry function's status that is not OK."""
    if status == OUT_OF_MEMORY:
        return MemoryError("not enough memory for an array of the kernel")
    if status == BAD_EXTENT:
        return ValueError("an array of the kernel has a negative or too large extent")
    line = f" (line {file_and_line(status - DISAGREEMENT)[1]})" if status > DISAGREEMENT else ""
    return RuntimeError(
        f"the threads of a block (or warp) go different ways where they have to wait for each other{line}"
    )


def load(object_code: bytes, entry: str, extra_symbols: Mapping[str, int] | None = None) -> Loaded:
    """Link the object and return its entry function.

    `extra_symbols` gives addresses to names that the code refers to and the process doesn't export. SciPy's BLAS and
    LAPACK are found by themselves (see `scipy_symbols`).
    """
    if b"_ZGV" in object_code:
        vector_library.library()
    known = {**scipy_symbols.addresses(object_code), **(extra_symbols or {})}
    return _linker().load(object_code, symbol(entry), known)


def kept_bytes() -> int:
    """How much memory of freed arrays is kept for the next calls."""
    return _linker().shared[KEPT]


def release() -> None:
    """Give the kept memory back. Only while no compiled code runs."""
    linker = _linker()
    free = linker.process.free
    free.argtypes = [ctypes.c_void_p]
    for number in range(BLOCKS, BLOCKS + BLOCK_COUNT):
        block, linker.shared[number] = linker.shared[number], 0
        free(block)
    linker.shared[KEPT] = 0


def set_threads(count: int) -> None:
    """How many threads of the processor a launch may use from now on."""
    _linker().shared[THREADS] = max(1, count)


def threads() -> int:
    """How many threads of the processor a launch may use."""
    return _linker().shared[THREADS]


def shared_out() -> int:
    """How often a launch or loop of this process has been run by several threads."""
    return _linker().shared[SHARED_OUT]


def _processors() -> int:
    """How many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _keep_limit() -> int:
    """An eighth of the machine's memory, and not more than 4 GiB."""
    try:
        return min(4 << 30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8)
    except (AttributeError, ValueError, OSError):
        return 256 << 20


class _Linker:
    """LLVM's linker, one for the process. Each object goes into a library of its own, so equal names don't meet."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # an unused library may be collected, and unloaded, while another is loaded
        self.numbers = itertools.count()
        self.llvm = llvm()
        error = ctypes.c_char_p()
        # No target machine: the host's; errors are returned, not printed; JITLink keeps an object's sections together,
        # which code with short addresses needs.
        self.jit = self.llvm.CreateLLJITCompiler(None, True, True, ctypes.byref(error))
        if not self.jit:
            raise LoweringError(f"LLVM's linker does not start: {self.llvm.take(error)}")
        self.process = ctypes.CDLL(None)
        self.shared = self._shared()

    def load(self, code: bytes, name: str, extra: Mapping[str, int]) -> Loaded:
        elements = (Element * 2)(Element(OBJECT, code, len(code)), Element(PROCESS, b"", 0))
        known = {SHARED: ctypes.addressof(self.shared), **extra}
        imports = (Symbol * len(known))(*(Symbol(key.encode(), value) for key, value in known.items()))
        names = [name, RUN_POOL] if RUN_POOL.encode() in code else [name]
        exports = (Symbol * len(names))(*(Symbol(n.encode(), 0) for n in names))
        error = ctypes.c_char_p()
        with self.lock:
            library = f"k{next(self.numbers)}".encode()
            tracker = self.llvm.LLJIT_Link(
                self.jit, library, elements, 2, imports, len(imports), exports, len(names), ctypes.byref(error)
            )
            if tracker and len(names) > 1 and not self.shared[POOL]:
                self.shared[POOL] = exports[1].address
                return Loaded(exports[0].address, 0)  # threads wait in this code: it stays
        if not tracker:
            reason = self.llvm.take(error).strip()
            missing = [n for n in undefined(code) if n not in known and not hasattr(self.process, n)]
            if missing:
                reason = f"no library of this process has {', '.join(missing)}"
            raise LoweringError(f"the compiled code can't be linked: {reason}")
        return Loaded(exports[0].address, tracker)

    def unload(self, tracker: int) -> None:
        error = ctypes.c_char_p()
        with self.lock:
            self.llvm.LLJIT_Dylib_Tracker_Dispose(tracker, ctypes.byref(error))

    def _shared(self) -> ctypes.Array[ctypes.c_uint64]:
        """The words that generated code reads and writes, see `abi`."""
        words = (ctypes.c_uint64 * SHARED_WORDS)()
        if self.process.pthread_key_create(ctypes.byref(words, 8 * JUMP_KEY), None):
            raise LoweringError("the process has no thread-specific keys left")
        for name in ("malloc_usable_size", "malloc_size"):  # of Linux, of macOS
            if hasattr(self.process, name):
                words[USABLE_SIZE] = ctypes.cast(self.process[name], ctypes.c_void_p).value or 0
                break
        words[KEEP_LIMIT] = _keep_limit()
        words[THREADS] = _processors()
        self._unlock(words)
        if hasattr(os, "register_at_fork"):  # a new process has none of the threads
            os.register_at_fork(after_in_child=lambda: self._unlock(words))
        return words

    def _unlock(self, words: ctypes.Array[ctypes.c_uint64]) -> None:
        """No threads wait for work, and there is none."""
        words[JOBS] = words[STARTED] = 0
        for number, start in ((LOCK, "pthread_mutex_init"), (WAKE, "pthread_cond_init"), (DONE, "pthread_cond_init")):
            ctypes.memset(ctypes.byref(words, 8 * number), 0, 8 * 16)
            self.process[start](ctypes.byref(words, 8 * number), None)


_the_linker: _Linker | None = None
_starting = threading.Lock()


def _linker() -> _Linker:
    global _the_linker
    if _the_linker is None:
        with _starting:
            if _the_linker is None:
                _the_linker = _Linker()
    return _the_linker


def undefined(code: bytes) -> list[str]:
    """The names that an ELF object of 64 bits refers to and doesn't define; of any other object, none."""
    try:
        return list(_undefined(code)) if code[:5] == b"\x7fELF\x02" else []
    except (struct.error, IndexError, ValueError, OverflowError):
        return []  # damaged: the linker's own message has to do


def _undefined(code: bytes) -> Iterator[str]:
    start, size, count = struct.unpack_from("<Q", code, 40)[0], *struct.unpack_from("<HH", code, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", code, start + i * size) for i in range(count)]
    for _, kind, _, _, offset, length, link, *_ in headers:
        if kind != 2:  # not the table of symbols
            continue
        strings = headers[link][4]
        for at in range(offset + 24, offset + length, 24):
            name, _, _, section = struct.unpack_from("<IBBH", code, at)
            if section == 0 and name:
                yield code[strings + name : code.index(b"\0", strings + name)].decode()
