"""Tests of arrays before a call.

That compiled code can use them as they lie in memory, and that shadows fit their primals.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from . import types
from .errors import ActivityError, ArgumentError
from .memory import address_of, overlaps_itself
from .request import SHADOWED, Argument, Request, assigned, paths, shadow_name
from .structs import part_of, parts

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
            f"{what} has strides {array.strides} that are not multiples of its item size {size}, "
            "as a field of a record array has",
            "pass x.copy()",
        )


def check_shadow_array(
    kernel: Kernel, argument: Argument, lane: int, path: str, primal: np.ndarray, shadow: np.ndarray, reverse: bool
) -> None:
    """Refuse a shadow that is not an array like its primal; in reverse mode it is written to."""
    where = "" if path == argument.name else f" at `{path}`"
    what = f"{shadow_name(argument, lane)} of {argument}{where}"

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
            f"{what} has another layout: strides {shadow.strides}; "
            f"expected is a C-contiguous array, as its primal is, with strides {primal.strides}",
            "make it with np.zeros_like(x), or np.ascontiguousarray(dx)",
        )
    if reverse and not shadow.flags.writeable:
        _refuse(kernel, f"{what} is read-only", "make it with np.zeros_like(x), or copy it")


class _Placed(NamedTuple):
    """An array of a call: what to call it, and whether it is a shadow."""

    what: str
    array: np.ndarray
    shadow: bool
    primal: np.ndarray  # itself, where it is no shadow
    lane: int = -1


def placed(arguments: list[Argument]) -> list[_Placed]:
    """All arrays of a call in the order of the entry function's."""
    found = []
    for argument in arguments:
        shadowed = argument.annotation in SHADOWED
        for path, leaf in paths("", argument.type):
            if not isinstance(leaf, types.ArrayType):
                continue
            what = f"argument {argument.index} (`{argument.name}{path}`)"
            primal = _at(argument.value, path)
            found.append(_Placed(what, primal, False, primal))
            if shadowed and leaf.dtype.kind in "fc":
                found += [
                    _Placed(f"{shadow_name(argument, lane)} of {what}", _at(shadow, path), True, primal, lane)
                    for lane, shadow in enumerate(argument.shadows)
                ]
    return found


def _at(value: Any, path: str) -> Any:
    """The part of a value that a path such as `.w[0]` names."""
    for step in path.replace("[", ".[").split(".")[1:]:
        value = value[int(step[1:-1])] if step.startswith("[") else getattr(value, step)
    return value


def check_distinct(kernel: Kernel, arguments: list[Argument], strict: bool) -> None:
    """Refuse a shadow that shares memory with any other array of the call.

    Where arrays may overlap, shadows overlap as their primals do.
    """
    for a, b in combinations(placed(arguments), 2):
        if (a.shadow or b.shadow) and share_memory(a.array, b.array) and (strict or not _alike(a, b)):
            raise ActivityError(
                f"{b.what} shares memory with {a.what}, in a derivative of {kernel.name}",
                kernel.loc,
                "give each shadow memory of its own, as np.zeros_like(x) does",
            )


def _alike(a: _Placed, b: _Placed) -> bool:
    """Whether two shadows lie to each other as their primals do."""
    if a.lane != b.lane or a.array.dtype != b.array.dtype:
        return False
    if any(one.array.strides != one.primal.strides for one in (a, b)):
        return False
    return address_of(a.array) - address_of(a.primal) == address_of(b.array) - address_of(b.primal)


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
                f"{one.what} has strides {one.array.strides}: several of its elements are one place in memory, "
                f"and {who} writes to it",
                "pass a copy",
            )
    if not strict:
        if request.mode is not None:
            _check_overlaps(request, arrays, written)
        return
    for (a, a_written), (b, b_written) in combinations(zip(arrays, written), 2):
        if (a_written or b_written) and share_memory(a.array, b.array):
            hint = "pass a copy of one of them"
            if request.mode is None or not request.mode.split:
                hint += ", or compile for that with @dsl.kernel(strict_aliasing=False)"
            first = a.what if a_written else b.what
            _refuse(kernel, f"{b.what} overlaps with {a.what} in memory, and {who} writes to {first}", hint)


def _check_overlaps(request: Request, arrays: list[_Placed], written: list[bool]) -> None:
    """In a derivative that permits it, arrays overlap with arrays that are differentiated as they are."""
    families: list[tuple[_Placed, bool, list[_Placed]]] = []  # a primal, whether it is written, and its shadows
    for one, flag in zip(arrays, written):
        if one.shadow:
            families[-1][2].append(one)
        else:
            families.append((one, flag, []))
    for (a, a_written, mine), (b, b_written, other) in combinations(families, 2):
        if not (a_written or b_written) or not share_memory(a.array, b.array):
            continue
        if a.array.dtype != b.array.dtype or len(mine) != len(other) or not all(map(_alike, mine, other)):
            _refuse(
                request.kernel,
                f"{b.what} overlaps with {a.what} in memory, and their shadows do not overlap in the same way",
                "pass views of one array, and as shadows the same views of its shadow; or copies",
            )


def check_structs(request: Request, writebacks: tuple[int, ...]) -> None:
    """Refuse a struct that gets new values and is in the call a second time: the values would come from two sides."""
    everything: list[tuple[str, Any]] = []
    for argument in request.arguments:
        _structs(str(argument), argument.type, argument.value, everything)
        if argument.annotation in SHADOWED:
            for lane, shadow in enumerate(argument.shadows):
                _structs(f"{shadow_name(argument, lane)} of {argument}", argument.type, shadow, everything)
    for one in assigned(request, writebacks):
        for place in one.places:
            holder = one.argument.value if one.lane is None else one.argument.shadows[one.lane]
            for step in place.steps:
                holder = part_of(holder, step)
            names = [name for name, struct in everything if struct is holder]
            if len(names) > 1:
                _refuse(
                    request.kernel,
                    f"{names[0]} and {names[1]} are one object, and the call assigns to its field `{place.field}`",
                    "give each an object of its own, such as copy.copy(p)",
                )
    refs = [ref for a in request.arguments for ref in a.refs]
    if len(set(map(id, refs))) < len(refs):
        _refuse(request.kernel, "two shadows have the same Ref", "give each a Ref of its own")


def _structs(what: str, type_: types.Type, value: Any, found: list[tuple[str, Any]]) -> None:
    """All mutable structs in a value, each with what to call it."""
    if isinstance(type_, types.StructType) and type_.mutable:
        found.append((what, value))
    for key, inner, access in parts(type_):
        _structs(f"{what}{access}", inner, part_of(value, key), found)


def share_memory(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have an element's memory in common; also true where that is too hard to find out."""
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=100_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _refuse(kernel: Kernel, message: str, hint: str) -> NoReturn:
    raise ArgumentError(f"{message}, in a call of {kernel.name}", kernel.loc, hint)
