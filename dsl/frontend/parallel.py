"""What a thread of a grid kernel may ask and do, as operations of the gpu, memref and nvvm dialects.

    thread_idx.x, grid(1)      gpu.thread_id, ...; arithmetic of type index, by which passes see strides
    syncthreads(), syncwarp()  gpu.barrier, nvvm.bar.warp.sync
    shared_array(...)          memref.alloca in workgroup memory, and a cast of it to the default memory space
    local_array(...)           memref.alloca
    atomic_add, max, min, exch memref.atomic_rmw;  atomic_cas: memref.generic_atomic_rmw
    shfl_...                   gpu.shuffle over 32 lanes, and a select where the width is less
    ballot, vote_any, vote_all nvvm.vote.sync

`find` gives the function that emits a call, as `mathlib.find` does for functions of numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir
from mlir.dialects import arith, scf

from .. import errors, parallel, types
from . import casts, creation, indexing
from .elementwise import is_array
from .memory import alloca, array_type
from .scalars import describe, truth
from .values import Builder, TupleValue, Value, constant

_OPS = {"thread_idx": "thread_id", "block_idx": "block_id", "block_dim": "block_dim", "grid_dim": "grid_dim"}
SHARED = "#gpu.address_space<workgroup>"


def on_device(b: Builder, what: str) -> None:
    """Refuse what only a thread of a grid has a meaning for."""
    if not b.device:
        raise b.error(
            f"`{what}` has a meaning only in a kernel that is launched over a grid",
            "launch the kernel: k[blocks, threads](...)",
            errors.UnsupportedSyntax,
        )


# --- places


def coordinate(b: Builder, which: parallel.Coordinates, axis: str) -> Value:
    """`thread_idx.x` and the like."""
    on_device(b, f"{which.name}.{axis}")
    if axis not in ("x", "y", "z"):
        raise b.error(f"`{which.name}` has x, y and z, no `{axis}`", cls=errors.KernelAttributeError)
    return _number(b, _place(b, which.name, axis))


def _place(b: Builder, which: str, axis: str) -> ir.Value:
    attributes = {"dimension": ir.Attribute.parse(f"#gpu<dim {axis}>")}
    return ir.Operation.create(f"gpu.{_OPS[which]}", [b.shared.type("index")], attributes=attributes).result


def _number(b: Builder, index: ir.Value) -> Value:
    return Value(types.pyint, (arith.index_cast(b.shared.type("i64"), index),), nonneg=True)


def _along(name: str, of_axis: Callable[[Builder, str], ir.Value]) -> Callable[[Builder, Value], Value]:
    def build(b: Builder, ndim: Value) -> Value:
        on_device(b, name)
        if ndim.const not in (1, 2, 3):
            raise b.error(f"{name}() takes 1, 2 or 3, known when compiling")
        found = [_number(b, of_axis(b, axis)) for axis in "xyz"[: ndim.const]]
        return found[0] if len(found) == 1 else TupleValue(tuple(found))

    return build


def _global_place(b: Builder, axis: str) -> ir.Value:
    first = arith.muli(_place(b, "block_idx", axis), _place(b, "block_dim", axis))
    return arith.addi(first, _place(b, "thread_idx", axis))


def _extent(b: Builder, axis: str) -> ir.Value:
    return arith.muli(_place(b, "block_dim", axis), _place(b, "grid_dim", axis))


def _lane_id(b: Builder) -> Value:
    on_device(b, "lane_id")
    return _number(b, ir.Operation.create("gpu.lane_id", [b.shared.type("index")]).result)


def _syncthreads(b: Builder) -> Value:
    on_device(b, "syncthreads")
    ir.Operation.create("gpu.barrier", [])
    return constant(None)


def _syncwarp(b: Builder) -> Value:
    on_device(b, "syncwarp")
    ir.Operation.create("nvvm.bar.warp.sync", [], [b.number(-1, types.int32)])
    return constant(None)


# --- memory


def _array(name: str, space: str) -> Callable[..., Value]:
    def build(b: Builder, shape: Value, dtype: Value | None = None) -> Value:
        on_device(b, name)
        sizes = creation.shape_of(b, shape)
        if not all(isinstance(size, int) for size in sizes):
            raise b.error(
                f"the shape of a {name} must be known when compiling", "use a constant from outside the kernel"
            )
        kind = creation.dtype_of(b, dtype, types.float64)
        return alloca(b, kind, [size for size in sizes if isinstance(size, int)], space)

    return build


# --- atomics

_ATOMIC: dict[str, dict[str, str]] = {
    "atomic_add": {"i": "addi", "u": "addi", "f": "addf"},
    "atomic_max": {"i": "maxs", "u": "maxu", "f": "maximumf"},
    "atomic_min": {"i": "mins", "u": "minu", "f": "minimumf"},
    "atomic_exch": {"i": "assign", "u": "assign", "f": "assign"},
    "atomic_cas": {"i": "", "u": ""},
}
# The numbers that memref.atomic_rmw has for its kinds.
_KINDS = {
    "addf": 0, "addi": 1, "assign": 3, "maximumf": 4, "maxs": 6, "maxu": 7, "minimumf": 8, "mins": 10, "minu": 11
}  # fmt: skip


def _atomic(name: str) -> Callable[..., Value]:
    def build(b: Builder, array: Value, index: Value, *values: Value) -> Value:
        on_device(b, name)
        wanted = 2 if name == "atomic_cas" else 1
        if len(values) != wanted:
            takes = "an array, an index, " + ("the expected and the new value" if wanted == 2 else "and a value")
            raise b.error(f"{name}() takes {takes}")
        if not is_array(array) or array.leaves is None:
            raise b.error(f"{name}() changes an element of an array, not of {describe(array.type)}")
        dtype = array_type(array).dtype
        half = name == "atomic_add" and dtype.kind == "f" and dtype.bits == 16
        if dtype.kind not in _ATOMIC[name] or not (dtype.bits in (32, 64) or half):
            known = "integers of 32 or 64 bits" + (", float32 and float64" if "f" in _ATOMIC[name] else "")
            known += ", float16 and bfloat16" if name == "atomic_add" else ""
            raise b.error(f"{name}() is not there for {dtype}", f"it takes arrays of {known}")
        numbers = [casts.coerce(b, value, dtype) for value in values]
        positions, inside = indexing.element(b, array, index, name)
        leaf = b.ir(array)

        def emit() -> ir.Value:
            if name == "atomic_cas":
                return _compare_and_swap(leaf, positions, *numbers)
            kind = ir.IntegerAttr.get(b.shared.type("i64"), _KINDS[_ATOMIC[name][dtype.kind]])
            operands = [numbers[0], leaf, *positions]
            return ir.Operation.create("memref.atomic_rmw", [numbers[0].type], operands, {"kind": kind}).result

        return Value(dtype, (_if_inside(b, inside, dtype, emit),))

    return build


def _compare_and_swap(leaf: ir.Value, positions: Sequence[ir.Value], expected: ir.Value, new: ir.Value) -> ir.Value:
    """Returns what was there. The operation's region computes what is stored from what is found."""
    op = ir.Operation.create("memref.generic_atomic_rmw", [new.type], [leaf, *positions], regions=1)
    block = op.regions[0].blocks.append(new.type)
    with ir.InsertionPoint(block):
        found = block.arguments[0]
        same = arith.cmpi(arith.CmpIPredicate.eq, found, expected)
        ir.Operation.create("memref.atomic_yield", [], [arith.select(same, new, found)])
    return op.result


def _if_inside(b: Builder, inside: ir.Value | None, dtype: types.Scalar, emit: Callable[[], ir.Value]) -> ir.Value:
    """With bounds checked: nothing is touched out of range, and the value is 0."""
    if inside is None:
        return emit()
    branch = scf.IfOp(inside, [b.type(dtype)], has_else=True)
    with ir.InsertionPoint(branch.then_block):
        scf.YieldOp([emit()])
    with ir.InsertionPoint(branch.else_block):
        scf.YieldOp([b.number(0, dtype)])
    return branch.results[0]


# --- warps


def _shuffle(name: str, mode: str) -> Callable[..., Value]:
    def build(b: Builder, value: Value, lane: Value, width: Value | None = None) -> Value:
        on_device(b, name)
        part = parallel.WARP if width is None else width.const
        if part not in (1, 2, 4, 8, 16, 32):
            raise b.error(f"the width of {name}() is a power of two, 32 at most, known when compiling")
        if not isinstance(value.type, types.Scalar) or value.type.kind == "c":
            raise b.error(f"{name}() passes on a number, not {describe(value.type)}")
        if not (isinstance(lane.type, types.Scalar) and lane.type.kind in "iu"):
            raise b.error(f"the second argument of {name}() is an integer, not {describe(lane.type)}")
        dtype = value.type
        wide = _passed_as(dtype)
        number = casts.cast(b, b.ir(value), dtype, wide)
        where = casts.cast(b, b.ir(lane), lane.type, types.int32)
        inside = None
        if part != parallel.WARP:
            where, inside = _in_part(b, mode, where, part)
        attributes = {"mode": ir.Attribute.parse(f"#gpu<shuffle_mode {mode}>")}
        results = [number.type, b.shared.type("i1")]
        everyone = b.number(parallel.WARP, types.int32)
        op = ir.Operation.create("gpu.shuffle", results, [number, where, everyone], attributes)
        found = op.results[0] if inside is None else arith.select(inside, op.results[0], number)
        return Value(dtype, (casts.cast(b, found, wide, dtype),), nonneg=value.nonneg)

    return build


def _in_part(b: Builder, mode: str, where: ir.Value, width: int) -> tuple[ir.Value, ir.Value | None]:
    """A shuffle in parts of `width` lanes as one of the warp: its second operand, and whether that is in the part."""
    word = b.shared.type("i32")
    lane = arith.index_cast(word, ir.Operation.create("gpu.lane_id", [b.shared.type("index")]).result)
    mask = b.number(width - 1, types.int32)
    place = arith.andi(lane, mask)
    if mode == "idx":
        return arith.addi(arith.subi(lane, place), arith.andi(where, mask)), None
    if mode == "up":
        return where, arith.cmpi(arith.CmpIPredicate.sge, place, where)
    width_ = b.number(width, types.int32)
    other = arith.addi(place, where) if mode == "down" else where
    return where, arith.cmpi(arith.CmpIPredicate.ult, other, width_)


def _passed_as(dtype: types.Scalar) -> types.Scalar:
    """The type as which a number goes from lane to lane: words of 32 or 64 bits, from which it comes back whole."""
    if dtype.kind == "f":
        return types.float32 if dtype.bits < 32 else dtype.strong
    return types.int32 if dtype.bits < 32 else dtype.strong


def _vote(name: str, kind: str, result: types.Scalar) -> Callable[..., Value]:
    def build(b: Builder, predicate: Value) -> Value:
        on_device(b, name)
        holds = b.ir(truth(b, predicate))
        attributes = {"kind": ir.Attribute.parse(f"#nvvm<vote_sync_kind {kind}>")}
        everyone = b.number(-1, types.int32)  # the mask of lanes
        vote = ir.Operation.create("nvvm.vote.sync", [b.type(result)], [everyone, holds], attributes)
        return Value(result, (vote.result,))

    return build


def _no_loop(b: Builder, bounds: Value) -> Value:
    raise b.error("prange is only what a `for` runs over", "write `for i in dsl.prange(n):`", errors.UnsupportedSyntax)


_EMIT: dict[Any, Callable[..., Value]] = {
    parallel.prange: _no_loop,
    parallel.grid: _along("grid", _global_place),
    parallel.gridsize: _along("gridsize", _extent),
    parallel.lane_id: _lane_id,
    parallel.syncthreads: _syncthreads,
    parallel.syncwarp: _syncwarp,
    parallel.shared_array: _array("shared_array", SHARED),
    parallel.local_array: _array("local_array", ""),
    **{getattr(parallel, name): _atomic(name) for name in _ATOMIC},
    parallel.shfl_sync: _shuffle("shfl_sync", "idx"),
    parallel.shfl_up: _shuffle("shfl_up", "up"),
    parallel.shfl_down: _shuffle("shfl_down", "down"),
    parallel.shfl_xor: _shuffle("shfl_xor", "xor"),
    parallel.ballot: _vote("ballot", "ballot", types.uint32),
    parallel.vote_any: _vote("vote_any", "any", types.bool_),
    parallel.vote_all: _vote("vote_all", "all", types.bool_),
}


def find(function: Any) -> Callable[..., Value] | None:
    """What emits a call of one of the functions of `dsl.parallel`; None of any other object."""
    return _EMIT.get(function) if getattr(function, "__module__", "") == parallel.__name__ else None


def call(b: Builder, function: Any, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """Emit a call, its arguments bound as Python binds them."""
    import inspect

    signature = inspect.signature(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise b.error(f"{function.__name__}(): {error}", f"it is {function.__name__}{signature}") from None
    return _EMIT[function](b, *[value.force(b) for value in bound.args])
