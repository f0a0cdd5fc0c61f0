"""Every operation of arith, math, index and complex lowers, and computes what NumPy and SciPy compute."""

import operator

import numpy as np
import pytest
from scipy import special

from tests.lowering.harness import DTYPES, compiled, function

POINTS = [0.3, -0.3, 0.0, -0.0, 1.0, 2.5, -1.5, 7.7, 1e-8, 100.0, np.inf, -np.inf, np.nan]
FLOATS = {"f64": 3e-15, "f32": 4e-7, "f16": 2e-3, "bf16": 1.6e-2}  # and how exact functions are
INTEGERS = ["i8", "i16", "i32", "i64", "index"]
BITS = {"f64": 64, "f32": 32, "f16": 16, "bf16": 16}


def agree(name, arguments, result, body, expected, values, tolerance=0.0):
    """The function of `body` gives for each tuple of `values` what `expected` does."""
    f = compiled(function(arguments, [result], body), results=[result])
    for point in values:
        point = point if isinstance(point, tuple) else (point,)
        with np.errstate(all="ignore"):
            want, got = expected(*point), f(*point)
            both_nan = want != want and got != got
            close = got == want or abs(got - want) <= tolerance * abs(want)
        assert both_nan or close, f"{name}{point}: {got!r}, not {want!r}"


def in_single(type, f):
    """`f` computed in float32 and rounded, for the narrow types."""
    if type not in ("f16", "bf16"):
        return f
    return lambda *x: DTYPES[type](f(*[np.float32(v) for v in x]))


UNARY = {
    "absf": np.abs, "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan,
    "atanh": np.arctanh, "cbrt": np.cbrt, "ceil": np.ceil, "cos": np.cos, "cosh": np.cosh, "erf": special.erf,
    "erfc": special.erfc, "exp": np.exp, "exp2": np.exp2, "expm1": np.expm1, "floor": np.floor, "log": np.log,
    "log10": np.log10, "log1p": np.log1p, "log2": np.log2, "roundeven": np.rint, "rsqrt": lambda x: 1 / np.sqrt(x),
    "round": lambda x: np.copysign(np.floor(np.abs(x) + x.dtype.type(0.5)), x), "sin": np.sin, "sinh": np.sinh,
    "sqrt": np.sqrt, "tan": np.tan, "tanh": np.tanh, "trunc": np.trunc,
}  # fmt: skip


@pytest.mark.parametrize("type", FLOATS)
def test_math_of_one_float(type):
    points = [DTYPES[type](x) for x in POINTS]
    for name, f in UNARY.items():
        agree(name, f"%a: {type}", type, f"%r = math.{name} %a : {type}", in_single(type, f), points, FLOATS[type])
    for number, f in enumerate((np.sin, np.cos)):
        body = f"""%s:2 = math.sincos %a : {type}
            %first = arith.constant {1 - number} : i1
            %r = arith.select %first, %s#0, %s#1 : {type}"""
        agree("sincos", f"%a: {type}", type, body, in_single(type, f), points, FLOATS[type])
    body = f"""%l = arith.constant 0.0 : {type}
        %h = arith.constant 1.0 : {type}
        %r = math.clampf %a to [%l, %h] : {type}"""
    agree("clampf", f"%a: {type}", type, body, lambda x: np.clip(x, type_(0), type_(1)), points)


def type_(x):
    return np.float64(x)


@pytest.mark.parametrize("type", FLOATS)
def test_questions_about_floats(type):
    T = DTYPES[type]
    smallest = {"f64": 2.0**-1022, "f32": 2.0**-126, "f16": 2.0**-14, "bf16": 2.0**-126}[type]
    points = [T(x) for x in [*POINTS, smallest, smallest / 2]]
    questions = {
        "isfinite": np.isfinite, "isinf": np.isinf, "isnan": np.isnan,
        "isnormal": lambda x: bool(np.isfinite(x)) and abs(float(x)) >= smallest,
    }  # fmt: skip
    for name, f in questions.items():
        agree(name, f"%a: {type}", "i1", f"%r = math.{name} %a : {type}", f, points)


@pytest.mark.parametrize("type", FLOATS)
def test_operations_on_two_floats(type):
    T = DTYPES[type]
    pairs = [(T(a), T(b)) for a in POINTS for b in POINTS]
    for name, f in {"atan2": np.arctan2, "copysign": np.copysign, "powf": np.power}.items():
        body = f"%r = math.{name} %a, %b : {type}"
        agree(name, f"%a: {type}, %b: {type}", type, body, in_single(type, f), pairs, FLOATS[type])
    exact = lambda x, y: T(np.longdouble(x) * np.longdouble(y) + np.longdouble(y))
    body = f"%r = math.fma %a, %b, %b : {type}"
    agree("fma", f"%a: {type}, %b: {type}", type, body, exact, pairs, FLOATS[type])
    table = {
        "addf": np.add, "subf": np.subtract, "mulf": np.multiply, "divf": np.divide, "remf": np.fmod,
        "maximumf": np.maximum, "minimumf": np.minimum, "maxnumf": np.fmax, "minnumf": np.fmin,
    }  # fmt: skip
    for name, f in table.items():
        agree(name, f"%a: {type}, %b: {type}", type, f"%r = arith.{name} %a, %b : {type}", f, pairs)
    unordered = lambda a, b: a != a or b != b
    predicates = {
        "oeq": operator.eq, "ogt": operator.gt, "oge": operator.ge, "olt": operator.lt, "ole": operator.le,
        "one": lambda a, b: a < b or a > b, "ord": lambda a, b: not unordered(a, b), "uno": unordered,
        "ueq": lambda a, b: not (a < b or a > b), "ugt": lambda a, b: not a <= b, "uge": lambda a, b: not a < b,
        "ult": lambda a, b: not a >= b, "ule": lambda a, b: not a > b, "une": operator.ne,
    }  # fmt: skip
    for name, f in predicates.items():
        agree(name, f"%a: {type}, %b: {type}", "i1", f"%r = arith.cmpf {name}, %a, %b : {type}", f, pairs)
    agree("negf", f"%a: {type}", type, f"%r = arith.negf %a : {type}", operator.neg, [p for p, _ in pairs])


@pytest.mark.parametrize("type", FLOATS)
def test_powers_with_integers(type):
    T = DTYPES[type]
    for exponent in ("i8", "i32", "i64"):
        points = [(T(x), DTYPES[exponent](n)) for x in POINTS for n in (0, 1, 2, 3, -1, -2, 7)]
        power = lambda x, n: T(np.float64(x) ** int(n))
        body = f"%r = math.fpowi %a, %b : {type}, {exponent}"
        agree("fpowi", f"%a: {type}, %b: {exponent}", type, body, power, points, 4 * FLOATS[type])


@pytest.mark.parametrize("type", FLOATS)
def test_conversions_of_floats(type):
    T, rng = DTYPES[type], np.random.default_rng(0)
    with np.errstate(over="ignore"):
        values = [T(x) for x in POINTS] + [T(x) for x in rng.standard_normal(60) * 10.0 ** rng.integers(-9, 6, 60)]
    for other in FLOATS:
        if BITS[other] != BITS[type]:
            name = "truncf" if BITS[other] < BITS[type] else "extf"
            body = f"%r = arith.{name} %a : {type} to {other}"
            agree(f"{name} to {other}", f"%a: {type}", other, body, DTYPES[other], values)
    for integer in ("i8", "i16", "i32", "i64"):
        I = DTYPES[integer]
        unsigned = lambda x: T(float(int(x) % 2 ** (8 * I(0).nbytes)))
        down, up = f"%r = arith.fpto{{}}i %a : {type} to {integer}", f"%r = arith.{{}}itofp %a : {integer} to {type}"
        agree("fptosi", f"%a: {type}", integer, down.format("s"), lambda x: I(int(x)), [T(-2.7), T(100.5), T(-100)])
        agree("fptoui", f"%a: {type}", integer, down.format("u"), lambda x: I(int(x)), [T(0.3), T(100.5)])
        agree("sitofp", f"%a: {integer}", type, up.format("s"), lambda x: T(float(x)), [I(0), I(-3), I(100), I(-128)])
        agree("uitofp", f"%a: {integer}", type, up.format("u"), unsigned, [I(0), I(3), I(100), I(-128)], FLOATS[type])
    body = f"%r = arith.uitofp %a : i1 to {type}"
    agree("uitofp", "%a: i1", type, body, lambda x: T(float(x)), [np.bool_(False), np.bool_(True)])


def test_rounding_to_sixteen_bits_rounds_once():
    """Doubles just beside the middle of two neighbours, where rounding by way of float goes wrong."""
    for type, digits in (("f16", 10), ("bf16", 7)):
        f = compiled(function("%a: f64", [type], f"%r = arith.truncf %a : f64 to {type}"), results=[type])
        step = 2.0**-digits
        for k in range(4):
            middle = 1 + (k + 0.5) * step
            assert float(f(middle + 2.0**-45)) == 1 + (k + 1) * step
            assert float(f(middle - 2.0**-45)) == 1 + k * step
            assert float(f(middle)) == 1 + (k + k % 2) * step  # to even


def wrap(type):
    width = 8 * DTYPES[type](0).nbytes
    return width, lambda x: np.array(int(x) % 2**width, np.uint64).astype(DTYPES[type])[()]


def ceiling(a, b):
    return -((-a) // b)


def toward_zero(a, b):
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def on_integers(width):
    """name: (function of Python integers, whether its second argument must not be 0)."""
    u = lambda x: x % 2**width
    return {
        "add": (operator.add, False), "sub": (operator.sub, False), "mul": (operator.mul, False),
        "and": (operator.and_, False), "or": (operator.or_, False), "xor": (operator.xor, False),
        "maxs": (max, False), "mins": (min, False), "maxu": (lambda a, b: max(u(a), u(b)), False),
        "minu": (lambda a, b: min(u(a), u(b)), False), "divs": (toward_zero, True),
        "rems": (lambda a, b: a - toward_zero(a, b) * b, True), "divu": (lambda a, b: u(a) // u(b), True),
        "remu": (lambda a, b: u(a) % u(b), True), "floordivs": (operator.floordiv, True), "ceildivs": (ceiling, True),
        "ceildivu": (lambda a, b: ceiling(u(a), u(b)), True),
    }  # fmt: skip


@pytest.mark.parametrize("type", INTEGERS)
def test_arith_of_integers(type):
    I, (width, wrapped) = DTYPES[type], wrap(type)
    values = [I(x) for x in (0, 1, -1, 5, -7, 13, 100, -100, -128, 127)]
    pairs = [(a, b) for a in values for b in values]
    divisible = [(a, b) for a, b in pairs if b not in (0, -1)]
    two = f"%a: {type}, %b: {type}"
    for name, (f, divides) in on_integers(width).items():
        expected = lambda a, b, f=f: wrapped(f(int(a), int(b)))
        agree(name, two, type, f"%r = arith.{name}i %a, %b : {type}", expected, divisible if divides else pairs)
    shifts = {"shl": lambda a, s: a << s, "shrs": lambda a, s: a >> s, "shru": lambda a, s: a % 2**width >> s}
    for name, f in shifts.items():
        points = [(a, I(s)) for a in values for s in (0, 1, 3, 7)]
        body = f"%r = arith.{name}i %a, %b : {type}"
        agree(name, two, type, body, lambda a, s, f=f: wrapped(f(int(a), int(s))), points)
    for part in (0, 1):
        for name, sign in (("mului_extended", 2**width), ("mulsi_extended", 0)):
            body = f"""%q:2 = arith.{name} %a, %b : {type}
                %low = arith.constant {1 - part} : i1
                %r = arith.select %low, %q#0, %q#1 : {type}"""
            number = (lambda x: int(x) % sign) if sign else int
            agree(name, two, type, body, lambda a, b: wrapped(number(a) * number(b) >> width * part), pairs)
    body = f"%s, %r = arith.addui_extended %a, %b : {type}, i1"
    agree("addui_extended", two, "i1", body, lambda a, b: int(a) % 2**width + int(b) % 2**width >= 2**width, pairs)
    compare = {"eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt}
    for name, f in {**compare, "ge": operator.ge}.items():
        for sign in ("",) if name in ("eq", "ne") else ("s", "u"):
            number = (lambda x: int(x) % 2**width) if sign == "u" else int
            body = f"%r = arith.cmpi {sign}{name}, %a, %b : {type}"
            agree(sign + name, two, "i1", body, lambda a, b: f(number(a), number(b)), pairs)


@pytest.mark.parametrize("type", INTEGERS)
def test_math_of_integers(type):
    I, (width, wrapped) = DTYPES[type], wrap(type)
    values = [I(x) for x in (0, 1, -1, 5, -7, 13, 100, -100, -128, 127)]
    table = {
        "absi": abs, "ctlz": lambda a: width - (a % 2**width).bit_length(),
        "ctpop": lambda a: bin(a % 2**width).count("1"), "cttz": lambda a: (a & -a).bit_length() - 1 if a else width,
    }  # fmt: skip
    for name, f in table.items():
        body = f"%r = math.{name} %a : {type}"
        agree(name, f"%a: {type}", type, body, lambda a, f=f: wrapped(f(int(a))), values)
    powers = [(a, I(n)) for a in values for n in (0, 1, 2, 3, 5)]
    body = f"%r = math.ipowi %a, %b : {type}"
    agree("ipowi", f"%a: {type}, %b: {type}", type, body, lambda a, n: wrapped(int(a) ** int(n)), powers)


def test_index_dialect():
    I, (width, wrapped) = np.int64, wrap("index")
    points = [(I(a), I(b)) for a in (0, 1, -1, 5, -7, 100) for b in (1, 3, -5, 7)]
    for name, (f, _) in on_integers(width).items():
        expected = lambda a, b, f=f: wrapped(f(int(a), int(b)))
        agree(name, "%a: index, %b: index", "index", f"%r = index.{name} %a, %b", expected, points)


COMPLEX = [
    0.3 + 0.4j, -0.3 + 2j, 1j, -1 + 0j, 2 - 3j, -2 - 0.1j, 1 + 1e-3j, 0j, 5 + 0j, 20 + 20j, 1e-3 + 1e-3j, 3e-5 - 2j,
    complex(np.inf, 1), complex(np.nan, 1),
]  # fmt: skip


@pytest.mark.parametrize("part, tolerance", [("f64", 2e-14), ("f32", 1e-6)])
def test_complex(part, tolerance):
    type = f"complex<{part}>"
    T, R = DTYPES[type], DTYPES[part]
    points = [T(z) for z in COMPLEX]
    finite = [z for z in points if np.isfinite(z)]
    pairs = [(a, b) for a in finite for b in finite]
    real = {"abs": np.abs, "angle": np.angle, "re": np.real, "im": np.imag}
    for name, f in real.items():
        agree(name, f"%a: {type}", part, f"%r = complex.{name} %a : {type}", lambda z, f=f: R(f(z)), points, tolerance)
    own = {
        "conj": np.conj, "cos": np.cos, "exp": np.exp, "expm1": special.expm1, "log": np.log, "neg": np.negative,
        "log1p": lambda z: T(special.log1p(np.complex128(z))), "sin": np.sin, "sqrt": np.sqrt, "tan": np.tan,
        "tanh": np.tanh,
    }  # fmt: skip
    for name, f in own.items():
        agree(name, f"%a: {type}", type, f"%r = complex.{name} %a : {type}", f, points, tolerance)
    for name, f in {"rsqrt": lambda z: 1 / np.sqrt(z), "sign": np.sign}.items():
        agree(name, f"%a: {type}", type, f"%r = complex.{name} %a : {type}", f, finite, tolerance)
    power = lambda a, b: T(np.complex128(a) ** np.complex128(b))
    two = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": power}
    for name, f in two.items():
        body = f"%r = complex.{name} %a, %b : {type}"
        agree(name, f"%a: {type}, %b: {type}", type, body, f, pairs, 10 * tolerance)
    for name, f in {"eq": operator.eq, "neq": operator.ne}.items():
        agree(name, f"%a: {type}, %b: {type}", "i1", f"%r = complex.{name} %a, %b : {type}", f, pairs)
    body = f"%r = complex.powi %a, %b : {type}, i32"
    powers = [(z, np.int32(n)) for z in finite for n in (0, 1, 2, 3) if abs(z) > 0.1]
    integer_power = lambda z, n: T(np.complex128(z) ** int(n))
    agree("powi", f"%a: {type}, %b: i32", type, body, integer_power, powers, 10 * tolerance)
    bits = f"i{2 * BITS[part]}"
    if bits == "i64":
        body = f"%b = complex.bitcast %a : {type} to i64\n%r = complex.bitcast %b : i64 to {type}"
        agree("bitcast", f"%a: {type}", type, body, lambda z: z, points)
    body = f"%r = complex.constant [1.0 : {part}, 2.0 : {part}] : {type}"
    agree("constant", f"%a: {part}", type, body, lambda x: T(1 + 2j), [R(0)])


def test_vectors_of_floats():
    """Functions on small vectors, as derivatives with several tangents at once may use."""
    for type, element in (("vector<4xf64>", "f64"), ("vector<2x2xf32>", "f32")):
        shape = DTYPES[element](0)
        body = f"""%v = vector.broadcast %a : {element} to {type}
            %s = math.erf %v : {type}
            %n = math.isnan %s : {type}
            %z = arith.constant dense<-1.0> : {type}
            %t = arith.select %n, %z, %s : {"vector<" + type[7:].replace(element, "i1")}, {type}
            %r = vector.extract %t[{"3" if element == "f64" else "1, 1"}] : {element} from {type}"""
        expected = lambda x: x.dtype.type(-1) if x != x else special.erf(x)
        agree("erf", f"%a: {element}", element, body, expected, [type_(0.3).astype(shape.dtype), shape * np.nan], 1e-6)
