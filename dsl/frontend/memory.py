"""Arrays as MLIR memrefs: their sizes, elements, allocation and loop nests; and which arrays share memory.

An `ArrayValue` is an array of which the sizes are known as values; of any other array value they are asked for by
memref.dim. A size (`Size`) is a Python int where it is known when compiling, else an MLIR value of index type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from mlir import ir
from mlir.dialects import arith, memref, scf

from .. import types
from .values import Builder, Value

Size: TypeAlias = "int | ir.Value"
Indices = list[ir.Value]


class ArrayValue(Value):
    """An array with its sizes."""

    __slots__ = ("sizes",)

    def __init__(self, type_: types.ArrayType, leaf: ir.Value, sizes: Sequence[Size]) -> None:
        super().__init__(type_, (leaf,))
        self.sizes = list(sizes)


class ListValue(ArrayValue):
    """The array of a list literal, as long as it is known to be one: what Python's lists do otherwise is refused."""

    __slots__ = ()


def array_type(value: Value) -> types.ArrayType:
    assert isinstance(value.type, types.ArrayType)
    return value.type


def sizes_of(b: Builder, value: Value) -> list[Size]:
    """The sizes of an array that has been computed."""
    if isinstance(value, ArrayValue):
        return value.sizes
    leaf = b.ir(value)
    return [memref.dim(leaf, b.index(axis)) for axis in range(array_type(value).ndim)]


def as_index(b: Builder, size: Size) -> ir.Value:
    return b.index(size) if isinstance(size, int) else size


def as_int(b: Builder, size: Size) -> Value:
    """A size as the language sees it: an int that is never negative."""
    if isinstance(size, int):
        return Value(types.pyint, const=size)
    return Value(types.pyint, (arith.index_cast(b.shared.type("i64"), size),), nonneg=True)


# --- elements


def load_element(b: Builder, array: ir.Value, indices: Indices, dtype: types.Scalar) -> ir.Value:
    element = memref.load(array, indices)
    if dtype.kind == "b":  # a byte in memory
        return arith.cmpi(arith.CmpIPredicate.ne, element, arith.constant(b.storage(dtype), 0))
    return element


def store_element(b: Builder, number: ir.Value, array: ir.Value, indices: Indices, dtype: types.Scalar) -> None:
    if dtype.kind == "b":
        number = arith.extui(b.storage(dtype), number)
    memref.store(number, array, indices)


def allocate(b: Builder, dtype: types.Scalar, sizes: Sequence[Size]) -> ArrayValue:
    """A new array, its elements not yet set."""
    if b.device:
        return alloca(b, dtype, _known_sizes(b, sizes))
    type_ = types.ArrayType(dtype, len(sizes), True)
    leaf = memref.alloc(b.type(type_), [as_index(b, s) for s in sizes], [])
    return ArrayValue(type_, leaf, sizes)


def _known_sizes(b: Builder, sizes: Sequence[Size]) -> list[int]:
    """Sizes of an array that a thread of a grid makes: it has no heap."""
    if not all(isinstance(size, int) for size in sizes):
        raise b.error(
            "a thread makes arrays only of a shape known when compiling",
            "pass an array as an argument, or write a loop over the elements",
        )
    return [size for size in sizes if isinstance(size, int)]


def alloca(b: Builder, dtype: types.Scalar, sizes: Sequence[int], space: str = "") -> ArrayValue:
    """Memory of a thread, or (in another memory space) of its block, for an array of known sizes."""
    shape = "".join(f"{size}x" for size in sizes)
    own = b.shared.type(f"memref<{shape}{dtype.storage}{', ' + space if space else ''}>")
    segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 0])}
    array = ir.Operation.create("memref.alloca", [own], attributes=segments).result
    if space:
        plain = b.shared.type(f"memref<{shape}{dtype.storage}>")
        array = ir.Operation.create("memref.memory_space_cast", [plain], [array]).result
    type_ = types.ArrayType(dtype, len(sizes), True)
    if sizes:
        array = ir.Operation.create("memref.cast", [b.type(type_)], [array]).result
    return ArrayValue(type_, array, sizes)


# --- loops


def nest(b: Builder, sizes: Sequence[Size], body: Callable[[Indices], None]) -> None:
    """Loops over all index tuples in row-major order; `body` emits what is done for each."""

    def carry_nothing(indices: Indices, _: list[ir.Value]) -> list[ir.Value]:
        body(indices)
        return []

    nest_carrying(b, sizes, [], carry_nothing)


def nest_carrying(
    b: Builder,
    sizes: Sequence[Size],
    initial: Sequence[ir.Value],
    body: Callable[[Indices, list[ir.Value]], Sequence[ir.Value]],
) -> list[ir.Value]:
    """As `nest`, with values that each step gets from the one before; returns the last ones."""
    indices: Indices = []

    def level(carried: list[ir.Value]) -> list[ir.Value]:
        if len(indices) == len(sizes):
            return list(body(list(indices), carried))
        loop = scf.ForOp(b.index(0), as_index(b, sizes[len(indices)]), b.index(1), carried)
        with ir.InsertionPoint(loop.body):
            indices.append(loop.induction_variable)
            scf.YieldOp(level(list(loop.inner_iter_args)))
            indices.pop()
        return list(loop.results)

    return level(list(initial))


# --- equal values and shared memory

_PURE = frozenset(
    [
        "arith.constant",
        "arith.index_cast",
        "arith.index_castui",
        "arith.extsi",
        "arith.extui",
        "arith.trunci",
        "arith.addi",
        "arith.subi",
        "arith.muli",
        "arith.divsi",
        "arith.divui",
        "arith.maxsi",
        "arith.minsi",
        "arith.select",
        "arith.cmpi",
        "arith.xori",
        "arith.andi",
        "arith.ori",
        "memref.dim",
    ]
)
_VIEWS = frozenset(
    [
        "memref.subview",
        "memref.cast",
        "memref.memory_space_cast",
        "memref.reinterpret_cast",
        "memref.transpose",
        "memref.expand_shape",
        "memref.collapse_shape",
    ]
)
_DEEPEST = 12


def _owner(value: ir.Value) -> ir.Operation | None:
    """The operation that makes a value; None of a block's argument."""
    owner = value.owner
    if isinstance(owner, ir.Block):
        return None
    return owner.operation if isinstance(owner, ir.OpView) else owner


def _key(value: ir.Value, names: frozenset[str], depth: int) -> Any:
    """A key that is equal for values that surely are equal: the same value, or the same operation on equal ones."""
    op = _owner(value)
    if op is None or op.name not in names or depth == 0:
        return value
    if op.name == "arith.constant":
        return ("constant", str(op.attributes["value"]))
    attributes = tuple((name, str(op.attributes[name])) for name in op.attributes)
    return (op.name, str(value.type), attributes, tuple(_key(o, names, depth - 1) for o in op.operands))


def same_size(left: Size, right: Size) -> bool:
    """Whether two sizes are surely equal."""
    if isinstance(left, int) or isinstance(right, int):
        return isinstance(left, int) and isinstance(right, int) and left == right
    return bool(left == right) or bool(_key(left, _PURE, _DEEPEST) == _key(right, _PURE, _DEEPEST))


def same_view(left: ir.Value, right: ir.Value) -> bool:
    """Whether two arrays surely are the same elements at the same positions."""
    if left == right:
        return True
    names = _PURE | _VIEWS
    return bool(_key(left, names, _DEEPEST) == _key(right, names, _DEEPEST))


def _root(array: ir.Value) -> ir.Value:
    """The array that a view looks into."""
    op = _owner(array)
    while op is not None and op.name in _VIEWS:
        array = op.operands[0]
        op = _owner(array)
    return array


_ALLOCATION, _ARGUMENT, _UNKNOWN = range(3)


def _origin(b: Builder, root: ir.Value) -> int:
    """Where an array comes from, as far as it says that it shares memory with no other."""
    op = _owner(root)
    if op is not None:
        # what a kernel returns is its own: calls.py copies arguments that are returned
        return _ALLOCATION if op.name in ("memref.alloc", "memref.alloca", "func.call") else _UNKNOWN
    function = root.owner.owner
    if function.operation.name != "func.func":
        return _UNKNOWN
    # Arguments of the entry are checked at launch not to overlap. Kernels that kernels call are private.
    private = "sym_visibility" in function.operation.attributes
    return _ARGUMENT if is_strict(b) and not private else _UNKNOWN


def is_strict(b: Builder) -> bool:
    """Whether arrays of one call are taken not to overlap, which is checked."""
    return bool(getattr(b.shared.options, "strict_aliasing", True))


def may_overlap(b: Builder, left: ir.Value, right: ir.Value) -> bool:
    """Whether two arrays could share memory."""
    left_type, right_type = ir.MemRefType(left.type), ir.MemRefType(right.type)
    if left_type.element_type != right_type.element_type:
        return False
    left, right = _root(left), _root(right)
    if left == right:
        return True
    origins = (_origin(b, left), _origin(b, right))
    if _UNKNOWN not in origins:
        return False
    # an allocation that is made here is not one of the arguments of this function
    if _ALLOCATION not in origins:
        return True
    return not _is_argument(right if origins[0] == _ALLOCATION else left)


def _is_argument(array: ir.Value) -> bool:
    """Whether it is an argument of a function."""
    block = array.owner
    return isinstance(block, ir.Block) and block.owner.operation.name == "func.func"


def arguments_behind(left: ir.Value, right: ir.Value) -> tuple[int, int] | None:
    """The numbers of the two arguments of a function that two arrays are, or look into; None if they are of none, or of
    one.
    """
    left, right = _root(left), _root(right)
    if left == right or not (_is_argument(left) and _is_argument(right)):
        return None
    return left.arg_number, right.arg_number
