"""Split mode: the augmented primal and the pullback give, together, what the combined reverse mode gives."""

from __future__ import annotations

import ctypes
import struct

import numpy as np
import pytest

from dialects import pipeline
from lowering import cpu

from .harness import MEMREF as M
from .harness import QUICK, Compiled, differentiate, request
from .test_random_programs import ACTIVE, PRIMAL, REVERSE, SIZE, TRIPS, program

SPLIT = ", autodiff.primal, autodiff.public, autodiff.split"
POINT = (1.1, 0.9, np.linspace(0.6, 1.3, SIZE), np.linspace(1.2, 0.7, SIZE))


def words(*arguments: object) -> bytes:
    out = b""
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            out += struct.pack("5q", argument.ctypes.data, argument.ctypes.data, 0, argument.size, 1)
        else:
            out += struct.pack("q" if isinstance(argument, int) else "d", argument)
    return out


class Half:
    """One of the two functions, called on raw words; `results` is how many words it leaves."""

    def __init__(self, text: str, entry: str, results: int):
        self.loaded = cpu.load(cpu.compile(text, entry, QUICK), entry)
        self.call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.loaded.address)
        self.results = results

    def __call__(self, given: bytes) -> bytes:
        buffer = ctypes.create_string_buffer(given + bytes(8 * (self.results + 1)))
        self.call(buffer)
        return buffer.raw[len(given) : len(given) + 8 * self.results]


def word_count(type_: str) -> int:
    if not type_.startswith("memref"):
        return 1
    dims = type_[len("memref<") :]
    rank = 0
    while ("x" in dims and dims.split("x", 1)[0].isdigit()) or dims.startswith("?"):
        dims, rank = dims.split("x", 1)[1], rank + 1
    return 3 + 2 * rank


def halves(text: str, extra: str = SPLIT) -> tuple[str, list[str]]:
    module = pipeline.parse(text + request("both", "reverse", "f", REVERSE, ACTIVE, ["active"], extra))
    (expansion,) = pipeline.differentiate(module)
    assert module.operation.verify()
    return str(module), list(expansion.tape.types)


@pytest.mark.parametrize("seed", range(16))
def test_halves_agree_with_the_whole(seed: int) -> None:
    """Also after every array has been overwritten between the two passes, which is the default's promise."""
    source = program(seed, 6 + seed % 20)
    text, tape = halves(source)
    size = sum(word_count(t) for t in tape)
    augment, pullback = Half(text, "both.augment", 1 + size), Half(text, "both.pullback", 2)
    whole = Compiled(
        differentiate(source + request("one", "reverse", "f", REVERSE, ACTIVE, ["active"], PRIMAL)), "one", 3
    )
    a, b, x0, y0 = POINT
    gx, gy = np.zeros(SIZE), np.zeros(SIZE)
    expected = whole(a, b, x0.copy(), gx, y0.copy(), gy, TRIPS, 1.0)

    x, y, dx, dy = x0.copy(), y0.copy(), np.zeros(SIZE), np.zeros(SIZE)
    given = words(a, b, x, dx, y, dy, TRIPS)
    out = augment(given)
    assert struct.unpack_from("d", out)[0] == pytest.approx(expected[0], rel=1e-13)
    x[:] = np.nan
    y[:] = np.nan
    da, db = struct.unpack("2d", pullback(given + words(1.0) + out[8:]))
    np.testing.assert_allclose([da, db, *dx, *dy], [*expected[1:], *gx, *gy], rtol=1e-12, atol=1e-14)


def test_what_is_not_overwritten_is_not_taped() -> None:
    """sum(sin(x) * y): the pullback reads x and y again, if it may."""
    source = f"""
func.func @f(%a: f64, %b: f64, %x: {M}, %y: {M}, %m: index) -> f64 {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = memref.dim %x, %c0 : {M}
  %s = scf.for %i = %c0 to %n step %c1 iter_args(%t = %a) -> (f64) {{
    %p = memref.load %x[%i] : {M}
    %q = memref.load %y[%i] : {M}
    %u = math.sin %p : f64
    %v = arith.mulf %u, %q : f64
    %w = arith.addf %t, %v : f64
    scf.yield %w : f64
  }}
  return %s : f64
}}
"""
    _, kept = halves(source, SPLIT + ", autodiff.overwritten = array<i64>")
    assert kept == []
    _, some = halves(source, SPLIT + ", autodiff.overwritten = array<i64: 2>")
    _, both = halves(source)
    assert some == [M] and both == [M, M]
