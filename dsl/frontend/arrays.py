"""What the visitor asks of arrays: indexing, list literals, attributes (`a.shape`) and methods (`a.sum()`).

Attributes and methods are those of NumPy's arrays with their names; a name that is not here is not supported, and
`attribute` and `method` give None for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlir.dialects import arith

from .. import errors, types
from . import creation, elementwise, mathlib, reductions, views
from .creation import from_elements
from .elementwise import LazyValue, is_array, operand
from .gather import load, store
from .memory import Size, array_type, as_index, as_int
from .scalars import describe
from .values import Builder, TupleValue, Value, constant

__all__ = ["attribute", "dim", "from_elements", "load", "method", "store"]

Method = Callable[[Builder, Value, Sequence[Value], dict[str, Value]], Value]


def dim(b: Builder, array: Value, axis: int) -> Value:
    """The size of one dimension, as the int that `len` gives."""
    return as_int(b, operand(b, array)[1][axis])


def attribute(b: Builder, array: Value, name: str) -> Value | None:
    """An attribute of an array that is not called; None where there is no such attribute."""
    type_ = array_type(array)
    if name == "ndim":
        return constant(type_.ndim)
    if name == "dtype":
        return Value(types.Literal(type_.dtype), const=type_.dtype)
    if name == "itemsize":
        return constant(type_.dtype.dtype.itemsize)
    if name == "shape":
        return TupleValue(tuple(as_int(b, s) for s in operand(b, array)[1]))
    if name == "size":
        return as_int(b, views.element_count(b, operand(b, array)[1]))
    if name == "T":
        return views.transpose(b, array.force(b), list(range(type_.ndim))[::-1])
    if name in ("real", "imag"):
        return _part(b, array, name)
    return None


def _part(b: Builder, array: Value, name: str) -> Value:
    """The real or imaginary part, to be read. NumPy's is a view that can be written to; so it may not be kept here."""
    if name == "real" and array_type(array).dtype.kind != "c":
        return array
    part = elementwise.call(b, mathlib.function(f"np.{name}"), (array,))
    if isinstance(part, LazyValue):
        kept = f".{name} of an array is a view, which cannot be kept here"
        return LazyValue(array_type(part).dtype, part.node, part.sizes, kept)
    return part


def method(b: Builder, array: Value, name: str) -> Method | None:
    """A method of an array; None where there is no such method."""
    own = _METHODS.get(name)
    if own is not None:
        return own
    row = mathlib.by_name(f"np.{name}") if name in _AS_FUNCTION else None
    if row is None:
        return None

    def call(b: Builder, array: Value, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
        return mathlib.call(b, row, [array, *args], kwargs)

    return call


_AS_FUNCTION = frozenset(
    [
        "sum",
        "prod",
        "mean",
        "var",
        "std",
        "max",
        "min",
        "argmax",
        "argmin",
        "any",
        "all",
        "cumsum",
        "cumprod",
        "dot",
        "trace",
        "copy",
        "conj",
        "conjugate",
        "round",
        "clip",
        "astype",
        "reshape",
        "ravel",
        "transpose",
        "diagonal",
        "nonzero",
        "repeat",
        "squeeze",
        "swapaxes",
        "take",
    ]
)


def _flatten(b: Builder, array: Value, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
    _no_arguments(b, "flatten", args, kwargs)
    return ravel(b, elementwise.materialise(b, array))


def _fill(b: Builder, array: Value, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
    if len(args) != 1 or kwargs or not isinstance(args[0].type, types.Scalar):
        raise b.error("fill() takes one number")
    if isinstance(array, LazyValue):
        raise b.error("an array expression cannot be filled", "give it a name first")
    elementwise.assign(b, array, args[0])
    return constant(None)


def _item(b: Builder, array: Value, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
    if kwargs or len(args) != array_type(array).ndim:
        raise b.error("item() takes one index for each dimension")
    return load(b, array, list(args))


def _no_arguments(b: Builder, name: str, args: Sequence[Value], kwargs: dict[str, Value]) -> None:
    if args or kwargs:
        raise b.error(f"{name}() takes no arguments")


_METHODS: dict[str, Method] = {"flatten": _flatten, "fill": _fill, "item": _item}


# --- other shapes


def contiguous(b: Builder, a: Value, what: str) -> Value:
    """An array whose elements lie in order, computed;

    others are refused, as NumPy's answer is sometimes a view of them.
    """
    if not is_array(a):
        raise b.error(f"{what}() takes an array, not {describe(a.type)}")
    if isinstance(a, LazyValue):
        return a.force(b)
    if not array_type(a).contiguous:
        raise b.error(f"{what}() of a view whose elements may not lie in order", "copy it first: .copy()")
    return a


def ravel(b: Builder, a: Value) -> Value:
    """np.ravel: all elements in one dimension, as a view."""
    a = contiguous(b, a, "ravel")
    return views.reshape(b, a, [views.element_count(b, operand(b, a)[1])])


def reshape(b: Builder, a: Value, *shape: Value) -> Value:
    """np.reshape: the same elements with other sizes, one of which may be -1."""
    a = contiguous(b, a, "reshape")
    items = shape[0].elements if len(shape) == 1 and isinstance(shape[0], TupleValue) else shape
    count = views.element_count(b, operand(b, a)[1])
    free = [i for i, s in enumerate(items) if s.known and s.const == -1]
    if len(free) > 1:
        raise b.error("only one size can be -1", cls=errors.KernelValueError)
    sizes: list[Size] = [1 if i in free else creation.shape_of(b, s)[0] for i, s in enumerate(items)]
    product = views.element_count(b, sizes)
    message = "cannot reshape: the number of elements differs"
    if isinstance(count, int) and isinstance(product, int):
        if (count % product if free and product else count != product) or (free and not product):
            raise b.error(f"{message}: {count}", cls=errors.KernelValueError)
        for place in free:
            sizes[place] = count // product
        return views.reshape(b, a, sizes)
    total, others = as_index(b, count), as_index(b, product)
    zero, one = b.index(0), b.index(1)
    if free:
        nonzero = arith.cmpi(arith.CmpIPredicate.ne, others, zero)
        safe = arith.select(nonzero, others, one)
        sizes[free[0]] = arith.divui(total, safe)
        whole = arith.cmpi(arith.CmpIPredicate.eq, arith.remui(total, safe), zero)
        ok = arith.andi(nonzero, whole)
    else:
        ok = arith.cmpi(arith.CmpIPredicate.eq, total, others)
    return views.reshape(b, a, elementwise.guard_sizes(b, ok, sizes, message))


def transpose(b: Builder, a: Value, *axes: Value) -> Value:
    """np.transpose: the dimensions in another order, reversed where none is given."""
    if not is_array(a):
        raise b.error(f"transpose() takes an array, not {describe(a.type)}")
    rank = array_type(a).ndim
    items = axes[0].elements if len(axes) == 1 and isinstance(axes[0], TupleValue) else axes
    if not items or (len(items) == 1 and items[0].known and items[0].const is None):
        order = list(range(rank))[::-1]
    else:
        named = reductions.axes_of(b, TupleValue(tuple(items)), rank)
        if len(named) != rank:
            raise b.error(f"transpose() needs all {rank} axes", cls=errors.KernelValueError)
        order = [i.const % rank for i in items]
    return views.transpose(b, a.force(b), order)
