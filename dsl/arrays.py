"""Tests of arrays before a call: that compiled code can use them as they lie in memory, and that shadows fit their primals."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from . import types
from .errors import ActivityError, ArgumentError
from .memory import overlaps_itself
from .request import SHADOWED, Argument, Request, paths

if TYPE_CHECKING:
    from .kernel import Kernel


def check_array(kernel: Kernel, what: str, array: np.ndarray) -> None:
    """Refuse an array that compiled code cannot read where it lies."""
    if type(array) not in (np.ndarray, np.memmap):
        _refuse(kernel, f"{what} is a {type(array).__name__}, whose meaning kernels do not know", "pass np.asarray(x)")
    if not array.flags.aligned:
        _refuse(kernel, f"{what} is not aligned in memory", "pass x.copy()")
    size = array.dtype.itemsize
    if any(stride % size for stride, extent in zip(array.strides, array.shape) if extent > 1):
        _refuse(
            kernel,
            f"{what} has strides {array.strides} that are not multiples of its item size {size}, as a field of a record array has",
            "pass x.copy()",
        )


def check_shadow_array(
    kernel: Kernel, argument: Argument, path: str, primal: np.ndarray, shadow: np.ndarray, reverse: bool
) -> None:
    """Refuse a shadow that is not an array like its primal; in reverse mode it is written to."""
    where = "" if path == argument.name else f" at `{path}`"
    what = f"the shadow of {argument}{where}"

    def mismatch(of: str, found: object, expected: object, hint: str = "make it with np.zeros_like(x)") -> NoReturn:
        _refuse(kernel, f"{what} has {of} {found}; expected is {expected}", hint)

    if shadow.dtype != primal.dtype:
        mismatch("dtype", shadow.dtype, primal.dtype)
    if shadow.ndim != primal.ndim:
        mismatch("rank", shadow.ndim, primal.ndim)
    if shadow.shape != primal.shape:
        mismatch("shape", shadow.shape, primal.shape)
    check_array(kernel, what, shadow)
    if primal.flags.c_contiguous and not shadow.flags.c_contiguous:
        _refuse(
            kernel,
            f"{what} has another layout: strides {shadow.strides}; expected is a C-contiguous array, as its primal is, with strides {primal.strides}",
            "make it with np.zeros_like(x), or np.ascontiguousarray(dx)",
        )
    if reverse and not shadow.flags.writeable:
        _refuse(kernel, f"{what} is read-only", "make it with np.zeros_like(x), or copy it")


class _Placed(NamedTuple):
    """An array of a call: what to call it, and whether it is a shadow."""

    what: str
    array: np.ndarray
    shadow: bool


def placed(arguments: list[Argument]) -> list[_Placed]:
    """All arrays of a call in the order of the entry function's."""
    found = []
    for argument in arguments:
        shadowed = argument.annotation in SHADOWED
        for path, leaf in paths("", argument.type):
            if not isinstance(leaf, types.ArrayType):
                continue
            what = f"argument {argument.index} (`{argument.name}{path}`)"
            found.append(_Placed(what, _at(argument.value, path), False))
            if shadowed and leaf.dtype.kind in "fc":
                found.append(_Placed(f"the shadow of {what}", _at(argument.shadow, path), True))
    return found


def _at(value: Any, path: str) -> Any:
    """The part of a value that a path such as `.w[0]` names."""
    for step in path.replace("[", ".[").split(".")[1:]:
        value = value[int(step[1:-1])] if step.startswith("[") else getattr(value, step)
    return value


def check_distinct(kernel: Kernel, arguments: list[Argument]) -> None:
    """Refuse a shadow that shares memory with any other array of the call."""
    for a, b in combinations(placed(arguments), 2):
        if (a.shadow or b.shadow) and share_memory(a.array, b.array):
            raise ActivityError(
                f"{b.what} shares memory with {a.what}, in a derivative of {kernel.name}",
                kernel.loc,
                "give each shadow memory of its own, as np.zeros_like(x) does",
            )


def check_written(request: Request, written: list[bool], strict: bool) -> None:
    """What depends on which arrays the code writes (one flag an array, in the order of `placed`)."""
    kernel = request.kernel
    who = "the kernel" if request.mode is None else "its derivative"
    arrays = placed(request.arguments)
    for one, flag in zip(arrays, written):
        if not flag:
            continue
        if not one.array.flags.writeable:
            _refuse(kernel, f"{one.what} is read-only, and {who} writes to it", "pass a copy")
        if overlaps_itself(one.array.shape, one.array.strides, one.array.itemsize):
            _refuse(
                kernel,
                f"{one.what} has strides {one.array.strides}: several of its elements are one place in memory, and {who} writes to it",
                "pass a copy",
            )
    if not strict:
        return
    for (a, a_written), (b, b_written) in combinations(zip(arrays, written), 2):
        if (a_written or b_written) and share_memory(a.array, b.array):
            hint = "pass a copy of one of them"
            if request.mode is None:
                hint += ", or compile for that with @dsl.kernel(strict_aliasing=False)"
            first = a.what if a_written else b.what
            _refuse(kernel, f"{b.what} overlaps with {a.what} in memory, and {who} writes to {first}", hint)


def share_memory(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have an element's memory in common; also true where that is too hard to find out."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=100_000)
    except np.exceptions.TooHardError:
        return True


def _refuse(kernel: Kernel, message: str, hint: str) -> NoReturn:
    raise ArgumentError(f"{message}, in a call of {kernel.name}", kernel.loc, hint)
