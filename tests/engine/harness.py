"""Runs functions of MLIR modules: compiled by the real lowering, called with Python numbers and NumPy arrays."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from dialects import pipeline
from lowering import cpu

MEMREF = "memref<?xf64>"
QUICK = cpu.CpuOptions(opt_level=1, vector_math=False)


def request(
    name: str, mode: str, callee: str, signature: str, activity: Sequence[str], returns: Sequence[str], extra: str = ""
) -> str:
    """The declaration that asks for a derivative; `signature` is `(inputs) -> (outputs)`."""
    quote = lambda words: ", ".join(f'"{w}"' for w in words)
    return (
        f"func.func private @{name}{signature} attributes {{autodiff.{mode} = @{callee}, "
        f"autodiff.activity = [{quote(activity)}], autodiff.returns = [{quote(returns)}]{extra}}}\n"
    )


def differentiate(text: str) -> str:
    """The module after the engine, as text."""
    module = pipeline.parse(text)
    pipeline.differentiate(module)
    assert module.operation.verify()
    return str(module)


class Compiled:
    """One function of a module, to be called with floats, ints and arrays; returns its results as a tuple of
    floats.
    """

    def __init__(self, text: str, entry: str, results: int, options: cpu.CpuOptions = QUICK):
        self.loaded = cpu.load(cpu.compile(text, entry, options), entry)
        self.call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.loaded.address)
        self.results = results

    def __call__(self, *arguments: Any) -> tuple[float, ...]:
        words = b""
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                strides = [s // argument.itemsize for s in argument.strides]
                pointer = argument.ctypes.data
                words += struct.pack(f"{3 + 2 * argument.ndim}q", pointer, pointer, 0, *argument.shape, *strides)
            elif isinstance(argument, (int, np.integer)):
                words += struct.pack("q", argument)
            else:
                words += struct.pack("d", argument)
        buffer = ctypes.create_string_buffer(words + bytes(8 * max(1, self.results)))
        self.call(buffer)
        return struct.unpack_from(f"{self.results}d", buffer, len(words))


def directional(f: Any, point: Sequence[Any], direction: Sequence[Any], step: float) -> float:
    """The derivative of `f` along `direction` by central differences of order 4."""

    def at(t: float) -> float:
        return f(
            *[
                np.array(p + t * d) if isinstance(p, np.ndarray) else p + t * d
                for p, d in zip(point, direction, strict=True)
            ]
        )

    return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step)
