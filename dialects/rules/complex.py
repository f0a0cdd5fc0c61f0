"""Rules of the complex dialect.

A complex value counts as the pair of its parts: a tangent is dre + i dim, a cotangent is dL/dre + i dL/dim. For a
holomorphic function that makes the forward rule `partial * tangent` and the reverse rule `conj(partial) * cotangent`,
so those ops have rows like any other. What is not holomorphic (abs, re, im, conj, ...) is linear over the reals only
and has its forward and its reverse in code here.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir import ir

from dialects.rules.emission import Emitter, LeafValue, build, constant, emit
from dialects.rules.expr import (
    Expr,
    both,
    fn,
    instead,
    int_is_zero,
    int_minus_one,
    int_to_float,
    is_zero,
    powi,
    r0,
    x0,
    x1,
)
from dialects.rules.math import RULES as MATH
from dialects.rules.rule import CodeRule, MaybeValue, Rule, row


def _holomorphic(*partials: Expr | float | None, note: str = "") -> Rule:
    return row(*partials, note=note, holomorphic=True)


_square_sum = x0 * x0 + x1 * x1

RULES: dict[str, Rule] = {
    "complex.add": _holomorphic(1, 1),
    "complex.sub": _holomorphic(1, -1),
    "complex.mul": _holomorphic(x1, x0),
    "complex.div": _holomorphic(1 / x1, -(r0 / x1)),
    "complex.neg": _holomorphic(-1),
    "complex.exp": _holomorphic(r0),
    "complex.expm1": _holomorphic(fn("exp", x0)),
    "complex.log": _holomorphic(1 / x0),
    "complex.log1p": _holomorphic(1 / (1 + x0)),
    "complex.pow": _holomorphic(
        x1 * fn("pow", instead(both(is_zero(x0), is_zero(x1)), 1, x0), x1 - 1),
        r0 * fn("log", instead(is_zero(x0), 1, x0)),
        note="by the base 0 at 0 ** 0; by the exponent 0 where the base is 0",
    ),
    "complex.powi": _holomorphic(
        int_to_float(x1) * powi(instead(int_is_zero(x1), 1, x0), int_minus_one(x1)), None, note="0 where the power is 0"
    ),
    "complex.sqrt": _holomorphic(0.5 / r0),
    "complex.rsqrt": _holomorphic(-0.5 * (r0 / x0)),
    "complex.sin": _holomorphic(fn("cos", x0)),
    "complex.cos": _holomorphic(-fn("sin", x0)),
    "complex.tan": _holomorphic(1 + r0 * r0),
    "complex.tanh": _holomorphic(1 - r0 * r0),
    "complex.atan2": _holomorphic(x1 / _square_sum, -(x0 / _square_sum)),
}

INACTIVE = frozenset(("complex.constant", "complex.eq", "complex.neq"))

REFUSED = {
    "complex.bitcast": "the bits of a complex number have no derivative; take it apart with complex.re and complex.im",
}


class _Code:
    """Short names for the ops of one rule in code, at one place."""

    def __init__(self, loc: ir.Location) -> None:
        self.loc = loc

    def op(self, name: str, type: ir.Type, *operands: ir.Value) -> ir.Value:
        return build(name, type, operands, self.loc)

    def parts(self, z: ir.Value) -> tuple[ir.Value, ir.Value]:
        part = _part(z.type)
        return self.op("complex.re", part, z), self.op("complex.im", part, z)

    def create(self, re: ir.Value, im: ir.Value) -> ir.Value:
        return self.op("complex.create", ir.ComplexType.get(re.type), re, im)

    def zero(self, type: ir.Type) -> ir.Value:
        return constant(0.0, type, self.loc)

    def mul(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.op("arith.mulf", a.type, a, b)

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.op("arith.addf", a.type, a, b)

    def sub(self, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.op("arith.subf", a.type, a, b)

    def over_length(self, z: ir.Value, length: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The parts of z / length, 0 where the length is 0, by dividing by 1 there."""
        safe = emit(instead(is_zero(x0), 1, x0), lambda kind, i: length, length.type, self.loc)
        origin = emit(is_zero(x0), lambda kind, i: length, length.type, self.loc)
        zero = constant(0.0, length.type, self.loc)
        parts = (self.op("arith.divf", p.type, p, safe) for p in self.parts(z))
        re, im = (self.op("arith.select", p.type, origin, zero, p) for p in parts)
        return re, im


def _part(type: ir.Type) -> ir.Type:
    return ir.ComplexType(type).element_type


def _only(values: Values) -> ir.Value:
    """The one tangent or cotangent there is: a rule in code is not asked when all of them are zero."""
    (value,) = (v for v in values if v is not None)
    return value


Values = Sequence[MaybeValue]
Types = Sequence[ir.Type]


def _abs_forward(leaf: LeafValue, tangents: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    code = _Code(loc)
    re, im = code.over_length(leaf("x", 0), leaf("r", 0))
    t_re, t_im = code.parts(_only(tangents))
    return [code.add(code.mul(re, t_re), code.mul(im, t_im))]


def _abs_reverse(leaf: LeafValue, cotangents: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    code = _Code(loc)
    re, im = code.over_length(leaf("x", 0), leaf("r", 0))
    return [code.create(code.mul(re, _only(cotangents)), code.mul(im, _only(cotangents)))]


def _angle_partials(code: _Code, z: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Partials of the angle by the real and by the imaginary part: those of atan2(im, re)."""
    re, im = code.parts(z)
    emitter = Emitter(lambda kind, i: (im, re)[i], re.type, code.loc)
    by_im, by_re = (emitter.value(p) for p in MATH["math.atan2"].partials[0] if p is not None)
    return by_re, by_im


def _angle_forward(leaf: LeafValue, tangents: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    code = _Code(loc)
    by_re, by_im = _angle_partials(code, leaf("x", 0))
    t_re, t_im = code.parts(_only(tangents))
    return [code.add(code.mul(by_re, t_re), code.mul(by_im, t_im))]


def _angle_reverse(leaf: LeafValue, cotangents: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    code = _Code(loc)
    by_re, by_im = _angle_partials(code, leaf("x", 0))
    return [code.create(code.mul(by_re, _only(cotangents)), code.mul(by_im, _only(cotangents)))]


def _sign(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    """z / |z|: the part of dz across z, over |z|. As a map of the plane it is symmetric: its own reverse."""
    code = _Code(loc)
    z, s = leaf("x", 0), leaf("r", 0)
    length = code.op("complex.abs", _part(z.type), z)
    s_re, s_im = code.parts(s)
    d_re, d_im = code.over_length(_only(given), length)
    along = code.add(code.mul(s_re, d_re), code.mul(s_im, d_im))
    return [code.create(code.sub(d_re, code.mul(along, s_re)), code.sub(d_im, code.mul(along, s_im)))]


def _conj(leaf: LeafValue, given: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    return [_Code(loc).op("complex.conj", _only(given).type, _only(given))]


def _re_forward(leaf: LeafValue, tangents: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    return [_Code(loc).op("complex.re", _part(_only(tangents).type), _only(tangents))]


def _re_reverse(leaf: LeafValue, cotangents: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    code = _Code(loc)
    return [code.create(_only(cotangents), code.zero(_only(cotangents).type))]


def _im_forward(leaf: LeafValue, tangents: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    return [_Code(loc).op("complex.im", _part(_only(tangents).type), _only(tangents))]


def _im_reverse(leaf: LeafValue, cotangents: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    code = _Code(loc)
    return [code.create(code.zero(_only(cotangents).type), _only(cotangents))]


def _create_forward(leaf: LeafValue, tangents: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    code = _Code(loc)
    part = _part(types[0])
    re, im = (code.zero(part) if t is None else t for t in tangents)
    return [code.create(re, im)]


def _create_reverse(leaf: LeafValue, cotangents: Values, types: Types, loc: ir.Location) -> list[MaybeValue]:
    return list(_Code(loc).parts(_only(cotangents)))


RULES.update(
    {
        "complex.abs": CodeRule(
            _abs_forward,
            _abs_reverse,
            operands=1,
            reads=[("x", 0), ("r", 0)],
            multiplies=True,
            formula="forward: re(conj(x0) t) / r0; reverse: x0 / r0 * t",
            note="0 at 0",
        ),
        "complex.angle": CodeRule(
            _angle_forward,
            _angle_reverse,
            operands=1,
            reads=[("x", 0)],
            multiplies=True,
            formula="as atan2(im(x0), re(x0))",
            note="0 at 0",
        ),
        "complex.sign": CodeRule(
            _sign,
            _sign,
            operands=1,
            reads=[("x", 0), ("r", 0)],
            multiplies=True,
            formula="both: (t - r0 re(conj(r0) t)) / abs(x0)",
            note="0 at 0",
        ),
        "complex.conj": CodeRule(_conj, _conj, operands=1, formula="both: conj(t)"),
        "complex.re": CodeRule(_re_forward, _re_reverse, operands=1, formula="forward: re(t); reverse: t + 0i"),
        "complex.im": CodeRule(_im_forward, _im_reverse, operands=1, formula="forward: im(t); reverse: 0 + t i"),
        "complex.create": CodeRule(
            _create_forward, _create_reverse, operands=2, formula="forward: t0 + t1 i; reverse: re(t), im(t)"
        ),
    }
)
