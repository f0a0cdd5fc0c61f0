"""f16, bf16, their packed pairs, and pairs of f32, against rational numbers."""

# ruff: noqa: E501  (tables)
from __future__ import annotations

import numpy as np
import pytest

from .opcodes import bf16_bits, bf16_value, case, check, f16_bits, f16_value
from .test_floats import add, flushed, fma, least, mul, saturated, xor_sign

CASES = []


def on_bits(function, value, bits):  # type: ignore[no-untyped-def]
    """A function on values, on bits."""
    return lambda *operands: bits(function(*map(value, operands)))


def pairwise(function):  # type: ignore[no-untyped-def]
    def oracle(*operands: int) -> int:
        low, high = (function(*(o >> s & 0xFFFF for o in operands)) for s in (0, 16))
        return low | high << 16

    return oracle


def relu(x: float) -> float:
    return x if x != x else max(x, 0.0) if x else 0.0


_BINARY = {
    "add": lambda t: lambda a, b: add(a, b, t, "rn"),
    "sub": lambda t: lambda a, b: add(a, -b, t, "rn"),
    "mul": lambda t: lambda a, b: mul(a, b, t, "rn"),
}
for _t, _value, _bits in (("f16", f16_value, f16_bits), ("bf16", bf16_value, bf16_bits)):
    _two = f"{_t}x2"
    _forms = [(f"{n}.rn", make(_t), 2) for n, make in _BINARY.items()]
    _forms += [
        ("fma.rn", lambda a, b, c, t=_t: fma(a, b, c, t, "rn"), 3),
        ("fma.rn.relu", lambda a, b, c, t=_t: relu(fma(a, b, c, t, "rn")), 3),
        ("min", least, 2),
        ("max", lambda a, b: -least(-a, -b), 2),
        ("min.NaN", lambda a, b: least(a, b, True), 2),
        ("max.NaN", lambda a, b: -least(-a, -b, True), 2),
        ("min.xorsign.abs", xor_sign, 2),
    ]  # fmt: skip
    for _name, _function, _count in _forms:
        if _t == "f16":
            CASES.append(case(f"{_name}.f16", "f16", " ".join(["f16"] * _count), _function))
        else:
            CASES.append(case(f"{_name}.bf16", "bf16", " ".join(["bf16"] * _count), on_bits(_function, _value, _bits)))
        CASES.append(
            case(f"{_name}.{_two}", _two, " ".join([_two] * _count), pairwise(on_bits(_function, _value, _bits)))
        )
    for _name, _work in {"neg": lambda a: a ^ 0x8000, "abs": lambda a: a & 0x7FFF}.items():
        CASES.append(case(f"{_name}.{_two}", _two, _two, pairwise(_work)))
        if _t == "bf16":
            CASES.append(case(f"{_name}.bf16", "bf16", "bf16", _work))
CASES += [
    case("neg.f16", "f16", "f16", lambda a: -a),
    case("abs.f16", "f16", "f16", abs),
    case("neg.ftz.f16", "f16", "f16", lambda a: -flushed(a, "f16")),
    case("add.ftz.f16", "f16", "f16 f16", lambda a, b: flushed(add(flushed(a, "f16"), flushed(b, "f16"), "f16", "rn"), "f16")),
    case("mul.rn.sat.f16", "f16", "f16 f16", lambda a, b: saturated(mul(a, b, "f16", "rn"))),
    case("fma.rn.ftz.sat.f16", "f16", "f16 f16 f16", lambda a, b, c: saturated(flushed(fma(*(flushed(x, "f16") for x in (a, b, c)), "f16", "rn"), "f16"))),
    case("ex2.approx.f16", "f16", "f16", lambda a: float(np.exp2(np.float64(a))), ulps=1),
    case("tanh.approx.f16", "f16", "f16", lambda a: float(np.tanh(np.float64(a))), ulps=1),
    case("tanh.approx.bf16", "bf16", "bf16", on_bits(lambda a: float(np.tanh(np.float64(a))), bf16_value, bf16_bits)),
    case("ex2.approx.ftz.bf16x2", "bf16x2", "bf16x2", pairwise(on_bits(lambda a: flushed(float(np.exp2(np.float64(flushed(a))))), bf16_value, bf16_bits))),
    case("tanh.approx.f16x2", "f16x2", "f16x2", pairwise(on_bits(lambda a: float(np.tanh(np.float64(a))), f16_value, f16_bits))),
]  # fmt: skip


def floats(function):  # type: ignore[no-untyped-def]
    """A function on f32 numbers, on pairs of them in 64 bits."""

    def oracle(*operands: int) -> int:
        both = []
        for shift in (0, 32):
            words = np.array([o >> shift & 0xFFFFFFFF for o in operands], np.uint32).view(np.float32)
            result = function(*(float(w) for w in words))
            both.append(0x7FC00000 if result != result else int(np.array([result], np.float32).view(np.uint32)[0]))
        return both[0] | both[1] << 32

    return oracle


NEWEST = [
    case("add.rn.f32x2", "f32x2", "b64 b64", floats(lambda a, b: add(a, b, "f32", "rn"))),
    case("sub.rz.f32x2", "f32x2", "b64 b64", floats(lambda a, b: add(a, -b, "f32", "rz"))),
    case("mul.rm.f32x2", "f32x2", "b64 b64", floats(lambda a, b: mul(a, b, "f32", "rm"))),
    case("fma.rn.ftz.f32x2", "f32x2", "b64 b64 b64", floats(lambda a, b, c: flushed(fma(*map(flushed, (a, b, c)), "f32", "rn")))),
]  # fmt: skip
for _t, _of in (("f16", float), ("bf16", bf16_value)):
    NEWEST += [
        case(f"add.f32.{_t}", "f32", f"{_t} f32", lambda a, c, of=_of: add(of(a), c, "f32", "rn")),
        case(f"add.rm.f32.{_t}", "f32", f"{_t} f32", lambda a, c, of=_of: add(of(a), c, "f32", "rm")),
        case(f"sub.rn.sat.f32.{_t}", "f32", f"{_t} f32", lambda a, c, of=_of: saturated(add(of(a), -c, "f32", "rn"))),
        case(f"fma.rn.f32.{_t}", "f32", f"{_t} {_t} f32", lambda a, b, c, of=_of: fma(of(a), of(b), c, "f32", "rn")),
        case(f"fma.rz.sat.f32.{_t}", "f32", f"{_t} {_t} f32", lambda a, b, c, of=_of: saturated(fma(of(a), of(b), c, "f32", "rz"))),
    ]  # fmt: skip


@pytest.mark.parametrize("c", [*CASES, *NEWEST], ids=str)
def test_instruction(c):
    check(c)
