"""Expression trees for partial derivatives.

Takes nothing but numbers and leaves; leaves `Expr` trees that the tables are made of. A leaf is an operand of the op
(`x0`, `x1`, ...) or one of its results (`r0`, `r1`): a row uses a result wherever that is cheaper than computing the
same thing again from the operands. Nothing here touches MLIR, so that the tables can be read, printed and checked
without it; `emission.py` turns a tree into ops.

A tree is never simplified behind the author's back: a row means exactly the arithmetic that it spells, because that
arithmetic was chosen for its behaviour at the edges of the domain. Sub-trees that a row shares are emitted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Number = int | float
Leaf = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Expr:
    """One node: `op` applied to `args`; `value` is a constant's value, a leaf's index or a callee's name."""

    op: str
    args: tuple[Expr, ...] = ()
    value: float | int | str = 0

    def __add__(self, other: Expr | Number) -> Expr:
        return Expr("add", (self, as_expr(other)))

    def __radd__(self, other: Number) -> Expr:
        return Expr("add", (as_expr(other), self))

    def __sub__(self, other: Expr | Number) -> Expr:
        return Expr("sub", (self, as_expr(other)))

    def __rsub__(self, other: Number) -> Expr:
        return Expr("sub", (as_expr(other), self))

    def __mul__(self, other: Expr | Number) -> Expr:
        return Expr("mul", (self, as_expr(other)))

    def __rmul__(self, other: Number) -> Expr:
        return Expr("mul", (as_expr(other), self))

    def __truediv__(self, other: Expr | Number) -> Expr:
        return Expr("div", (self, as_expr(other)))

    def __rtruediv__(self, other: Number) -> Expr:
        return Expr("div", (as_expr(other), self))

    def __neg__(self) -> Expr:
        return Expr("neg", (self,))

    def is_const(self, value: float) -> bool:
        """Whether this is the constant `value`."""
        return self.op == "const" and self.value == value

    def nodes(self) -> Iterator[Expr]:
        """Every node below and including this one, shared ones once."""
        seen: set[int] = set()
        todo = [self]
        while todo:
            node = todo.pop()
            if id(node) not in seen:
                seen.add(id(node))
                yield node
                todo.extend(node.args)

    def leaves(self) -> frozenset[Leaf]:
        """The operands and results that this expression reads: a set of ("x", i) and ("r", i)."""
        return frozenset((node.op, int(node.value)) for node in self.nodes() if node.op in ("x", "r"))


def as_expr(value: Expr | Number) -> Expr:
    """A number becomes a constant; an expression stays itself."""
    return value if isinstance(value, Expr) else Expr("const", (), float(value))


x0, x1, x2 = (Expr("x", (), i) for i in range(3))
r0, r1 = (Expr("r", (), i) for i in range(2))

# The functions of one or more float arguments that a partial may use. Each of them is an op with a row of its own (or
# without any derivative), because second derivatives come from differentiating what was emitted.
_FUNCTIONS = """
    abs acos acosh asin asinh atan atan2 atanh cbrt copysign cos cosh erf erfc exp exp2 expm1 fma log log10 log1p log2
    max min pow round roundeven rsqrt sin sinh sqrt tan tanh trunc
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())

PREDICATES = ("oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno")


def fn(name: str, *args: Expr | Number) -> Expr:
    """The math function `name` (one of FUNCTIONS) of `args`."""
    if name not in FUNCTIONS:
        raise ValueError(f"no function {name!r} for derivative rows; there are: {' '.join(sorted(FUNCTIONS))}")
    return Expr(name, tuple(as_expr(a) for a in args))


def compare(predicate: str, a: Expr | Number, b: Expr | Number) -> Expr:
    """A comparison of floats, by the name of arith.cmpf's predicate."""
    if predicate not in PREDICATES:
        raise ValueError(f"no predicate {predicate!r}; there are: {' '.join(PREDICATES)}")
    return Expr("cmp", (as_expr(a), as_expr(b)), predicate)


def is_zero(a: Expr) -> Expr:
    return compare("oeq", a, 0)


def is_nan(a: Expr) -> Expr:
    return compare("uno", a, a)


def both(a: Expr, b: Expr) -> Expr:
    return Expr("and", (a, b))


def either(a: Expr, b: Expr) -> Expr:
    return Expr("or", (a, b))


def select(condition: Expr, a: Expr | Number, b: Expr | Number) -> Expr:
    """`a` where the condition holds, else `b`. Both are computed: keep infinities out of them (see `instead`)."""
    return Expr("select", (condition, as_expr(a), as_expr(b)))


def instead(condition: Expr, replacement: Expr | Number, value: Expr) -> Expr:
    """`value`, but `replacement` where the condition holds.

    Put around an *argument*, before the function that is singular there. Choosing after the function would be too
    late for second derivatives: the reverse sweep multiplies the zero cotangent of the branch not taken by infinity.
    """
    return select(condition, replacement, value)


def call(callee: str, *args: Expr) -> Expr:
    """A call of one of the helper functions of `special.py`, by its symbol name."""
    return Expr("call", args, callee)


def int_to_float(a: Expr) -> Expr:
    """An integer operand as a float of the op's own type."""
    return Expr("sitofp", (a,))


def int_is_zero(a: Expr) -> Expr:
    return Expr("int_is_zero", (a,))


def int_minus_one(a: Expr) -> Expr:
    """An integer operand less one, which stops at the smallest integer instead of wrapping round to the largest."""
    return Expr("int_minus_one", (a,))


def powi(a: Expr, n: Expr) -> Expr:
    """A float to an integer power."""
    return Expr("powi", (a, n))
