"""From expression trees to MLIR ops at the current insertion point.

Takes an `Expr`, the values of its leaves and the type of the op it belongs to (a float, a vector of floats, or a
complex number); leaves one value. `emit_product` multiplies a partial by a tangent or cotangent, which is what both
modes do with a row, and leaves out whatever multiplications the form of the partial makes unnecessary: a rewriting is
made only where it gives the same number, infinities and NaNs included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlir import ir

from dialects.rules import special
from dialects.rules.expr import Expr

LeafValue = Callable[[str, int], ir.Value]
Term = tuple[bool, ir.Value]  # whether to be subtracted, value

_REAL = {
    "add": "arith.addf",
    "sub": "arith.subf",
    "mul": "arith.mulf",
    "div": "arith.divf",
    "neg": "arith.negf",
    "max": "arith.maximumf",
    "min": "arith.minimumf",
    "abs": "math.absf",
    "pow": "math.powf",
    "powi": "math.fpowi",
}
_COMPLEX = {"pow": "complex.pow", "powi": "complex.powi"}
_PREDICATES = "false oeq ogt oge olt ole one ord ueq ugt uge ult ule une uno true"
_PREDICATE_NUMBER = {name: number for number, name in enumerate(_PREDICATES.split())}


def emit(expr: Expr, leaf: LeafValue, type: ir.Type, loc: ir.Location) -> ir.Value:
    """The value of `expr`; `type` is the type of its float leaves, and so of the value."""
    return Emitter(leaf, type, loc).value(expr)


def emit_product(
    expr: Expr,
    t: ir.Value,
    leaf: LeafValue,
    type: ir.Type,
    loc: ir.Location,
    *,
    strong_zero: bool = False,
    conjugate: bool = False,
) -> ir.Value:
    """`expr` times the tangent or cotangent `t`.

    `type` is the type of `expr`. `t` may have dimensions in front of those of `type` (several tangents at once): `expr`
    is then computed once and broadcast. Where `t` has another float type, as through a cast, it is converted first.
    With `strong_zero` the product is 0 wherever `t` is 0. `conjugate` takes the conjugate of a complex partial, which
    is what the reverse of a holomorphic function does.
    """
    emitter = Emitter(leaf, type, loc, strong_zero=strong_zero, conjugate=conjugate)
    return emitter.total([emitter.term(expr, t)])


class Emitter:
    """Emits expressions over one set of leaves at one place; nodes that they share are emitted once."""

    def __init__(
        self, leaf: LeafValue, type: ir.Type, loc: ir.Location, *, strong_zero: bool = False, conjugate: bool = False
    ) -> None:
        self.leaf = leaf
        self.type = type
        self.loc = loc
        self.strong_zero = strong_zero
        self.complex = isinstance(type, ir.ComplexType)
        self.conjugate = conjugate and self.complex
        self.done: dict[int, ir.Value] = {}

    # --- values

    def value(self, expr: Expr) -> ir.Value:
        """The value of one expression, with the type of its leaves."""
        value = self.done.get(id(expr))
        if value is None:
            value = self.done[id(expr)] = self._value(expr)
        return value

    def _value(self, expr: Expr) -> ir.Value:
        op = expr.op
        if op in ("x", "r"):
            return self.leaf(op, int(expr.value))
        if op == "const":
            return self.constant(float(expr.value))
        args = [self.value(arg) for arg in expr.args]
        if op == "cmp":
            return compare(str(expr.value), args[0], args[1], self.loc)
        if op == "select":
            return self.op("arith.select", args[1].type, args)
        if op in ("and", "or"):
            return self.op(f"arith.{op}i", args[0].type, args)
        if op == "call":
            return self.call(str(expr.value), args)
        if op == "sitofp":
            return self.int_to_float(args[0])
        if op == "int_is_zero":
            zero = int_constant(args[0].type, 0, self.loc)
            equal = {"predicate": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), 0)}
            return self.op("arith.cmpi", same_shape(args[0].type, bool_type()), [args[0], zero], equal)
        if op == "int_minus_one":
            return self.int_minus_one(args[0])
        if self.complex:
            return self.op(_COMPLEX.get(op, f"complex.{op}"), self.type, args)
        return self.op(_REAL.get(op, f"math.{op}"), args[0].type, args)

    def constant(self, value: float, type: ir.Type | None = None) -> ir.Value:
        """A constant of `type` (else of the type of the expression)."""
        return constant(value, type or self.type, self.loc)

    def int_to_float(self, n: ir.Value) -> ir.Value:
        if self.complex:
            part = ir.ComplexType(self.type).element_type
            real = self.op("arith.sitofp", part, [n])
            return self.op("complex.create", self.type, [real, self.constant(0.0, part)])
        return self.op("arith.sitofp", same_shape(n.type, element(self.type)), [n])

    def int_minus_one(self, n: ir.Value) -> ir.Value:
        width = ir.IntegerType(element(n.type)).width
        if width < 32:  # room for one less than the smallest
            n = self.op("arith.extsi", same_shape(n.type, ir.IntegerType.get_signless(32)), [n])
            width = 32
        else:  # at the smallest integer the power is the same to the last bit or not finite
            lowest = int_constant(n.type, -(1 << (width - 1)) + 1, self.loc)
            n = self.op("arith.maxsi", n.type, [n, lowest])
        return self.op("arith.subi", n.type, [n, int_constant(n.type, 1, self.loc)])

    def call(self, callee: str, args: Sequence[ir.Value]) -> ir.Value:
        """A call of a helper, which computes in f64 whatever the type of the op."""
        special.ensure(callee)
        f64 = ir.F64Type.get()
        wide = [cast(a, f64, self.loc) for a in args]
        result = self.op("func.call", f64, wide, {"callee": ir.FlatSymbolRefAttr.get(callee)})
        return cast(result, self.type, self.loc)

    def op(
        self, name: str, type: ir.Type, operands: Sequence[ir.Value], attributes: dict[str, ir.Attribute] | None = None
    ) -> ir.Value:
        return build(name, type, operands, self.loc, attributes)

    # --- products

    def term(self, expr: Expr, t: ir.Value) -> Term:
        """`expr * t`, up to its sign, which `total` turns into a subtraction or a negation."""
        t = cast(t, self.type, self.loc)
        negated, value = self._product(expr, t)
        if self.strong_zero and not _finite(expr):
            value = zero_where_zero(t, value, self.loc)
        return negated, value

    def total(self, terms: Sequence[Term]) -> ir.Value:
        """The sum of one or more terms."""
        # A positive term first, so that a difference needs no negation.
        first, *rest = sorted(terms, key=lambda term: term[0])
        value = first[1]
        add, sub, neg = ("complex.add", "complex.sub", "complex.neg") if self.complex else _ADDITIVE
        if first[0]:
            value = self.op(neg, value.type, [value])
        for negated, other in rest:
            value = self.op(sub if negated else add, value.type, [value, other])
        return value

    def _product(self, expr: Expr, t: ir.Value) -> Term:
        if expr.op == "const":
            if expr.value in (1, -1):
                return expr.value == -1, t
            if expr.value == 0:
                return False, self.constant(0.0, t.type)
        elif expr.op == "neg":
            negated, value = self._product(expr.args[0], t)
            return not negated, value
        elif expr.op == "div" and expr.args[0].is_const(1):
            return False, self._binary("div", t, self._factor(expr.args[1], t))
        elif expr.op == "div" and expr.args[0].is_const(-1):
            return True, self._binary("div", t, self._factor(expr.args[1], t))
        elif expr.op == "select" and any(arm.op == "const" for arm in expr.args[1:]):
            arms = [self.total([self._product(arm, t)]) for arm in expr.args[1:]]
            condition = self.value(expr.args[0])
            if isinstance(condition.type, ir.VectorType):
                condition = broadcast(condition, same_shape(t.type, bool_type()), self.loc)
            return False, self.op("arith.select", t.type, [condition, *arms])
        return False, self._binary("mul", self._factor(expr, t), t)

    def _factor(self, expr: Expr, t: ir.Value) -> ir.Value:
        value = self.value(expr)
        if self.conjugate:
            return self.op("complex.conj", value.type, [value])
        return broadcast(value, t.type, self.loc)

    def _binary(self, op: str, a: ir.Value, b: ir.Value) -> ir.Value:
        return self.op(f"complex.{op}" if self.complex else _REAL[op], a.type, [a, b])


_ADDITIVE = ("arith.addf", "arith.subf", "arith.negf")


def _finite(expr: Expr) -> bool:
    """Whether the partial cannot be infinite or NaN, so that 0 times it is 0 in any case."""
    if expr.op == "const":
        return expr.value - expr.value == 0  # type: ignore[operator]
    if expr.op == "neg":
        return _finite(expr.args[0])
    return expr.op == "select" and all(_finite(arm) for arm in expr.args[1:])


# --- types and single ops


def element(type: ir.Type) -> ir.Type:
    """The element type of a vector; any other type itself."""
    return ir.VectorType(type).element_type if isinstance(type, ir.VectorType) else type


def same_shape(shape_of: ir.Type, element_type: ir.Type) -> ir.Type:
    """A type with the shape of the first and elements of the second."""
    if isinstance(shape_of, ir.VectorType):
        return ir.VectorType.get(shape_of.shape, element_type, scalable=shape_of.scalable_dims)
    return element_type


def bool_type() -> ir.Type:
    return ir.IntegerType.get_signless(1)


def build(
    name: str,
    type: ir.Type,
    operands: Sequence[ir.Value],
    loc: ir.Location,
    attributes: dict[str, ir.Attribute] | None = None,
) -> ir.Value:
    """One op with one result."""
    op = ir.Operation.create(name, results=[type], operands=list(operands), attributes=attributes, loc=loc)
    return op.results[0]


def constant(value: float, type: ir.Type, loc: ir.Location) -> ir.Value:
    """A float constant: scalar, splat vector, or complex with imaginary part zero."""
    if isinstance(type, ir.ComplexType):
        part = type.element_type
        parts = ir.ArrayAttr.get([ir.FloatAttr.get(part, value), ir.FloatAttr.get(part, 0.0)])
        return build("complex.constant", type, [], loc, {"value": parts})
    attribute: ir.Attribute = ir.FloatAttr.get(element(type), value)
    if isinstance(type, ir.VectorType):
        attribute = ir.DenseElementsAttr.get_splat(type, attribute)
    return build("arith.constant", type, [], loc, {"value": attribute})


def compare(predicate: str, a: ir.Value, b: ir.Value, loc: ir.Location) -> ir.Value:
    """A comparison by the name of arith.cmpf's predicate; of complex numbers only whether they are equal."""
    if isinstance(a.type, ir.ComplexType):
        name = {"oeq": "complex.eq", "une": "complex.neq"}[predicate]
        return build(name, bool_type(), [a, b], loc)
    attribute = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), _PREDICATE_NUMBER[predicate])
    return build("arith.cmpf", same_shape(a.type, bool_type()), [a, b], loc, {"predicate": attribute})


def zero_where_zero(t: ir.Value, value: ir.Value, loc: ir.Location) -> ir.Value:
    """`value`, but 0 where `t` is 0: what a strong zero does to a product with `t`."""
    is_zero = compare("oeq", t, constant(0.0, t.type, loc), loc)
    return build("arith.select", value.type, [is_zero, constant(0.0, value.type, loc), value], loc)


def int_constant(type: ir.Type, value: int, loc: ir.Location) -> ir.Value:
    """An integer constant: scalar or splat vector."""
    attribute: ir.Attribute = ir.IntegerAttr.get(element(type), value)
    if isinstance(type, ir.VectorType):
        attribute = ir.DenseElementsAttr.get_splat(type, attribute)
    return build("arith.constant", type, [], loc, {"value": attribute})


def broadcast(value: ir.Value, type: ir.Type, loc: ir.Location) -> ir.Value:
    """`value` repeated over the dimensions that `type` has in front of it."""
    return value if value.type == type else build("vector.broadcast", type, [value], loc)


def cast(value: ir.Value, like: ir.Type, loc: ir.Location) -> ir.Value:
    """`value` converted to the float type of `like`, keeping its own shape."""
    source, target = element(value.type), element(like)
    if source == target or isinstance(target, ir.ComplexType):
        return value
    wide = _width(source), _width(target)
    if wide[0] == wide[1]:  # f16 and bf16: neither holds the other
        value = build("arith.extf", same_shape(value.type, ir.F32Type.get()), [value], loc)
        wide = 32, wide[1]
    name = "arith.extf" if wide[0] < wide[1] else "arith.truncf"
    return build(name, same_shape(value.type, target), [value], loc)


def _width(type: ir.Type) -> int:
    return int(ir.FloatType(type).width)
