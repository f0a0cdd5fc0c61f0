"""gcd and lcm of integers of any type, by Euclid's loop on 64 bits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from mlir import ir
from mlir.dialects import arith, scf

from .. import types
from . import casts
from .values import Builder, Value

_I = arith.CmpIPredicate


def _type_of(value: Value) -> types.Scalar:
    assert isinstance(value.type, types.Scalar)
    return value.type


def gcd(b: Builder, x: ir.Value, y: ir.Value) -> ir.Value:
    """The greatest common divisor of two i64 that are not negative, by Euclid's loop."""
    i64 = b.shared.type("i64")
    loop = scf.WhileOp([i64, i64], [x, y])
    before = loop.before.blocks.append(i64, i64)
    with ir.InsertionPoint(before):
        p, q = before.arguments
        scf.ConditionOp(arith.cmpi(_I.ne, q, b.i64(0)), [p, q])
    after = loop.after.blocks.append(i64, i64)
    with ir.InsertionPoint(after):
        p, q = after.arguments
        scf.YieldOp([q, arith.remui(p, q)])
    return loop.results[0]


def _magnitude(b: Builder, value: Value) -> ir.Value:
    """|value| in 64 bits."""
    t = _type_of(value)
    x = casts.coerce(b, value, types.uint64 if t.kind == "u" else types.int64)
    return x if t.kind == "u" else arith.select(arith.cmpi(_I.slt, x, b.i64(0)), arith.subi(b.i64(0), x), x)


def emit_gcd(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    result = reduce(lambda x, y: gcd(b, x, y), [_magnitude(b, a) for a in args])
    return casts.cast(b, result, types.uint64, t)


def _lcm(b: Builder, x: ir.Value, y: ir.Value) -> ir.Value:
    divisor = gcd(b, x, y)
    is_zero = arith.cmpi(_I.eq, divisor, b.i64(0))
    safe = arith.select(is_zero, b.i64(1), divisor)
    return arith.muli(arith.divui(x, safe), y)


def emit_lcm(b: Builder, args: Sequence[Value], t: types.Scalar) -> ir.Value:
    result = reduce(lambda x, y: _lcm(b, x, y), [_magnitude(b, a) for a in args])
    return casts.cast(b, result, types.uint64, t)
