"""Compiles MLIR text for the CPU and calls it with NumPy values, through the slots that the entry function takes."""

from __future__ import annotations

import ctypes

import ml_dtypes
import numpy as np

from lowering import cpu
from lowering.options import CpuOptions

DTYPES = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "index": np.int64,
    "i64": np.int64, "i32": np.int32, "i16": np.int16, "i8": np.int8, "i1": np.bool_,
    "complex<f64>": np.complex128, "complex<f32>": np.complex64,
}  # fmt: skip
free = ctypes.CDLL(None).free
free.argtypes = [ctypes.c_void_p]


def words(value):
    """The slots of one argument."""
    if isinstance(value, np.ndarray):
        strides = [s // value.itemsize for s in value.strides]
        return [value.ctypes.data, value.ctypes.data, 0, *value.shape, *strides]
    if isinstance(value, complex | np.complexfloating):
        part = np.float32 if isinstance(value, np.complex64) else np.float64
        return [*words(part(value.real)), *words(part(value.imag))]
    raw = np.asarray(value).tobytes()
    return [int.from_bytes(raw.ljust(8, b"\0"), "little", signed=True)]


def unpack(type, slots, at):
    """(value, next place) of one result. A memref is copied out, and freed."""
    if not type.startswith("memref"):
        dtype = np.dtype(DTYPES[type])
        if type.startswith("complex"):
            part = np.zeros(0, dtype).real.dtype
            real, imag = (np.frombuffer(slots[at + k : at + k + 1].tobytes(), part)[0] for k in (0, 1))
            return dtype.type(complex(real, imag)), at + 2
        return np.frombuffer(slots[at : at + 1].tobytes(), dtype, count=1)[0], at + 1
    extents, element = type.removeprefix("memref<").split(">")[0].rsplit("x", 1)
    rank = len(extents.split("x"))
    base, aligned, offset = slots[at : at + 3]
    shape, strides = slots[at + 3 : at + 3 + rank], slots[at + 3 + rank : at + 3 + 2 * rank]
    dtype = np.dtype(DTYPES[element])
    length = int(offset + sum((n - 1) * s for n, s in zip(shape, strides)) + 1) if np.all(shape > 0) else 0
    flat = np.frombuffer(ctypes.string_at(int(aligned), length * dtype.itemsize), dtype)
    view = np.lib.stride_tricks.as_strided(flat[int(offset) :], shape, strides * dtype.itemsize)
    value = view.copy()
    free(int(base))
    return value, at + 3 + 2 * rank


class Compiled:
    """A callable of NumPy values; `results` names the MLIR type of each result."""

    def __init__(self, text, entry="f", results=(), options=None, **load):
        options = options or CpuOptions()
        self.object = cpu.compile(text, entry, options)
        self.loaded = cpu.load(self.object, entry, **load)
        self.results = results

    def __call__(self, *arguments):
        flat = [word for argument in arguments for word in words(argument)]
        slots = np.array(flat + [0] * sum(24 if r.startswith("memref") else 2 for r in self.results), np.int64)
        self.loaded.call(slots.ctypes.data)
        at, found = len(flat), []
        for type in self.results:
            value, at = unpack(type, slots, at)
            found.append(value)
        return found[0] if len(found) == 1 else tuple(found)


def compiled(text, entry="f", results=(), options=None, **load):
    return Compiled(text, entry, results, options, **load)


def function(arguments, results, body):
    """Text of a func.func @f: `arguments` "%a: f64, ...", `results` the types, `body` with %r or %r0, %r1 defined."""
    names = "%r" if len(results) == 1 else ", ".join(f"%r{i}" for i in range(len(results)))
    return f"func.func @f({arguments}) -> ({', '.join(results)}) {{\n{body}\nreturn {names} : {', '.join(results)}\n}}"
