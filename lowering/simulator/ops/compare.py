"""Comparisons and selections."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .. import types
from ..arithmetic.exact import flush
from ..arithmetic.small import halves, unpack
from ..forms import Alu, Binder, Form, Step, form
from ..syntax import Instruction, Name, Operand, Pair

if TYPE_CHECKING:
    from ..operands import Scope

_Test = Callable[[np.ndarray, np.ndarray], np.ndarray]
_ORDERED: dict[str, _Test] = {
    "eq": np.equal,
    "ne": lambda a, b: (a < b) | (a > b),  # an ordered comparison: false if one is NaN
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_FLOAT: dict[str, _Test] = {
    **_ORDERED,
    "equ": lambda a, b: ~((a < b) | (a > b)),
    "neu": np.not_equal,
    "ltu": lambda a, b: ~(a >= b),
    "leu": lambda a, b: ~(a > b),
    "gtu": lambda a, b: ~(a <= b),
    "geu": lambda a, b: ~(a < b),
    "num": lambda a, b: ~(np.isnan(a) | np.isnan(b)),
    "nan": lambda a, b: np.isnan(a) | np.isnan(b),
}
_WHOLE: dict[str, _Test] = {
    **_ORDERED,
    "ne": np.not_equal,
    "lo": np.less,
    "ls": np.less_equal,
    "hi": np.greater,
    "hs": np.greater_equal,
}
_FLOAT_WORDS = " ".join(_FLOAT)
_BOOLEAN: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
_FORMS = [
    ("cmp{.bool}.type", {"cmp": "eq ne", "type": "b16 b32 b64"}),
    ("cmp{.bool}.type", {"cmp": "eq ne lt le gt ge", "type": "s16 s32 s64"}),
    ("cmp{.bool}.type", {"cmp": "eq ne lt le gt ge lo ls hi hs", "type": "u16 u32 u64"}),
    ("cmp{.bool}{.ftz}.type", {"cmp": _FLOAT_WORDS, "type": "f32 f16"}),
    ("cmp{.bool}.type", {"cmp": _FLOAT_WORDS, "type": "f64 bf16"}),
]


def _test(f: Form) -> _Test:
    """The comparison of a form, on values as they are read."""
    type = f.type
    test = (_FLOAT if types.is_float(type) else _WHOLE)[f.cmp]
    if type == "bf16":
        return lambda a, b: test(unpack("bf16", a), unpack("bf16", b))
    if f.ftz:
        tiny = np.float16(2.0**-14)
        if type == "f16":

            def flushed(x: np.ndarray) -> np.ndarray:
                return np.where(np.abs(x) < tiny, np.float16(0), x)

            return lambda a, b: test(flushed(a), flushed(b))
        return lambda a, b: test(flush(a), flush(b))
    return test


def _two(operand: Operand) -> tuple[Operand, Operand | None]:
    """A destination, and the second one of `p|q`."""
    if isinstance(operand, Pair):
        return Name(operand.first), Name(operand.second)
    return operand, None


def _setp(f: Form) -> Binder:
    test, combine = _test(f), _BOOLEAN.get(f.bool)

    def bind(instruction: Instruction, scope: Scope) -> Step:
        scope.expect(4 if combine else 3)
        target, second = _two(instruction.operands[0])
        write = scope.writer(target, "pred")
        write_other = scope.writer(second, "pred") if second is not None else None
        one, two = (scope.reader(o, f.type) for o in instruction.operands[1:3])
        third = scope.reader(instruction.operands[3], "pred") if combine else None

        def step(m, t) -> None:
            found = test(one(m, t), two(m, t))
            if third is None or combine is None:
                write(m, t, found)
                if write_other is not None:
                    write_other(m, t, ~found)
                return
            given = third(m, t)
            other = combine(~found, given) if write_other is not None else None
            write(m, t, combine(found, given))
            if write_other is not None and other is not None:
                write_other(m, t, other)

        return step

    return bind


for _pattern, _classes in _FORMS:
    form(f"setp.{_pattern}", bool="and or xor", **_classes)(_setp)


@form("setp.cmp{.ftz}.f16x2", "setp.cmp.bf16x2", cmp=_FLOAT_WORDS)
def setp_pair(f: Form) -> Binder:
    """Two comparisons, to two predicates."""
    test = _FLOAT[f.cmp]
    type = f.opcode.split(".")[-1][:-2]

    def bind(instruction: Instruction, scope: Scope) -> Step:
        scope.expect(3)
        both = instruction.operands[0]
        if not isinstance(both, Pair):
            raise scope.error("a packed comparison has two destinations, p|q")
        writes = [scope.writer(Name(name), "pred") for name in both]
        one, two = (scope.reader(o, "b32") for o in instruction.operands[1:])

        def step(m, t) -> None:
            for write, a, b in zip(writes, halves(one(m, t)), halves(two(m, t))):
                write(m, t, test(unpack(type, a), unpack(type, b)))

        return step

    return bind


def _set(f: Form) -> Alu:
    """A comparison whose result is all ones, or the number 1, where it holds."""
    test, combine = _test(f), _BOOLEAN.get(f.bool)
    kind = types.dtype(f.result)
    yes = kind.type(1) if f.result == "f32" else kind.type(-1) if f.result == "s32" else kind.type(0xFFFFFFFF)

    def function(a: np.ndarray, b: np.ndarray, *given: np.ndarray) -> np.ndarray:
        found = test(a, b)
        if combine is not None:
            found = combine(found, given[0])
        return np.where(found, yes, kind.type(0))

    return Alu(f.result, (f.type, f.type, *(["pred"] if combine else [])), function)


for _pattern, _classes in _FORMS:
    _named = _pattern.replace(".type", ".result.type")
    form(f"set.{_named}", bool="and or xor", result="u32 s32 f32", **_classes)(_set)


@form("selp.type", type="b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64")
def selp(f: Form) -> Alu:
    return Alu(f.type, (f.type, f.type, "pred"), lambda a, b, p: np.where(p, a, b))


@form("slct{.ftz}.type.test", type="b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64", test="s32 f32")
def slct(f: Form) -> Alu:
    """The first where the third is not negative (-0 is not, NaN is)."""
    seen = flush if f.ftz else (lambda c: c)
    return Alu(f.type, (f.type, f.type, f.test), lambda a, b, c: np.where(seen(c) >= 0, a, b))
