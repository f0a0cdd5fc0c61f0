"""Comparisons and selections."""

from __future__ import annotations

import operator

import pytest

from .opcodes import bf16_value, case, check, f16_value, flushed, signed

ORDERED = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
NAN = float("nan")


def ordered(name: str):  # type: ignore[no-untyped-def]
    """Of floats: false if one is NaN; with a u behind it, true."""
    if name in ("num", "nan"):
        return lambda a, b: (a != a or b != b) == (name == "nan")
    test, unordered = ORDERED[name[:2]], name.endswith("u")
    return lambda a, b: unordered if a != a or b != b else test(a, b)


FLOAT = [*ORDERED, *(f"{n}u" for n in ORDERED), "num", "nan"]
CASES = [
    case(f"setp.{name}.{type}", "pred", f"{type} {type}", test)
    for type in ("u16", "s16", "u32", "s32", "u64", "s64")
    for name, test in ORDERED.items()
]
CASES += [case(f"setp.{n}.{t}", "pred", f"{t} {t}", ORDERED[n]) for t in ("b16", "b32", "b64") for n in ("eq", "ne")]
CASES += [
    case(f"setp.{n}.u32", "pred", "u32 u32", ORDERED[m])
    for n, m in {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}.items()
]
CASES += [case(f"setp.{n}.{t}", "pred", f"{t} {t}", ordered(n)) for t in ("f32", "f64", "f16") for n in FLOAT]
CASES += [
    case(f"setp.{n}.bf16", "pred", "bf16 bf16", lambda a, b, n=n: ordered(n)(bf16_value(a), bf16_value(b)))
    for n in ("lt", "neu", "nan")
]
CASES += [
    case("setp.lt.ftz.f32", "pred", "f32 f32", lambda a, b: flushed(a) < flushed(b)),
    case("setp.gt.ftz.f16", "pred", "f16 f16", lambda a, b: flushed(a, "f16") > flushed(b, "f16")),
    case("setp.lt.and.s32", "pred", "s32 s32 pred", lambda a, b, p: a < b and p),
    case("setp.geu.or.f64", "pred", "f64 f64 pred", lambda a, b, p: ordered("geu")(a, b) or p),
    case("setp.ne.xor.b16", "pred", "b16 b16 pred", lambda a, b, p: (a != b) != p),
    case("setp.eq.and.ftz.f32", "pred", "f32 f32 pred", lambda a, b, p: flushed(a) == flushed(b) and p),
    case("set.lt.u32.s32", "u32", "s32 s32", lambda a, b: -1 if a < b else 0),
    case("set.gtu.u32.f32", "u32", "f32 f32", lambda a, b: -1 if ordered("gtu")(a, b) else 0),
    case("set.le.f32.f64", "f32", "f64 f64", lambda a, b: float(a <= b)),
    case("set.eq.s32.b64", "s32", "b64 b64", lambda a, b: -(a == b)),
    case("set.hi.and.u32.u16", "u32", "u16 u16 pred", lambda a, b, p: -(a > b and p)),
    case("set.ne.u32.bf16", "u32", "bf16 bf16", lambda a, b: -ordered("ne")(bf16_value(a), bf16_value(b))),
    case("selp.b16", "b16", "b16 b16 pred", lambda a, b, p: a if p else b),
    case("selp.f32", "f32", "f32 f32 pred", lambda a, b, p: a if p else b),
    case("selp.b64", "b64", "b64 b64 pred", lambda a, b, p: a if p else b),
    case("slct.b32.s32", "b32", "b32 b32 s32", lambda a, b, c: a if c >= 0 else b),
    case("slct.f64.f32", "f64", "f64 f64 f32", lambda a, b, c: a if c >= 0 else b),
    case("slct.ftz.f32.f32", "f32", "f32 f32 f32", lambda a, b, c: a if flushed(c) >= 0 else b),
]


@pytest.mark.parametrize("c", CASES, ids=str)
def test_instruction(c):
    check(c)


def test_the_second_destination_is_the_opposite():
    import numpy as np

    from .kernels import module
    from .running import launch

    body = """
      .reg .pred %p<3>; .reg .b32 %r<5>; .reg .b64 %a<2>;
      mov.u32 %r0, %tid.x; ld.param.b64 %a0, [x]; mad.wide.u32 %a1, %r0, 4, %a0;
      setp.lt.s32 %p0|%p1, %r0, 3;
      selp.b32 %r1, 1, 0, %p0; selp.b32 %r2, 2, 0, %p1; add.u32 %r3, %r1, %r2;
      setp.eq.and.s32 %p0|%p1, %r0, 4, %p1;
      selp.b32 %r1, 4, 0, %p0; selp.b32 %r2, 8, 0, %p1; add.u32 %r3, %r3, %r1; add.u32 %r3, %r3, %r2;
      @!%p0 add.u32 %r3, %r3, 16;
      st.global.b32 [%a1], %r3;
      ret;"""
    out = np.zeros(6, np.uint32)
    launch(module(body, ".param .u64 x"), "k", 1, 6, out)
    assert out.tolist() == [17, 17, 17, 26, 6, 26]


def test_packed_comparisons_have_two_results():
    import numpy as np

    from .kernels import module
    from .running import launch

    for opcode, value in (("setp.lt.f16x2", f16_value), ("setp.lt.bf16x2", bf16_value)):
        body = f"""
          .reg .pred %p<2>; .reg .b32 %r<5>; .reg .b64 %a<3>;
          mov.u32 %r0, %tid.x; ld.param.b64 %a0, [x]; mad.wide.u32 %a1, %r0, 8, %a0;
          ld.global.v2.b32 {{%r1, %r2}}, [%a1];
          {opcode} %p0|%p1, %r1, %r2;
          selp.b32 %r3, 1, 0, %p0; selp.b32 %r4, 2, 0, %p1; or.b32 %r3, %r3, %r4;
          st.global.b32 [%a1], %r3;
          ret;"""
        words = np.random.default_rng(1).integers(0, 2**32, (64, 2), np.uint32)
        out = words.copy()
        launch(module(body, ".param .u64 x"), "k", 1, 64, out)
        want = [
            sum((value(int(a) >> 16 * k & 0xFFFF) < value(int(b) >> 16 * k & 0xFFFF)) << k for k in (0, 1))
            for a, b in words
        ]
        assert out[:, 0].tolist() == want
    assert signed(0xFFFF, 16) == -1
