"""Gradients, Jacobians and Hessians as arrays, made of `autodiff`.

    gradient(Reverse, f, x)              of a function that returns one number
    jacobian(Forward, f, x, chunk=8)     of one that returns arrays: so many columns (Reverse: rows) a call
    hvp(f, x, v), hessian(f, x)          forward over reverse

Arguments are plain values, all of which are differentiated; `Const(c)` is not. Of one argument there is one result, of
several a tuple of as many, None for a Const. Where the result of f has shape S and an argument shape X, its Jacobian
has shape (*S, *X), in their dtype; of a tuple or struct it is a tuple or struct of such arrays. No argument is
changed: what f writes to is a copy. Where the arguments' arrays are on a device, so are those of the results.

f may be a kernel with a grid, `k[blocks, threads]`. Its result are the arrays of floats that it writes, as they are
after the launch: of one the array, of several a tuple; for `gradient` and what needs a number, the element of one array
of one element.

Kernels in which `autodiff` is called, and which are generated here, do what needs more than one call of it. They are
compiled once for each kind of arguments and kept on disk as all others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import types
from .annotations import (
    Active,
    Annotation,
    BatchDuplicated,
    BatchDuplicatedNoNeed,
    BatchMixedDuplicated,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    MixedDuplicated,
    Ref,
)
from .autodiff import autodiff
from .errors import ActivityError, ArgumentError
from .generated import differentiated, floated, gradient_kernel, into_kernel, plain
from .grids import Grid
from .kernel import Kernel
from .modes import Forward, ForwardWithPrimal, Mode, Reverse, ReverseWithPrimal
from .request import is_continuous
from .shadows import (
    check_chunk,
    continuous,
    copied,
    count,
    guess_activity,
    make_zero,
    make_zero_into,
    rebuilt,
    typeof,
    units,
)
from .spaces import Host, Space, described, is_array, space_of

CHUNK = 8


def gradient(mode: Mode, f: Any, *args: Any, chunk: int = CHUNK) -> Any:
    """The gradient of a function that returns one float, in the form of its arguments.

    `mode` is Reverse, or Forward (`chunk` directions a call; good for few numbers); with ...WithPrimal the value comes
    first. Of one argument: an array of its shape and dtype (a float of a float, a struct of a struct); of several: a
    tuple, None for each Const. ActivityError where f returns no single float.

    >>> import dsl, numpy as np
    >>> dsl.gradient(dsl.Reverse, lambda x: x[0] * x[1], np.array([2.0, 3.0]))
    array([3., 2.])
    >>> dsl.gradient(dsl.ReverseWithPrimal, lambda x, y: x * y, 2.0, 3.0)
    (6.0, (3.0, 2.0))
    """
    check_mode(mode, "gradient")
    of, given = differentiated(f, args, number=True)
    if not mode.reverse:
        check_chunk(chunk)
        return output(mode, *_jacobian(mode, of, given, chunk), f)
    annotated = [_annotated(x) for x in given_arguments(of, given)]
    found = autodiff(mode, of, Active, *annotated)
    return output(mode, found[0], [_slot(a, g) for a, g in zip(annotated, found[-1])], f)


def value_and_gradient(f: Any, *args: Any) -> tuple[Any, Any]:
    """The value of a function that returns one float, and its gradient: `gradient(ReverseWithPrimal, f, *args)`.

    >>> import dsl
    >>> dsl.value_and_gradient(lambda x: x * x, 3.0)
    (9.0, 6.0)
    """
    value, slots = gradient(ReverseWithPrimal, f, *args)
    return value, slots


def gradient_into(mode: Mode, dx: Any, f: Any, x: Any, *args: Any) -> Any:
    """As `gradient` by `x` alone, put into `dx`, which is returned: an array like `x`, or a mutable dataclass.

    Further arguments are constants. What `dx` held does not matter. ArgumentError where `dx` is not like `x`.

    >>> import dsl, numpy as np
    >>> dx = np.empty(2)
    >>> dsl.gradient_into(dsl.Reverse, dx, lambda x: x[0] * x[1], np.array([2.0, 3.0]))
    array([3., 2.])
    """
    check_mode(mode, "gradient_into")
    of, (x, *others) = differentiated(f, (x, *args), number=True)
    constants = [Const(copied(plain(c))) for c in others]
    if mode.reverse:
        make_zero_into(dx)
        autodiff(mode.without_primal(), of, Active, Duplicated(copied(x), dx), *constants)
        return dx
    found = _first(jacobian(mode.without_primal(), of, x, *constants), others)
    type_ = typeof(dx)
    if type_ != typeof(x) or not is_array(dx) or described(found).shape != described(dx).shape:
        raise ArgumentError(f"dx is a {type_}, x a {typeof(x)}", None, "make dx with np.empty_like(x)")
    space_of(dx).assign(dx, found)
    return dx


def jacobian(
    mode: Mode, f: Any, *args: Any, chunk: int = CHUNK, sparsity: Any = None, dense: bool | None = None
) -> Any:
    """The Jacobian of a function by each of its arguments, of shape (*result.shape, *argument.shape).

    Forward takes `chunk` columns a call, one for each number in the arguments; Reverse `chunk` rows, one for each
    number in the result (which is computed once before, for its shape). With ...WithPrimal the value comes first. The
    result of f is a number, an array, or a tuple or struct of them.

    With `sparsity` columns (Reverse: rows) that have no row (column) in common are computed together. It is "detect",
    which finds where entries are at this point (see `jacobian_sparsity`), or a pattern: a matrix of scipy.sparse or an
    array, not zero where entries may be, with a row for each number in the result and a column for each in the
    argument; of several arguments a tuple of patterns, None for each Const. There comes a `scipy.sparse.csr_array` of
    that shape for each argument, with `dense=True` the arrays that come without `sparsity`. A pattern that is given is
    checked by a derivative along a random vector: ArgumentError where it misses entries at this point.

    >>> import dsl, numpy as np
    >>> dsl.jacobian(dsl.Forward, lambda x: [x[0] ** 2 + x[1], x[0] * x[1]], np.array([2.0, 3.0]))
    array([[4., 1.],
           [3., 2.]])
    >>> dsl.jacobian(dsl.Forward, lambda x: x * x, np.array([2.0, 3.0]), sparsity="detect").toarray()
    array([[4., 0.],
           [0., 6.]])
    """
    if sparsity is not None:
        from .sparse import sparse_jacobian

        return sparse_jacobian(mode, f, args, chunk, sparsity, bool(dense))
    if dense is False:
        raise ArgumentError("dense=False without sparsity", None, "write sparsity='detect', say")
    check_mode(mode, "jacobian")
    check_chunk(chunk)
    return output(mode, *_jacobian(mode, *differentiated(f, args), chunk), f)


def hvp(f: Any, x: Any, v: Any, *args: Any) -> Any:
    """The Hessian of a function that returns one float, times a vector `v` in the form of `x`: another one like them.

    Forward over reverse, at a small multiple of the cost of f. Further arguments are constants. ArgumentError where
    `v` is not like `x`.

    >>> import dsl, numpy as np
    >>> dsl.hvp(lambda x: x[0] ** 2 * x[1], np.array([2.0, 3.0]), np.array([1.0, 0.0]))
    array([6., 4.])
    """
    of, (x, *others) = differentiated(f, (x, *args), number=True)
    found = autodiff(Forward, gradient_kernel(of, x, len(others)), Duplicated, *_moving(x, v, others))
    return found[0]


def hvp_and_gradient(f: Any, x: Any, v: Any, *args: Any) -> tuple[Any, Any]:
    """As `hvp`, with the gradient, which comes on the way: `(hvp, gradient)`.

    >>> import dsl
    >>> dsl.hvp_and_gradient(lambda x: x ** 3, 2.0, 1.0)
    (12.0, 12.0)
    """
    of, (x, *others) = differentiated(f, (x, *args), number=True)
    of = gradient_kernel(of, x, len(others))
    found = autodiff(ForwardWithPrimal, of, Duplicated, *_moving(x, v, others))
    return found[1], found[0]


def hessian(f: Any, x: Any, *args: Any, chunk: int = CHUNK) -> Any:
    """The Hessian of a function that returns one float by its first argument, of shape (*x.shape, *x.shape).

    Forward over reverse, `chunk` columns a call. Further arguments are constants. Of a tuple or struct: a tuple or
    struct of tuples or structs of blocks.

    >>> import dsl, numpy as np
    >>> dsl.hessian(lambda x: x[0] ** 2 * x[1], np.array([2.0, 3.0]))
    array([[6., 4.],
           [4., 0.]])
    """
    check_chunk(chunk)
    of, (x, *others) = differentiated(f, (x, *args), number=True)
    of = gradient_kernel(of, x, len(others))
    return _first(jacobian(Forward, of, x, *(Const(plain(c)) for c in others), chunk=chunk), others)


# --- arguments and results ----------------------------------------------------------------------------------------


def check_mode(mode: Any, name: str) -> None:
    if not isinstance(mode, Mode) or mode.split or mode.holomorphic:
        raise ArgumentError(f"the mode of {name} is {mode!r}", None, f"write dsl.{name}(dsl.Reverse, f, x), say")


def given_arguments(of: Kernel, args: tuple[Any, ...]) -> list[Any]:
    """The arguments, ints among them as floats, as `Active` takes them."""
    if all(isinstance(x, Const) for x in args):
        raise ArgumentError(
            f"nothing to differentiate {of.name} by", of.loc, "give at least one argument without Const"
        )
    for index, x in enumerate(args):
        if isinstance(x, Annotation) and not isinstance(x, Const):
            raise ArgumentError(
                f"argument {index} is annotated {type(x).__name__}",
                of.loc,
                "pass the value itself, or Const(value) where no derivative by it is wanted",
            )
        if not isinstance(x, Const) and not any(map(is_continuous, types.leaves(typeof(floated(x))))):
            raise ActivityError(f"argument {index}, {x!r}, holds no float", of.loc, "write Const(x)")
    return [floated(x) for x in args]


def _annotated(x: Any, lanes: int = 0) -> Annotation:
    """The annotation that an argument needs in reverse mode, with shadows of zeros: one, or several `lanes`."""
    if isinstance(x, Const):
        return Const(copied(x.val))
    cls = guess_activity(x, Reverse)
    if cls is Active:
        return Active(x)
    value = copied(x)
    if cls is MixedDuplicated:
        if lanes:
            return BatchMixedDuplicated(value, tuple(Ref(make_zero(x)) for _ in range(lanes)))
        return MixedDuplicated(value, Ref(make_zero(x)))
    return (
        BatchDuplicated(value, tuple(make_zero(x) for _ in range(lanes))) if lanes else Duplicated(value, make_zero(x))
    )


def _slot(annotated: Annotation, gradient: Any) -> Any:
    """The gradient by an argument, from where `autodiff` left it."""
    if isinstance(annotated, Const):
        return None
    if isinstance(annotated, Active):
        return gradient
    shadow = annotated.dval  # type: ignore[attr-defined]
    return shadow.value if isinstance(shadow, Ref) else shadow


def output(mode: Mode, value: Any, slots: list[Any], f: Any = None) -> Any:
    if type(f) is Grid:
        slots = slots[: len(f.kernel.params)]  # and none for the extents
    derivative = slots[0] if len(slots) == 1 else tuple(slots)
    return (value, derivative) if mode.primal else derivative


def _first(slots: Any, others: list[Any]) -> Any:
    """The derivative by the first argument, where all others are constants."""
    return slots[0] if others else slots


def _moving(x: Any, v: Any, args: list[Any]) -> list[Annotation]:
    return [Duplicated(copied(floated(x)), copied(v)), *(Const(copied(plain(c))) for c in args)]


# --- Jacobians ----------------------------------------------------------------------------------------------------


def _jacobian(mode: Mode, of: Kernel, args: tuple[Any, ...], chunk: int) -> tuple[Any, list[Any]]:
    """The value, and the Jacobian by each argument."""
    given = given_arguments(of, args)
    if not mode.reverse:
        return _columns(mode, of, given, chunk)
    out = of(*(copied(plain(x)) for x in given))
    return out, _rows(mode, of, given, out, chunk)


def _chunks(total: int, chunk: int) -> Iterator[tuple[range, int]]:
    """Ranges of directions, and how many lanes a call for them has: the last is filled up, so as to be one code."""
    width = min(chunk, total)
    for start in range(0, total, width or 1):
        yield range(start, min(start + width, total)), width


def push(mode: Mode, of: Kernel, given: list[Any], number: int, tangents: list[Any]) -> tuple[Any, list[Any]]:
    """The value (in a mode with primal), and the tangents of the result for those of one argument."""
    several = len(tangents) > 1
    x = given[number]
    moving = BatchDuplicated(copied(x), tuple(tangents)) if several else Duplicated(copied(x), tangents[0])
    args = [moving if k == number else Const(copied(plain(c))) for k, c in enumerate(given)]
    found = autodiff(mode, of, BatchDuplicated if several else Duplicated, *args)
    return found[0], list(found[-1]) if several else [found[-1]]


def pull(mode: Mode, into: Kernel, given: list[Any], out: Any, seeds: list[Any]) -> list[list[Any]]:
    """For each argument the gradients, one for each of the `seeds` in the form of the result `out`; None of a Const.

    The kernel's result goes into arguments (`into_kernel`), whose shadows are the seeds.
    """
    type_ = typeof(out)
    space = space_of((out, *map(plain, given)))
    parts = [[_as_array(space, leaf) for leaf in continuous(type_, seed)] for seed in seeds]
    ys = [space.zeros(described(part).shape, described(part).dtype) for part in parts[0]]
    several = len(seeds) > 1
    annotated: list[Annotation] = [
        BatchDuplicatedNoNeed(y, tuple(part[k] for part in parts)) if several else DuplicatedNoNeed(y, parts[0][k])
        for k, y in enumerate(ys)
    ]
    mine = [_annotated(x, len(seeds) if several else 0) for x in given]
    (found,) = autodiff(mode.without_primal(), into, Const, *annotated, *mine)
    pairs = zip(mine, found[len(ys) :])
    return [[_lane(a, g, k) for k in range(len(seeds))] if several else [_slot(a, g)] for a, g in pairs]


def _columns(mode: Mode, of: Kernel, given: list[Any], chunk: int) -> tuple[Any, list[Any]]:
    """Value and Jacobians, by tangents."""
    slots: list[Any] = []
    out: Any = None
    for number, x in enumerate(given):
        if isinstance(x, Const):
            slots.append(None)
            continue
        columns: list[Any] = []
        for which, width in _chunks(count(x), chunk):
            tangents = list(units(x, which))
            tangents += [make_zero(x) for _ in range(width - len(tangents))]
            out, found = push(mode, of, given, number, tangents)
            columns += found[: len(which)]
        if not columns or (out is None and mode.primal):
            out = of(*(copied(plain(c)) for c in given))
        slots.append(_assembled_columns(columns, x, out))
    return out, slots


def _assembled_columns(columns: list[Any], x: Any, out: Any) -> Any:
    """From tangents of the result, one for each number of `x`: in the form of the result, each in the form of `x`."""
    form = columns[0] if columns else out
    type_ = typeof(form)
    space = space_of((x, form))
    flat = [continuous(type_, column) for column in columns]
    blocks = []
    for k, leaf in enumerate(continuous(type_, form)):
        like, start, made = described(leaf), 0, []
        for part in continuous(typeof(x), x):
            at = described(part)
            mine = [column[k] for column in flat[start : start + at.size]]
            made.append(_block(space.stack_last, mine, at.shape, like.shape, like.dtype, part))
            start += at.size
        blocks.append(rebuilt(typeof(x), x, iter(made), None))
    return rebuilt(type_, form, iter(blocks), None)


def in_form_of(x: Any, block: np.ndarray) -> Any:
    """The last axis of a block, on the host, taken apart as the numbers of `x`."""
    made, start = [], 0
    for leaf in continuous(typeof(x), x):
        part = block[..., start : start + np.size(leaf)]
        made.append(_block(Host().stack, [part], block.shape[:-1], np.shape(leaf), block.dtype, leaf))
        start += np.size(leaf)
    return rebuilt(typeof(x), x, iter(made), None)


def _as_array(space: Space, leaf: Any) -> Any:
    """A seed as an array of at least one axis."""
    at = described(leaf)
    return leaf if at.ndim else space.stack([leaf], (1,), (), at.dtype)


def _block(
    stack: Any, parts: list[Any], outer: tuple[int, ...], inner: tuple[int, ...], dtype: np.dtype, like: Any
) -> Any:
    """A block of a Jacobian: an array, or a number, which is Python's own where the argument is."""
    if outer or inner:
        return stack(parts, outer, inner, dtype)
    one = np.array(parts, dtype).reshape(())
    return one.item() if type(like) in (float, complex) else one[()]


def _rows(mode: Mode, of: Kernel, given: list[Any], out: Any, chunk: int) -> list[Any]:
    """Jacobians, by cotangents: the kernel's result goes into arguments, whose shadows are the seeds."""
    type_ = typeof(out)
    into = into_kernel(of, type_, len(given))
    rows: list[list[Any]] = [[] for _ in given]
    for which, width in _chunks(count(out), chunk):
        seeds = list(units(out, which))
        seeds += [make_zero(out) for _ in range(width - len(seeds))]
        for row, found in zip(rows, pull(mode, into, given, out, seeds)):
            row += found[: len(which)]
    return [None if isinstance(x, Const) else _assembled_rows(row, x, type_, out) for x, row in zip(given, rows)]


def _lane(annotated: Annotation, gradient: Any, lane: int) -> Any:
    if isinstance(annotated, Const):
        return None
    if isinstance(annotated, Active):
        return gradient[lane]
    shadow = annotated.dval[lane]  # type: ignore[attr-defined]
    return shadow.value if isinstance(shadow, Ref) else shadow


def _assembled_rows(rows: list[Any], x: Any, type_: types.Type, out: Any) -> Any:
    """From gradients in the form of `x`, one for each number of the result: in the form of the result."""
    x_type = typeof(x)
    flat = [continuous(x_type, row) for row in rows]
    space = space_of((x, out))
    blocks, start = [], 0
    for leaf in continuous(type_, out):
        size, shape = described(leaf).size, described(leaf).shape
        made = []
        for k, part in enumerate(continuous(x_type, x)):
            at = described(part)
            mine = [row[k] for row in flat[start : start + size]]
            made.append(_block(space.stack, mine, shape, at.shape, at.dtype, part))
        blocks.append(rebuilt(x_type, x, iter(made), None))
        start += size
    return rebuilt(type_, out, iter(blocks), None)
