"""Conversions, against rational numbers."""

# ruff: noqa: E501  (tables)
from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from .opcodes import bf16_bits, bf16_value, case, check, exact_round, f16_bits, finite, flushed, signed
from .test_floats import saturated
from .test_small import relu

INTS = ("u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64")
WHOLE = {"rni": None, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil}
CASES = []


def bounds(type: str) -> tuple[int, int]:
    width = int(type[1:])
    return (-(1 << (width - 1)), (1 << (width - 1)) - 1) if type[0] == "s" else (0, (1 << width) - 1)


def clamp(v: int, type: str) -> int:
    low, high = bounds(type)
    return min(max(v, low), high)


def rounded(x: float, mode: str) -> int:
    if mode == "rni":
        return round(Fraction(x))  # half to even
    return WHOLE[mode](x)


def to_int(x: float, to: str, source: str, mode: str) -> int:
    low, high = bounds(to)
    if x != x:
        width = int(to[1:])
        return 1 << (width - 1) if source == "f64" or width == 64 else 0
    if not finite(x):
        return high if x > 0 else low
    return clamp(rounded(x, mode), to)


def whole(x: float, mode: str) -> float:
    return math.copysign(float(rounded(x, mode)), x) if finite(x) else x


for _to in INTS:
    for _from in INTS:
        CASES.append(case(f"cvt.{_to}.{_from}", _to, _from, lambda a: a))
    CASES += [
        case(f"cvt.sat.{_to}.{_from}", _to, _from, lambda a, t=_to: clamp(a, t))
        for _from in ("s64", "u32")
        if bounds(_to)[0] > bounds(_from)[0] or bounds(_to)[1] < bounds(_from)[1]
    ]
    for _m in WHOLE:
        for _from in ("f32", "f64", "f16"):
            CASES.append(
                case(f"cvt.{_m}.{_to}.{_from}", _to, _from, lambda a, t=_to, f=_from, m=_m: to_int(a, t, f, m))
            )
    for _m in ("rn", "rz", "rm", "rp"):
        for _float in ("f32", "f64", "f16"):
            CASES.append(
                case(f"cvt.{_m}.{_float}.{_to}", _float, _to, lambda a, f=_float, m=_m: exact_round(Fraction(a), f, m))
            )
for _m in WHOLE:
    for _t in ("f32", "f64", "f16"):
        CASES.append(case(f"cvt.{_m}.{_t}.{_t}", _t, _t, lambda a, m=_m: whole(a, m)))
for _m in ("rn", "rz", "rm", "rp"):
    CASES += [
        case(f"cvt.{_m}.f32.f64", "f32", "f64", lambda a, m=_m: narrowed(a, "f32", m)),
        case(f"cvt.{_m}.f16.f64", "f16", "f64", lambda a, m=_m: narrowed(a, "f16", m)),
        case(f"cvt.{_m}.f16.f32", "f16", "f32", lambda a, m=_m: narrowed(a, "f16", m)),
    ]


def narrowed(x: float, type: str, mode: str = "rn") -> float:
    return math.copysign(exact_round(x, type, mode), x) if x == x else x


def bf16_towards_zero(x: float) -> int:
    if x != x:
        return 0x7FFF
    return int(np.array([narrowed(x, "bf16", "rz")], np.float32).view(np.uint32)[0]) >> 16


def pair(high: int, low: int) -> int:
    return low | high << 16


def tf32(bits: int) -> int:
    if bits & 0x7F800000 == 0x7F800000:
        return bits
    return (bits + 0x1000) & ~0x1FFF


CASES += [
    case("cvt.f64.f32", "f64", "f32", lambda a: a),
    case("cvt.ftz.f64.f32", "f64", "f32", flushed),
    case("cvt.f32.f16", "f32", "f16", lambda a: a),
    case("cvt.f64.f16", "f64", "f16", lambda a: a),
    case("cvt.sat.f32.f32", "f32", "f32", saturated),
    case("cvt.sat.f64.f64", "f64", "f64", saturated),
    case("cvt.ftz.sat.f32.f32", "f32", "f32", lambda a: saturated(flushed(a))),
    case("cvt.rn.sat.f16.f32", "f16", "f32", lambda a: exact_round(saturated(a), "f16")),
    case("cvt.rn.ftz.f32.f64", "f32", "f64", lambda a: flushed(narrowed(a, "f32"))),
    case("cvt.rn.relu.f16.f32", "f16", "f32", lambda a: narrowed(relu(a), "f16")),
    case("cvt.rzi.ftz.s32.f32", "s32", "f32", lambda a: to_int(flushed(a), "s32", "f32", "rzi")),
    case("cvt.rmi.sat.f32.f32", "f32", "f32", lambda a: saturated(whole(a, "rmi"))),
    case("cvt.rni.ftz.f32.f32", "f32", "f32", lambda a: whole(flushed(a), "rni")),
    case("cvt.f32.bf16", "f32", "bf16", bf16_value),
    case("cvt.rn.bf16.f32", "bf16", "f32", bf16_bits),
    case("cvt.rz.bf16.f32", "bf16", "f32", bf16_towards_zero),
    case("cvt.rn.relu.bf16.f32", "bf16", "f32", lambda a: bf16_bits(relu(a))),
    case("cvt.rn.bf16.s32", "bf16", "s32", lambda a: bf16_bits(Fraction(a))),
    case("cvt.rzi.s32.bf16", "s32", "bf16", lambda a: to_int(bf16_value(a), "s32", "bf16", "rzi")),
    case("cvt.rni.bf16.bf16", "bf16", "bf16", lambda a: bf16_bits(whole(bf16_value(a), "rni"))),
    case("cvt.rn.f16x2.f32", "f16x2", "f32 f32", lambda a, b: pair(f16_bits(a), f16_bits(b))),
    case("cvt.rn.bf16x2.f32", "bf16x2", "f32 f32", lambda a, b: pair(bf16_bits(a), bf16_bits(b))),
    case("cvt.rz.bf16x2.f32", "bf16x2", "f32 f32", lambda a, b: pair(bf16_towards_zero(a), bf16_towards_zero(b))),
    case("cvt.rn.relu.f16x2.f32", "f16x2", "f32 f32", lambda a, b: pair(f16_bits(relu(a)), f16_bits(relu(b)))),
    case("cvt.rna.tf32.f32", "b32", "b32", tf32),
    case("cvt.pack.sat.s16.s32", "b32", "s32 s32", lambda a, b: pair(clamp(a, "s16") & 0xFFFF, clamp(b, "s16") & 0xFFFF)),
    case("cvt.pack.sat.u16.s32", "b32", "s32 s32", lambda a, b: pair(clamp(a, "u16"), clamp(b, "u16"))),
]  # fmt: skip
OTHERS = [case("cvt.bf16.bf16", "bf16", "bf16", lambda a: a), case("cvt.sat.f16.f16", "f16", "f16", saturated)]


@pytest.mark.parametrize("c", CASES, ids=str)
def test_instruction(c):
    check(c)


def test_registers_may_be_wider_than_what_they_hold():
    from .kernels import module
    from .running import launch

    body = """
      .reg .b32 %r<4>; .reg .b16 %h; .reg .b64 %a, %d;
      ld.param.b64 %a, [x];
      ld.global.s8 %r0, [%a]; ld.global.u8 %r1, [%a]; ld.global.s8 %h, [%a];
      cvt.s32.s8 %r2, %r1; cvt.s64.s16 %d, %h;
      st.global.v2.b32 [%a+8], {%r0, %r1}; st.global.b32 [%a+16], %r2; st.global.b64 [%a+24], %d;
      st.global.b8 [%a+1], %r0;
      ret;"""
    x = np.zeros(4, np.int64)
    x.view(np.int8)[0] = -5
    launch(module(body, ".param .u64 x"), "k", 1, 1, x)
    assert x.view(np.int32)[2:5].tolist() == [-5, 251, -5]
    assert x[3] == -5 and x.view(np.int8)[1] == -5
    assert signed(251, 8) == -5
