"""Runs a kernel through the front-end and the CPU lowering only, without driver and cache, and compares it with plain
Python.

`run(fn, *args, **options)` compiles the function for the types of its arguments and calls it; array arguments are
changed in place and the fields of mutable structs are written back, as the driver does it.
"""

from __future__ import annotations

import builtins
import copy
import ctypes
import dataclasses
import struct
from typing import Any

import numpy as np

from dsl import types
from dsl.frontend import lower
from dsl.frontend.lowered import Lowered
from dsl.kernel import Kernel, as_kernel
from dsl.options import KernelOptions
from lowering import cpu
from lowering.options import CpuOptions


def lowered(fn: Any, *args: Any, **options: bool) -> Lowered:
    """The MLIR of a function for these arguments, or types."""
    kernel = fn if isinstance(fn, Kernel) else as_kernel(fn)
    given = tuple(a if isinstance(a, types.Type) else types.typeof(a) for a in args)
    return lower(kernel, given, KernelOptions(**options))


def run(fn: Any, *args: Any, **options: bool) -> Any:
    """What the compiled function returns; the exception that it records is raised."""
    made = lowered(fn, *args, **options)
    code = cpu.compile(made.module_text, made.entry, CpuOptions(opt_level=1))
    loaded = cpu.load(code, made.entry)
    words: list[bytes] = []
    for arg, type_ in zip(args, made.arg_types):
        for leaf, leaf_type in zip(flat(arg), types.leaves(type_)):
            words.append(packed(leaf, leaf_type))
    cell = np.zeros(1, np.int64)
    if made.errors:
        words.append(packed(cell, types.ArrayType(types.int64, 1)))
    taken = sum(map(len, words))
    leaf_types = [leaf for t in made.arg_types for leaf in types.leaves(t)]
    result_types = [*types.leaves(made.result_type), *(leaf_types[k] for k in made.writebacks)]
    room = sum(size(t) for t in result_types)
    slots = ctypes.create_string_buffer(b"".join(words) + bytes(room), taken + room)
    loaded.call(ctypes.addressof(slots))
    results = []
    offset = taken
    for type_ in result_types:
        results.append(unpacked(slots.raw[offset : offset + size(type_)], type_))
        offset += size(type_)
    if cell[0]:
        record = made.errors[int(cell[0]) - 1]
        raise getattr(builtins, record["exc"])(record["message"], record["line"], record["col"])
    own = len(types.leaves(made.result_type))
    for k, value in zip(made.writebacks, results[own:]):
        write_back(args, k, value)
    return rebuilt(made.result_type, iter(results[:own]))


def check(fn: Any, *args: Any, **options: bool) -> Any:
    """Run compiled and in plain Python on copies of the arguments: results and what became of the arguments must
    agree.
    """
    mine, theirs = copy.deepcopy(args), copy.deepcopy(args)
    with np.errstate(all="ignore"):
        expected = (fn.fn if isinstance(fn, Kernel) else fn)(*theirs)
    got = run(fn, *mine, **options)
    same(got, expected)
    same(mine, theirs)
    return got


def same(got: Any, expected: Any) -> None:
    if isinstance(expected, tuple):
        assert isinstance(got, tuple), f"{got!r} for {expected!r}"
        assert len(got) == len(expected), f"{got!r} for {expected!r}"
        for x, y in zip(got, expected):
            same(x, y)
    elif dataclasses.is_dataclass(expected):
        assert type(got) is type(expected)
        for field in dataclasses.fields(expected):
            same(getattr(got, field.name), getattr(expected, field.name))
    elif expected is None or isinstance(expected, str):
        assert got == expected, f"{got!r} for {expected!r}"
    else:
        single = np.asarray(expected).dtype in (np.float32, np.complex64)
        np.testing.assert_allclose(got, expected, rtol=1e-6 if single else 1e-12, atol=1e-300)
        assert np.shape(got) == np.shape(expected)


# --- slots


def flat(value: Any) -> list[Any]:
    if dataclasses.is_dataclass(value):
        return [leaf for f in dataclasses.fields(value) for leaf in flat(getattr(value, f.name))]
    if isinstance(value, tuple):
        return [leaf for v in value for leaf in flat(v)]
    return [] if value is None or isinstance(value, str) else [value]


def size(type_: types.Type) -> int:
    if isinstance(type_, types.ArrayType):
        return 8 * (3 + 2 * type_.ndim)
    assert isinstance(type_, types.Scalar)
    return 16 if type_.kind == "c" else 8


def packed(value: Any, type_: types.Type) -> bytes:
    if isinstance(type_, types.ArrayType):
        address = value.ctypes.data
        strides = [s // value.itemsize for s in value.strides]
        return struct.pack(f"<{3 + 2 * value.ndim}q", address, address, 0, *value.shape, *strides)
    assert isinstance(type_, types.Scalar)
    if type_.kind == "c":
        part = np.float32 if type_.bits == 64 else np.float64
        return b"".join(part(x).tobytes().ljust(8, b"\0") for x in (value.real, value.imag))
    return type_.dtype.type(value).tobytes().ljust(8, b"\0")


def unpacked(data: bytes, type_: types.Type) -> Any:
    if isinstance(type_, types.ArrayType):
        _, aligned, offset, *rest = struct.unpack(f"<{3 + 2 * type_.ndim}q", data)
        shape, strides = rest[: type_.ndim], rest[type_.ndim :]
        if 0 in shape:
            return np.zeros(shape, type_.dtype.dtype)
        item = type_.dtype.dtype.itemsize
        assert all(s >= 0 for s in strides), "the harness reads forward strides only"
        extent = 1 + sum((n - 1) * s for n, s in zip(shape, strides))
        memory = (ctypes.c_char * (extent * item)).from_address(aligned + offset * item)
        whole = np.frombuffer(memory, type_.dtype.dtype)
        return np.lib.stride_tricks.as_strided(whole, shape, [s * item for s in strides]).copy()
    assert isinstance(type_, types.Scalar)
    if type_.kind == "c":
        part = np.float32 if type_.bits == 64 else np.float64
        re, im = (np.frombuffer(data[k : k + part().itemsize], part)[0] for k in (0, 8))
        return type_.dtype.type(complex(re, im))
    return np.frombuffer(data[: type_.dtype.itemsize], type_.dtype)[0]


def rebuilt(type_: types.Type, leaves: Any) -> Any:
    if isinstance(type_, types.TupleType):
        return tuple(rebuilt(t, leaves) for t in type_.elements)
    if isinstance(type_, types.StructType):
        return type_.cls(*(rebuilt(t, leaves) for _, t in type_.fields))
    if isinstance(type_, (types.Scalar, types.ArrayType)):
        return next(leaves)
    return getattr(type_, "value", None)


def write_back(args: Any, number: int, value: Any) -> None:
    """Store into leaf `number` of the arguments, which is a field of a dataclass."""
    count = 0

    def visit(owner: Any) -> bool:
        nonlocal count
        if dataclasses.is_dataclass(owner):
            for f in dataclasses.fields(owner):
                inner = getattr(owner, f.name)
                if dataclasses.is_dataclass(inner) or isinstance(inner, tuple):
                    if visit(inner):
                        return True
                elif inner is not None and not isinstance(inner, str):
                    if count == number:
                        setattr(owner, f.name, value.item())
                        return True
                    count += 1
        elif isinstance(owner, tuple):
            return any(visit(v) for v in owner)
        elif owner is not None and not isinstance(owner, str):
            count += 1
        return False

    visit(tuple(args))
