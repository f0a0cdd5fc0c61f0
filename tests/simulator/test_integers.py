"""Integer arithmetic, logic, shifts and fields of bits against Python's ints."""

# ruff: noqa: E501  (tables)
from __future__ import annotations

import pytest

from .opcodes import case, check, signed, truncated

CASES = []


def of(type: str) -> int:
    return int(type[1:])


for _t in ("u16", "u32", "u64", "s16", "s32", "s64"):
    _w, _s = of(_t), _t[0] == "s"
    _wrap = (lambda v, w=_w: signed(v, w)) if _s else (lambda v, w=_w: v % (1 << w))
    CASES += [
        case(f"add.{_t}", _t, f"{_t} {_t}", lambda a, b: a + b),
        case(f"sub.{_t}", _t, f"{_t} {_t}", lambda a, b: a - b),
        case(f"mul.lo.{_t}", _t, f"{_t} {_t}", lambda a, b: a * b),
        case(f"mul.hi.{_t}", _t, f"{_t} {_t}", lambda a, b, w=_w: (a * b) >> w),
        case(f"mad.lo.{_t}", _t, f"{_t} {_t} {_t}", lambda a, b, c: a * b + c),
        case(f"mad.hi.{_t}", _t, f"{_t} {_t} {_t}", lambda a, b, c, w=_w: ((a * b) >> w) + c),
        case(f"div.{_t}", _t, f"{_t} {_t}", lambda a, b: truncated(a, b) if b else -1),
        case(f"rem.{_t}", _t, f"{_t} {_t}", lambda a, b: a - truncated(a, b) * b if b else a),
        case(f"min.{_t}", _t, f"{_t} {_t}", min),
        case(f"max.{_t}", _t, f"{_t} {_t}", max),
        case(f"sad.{_t}", _t, f"{_t} {_t} {_t}", lambda a, b, c: abs(a - b) + c),
        case(f"shr.{_t}", _t, f"{_t} u32", lambda a, n, w=_w: a >> min(n, 64)),
    ]
    if _s:
        CASES += [case(f"abs.{_t}", _t, _t, abs), case(f"neg.{_t}", _t, _t, lambda a: -a)]
    if _w < 64:
        _d = f"{_t[0]}{2 * _w}"
        CASES += [
            case(f"mul.wide.{_t}", _d, f"{_t} {_t}", lambda a, b: a * b),
            case(f"mad.wide.{_t}", _d, f"{_t} {_t} {_d}", lambda a, b, c: a * b + c),
        ]


def clamp(v: int, low: int = -(2**31), high: int = 2**31 - 1) -> int:
    return max(low, min(high, v))


def halves(v: int, is_signed: bool) -> list[int]:
    return [signed(v >> s, 16) if is_signed else (v >> s) & 0xFFFF for s in (0, 16)]


def paired(function, is_signed: bool):  # type: ignore[no-untyped-def]
    def oracle(a: int, b: int) -> int:
        low, high = (function(x, y) & 0xFFFF for x, y in zip(halves(a, is_signed), halves(b, is_signed)))
        return low | high << 16

    return oracle


CASES += [
    case("add.sat.s32", "s32", "s32 s32", lambda a, b: clamp(a + b)),
    case("sub.sat.s32", "s32", "s32 s32", lambda a, b: clamp(a - b)),
    case("mad.hi.sat.s32", "s32", "s32 s32 s32", lambda a, b, c: clamp(((a * b) >> 32) + c)),
    case("add.s16x2", "b32", "b32 b32", paired(lambda x, y: x + y, True)),
    case("min.s16x2", "b32", "b32 b32", paired(min, True)),
    case("max.u16x2", "b32", "b32 b32", paired(max, False)),
    case("min.relu.s32", "s32", "s32 s32", lambda a, b: max(min(a, b), 0)),
    case("max.relu.s32", "s32", "s32 s32", lambda a, b: max(a, b, 0)),
    case("mul24.lo.u32", "u32", "u32 u32", lambda a, b: (a & 0xFFFFFF) * (b & 0xFFFFFF)),
    case("mul24.hi.s32", "s32", "s32 s32", lambda a, b: (signed(a, 24) * signed(b, 24)) >> 16),
    case("mad24.lo.s32", "s32", "s32 s32 s32", lambda a, b, c: signed(a, 24) * signed(b, 24) + c),
    case("mad24.hi.u32", "u32", "u32 u32 u32", lambda a, b, c: (((a & 0xFFFFFF) * (b & 0xFFFFFF)) >> 16) + c),
    case(
        "dp4a.s32.u32",
        "s32",
        "s32 u32 s32",
        lambda a, b, c: sum(signed(a >> s, 8) * ((b >> s) & 255) for s in (0, 8, 16, 24)) + c,
    ),
    case(
        "dp2a.hi.u32.s32",
        "s32",
        "u32 s32 s32",
        lambda a, b, c: (a & 0xFFFF) * signed(b >> 16, 8) + (a >> 16) * signed(b >> 24, 8) + c,
    ),
]

# --- bits

for _w in (16, 32, 64):
    _t = f"b{_w}"
    CASES += [
        case(f"and.{_t}", _t, f"{_t} {_t}", lambda a, b: a & b),
        case(f"or.{_t}", _t, f"{_t} {_t}", lambda a, b: a | b),
        case(f"xor.{_t}", _t, f"{_t} {_t}", lambda a, b: a ^ b),
        case(f"not.{_t}", _t, _t, lambda a: ~a),
        case(f"cnot.{_t}", _t, _t, lambda a: int(a == 0)),
        case(f"shl.{_t}", _t, f"{_t} u32", lambda a, n: a << min(n, 64)),
        case(f"shr.{_t}", _t, f"{_t} u32", lambda a, n: a >> min(n, 64)),
    ]
for _w in (32, 64):
    _t = f"b{_w}"
    CASES += [
        case(f"popc.{_t}", "u32", _t, lambda a: bin(a).count("1")),
        case(f"clz.{_t}", "u32", _t, lambda a, w=_w: w - a.bit_length()),
        case(f"brev.{_t}", _t, _t, lambda a, w=_w: int(format(a, f"0{w}b")[::-1], 2)),
    ]


def bfe(a: int, position: int, length: int, width: int, is_signed: bool) -> int:
    position, length = position & 255, length & 255
    if length == 0:
        return 0
    raw = a & ((1 << width) - 1)
    sign = raw >> min(position + length - 1, width - 1) & 1 if is_signed else 0
    return sum((raw >> (position + k) & 1 if k < length and position + k < width else sign) << k for k in range(width))


def bfi(a: int, b: int, position: int, length: int, width: int) -> int:
    position, length = position & 255, length & 255
    for k in range(length):
        if position + k < width:
            b = b & ~(1 << (position + k)) | (a >> k & 1) << (position + k) if k < width else b
    return b


def bfind(a: int, width: int, amount: bool) -> int:
    length = (~a if a < 0 else a).bit_length()
    if not length:
        return 0xFFFFFFFF
    return width - length if amount else length - 1


for _t in ("u32", "u64", "s32", "s64"):
    _w, _s = of(_t), _t[0] == "s"
    CASES += [
        case(f"bfe.{_t}", _t, f"{_t} u32 u32", lambda a, p, n, w=_w, s=_s: bfe(a, p, n, w, s)),
        case(f"bfind.{_t}", "u32", _t, lambda a, w=_w: bfind(a, w, False)),
        case(f"bfind.shiftamt.{_t}", "u32", _t, lambda a, w=_w: bfind(a, w, True)),
    ]
for _w in (32, 64):
    CASES += [case(f"bfi.b{_w}", f"b{_w}", f"b{_w} b{_w} u32 u32", lambda a, b, p, n, w=_w: bfi(a, b, p, n, w))]


def funnel(low: int, high: int, n: int, left: bool, wraps: bool) -> int:
    n = n & 31 if wraps else min(n, 32)
    both = high << 32 | low
    return (both << n) >> 32 if left else both >> n


def prmt(a: int, b: int, selector: int) -> int:
    both, out = b << 32 | a, 0
    for k in range(4):
        nibble = selector >> 4 * k & 15
        byte = both >> 8 * (nibble & 7) & 255
        out |= ((255 if byte & 128 else 0) if nibble & 8 else byte) << 8 * k
    return out


def prmt_mode(a: int, b: int, c: int, mode: str) -> int:
    k = c & 3
    rows = {
        "f4e": [k, k + 1, k + 2, k + 3],
        "b4e": [k, k + 7, k + 6, k + 5],
        "rc8": [k] * 4,
        "ecl": [max(k, j) for j in range(4)],
        "ecr": [min(k, j) for j in range(4)],
        "rc16": [0, 1, 0, 1] if k % 2 == 0 else [2, 3, 2, 3],
    }
    return sum((((b << 32 | a) >> 8 * (r % 8)) & 255) << 8 * j for j, r in enumerate(rows[mode]))


def ones(n: int) -> int:
    return (1 << n) - 1


CASES += [
    case(f"shf.{way}.{mode}.b32", "b32", "b32 b32 u32", lambda a, b, n, w=way, m=mode: funnel(a, b, n, w == "l", m == "wrap"))
    for way in "lr"
    for mode in ("wrap", "clamp")
]  # fmt: skip
CASES += [
    case(f"prmt.b32.{mode}", "b32", "b32 b32 b32", lambda a, b, c, m=mode: prmt_mode(a, b, c, m))
    for mode in ("f4e", "b4e", "rc8", "ecl", "ecr", "rc16")
]
CASES += [
    case("prmt.b32", "b32", "b32 b32 b32", prmt),
    case("lop3.b32", "b32", "b32 b32 b32", lambda a, b, c: (a & b) ^ c, ", 0x6A"),
    case("lop3.b32", "b32", "b32 b32 b32", lambda a, b, c: (a | b) & ~c, ", 0x54"),
    case("bmsk.clamp.b32", "b32", "u32 u32", lambda p, n: ones(min(n, 32)) << min(p, 32)),
    case("bmsk.wrap.b32", "b32", "u32 u32", lambda p, n: ones(n & 31) << (p & 31)),
    case("szext.clamp.u32", "u32", "u32 u32", lambda a, n: a & ones(min(n, 32))),
    case("szext.wrap.s32", "s32", "s32 u32", lambda a, n: signed(a, n & 31) if n & 31 else 0),
    case("and.pred", "pred", "pred pred", lambda a, b: a and b),
    case("or.pred", "pred", "pred pred", lambda a, b: a or b),
    case("xor.pred", "pred", "pred pred", lambda a, b: a != b),
    case("not.pred", "pred", "pred", lambda a: not a),
]


@pytest.mark.parametrize("c", CASES, ids=str)
def test_instruction(c):
    check(c)
