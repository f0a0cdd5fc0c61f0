"""Atomic updates of many threads, on few places and on many, against one after the other in Python."""

from __future__ import annotations

import numpy as np
import pytest

from .kernels import module
from .opcodes import bf16_bits, bf16_value, signed
from .running import launch

N = 96


def step(op: str, type: str, old: int, new: int, width: int) -> int:
    if op in ("min", "max"):
        key = (lambda v: signed(v, width)) if type[0] == "s" else (lambda v: v)
        return {"min": min, "max": max}[op](old, new, key=key)
    if op == "inc":
        return 0 if old >= new else old + 1
    if op == "dec":
        return new if old == 0 or old > new else old - 1
    if op == "cas":
        return new if old == (new ^ 1) else old
    return {"add": old + new, "and": old & new, "or": old | new, "xor": old ^ new, "exch": new}[op] & ((1 << width) - 1)


WHOLE = [(op, t) for t in ("u32", "s32", "u64", "s64") for op in ("add", "min", "max")]
WHOLE += [(op, t) for t in ("b32", "b64") for op in ("and", "or", "xor", "exch", "cas")]
WHOLE += [("inc", "u32"), ("dec", "u32"), ("cas", "b16")]


def run(opcode: str, type: str, values: np.ndarray, places: np.ndarray, cells: np.ndarray, space: str = "global"):
    """What each thread got, and what the cells hold in the end."""
    size = values.itemsize
    r = {2: "%h", 4: "%r", 8: "%d"}[size]
    swap = f"xor.b{8 * size} {r}2, {r}1, 1; " if opcode.endswith("cas") else ""
    given = f"{r}2, {r}1" if swap else f"{r}1"
    body = f"""
      .reg .b16 %h<4>; .reg .b32 %r<4>; .reg .b64 %d<4>; .reg .b32 %t<3>; .reg .b64 %a<9>; .reg .pred %p;
      .shared .align 8 .b8 s[64];
      ld.param.b64 %a0, [cells]; ld.param.b64 %a1, [places]; ld.param.b64 %a2, [values]; ld.param.b64 %a3, [found];
      mov.u32 %t0, %tid.x;
      mad.wide.u32 %a1, %t0, 4, %a1; mad.wide.u32 %a2, %t0, {size}, %a2; mad.wide.u32 %a3, %t0, {size}, %a3;
      ld.global.b32 %t1, [%a1]; ld.global.b{8 * size} {r}1, [%a2];
      SHARED
      mad.wide.u32 %a4, %t1, {size}, %a0;
      {swap}{opcode}.{type} {r}3, [%a4], {given};
      st.global.b{8 * size} [%a3], {r}3;
      BACK
      ret;"""
    load = store = ""
    if space != "global":
        copy = (
            "ld.global.b{w} {r}0, [%a5]; st.shared.b{w} [%a6], {r}0;",
            "ld.shared.b{w} {r}0, [%a6]; st.global.b{w} [%a5], {r}0;",
        )
        base = (
            "mov.b64 %a7, s; setp.ge.u32 %p, %t0, {n}; "
            "mad.wide.u32 %a5, %t0, {s}, %a8; mad.wide.u32 %a6, %t0, {s}, %a7;"
        )
        fill = {"w": 8 * size, "r": r, "n": len(cells), "s": size}
        load = (
            "mov.b64 %a8, %a0; " + base.format(**fill) + " @%p bra in; " + copy[0].format(**fill) + " in: bar.sync 0; "
        )
        load += "mov.b64 %a0, %a7;" if space == "shared" else "cvta.shared.u64 %a0, %a7;"
        store = "bar.sync 0; @%p bra out; " + copy[1].format(**fill) + " out:"
    text = module(
        body.replace("SHARED", load).replace("BACK", store),
        ".param .u64 cells, .param .u64 places, .param .u64 values, .param .u64 found",
    )
    found = np.zeros_like(values)
    cells = cells.copy()
    launch(text, "k", 1, N, cells, places, values, found)
    return found, cells


@pytest.mark.parametrize("space", ["global", "shared", "generic"])
@pytest.mark.parametrize("op, type", WHOLE, ids=lambda x: x)
def test_whole_numbers(op, type, space):
    rng = np.random.default_rng(3)
    width = int(type[1:])
    dtype = np.dtype(f"u{width // 8}")
    for few in (1, 3, 8):
        values = rng.integers(0, 7 if op in ("inc", "dec", "cas") else 2**width - 1, N, np.uint64).astype(dtype)
        places = rng.integers(0, few, N).astype(np.uint32)
        cells = rng.integers(0, 9, 8).astype(dtype)
        name = "" if space == "generic" else f".{space}"
        found, after = run(f"atom{name}.{op}", type, values, places, cells, space)
        want = cells.astype(object)
        for k in range(N):
            old = int(want[places[k]])
            assert int(found[k]) == old
            want[places[k]] = step(op, type, old, int(values[k]), width)
        assert after.tolist() == want.tolist()


@pytest.mark.parametrize("type", ["f32", "f64"])
@pytest.mark.parametrize("few", [1, 8])
def test_floating_point_sums_in_order(type, few):
    rng = np.random.default_rng(4)
    dtype = np.float32 if type == "f32" else np.float64
    values, cells = rng.normal(size=N).astype(dtype), rng.normal(size=8).astype(dtype)
    places = rng.integers(0, few, N).astype(np.uint32)
    found, after = run("atom.relaxed.gpu.global.add", type, values, places, cells)
    want = cells.copy()
    for k in range(N):
        assert found[k] == want[places[k]]
        want[places[k]] += values[k]
    assert after.tolist() == want.tolist()


def test_small_floats():
    rng = np.random.default_rng(5)
    places = np.zeros(N, np.uint32)
    halves = rng.normal(size=N).astype(np.float16)
    found, after = run("atom.global.add.noftz", "f16", halves.view(np.uint16), places, np.zeros(8, np.uint16))
    total = np.float16(0)
    for k in range(N):
        assert found.view(np.float16)[k] == total
        total = np.float16(total + halves[k])
    assert after.view(np.float16)[0] == total
    bits = np.array([bf16_bits(float(v)) for v in halves], np.uint16)
    found, after = run("atom.global.add.noftz", "bf16", bits, places, np.zeros(8, np.uint16))
    sum16 = 0
    for k in range(N):
        sum16 = bf16_bits(bf16_value(sum16) + bf16_value(int(bits[k])))
    assert int(after[0]) == sum16
    pairs = halves.view(np.uint32)
    found, after = run("atom.global.add.noftz", "f16x2", np.repeat(pairs, 2), places, np.zeros(8, np.uint32))
    low = np.float16(0)
    for k in range(N):
        low = np.float16(low + np.repeat(pairs, 2).view(np.float16)[2 * k])
    assert after.view(np.float16)[0] == low


def test_reductions_give_nothing_back():
    body = """
      .reg .b64 %a; .reg .b32 %r; .reg .b64 %d;
      ld.param.b64 %a, [x]; mov.u32 %r, %tid.x; cvt.u64.u32 %d, %r;
      red.global.add.u32 [%a], %r; red.relaxed.gpu.global.max.s32 [%a+4], %r; red.or.b32 [%a+8], %r;
      red.global.add.f32 [%a+12], 0f3F800000; red.global.add.u64 [%a+16], %d; red.global.inc.u32 [%a+24], 5;
      red.global.add.noftz.f16x2 [%a+28], 0x3C003C00;
      ret;"""
    x = np.zeros(8, np.uint32)
    launch(module(body, ".param .u64 x"), "k", 2, 32, x)
    assert x[:3].tolist() == [2 * 496, 31, 31]
    assert x.view(np.float32)[3] == 64 and x.view(np.uint64)[2] == 2 * 496 and x[6] == 64 % 6
    assert x.view(np.float16)[14:].tolist() == [64, 64]
