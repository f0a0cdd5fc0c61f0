"""Helper functions that derivatives call: the polygamma functions, which no dialect and no C library has.

Takes a symbol name; leaves the function of that name in the symbol table around the insertion point, built of arith,
math and scf alone, so that it compiles wherever kernels do. `__dsl_polygamma_m` is the m-th derivative of the digamma
function (m = 0). Its own row says that its derivative is `__dsl_polygamma_<m + 1>`, so every order is differentiable.

Accuracy is about 1e-13 relative away from zeros, in f64. For x >= 10 + m it is the asymptotic series with Bernoulli
numbers; smaller x are brought there by the recurrence; negative x are reflected. Poles give an infinity or NaN.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import comb, factorial, pi

from mlir import ir

_NAME = re.compile(r"__dsl_polygamma_(\d+)$")
_TERMS = 14  # of the asymptotic series
MAX_ORDER = 20


def name(order: int) -> str:
    """The symbol of the polygamma function of an order."""
    return f"__dsl_polygamma_{order}"


def order(callee: str) -> int | None:
    """The order of the polygamma function that a symbol names; None for any other symbol."""
    match = _NAME.match(callee)
    return int(match[1]) if match else None


def ensure(callee: str) -> None:
    """Put the helper into the symbol table around the current insertion point, if it is not there."""
    m = order(callee)
    if m is None:
        raise ValueError(f"no helper function {callee!r} for derivative rows")
    table = symbol_table(ir.InsertionPoint.current.block.owner)
    block = table.regions[0].blocks[0]
    for op in block:
        if "sym_name" in op.attributes and ir.StringAttr(op.attributes["sym_name"]).value == callee:
            return
    parsed = ir.Module.parse(polygamma_text(m), context=table.context)
    function = parsed.body.operations[0].detach_from_parent()
    block.append(function)


def symbol_table(op: ir.OpView | ir.Operation) -> ir.Operation:
    operation = op.operation
    while operation.name not in ("builtin.module", "gpu.module"):
        if operation.parent is None:
            raise ValueError("derivative rules need a module around the op that they differentiate")
        operation = operation.parent.operation
    return operation


# --- the text of the functions


def polygamma_text(m: int) -> str:
    """MLIR text of `__dsl_polygamma_<m>`: f64 -> f64, private."""
    if m > MAX_ORDER:
        raise ValueError(f"derivatives of the gamma functions are supported up to order {MAX_ORDER}")
    lines = _Lines()
    body = _series_body(m, lines)
    reflected = _reflection_body(m, lines)
    start = 10 + m
    return f"""
func.func private @{name(m)}(%x: f64) -> f64 attributes {{no_inline}} {{
  %zero = arith.constant 0.0 : f64
  %one = arith.constant 1.0 : f64
  %start = arith.constant {start:.1f} : f64
  %negative = arith.cmpf ole, %x, %zero : f64
  %mirror = arith.subf %one, %x : f64
  %positive = arith.select %negative, %mirror, %x : f64
  %shifted:2 = scf.while (%y = %positive, %sum = %zero) : (f64, f64) -> (f64, f64) {{
    %more = arith.cmpf olt, %y, %start : f64
    scf.condition(%more) %y, %sum : f64, f64
  }} do {{
  ^bb0(%y: f64, %sum: f64):
{lines.power("%pole", "%one", "%y", m + 1)}
    %sum_next = arith.addf %sum, %pole : f64
    %y_next = arith.addf %y, %one : f64
    scf.yield %y_next, %sum_next : f64, f64
  }}
{body}
  %result = scf.if %negative -> f64 {{
{reflected}
  }} else {{
    scf.yield %value : f64
  }}
  return %result : f64
}}
"""


class _Lines:
    """Writes straight-line f64 arithmetic with fresh names."""

    def __init__(self) -> None:
        self.count = 0

    def fresh(self) -> str:
        self.count += 1
        return f"%t{self.count}"

    def constant(self, out: list[str], value: float) -> str:
        result = self.fresh()
        out.append(f"    {result} = arith.constant {value:.17e} : f64")
        return result

    def binary(self, out: list[str], op: str, a: str, b: str, result: str = "") -> str:
        result = result or self.fresh()
        out.append(f"    {result} = arith.{op} {a}, {b} : f64")
        return result

    def power(self, result: str, numerator: str, base: str, exponent: int) -> str:
        """numerator / base ** exponent, by division so that nothing overflows on the way."""
        out: list[str] = []
        for i in range(exponent):
            numerator = self.binary(out, "divf", numerator, base, result if i == exponent - 1 else "")
        return "\n".join(out)

    def polynomial(self, out: list[str], coefficients: list[float], at: str) -> str:
        """Horner's scheme, lowest coefficient first."""
        value = self.constant(out, coefficients[-1])
        for c in reversed(coefficients[:-1]):
            value = self.binary(out, "addf", self.binary(out, "mulf", value, at), self.constant(out, c))
        return value


def _series_body(m: int, lines: _Lines) -> str:
    """The asymptotic series at %shifted#0 and the recurrence's sum, into %value."""
    out: list[str] = []
    z = "%shifted#0"
    inverse = lines.binary(out, "divf", "%one", z)
    square = lines.binary(out, "mulf", inverse, inverse)
    if m == 0:
        # log z - 1/(2z) - sum B_2k / (2k z^2k), minus the sum of 1/y over the steps taken
        tail = lines.polynomial(out, [float(bernoulli(2 * k) / (2 * k)) for k in range(1, _TERMS)], square)
        tail = lines.binary(out, "mulf", tail, square)
        log = lines.fresh()
        out.append(f"    {log} = math.log {z} : f64")
        half = lines.binary(out, "mulf", inverse, lines.constant(out, 0.5))
        value = lines.binary(out, "subf", lines.binary(out, "subf", log, half), tail)
        lines.binary(out, "subf", value, "%shifted#1", "%value")
        return "\n".join(out)
    # (-1)^(m+1) z^-m [ (m-1)! + m!/(2z) + sum B_2k (2k+m-1)!/(2k)! z^-2k ], and m! times the sum of y^-(m+1)
    coefficients = [float(factorial(m - 1))]
    coefficients += [float(bernoulli(2 * k) * factorial(2 * k + m - 1) / factorial(2 * k)) for k in range(1, _TERMS)]
    series = lines.polynomial(out, coefficients, square)
    half = lines.binary(out, "mulf", inverse, lines.constant(out, factorial(m) / 2))
    series = lines.binary(out, "addf", series, half)
    for _ in range(m):
        series = lines.binary(out, "mulf", series, inverse)
    steps = lines.binary(out, "mulf", "%shifted#1", lines.constant(out, float(factorial(m))))
    total = lines.binary(out, "addf", series, steps)
    lines.binary(out, "mulf", total, lines.constant(out, 1.0 if m % 2 else -1.0), "%value")
    return "\n".join(out)


def _reflection_body(m: int, lines: _Lines) -> str:
    """psi_m(x) = (-1)^m psi_m(1 - x) - d^m/dx^m (pi cot(pi x)), yielded; %value is psi_m(1 - x)."""
    out: list[str] = []
    # cot(pi x) from the distance r of x to the nearest integer; near a half it is the tangent of the distance to that.
    quarter, half = lines.constant(out, 0.25), lines.constant(out, 0.5)
    pi_ = lines.constant(out, pi)
    out += [
        "    %nearest = math.roundeven %x : f64",
        "    %r = arith.subf %x, %nearest : f64",
        "    %size = math.absf %r : f64",
        f"    %small = arith.cmpf ole, %size, {quarter} : f64",
        f"    %to_half = arith.subf {half}, %size : f64",
        "    %distance = arith.select %small, %size, %to_half : f64",
        f"    %angle = arith.mulf %distance, {pi_} : f64",
        "    %tangent = math.tan %angle : f64",
        "    %inverse_tangent = arith.divf %one, %tangent : f64",
        "    %cot_size = arith.select %small, %inverse_tangent, %tangent : f64",
        "    %cot = math.copysign %cot_size, %r : f64",
    ]
    derivative = lines.polynomial(out, [pi ** (m + 1) * c for c in cotangent_derivative(m)], "%cot")
    mirrored = lines.binary(out, "mulf", "%value", lines.constant(out, -1.0 if m % 2 else 1.0))
    out.append(f"    scf.yield {lines.binary(out, 'subf', mirrored, derivative)} : f64")
    return "\n".join(out)


def cotangent_derivative(m: int) -> list[int]:
    """Coefficients, lowest first, of the polynomial in cot(t) that is the m-th derivative of cot(t)."""
    polynomial = [0, 1]
    for _ in range(m):
        derived = [0] * (len(polynomial) + 1)
        for power, c in enumerate(polynomial):
            if power:
                derived[power - 1] -= power * c
                derived[power + 1] -= power * c
        polynomial = derived
    return polynomial


def bernoulli(n: int) -> Fraction:
    """The Bernoulli number B_n."""
    numbers = [Fraction(1)]
    for m in range(1, n + 1):
        numbers.append(-sum((comb(m + 1, k) * numbers[k] for k in range(m)), Fraction(0)) / (m + 1))
    return numbers[n]
