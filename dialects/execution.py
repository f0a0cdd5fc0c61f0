"""Functions of a module, compiled and called with numbers and NumPy arrays: what `dsl-opt --run` is made of.

Takes types as MLIR has them: floats, integers, index, complex numbers, and memrefs of them with any strided layout.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from mlir.ir import (
    ComplexType,
    IndexType,
    IntegerType,
    MemRefType,
    Module,
    Operation,
    ShapedType,
    Type,
    TypeAttr,
)

from . import pipeline
from .builder import walk
from .checkpoint.marks import drop as drop_marks
from .structure import symbol

_FLOATS = {"f64": "float64", "f32": "float32", "f16": "float16"}


class ArgumentError(Exception):
    """An argument that a function cannot be called with."""


@dataclass(frozen=True)
class Kind:
    """What a value of the function is: `shape` is None for a scalar, and has None for an axis of open size."""

    text: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None = None
    strides: tuple[int | None, ...] = ()
    offset: int = 0

    @property
    def is_moving(self) -> bool:
        """Whether it has a derivative."""
        return self.dtype.kind in "fcV"

    @staticmethod
    def of(type_: Type, what: str) -> Kind:
        if not isinstance(type_, MemRefType):
            return Kind(str(type_), _dtype(type_, what))
        dynamic, stride_or_offset = ShapedType.get_dynamic_size(), ShapedType.get_dynamic_stride_or_offset()
        shape = tuple(None if n == dynamic else n for n in type_.shape)
        try:
            strides, offset = type_.get_strides_and_offset()
        except (ValueError, RuntimeError):
            raise ArgumentError(f"{what} has type {type_}, whose layout has no strides") from None
        steps = tuple(None if s == stride_or_offset else s for s in strides)
        start = 0 if offset == stride_or_offset else offset
        return Kind(str(type_), _dtype(type_.element_type, what), shape, steps, start)

    def array(self, content: np.ndarray) -> np.ndarray:
        """An array with this content in memory that is laid out as the type says."""
        assert self.shape is not None
        if content.ndim != len(self.shape) or any(
            n is not None and n != m for n, m in zip(self.shape, content.shape, strict=True)
        ):
            raise ArgumentError(f"an array of shape {content.shape} does not fit {self.text}")
        dense = [prod(content.shape[k + 1 :]) for k in range(content.ndim)]
        steps = [d if s is None else s for d, s in zip(dense, self.strides, strict=True)]
        reach = self.offset + sum(max(0, n - 1) * s for n, s in zip(content.shape, steps, strict=True)) + 1
        memory = np.zeros(reach, self.dtype)
        made = np.lib.stride_tricks.as_strided(
            memory[self.offset :], content.shape, [s * self.dtype.itemsize for s in steps]
        )
        made[...] = content
        return made


class Function:
    """A compiled function: called with numbers and arrays, which it may change, it returns its results."""

    def __init__(self, text: str, name: str, inputs: Sequence[Kind], outputs: Sequence[Kind]):
        from lowering import cpu

        self.name, self.inputs, self.outputs = name, list(inputs), list(outputs)
        options = cpu.CpuOptions(opt_level=1, vector_math=False)
        self._loaded = cpu.load(cpu.compile(text, name, options), name)

    def __call__(self, *arguments: Any) -> list[Any]:
        words = b""
        for kind, argument in zip(self.inputs, arguments, strict=True):
            words += _scalar_words(kind, argument) if kind.shape is None else _array_words(kind, argument)
        room = sum(_size(kind) for kind in self.outputs)
        buffer = ctypes.create_string_buffer(words + bytes(8 * room), len(words) + 8 * max(1, room))
        self._loaded.call(ctypes.addressof(buffer))
        results, at = [], len(words)
        for kind in self.outputs:
            results.append(_read(kind, buffer.raw[at : at + 8 * _size(kind)]))
            at += 8 * _size(kind)
        return results


def signature(function: Operation) -> tuple[list[Kind], list[Kind]]:
    """What a function takes and gives."""
    type_ = TypeAttr(function.attributes["function_type"]).value
    return (
        [Kind.of(t, f"argument {i}") for i, t in enumerate(type_.inputs)],
        [Kind.of(t, f"result {i}") for i, t in enumerate(type_.results)],
    )


def find(module: Module, name: str) -> Operation:
    """The function @name, which must have a body."""
    for op in pipeline.walk_functions(module):
        if symbol(op) == name:
            return op
    known = ", ".join(f"@{symbol(op)}" for op in pipeline.walk_functions(module)) or "none"
    raise ArgumentError(f"there is no function @{name} with a body; there are: {known}")


def compiled(module: Module, name: str) -> Function:
    """The function @name of a module without requests for derivatives, ready to be called."""
    inputs, outputs = signature(find(module, name))
    drop_marks(module.operation)
    for op in [op for op in walk(module.operation) if op.name in ("autodiff.stop", "autodiff.through")]:
        op.results[0].replace_all_uses_with(op.operands[0])
        op.erase()
    return Function(module.operation.get_asm(enable_debug_info=True), name, inputs, outputs)


def _dtype(type_: Type, what: str) -> np.dtype[Any]:
    if str(type_) in _FLOATS:
        return np.dtype(_FLOATS[str(type_)])
    if str(type_) == "bf16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    if isinstance(type_, IndexType):
        return np.dtype(np.int64)
    if isinstance(type_, IntegerType) and type_.width in (1, 8, 16, 32, 64):
        return np.dtype(bool) if type_.width == 1 else np.dtype(f"int{type_.width}")
    if isinstance(type_, ComplexType) and str(type_.element_type) in ("f32", "f64"):
        return np.dtype(np.complex64 if str(type_.element_type) == "f32" else np.complex128)
    raise ArgumentError(f"{what} has type {type_}: numbers and memrefs of numbers can be handed over here")


def _size(kind: Kind) -> int:
    """How many words it takes."""
    if kind.shape is not None:
        return 3 + 2 * len(kind.shape)
    return 2 if kind.dtype.kind == "c" else 1


def _scalar_words(kind: Kind, value: Any) -> bytes:
    number = np.array(value).astype(kind.dtype)
    parts = [number.real, number.imag] if kind.dtype.kind == "c" else [number]
    return b"".join(part.tobytes().ljust(8, b"\0") for part in parts)


def _array_words(kind: Kind, array: np.ndarray) -> bytes:
    if array.dtype != kind.dtype:
        raise ArgumentError(f"an array of {array.dtype} does not fit {kind.text}")
    pointer = array.ctypes.data - kind.offset * array.itemsize
    strides = [s // array.itemsize for s in array.strides]
    return np.array([pointer, pointer, kind.offset, *array.shape, *strides], np.int64).tobytes()


def _read(kind: Kind, words: bytes) -> Any:
    if kind.shape is None:
        parts = [words[k : k + 8] for k in range(0, len(words), 8)]
        if kind.dtype.kind == "c":
            half = np.dtype(f"f{kind.dtype.itemsize // 2}")
            re, im = (np.frombuffer(part, half, 1)[0] for part in parts)
            return kind.dtype.type(complex(re, im))
        return np.frombuffer(parts[0], kind.dtype, 1)[0]
    rank = len(kind.shape)
    _, aligned, offset, *rest = (int(w) for w in np.frombuffer(words, np.int64))
    made = np.empty(rest[:rank], kind.dtype)
    # The memory itself is not freed: it may as well be a global or an argument, and these runs are short.
    for place in np.ndindex(*made.shape):
        at = aligned + (offset + sum(i * s for i, s in zip(place, rest[rank:], strict=True))) * kind.dtype.itemsize
        made[place] = np.frombuffer(ctypes.string_at(at, kind.dtype.itemsize), kind.dtype, 1)[0]
    return made
