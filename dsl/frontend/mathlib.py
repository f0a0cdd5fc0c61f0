"""The functions that kernels may call by their Python names: `find` gives the row of a Python object, `call` calls it.

Elementwise ones come from `math_functions`; here are those with a signature of their own: Python's builtins,
reductions, and what makes arrays. NumPy's names and dsl's are the same objects. Two names of one object share a row.
"""

from __future__ import annotations

import builtins
import cmath
import inspect
import math as python_math
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from .. import errors, functions, types
from ..functions import fma
from . import (
    arrangements,
    casts,
    complexes,
    compositions,
    creation,
    dense,
    einsum,
    elementwise,
    gather,
    linalg,
    reductions,
    scalars,
    ufuncs,
)
from .elementwise import is_array
from .math_functions import FUNCTIONS, Entry, cast_function
from .memory import array_type
from .operations import Function, scalar_call
from .scalars import describe
from .values import Builder, TupleValue, Value, constant

_MODULES: dict[str, Any] = {
    "math": python_math,
    "cmath": cmath,
    "np": np,
    "builtins": builtins,
    "linalg": np.linalg,
    "dsl": functions,
}


class Row:
    """A callable name: an elementwise entry, or a function of Values with the parameters of the Python one."""

    __slots__ = ("build", "entry", "name", "params", "pure", "required", "variadic")

    def __init__(self, name: str, entry: Entry | None = None, build: Callable[..., Value] | None = None) -> None:
        self.name = name
        self.entry = entry
        self.build = build
        self.params: tuple[str, ...] = ()
        self.required = 0
        self.variadic = False
        self.pure = not name.endswith(".at")  # that alone changes an array
        if build is not None:
            found = list(inspect.signature(build).parameters.values())[1:]  # the first is the Builder
            self.variadic = any(p.kind is p.VAR_POSITIONAL for p in found)
            # a trailing underscore is for a name that Python or the Builder has taken
            self.params = tuple(p.name.rstrip("_") for p in found if p.kind is not p.VAR_POSITIONAL)
            self.required = sum(1 for p in found if p.default is p.empty and p.kind is not p.VAR_POSITIONAL)

    def __repr__(self) -> str:
        return f"Row({self.name})"


# --- Python's builtins


def _elements(b: Builder, args: Sequence[Value], name: str) -> list[Value] | Value:
    """What max(...) compares: its arguments, the elements of one tuple, or one array."""
    if not args:
        raise b.error(f"{name}() needs an argument")
    items: Sequence[Value] = args
    if len(args) == 1:
        if is_array(args[0]):
            return args[0]
        if not isinstance(args[0], TupleValue):
            raise b.error(f"{name}() of one {describe(args[0].type)}", "give it two numbers, a tuple or an array")
        items = args[0].elements
        if not items:
            raise b.error(f"{name}() of an empty tuple", cls=errors.KernelValueError)
    for item in items:
        if is_array(item):
            raise b.error(f"{name}() of arrays is ambiguous", f"use np.{name}imum for the elementwise one")
    return list(items)


def _python_extremum(which: str) -> Callable[..., Value]:
    function = Function(
        which,
        lambda b, args: compositions.same_or_int(b, args, which),
        lambda b, args, t: compositions.python_extremum(
            b, which, casts.coerce(b, args[0], t), casts.coerce(b, args[1], t), t
        ),
        max if which == "max" else min,
    )

    def build(b: Builder, *args: Value) -> Value:
        items = _elements(b, args, which)
        if isinstance(items, Value):
            return reductions.python_fold(b, which, items)
        result = items[0]
        scalars.scalar_type(b, result, f"{which}()")
        for item in items[1:]:
            both = (result.nonneg, item.nonneg)
            result = scalar_call(b, function, (result, item))
            if result.leaves is not None and (any(both) if which == "max" else all(both)):
                result = Value(result.type, result.leaves, nonneg=True)
        return result

    return build


def _absolute(b: Builder, x: Value) -> Value:
    result = elementwise.call(b, function("np.abs"), (x,))
    if isinstance(result.type, types.Scalar) and result.type.kind == "i" and result.leaves is not None:
        # the most negative integer has no magnitude, and is as out of range as an index as its magnitude would be
        return Value(result.type, result.leaves, nonneg=True)
    return result


def _sum(b: Builder, iterable: Value, start: Value | None = None) -> Value:
    """Python's sum: along the first dimension."""
    if isinstance(iterable, TupleValue):
        total = constant(0) if start is None else start
        for element in iterable.elements:
            op = elementwise.binary if is_array(total) or is_array(element) else scalars.binary
            total = op(b, "+", total, element)
        return total
    if not is_array(iterable):
        raise b.error(f"sum() takes an array or a tuple, not {describe(iterable.type)}")
    total = reductions.sum_(b, iterable, constant(0))
    if start is None:
        return total
    return (elementwise.binary if is_array(total) or is_array(start) else scalars.binary)(b, "+", start, total)


def _any_or_all(which: str) -> Callable[..., Value]:
    reduction = reductions.any_ if which == "any" else reductions.all_

    def build(b: Builder, iterable: Value) -> Value:
        if is_array(iterable) and array_type(iterable).ndim != 1:
            raise b.error(f"{which}() of an array with several dimensions is ambiguous", f"use np.{which}")
        if isinstance(iterable, TupleValue) and not iterable.elements:
            return constant(which == "all")
        return reduction(b, iterable)

    return build


def _rounding(digits: int) -> Function:
    return Function(
        "round",
        lambda b, args: scalars.scalar_type(b, args[0], "round()"),
        lambda b, args, t: compositions.round_to(b, b.ir(args[0]), t, digits),
    )


def _digits(b: Builder, ndigits: Value | None) -> int | None:
    if ndigits is None or (ndigits.known and ndigits.const is None):
        return None
    if not (ndigits.known and type(ndigits.const) is int):
        raise b.error("the number of digits must be an int known when compiling")
    if abs(ndigits.const) > 300:
        raise b.error("too many digits", cls=errors.KernelValueError)
    return int(ndigits.const)


def _round(b: Builder, number: Value, ndigits: Value | None = None) -> Value:
    """Python's round: to an int, halves to even; with digits, by NumPy's method."""
    digits = _digits(b, ndigits)
    if is_array(number):
        return _numpy_round(b, number, ndigits)
    t = scalars.scalar_type(b, number, "round()")
    if t.kind in "biu":
        if digits is not None and digits < 0:
            raise b.error("round() of an integer to tens is not supported", "round(x / 10) * 10")
        return scalars.unary(b, "+", number)
    if t.kind == "c":
        raise b.error("round() does not take complex numbers", "round .real and .imag")
    if number.known and t.weak:
        try:
            return constant(round(number.const, digits))
        except (ValueError, OverflowError):
            pass  # of NaN and infinity: as at run time
    rounded = scalar_call(b, _rounding(digits or 0), (number,))
    return rounded if digits is not None else casts.convert(b, rounded, types.pyint)


def _numpy_round(b: Builder, a: Value, decimals: Value | None = None) -> Value:
    """np.round: the type stays."""
    digits = _digits(b, decimals) or 0
    dtype = array_type(a).dtype if is_array(a) else scalars.scalar_type(b, a, "round()")
    if dtype.kind == "c":
        raise b.error("round() does not take complex numbers", "round .real and .imag")
    if dtype.kind != "f":
        if digits < 0:
            raise b.error("round() of integers to tens is not supported")
        return creation.copy(b, a) if is_array(a) else a
    return elementwise.call(b, _rounding(digits), (a,))


def _divmod(b: Builder, x: Value, y: Value) -> Value:
    op = elementwise.binary if is_array(x) or is_array(y) else scalars.binary
    return TupleValue((op(b, "//", x, y), op(b, "%", x, y)))


def _modf(b: Builder, x: Value) -> Value:
    """math.modf: the fractional and the whole part, both with the sign of x."""
    float_type = FUNCTIONS["math.fabs"].function.result(b, (x,))
    number = casts.convert(b, x, float_type)
    whole = scalar_call(b, function("np.trunc"), (number,))
    whole = Value(float_type, whole.leaves, whole.const)
    return TupleValue((scalar_call(b, compositions.FRACTION, (number,)), whole))


def _conversion(scalar: types.Scalar) -> Callable[..., Value]:
    """float(x), np.int8(x), dsl.float32(x): of arrays too where it is a sized type, as in NumPy."""
    row = cast_function(scalar)

    def build(b: Builder, x: Value | None = None) -> Value:
        if x is None:
            return Value(scalar, const=False if scalar.kind == "b" else 0)
        if is_array(x):
            if scalar.weak or scalar.kind == "b":
                raise b.error(f"{scalar}() does not take an array", "use .astype")
            return elementwise.call(b, row, (x,))
        if scalar.kind == "b":
            return scalars.truth(b, x)
        return casts.convert(b, x, scalar)

    return build


def _complex(b: Builder, real: Value | None = None, imag: Value | None = None) -> Value:
    if imag is None:
        return casts.convert(b, constant(0) if real is None else real, types.pycomplex)
    return scalar_call(b, complexes.COMPLEX, (constant(0) if real is None else real, imag))


# --- NumPy's with a signature of their own


def _clip(b: Builder, a: Value, a_min: Value | None = None, a_max: Value | None = None) -> Value:
    result = a
    for bound, name in ((a_min, "np.maximum"), (a_max, "np.minimum")):
        if bound is not None and not (bound.known and bound.const is None):
            result = elementwise.call(b, function(name), (result, bound))
    return result


def _isclose(relative: str, absolute: str, symmetric: bool, defaults: tuple[float, float]) -> Callable[..., Value]:
    """math.isclose and np.isclose: |a - b| within a tolerance, relative to the larger one or to the second one."""

    def build(b: Builder, x: Value, y: Value, rtol: Value | None = None, atol: Value | None = None) -> Value:
        tolerances = [constant(d) if v is None else v for v, d in zip((rtol, atol), defaults)]
        return elementwise.call(b, compositions.close(symmetric), (x, y, *tolerances))

    build.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("builder", "a", "b")]
        + [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None) for n in (relative, absolute)]
    )
    return build


def _arrays(name: str) -> Callable[..., Value]:
    """A function of `arrays`, which needs this module."""

    def build(b: Builder, a: Value, *shape: Value) -> Value:
        from . import arrays

        result: Value = getattr(arrays, name)(b, a, *shape)
        return result

    return build


def _expand_dims(b: Builder, a: Value, axis: Value) -> Value:
    from .views import expand

    if not is_array(a):
        raise b.error(f"expand_dims() takes an array, not {describe(a.type)}")
    return expand(b, a.force(b), reductions.axes_of(b, axis, array_type(a).ndim + 1))


def _where(b: Builder, condition: Value, *values: Value) -> Value:
    """np.where: a choice; or, of a condition alone, the places where it holds."""
    if not values:
        return gather.nonzero(b, condition)
    if len(values) != 2:
        raise b.error("where() takes a condition, or a condition and two values")
    return elementwise.call(b, function("np.where"), (condition, *values))


_OWN: dict[str, Callable[..., Value]] = {
    "builtins.max": _python_extremum("max"),
    "builtins.min": _python_extremum("min"),
    "builtins.abs": _absolute,
    "builtins.sum": _sum,
    "builtins.any": _any_or_all("any"),
    "builtins.all": _any_or_all("all"),
    "builtins.round": _round,
    "builtins.divmod": _divmod,
    "builtins.complex": _complex,
    "builtins.float": _conversion(types.pyfloat),
    "builtins.int": _conversion(types.pyint),
    "builtins.bool": _conversion(types.bool_),
    "math.modf": _modf,
    "math.isclose": _isclose("rel_tol", "abs_tol", True, (1e-9, 0.0)),
    "np.isclose": _isclose("rtol", "atol", False, (1e-5, 1e-8)),
    "np.divmod": _divmod,
    "np.round": _numpy_round,
    "np.around": _numpy_round,
    "np.clip": _clip,
    "np.zeros": creation.zeros,
    "np.ones": creation.ones,
    "np.empty": creation.empty,
    "np.full": creation.full,
    "np.zeros_like": creation.zeros_like,
    "np.ones_like": creation.ones_like,
    "np.empty_like": creation.empty_like,
    "np.full_like": creation.full_like,
    "np.array": creation.array,
    "np.asarray": creation.asarray,
    "np.copy": creation.copy,
    "np.astype": creation.astype,
    "np.arange": creation.arange,
    "np.result_type": creation.result_type,
    "np.linspace": creation.linspace,
    "np.eye": creation.eye,
    "np.identity": creation.eye,
    "np.sum": reductions.sum_,
    "np.prod": reductions.prod,
    "np.mean": reductions.mean,
    "np.var": reductions.var,
    "np.std": reductions.std,
    "np.max": reductions.max_,
    "np.amax": reductions.max_,
    "np.min": reductions.min_,
    "np.amin": reductions.min_,
    "np.argmax": reductions.argmax,
    "np.argmin": reductions.argmin,
    "np.any": reductions.any_,
    "np.all": reductions.all_,
    "np.cumsum": reductions.cumsum,
    "np.cumprod": reductions.cumprod,
    "np.count_nonzero": reductions.count_nonzero,
    "np.dot": linalg.dot,
    "np.matmul": linalg.matmul,
    "np.outer": linalg.outer,
    "np.trace": linalg.trace,
    "np.reshape": _arrays("reshape"),
    "np.ravel": _arrays("ravel"),
    "np.transpose": _arrays("transpose"),
    "np.expand_dims": _expand_dims,
    "np.flip": arrangements.flip,
    "np.fliplr": arrangements.fliplr,
    "np.flipud": arrangements.flipud,
    "np.swapaxes": arrangements.swapaxes,
    "np.moveaxis": arrangements.moveaxis,
    "np.squeeze": arrangements.squeeze,
    "np.tril": arrangements.tril,
    "np.triu": arrangements.triu,
    "np.diag": arrangements.diag,
    "np.diagonal": arrangements.diagonal,
    "np.tile": arrangements.tile,
    "np.repeat": arrangements.repeat,
    "np.concatenate": arrangements.concatenate,
    "np.stack": arrangements.stack,
    "np.vstack": arrangements.vstack,
    "np.hstack": arrangements.hstack,
    "np.column_stack": arrangements.column_stack,
    "np.append": arrangements.append,
    "np.pad": arrangements.pad,
    "np.roll": arrangements.roll,
    "np.diff": arrangements.diff,
    "np.meshgrid": arrangements.meshgrid,
    "np.take": arrangements.take,
    "np.nonzero": gather.nonzero,
    "np.flatnonzero": gather.flatnonzero,
    "np.where": _where,
    "np.vdot": linalg.vdot,
    "np.inner": linalg.inner,
    "np.einsum": einsum.einsum,
    "linalg.norm": linalg.norm,
    "linalg.solve": dense.solve,
    "linalg.inv": dense.inv,
    "linalg.det": dense.det,
    "linalg.slogdet": dense.slogdet,
    "linalg.cholesky": dense.cholesky,
    "linalg.eigh": dense.eigh,
    "linalg.eigvalsh": dense.eigvalsh,
    "linalg.qr": dense.qr,
    "linalg.svd": dense.svd,
    "dsl.logdet": dense.logdet,
    "dsl.solve_triangular": dense.solve_triangular,
}


@lru_cache(maxsize=1)
def _rows() -> dict[str, Row]:
    rows = {name: Row(name, entry) for name, entry in FUNCTIONS.items()}
    rows.update({name: Row(name, build=build) for name, build in _OWN.items()})
    return rows


@lru_cache(maxsize=1)
def _by_object() -> dict[Any, Row]:
    found: dict[Any, Row] = {}
    for name, row in _rows().items():
        module, attribute = name.split(".")
        python = getattr(_MODULES[module], attribute, None)
        if python is not None:  # some names are of newer versions of Python or NumPy
            found[python] = row
    found[fma] = _rows()["math.fma"]
    for scalar in types.SIZED:
        row = Row(scalar.name, build=_conversion(scalar))
        found[scalar] = row
        if scalar.name != "bfloat16":
            found[scalar.dtype.type] = row
    return found


def find(python_object: Any) -> Row | None:
    """The row of a Python function, type or dtype; None where kernels do not know it."""
    try:
        row = _by_object().get(python_object)
    except TypeError:  # it cannot be a key
        return None
    ufunc = getattr(python_object, "__self__", None)
    if row is None and isinstance(ufunc, np.ufunc):
        return _ufunc_method(ufunc, python_object.__name__)
    if row is None and getattr(python_object, "__name__", "") == "bfloat16":
        return _by_object()[types.bfloat16]
    if row is None and getattr(python_object, "__name__", "") == "solve_triangular" and _is_scipy(python_object):
        return _rows()["dsl.solve_triangular"]
    return row


@cache
def _ufunc_method(ufunc: np.ufunc, name: str) -> Row | None:
    own = _by_object().get(ufunc)
    if own is None or own.entry is None or own.entry.array_function is None or ufunc.nin != 2:
        return None
    build = ufuncs.method(ufunc, name, own.entry.array_function)
    return None if build is None else Row(f"np.{ufunc.__name__}.{name}", build=build)


def _is_scipy(function: Any) -> bool:
    return (getattr(function, "__module__", None) or "").startswith("scipy.linalg.")


def by_name(name: str) -> Row | None:
    """The row of a name such as "np.sum"."""
    return _rows().get(name)


def function(name: str) -> Function:
    """The Function of an elementwise name such as "np.abs"."""
    return FUNCTIONS[name].function


def known_names(module: str) -> list[str]:
    """The functions of "math", "cmath", "np" or "builtins" that kernels may call, for error messages."""
    return sorted(name.split(".")[1] for name in _rows() if name.startswith(module + "."))


def call(b: Builder, row: Row, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
    """Call a row with arguments, as Python binds them."""
    if row.entry is not None:
        return _call_entry(b, row.name, row.entry, args, kwargs)
    assert row.build is not None
    values = list(args)
    if len(values) > len(row.params) and not row.variadic:
        raise b.error(f"{row.name}() takes {_number(len(row.params), 'argument')}, and {len(values)} were given")
    bound: dict[str, Value] = {}
    for name, value in kwargs.items():
        if name not in row.params:
            known = ", ".join(row.params) or "none"
            raise b.error(f"{row.name}() does not take the argument {name!r} here", f"it takes by name: {known}")
        if row.params.index(name) < len(values):
            raise b.error(f"{row.name}() got two values for {name!r}")
        bound[name] = value
    missing = [n for n in row.params[: row.required] if row.params.index(n) >= len(values) and n not in bound]
    if missing:
        raise b.error(f"{row.name}() lacks the argument {missing[0]!r}")
    if not bound:
        return row.build(b, *values)
    ordered: list[Value | None] = list(values)
    for name in row.params[len(values) :]:
        ordered.append(bound.get(name))
    return row.build(b, *ordered)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _call_entry(b: Builder, name: str, entry: Entry, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
    if kwargs:
        raise b.error(f"{name}() does not take the argument {next(iter(kwargs))!r} here")
    if not entry.low <= len(args) <= entry.high:
        takes = (
            _number(entry.low, "argument") if entry.low == entry.high else f"at least {_number(entry.low, 'argument')}"
        )
        raise b.error(f"{name}() takes {takes}, and {len(args)} were given")
    if not any(is_array(a) for a in args):
        return scalar_call(b, entry.function, args)
    if entry.array_function is None:
        raise b.error(f"{name}() takes numbers, not arrays", "use NumPy's function of the same name")
    return elementwise.call(b, entry.array_function, args)
