"""One instruction on many operands, each thread its own, and oracles in Python's exact numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lowering.simulator import types

from .kernels import module
from .running import launch

N = 384
_REGISTER = {"pred": "p", 1: "h", 2: "h", 4: "r", 8: "d"}
_DECLARED = ".reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<8>; .reg .b64 %d<8>; .reg .b64 %a<9>; .reg .b32 %t;"


@dataclass(frozen=True)
class Case:
    """An opcode, its result's type and its operands' types, and what one thread's result is.

    The oracle takes the operands of one thread as Python numbers (predicates as bools, bf16 and packed types as ints
    of their bits) and returns such a number. `tail` is what stands behind the operands: constants.
    """

    opcode: str
    result: str
    sources: tuple[str, ...]
    oracle: Callable[..., object]
    tail: str = ""
    ulps: float = 0

    def __str__(self) -> str:
        return self.opcode + self.tail.replace(" ", "")


def case(
    opcode: str, result: str, sources: str, oracle: Callable[..., object], tail: str = "", ulps: float = 0
) -> Case:
    return Case(opcode, result, tuple(sources.split()), oracle, tail, ulps)


def _register(type: str, number: int) -> str:
    return f"%{_REGISTER['pred' if type == 'pred' else types.size(type)]}{number}"


def text(c: Case, name: str = "k", chip: str = "sm_90") -> str:
    """A module whose kernel runs the case's instruction."""
    return module(
        body(c), ", ".join(f".param .u64 x{k}" for k in range(len(c.sources) + 1)), chip=chip, version="8.6"
    ).replace("entry k(", f"entry {name}(")


def body(c: Case) -> str:
    lines = [_DECLARED, "{ .reg .b32 %q<3>; mov.u32 %q0, %ctaid.x; shl.b32 %q1, %q0, 7; mov.u32 %q2, %tid.x;"]
    lines[-1] += " add.u32 %t, %q1, %q2; }"
    for k, type in enumerate((c.result, *c.sources)):
        width = 4 if type == "pred" else types.size(type)
        lines.append(f"ld.param.b64 %a{k}, [x{k}]; mul.wide.u32 %a8, %t, {width}; add.u64 %a{k}, %a{k}, %a8;")
        if k == 0:
            continue
        if type == "pred":
            lines.append(f"ld.global.b32 %r7, [%a{k}]; setp.ne.u32 %p{k}, %r7, 0;")
        else:
            lines.append(f"ld.global.b{8 * width} {_register(type, k)}, [%a{k}];")
    operands = [_register(type, k) for k, type in enumerate((c.result, *c.sources))]
    lines.append(f"{c.opcode} {', '.join(operands)}{c.tail};")
    if c.result == "pred":
        lines.append("selp.b32 %r0, 1, 0, %p0; st.global.b32 [%a0], %r0;")
    else:
        lines.append(f"st.global.b{8 * types.size(c.result)} [%a0], {_register(c.result, 0)};")
    return "\n".join([*lines, "ret;"])


def check(c: Case) -> None:
    """The simulator's results are the oracle's."""
    rng = np.random.default_rng(sum(map(ord, str(c))))
    operands = [values(type, rng) for type in c.sources]
    out = np.zeros(N, np.uint32 if c.result == "pred" else types.dtype(c.result))
    launch(text(c), "k", N // 128, 128, out, *[o.astype(np.uint32) if o.dtype == bool else o for o in operands])
    with np.errstate(all="ignore"):
        want = [c.oracle(*(o[i].item() for o in operands)) for i in range(N)]
    for i in range(N):
        got = bool(out[i]) if c.result == "pred" else out[i].item()
        assert _same(got, want[i], c), (
            f"{c}: thread {i}: {[o[i].item() for o in operands]} gave {got!r}, not {want[i]!r}"
        )


def _same(got: object, want: object, c: Case) -> bool:
    if isinstance(want, float) and isinstance(got, float):
        if np.isnan(want) or np.isnan(got):
            return bool(np.isnan(want) and np.isnan(got))
        kind = types.dtype(c.result).type
        with np.errstate(over="ignore"):
            rounded = float(kind(want))
        if c.ulps and np.isfinite(rounded):
            return abs(got - want) <= c.ulps * float(np.spacing(np.abs(kind(want)) if want else kind(0)))
        return rounded == got and np.signbit(want) == np.signbit(got)
    if c.result in _LANES:
        return all(
            x == y or (_is_nan(x, c.result) and _is_nan(y, c.result))
            for x, y in zip(*map(_LANES[c.result], (got, want)))
        )
    if isinstance(want, int) and not isinstance(want, bool) and c.result != "pred":
        bits = 8 * types.size(c.result)
        return (int(got) - want) % (1 << bits) == 0  # type: ignore[call-overload]
    return got == want


def _words(width: int, count: int):  # type: ignore[no-untyped-def]
    return lambda bits: [bits >> width * k & ((1 << width) - 1) for k in range(count)]


# Of bf16 and packed results only the numbers are compared: which NaN it is, is not said.
_LANES = {"f16x2": _words(16, 2), "bf16x2": _words(16, 2), "bf16": _words(16, 1), "f32x2": _words(32, 2)}


def _is_nan(bits: int, type: str) -> bool:
    most = {"f16x2": 0x7C00, "bf16x2": 0x7F80, "bf16": 0x7F80, "f32x2": 0x7F800000}[type]
    return bits & (0x7FFFFFFF if type == "f32x2" else 0x7FFF) > most


_FLOAT_EDGES = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, 1.5, 2.5, -2.5, 3.0, 1 / 3, 255.5, -1e-3, 2.0**31]


def values(type: str, rng: np.random.Generator) -> np.ndarray:
    """Operands of a type: random ones, and those at the edges of its range, in a random order."""
    if type == "pred":
        return rng.integers(0, 2, N).astype(bool)
    dtype = types.dtype(type)
    if dtype.kind == "f":
        info = np.finfo(dtype)
        edges = [*_FLOAT_EDGES, info.max, -info.max, info.tiny, -info.tiny, info.tiny / 2, info.eps, 1 + info.eps]
        with np.errstate(all="ignore"):
            wide = rng.normal(size=N) * 2.0 ** rng.integers(-12, 12, N)
            far = rng.normal(size=N) * 2.0 ** rng.integers(info.minexp // 2, info.maxexp // 2, N)
            made = np.where(rng.random(N) < 0.7, wide, far).astype(dtype)
            picked = rng.choice(np.array(edges).astype(dtype), N)
        return np.where(rng.random(N) < 0.35, picked, made)
    width = 8 * dtype.itemsize
    if type in ("bf16", "bf16x2", "f16x2"):
        return _small_bits(type, rng)
    edges = [0, 1, 2, 3, 5, 8, 15, 16, 31, 32, 33, 63, 64, 255, (1 << width) - 1, (1 << width) - 2]
    edges += [1 << (width - 1), (1 << (width - 1)) - 1, (1 << (width - 1)) + 1]
    raw = np.array([int(rng.integers(0, 1 << 63)) * 2 + int(rng.integers(0, 2)) for _ in range(N)], object)
    raw >>= rng.integers(0, 64, N).astype(object)
    picked = rng.choice(np.array(edges, object), N)
    chosen = np.where(rng.random(N) < 0.5, picked, raw)
    return np.array([int(v) & ((1 << width) - 1) for v in chosen], types.bits(type)).view(dtype)


def _small_bits(type: str, rng: np.random.Generator) -> np.ndarray:
    if type == "bf16":
        return (values("f32", rng).view(np.uint32) >> 16).astype(np.uint16)
    half = type[:-2]
    low, high = (values(half, rng).view(np.uint16).astype(np.uint32) for _ in range(2))
    return low | high << 16


# --- oracles


def exact_round(x: Fraction | float, type: str, mode: str = "rn") -> float:
    """A rational number rounded to a floating-point type: by definition, with ints."""
    if isinstance(x, float):
        if x != x or abs(x) == float("inf"):
            return x
        if x == 0:
            return x
        x = Fraction(x)
    digits, least, most = {
        "f64": (53, -1074, 1024),
        "f32": (24, -149, 128),
        "f16": (11, -24, 16),
        "bf16": (8, -133, 128),
    }[type]
    if x == 0:
        return 0.0
    size = abs(x)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - digits + 1, least)
    steps = size / unit
    whole = steps.numerator // steps.denominator
    rest = steps - whole
    up = {
        "rn": rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1),
        "rz": False,
        "rm": rest > 0 and x < 0,
        "rp": rest > 0 and x > 0,
    }[mode]
    result = (whole + up) * unit
    sign = -1.0 if x < 0 else 1.0
    if result >= Fraction(2) ** most:
        away = mode == "rn" or (mode == "rp" and x > 0) or (mode == "rm" and x < 0)
        largest = (Fraction(2) ** digits - 1) * Fraction(2) ** (most - digits)
        return sign * (float("inf") if away else float(largest))
    return sign * float(result)


def finite(*numbers: float) -> bool:
    return all(abs(x) < float("inf") for x in numbers)


def flushed(x: float, type: str = "f32") -> float:
    tiny = {"f32": 2.0**-126, "f16": 2.0**-14}[type]
    return float(np.copysign(0.0, x)) if abs(x) < tiny else x


def bf16_value(bits: int) -> float:
    return float(np.array([bits << 16], np.uint32).view(np.float32)[0])


def bf16_bits(x: float) -> int:
    if x != x:
        return 0x7FFF
    return int(np.array([exact_round(x, "bf16")], np.float32).view(np.uint32)[0]) >> 16


def f16_value(bits: int) -> float:
    return float(np.array([bits], np.uint16).view(np.float16)[0])


def f16_bits(x: float) -> int:
    if x != x:
        return 0x7E00
    return int(np.array([exact_round(x, "f16")], np.float64).astype(np.float16).view(np.uint16)[0])


def signed(x: int, width: int) -> int:
    x &= (1 << width) - 1
    return x - (1 << width) if x >> (width - 1) else x


def truncated(a: int, b: int) -> int:
    """a / b towards zero."""
    q = abs(a) // abs(b)
    return q if (a < 0) == (b < 0) else -q
