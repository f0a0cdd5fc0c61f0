"""The parameters of a kernel: plain pointers and numbers, in place of what MLIR passes for memrefs.

    memref, contiguous     pointer to the first element, the sizes that are not fixed
    memref, strided        pointer to the first element, offset applied; those sizes; strides that are not fixed
    complex, vector        its parts
    index                  64 bits
    number                 itself; a bool is a byte

`describe` gives the list for an argument, `plain` rewrites a kernel so, and `values` emits, in host code, the words for
one launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mlir.ir import (
    BF16Type,
    ComplexType,
    DenseI64ArrayAttr,
    F16Type,
    F32Type,
    F64Type,
    FloatType,
    FunctionType,
    IndexType,
    InsertionPoint,
    IntegerType,
    MemRefType,
    Operation,
    ShapedType,
    Type,
    TypeAttr,
    UnrankedMemRefType,
    Value,
    VectorType,
)

from ..errors import LoweringError, position
from ..grid.emit import Emitter
from ..memory import element_bytes


class Parameter(NamedTuple):
    """One parameter: "pointer", "size", "stride" or "number", its bytes, and the argument that it belongs to."""

    kind: str
    bytes: int
    argument: int
    type: str  # of a number or of the elements, as MLIR spells it


def _dynamic(shape: Sequence[int]) -> list[int]:
    return [axis for axis, size in enumerate(shape) if size == ShapedType.get_dynamic_size()]


def _strides(type_: MemRefType) -> tuple[list[int], bool]:
    """The strides, and whether the array is contiguous."""
    strides, _ = type_.get_strides_and_offset()
    return list(strides), "strided" not in str(type_) and "affine_map" not in str(type_)


def _bits(type_: Type) -> int:
    if isinstance(type_, IndexType):
        return 64
    if isinstance(type_, IntegerType):
        return int(type_.width)
    known = {F64Type: 64, F32Type: 32, F16Type: 16, BF16Type: 16}
    return known.get(type(type_), 0)


def describe(type_: Type, argument: int, where: Any) -> list[Parameter]:
    """The parameters of an argument of this type; LoweringError where it cannot be one."""
    if isinstance(type_, MemRefType) and not isinstance(type_, UnrankedMemRefType):
        element = str(type_.element_type)
        found = [Parameter("pointer", 8, argument, element)]
        strides, contiguous = _strides(type_)
        found += [Parameter("size", 8, argument, "index")] * len(_dynamic(type_.shape))
        if not contiguous:
            dynamic = ShapedType.get_dynamic_stride_or_offset()
            found += [Parameter("stride", 8, argument, "index")] * sum(1 for stride in strides if stride == dynamic)
        return found
    if isinstance(type_, ComplexType):
        return describe(type_.element_type, argument, where) * 2
    if isinstance(type_, VectorType) and not any(type_.scalable_dims):
        return describe(type_.element_type, argument, where) * _count(type_)
    bits = _bits(type_)
    if bits not in (1, 8, 16, 32, 64):
        raise LoweringError(f"a grid kernel is passed a {type_}", position(where), "pass numbers and arrays")
    return [Parameter("number", max(1, bits // 8), argument, str(type_))]


def _count(type_: VectorType) -> int:
    total = 1
    for size in type_.shape:
        total *= size
    return total


# --- in the kernel


def plain(function: Operation) -> None:
    """Rewrite a gpu.func to take plain parameters, those that `describe` says."""
    block = function.regions[0].blocks[0]
    types = [argument.type for argument in block.arguments]
    e = Emitter(InsertionPoint.at_block_begin(block), function.location)
    new_types: list[Type] = []
    for old, type_ in zip(list(block.arguments), types, strict=True):
        kinds = _passed(type_)
        fresh = [block.add_argument(kind, function.location) for kind in kinds]
        new_types += kinds
        old.replace_all_uses_with(_assembled(e, type_, list(fresh)))
    for _ in types:
        block.erase_argument(0)
    function.attributes["function_type"] = TypeAttr.get(FunctionType.get(new_types, []))
    for name in ("arg_attrs", "workgroup_attrib_attrs"):
        if name in function.attributes:
            del function.attributes[name]


def _passed(type_: Type) -> list[Type]:
    index = IndexType.get()
    if isinstance(type_, MemRefType):
        return [Type.parse("!llvm.ptr"), *[index] * (len(describe(type_, 0, None)) - 1)]
    if isinstance(type_, ComplexType):
        return [type_.element_type] * 2
    if isinstance(type_, VectorType):
        return [type_.element_type] * _count(type_)
    return [IntegerType.get_signless(8)] if str(type_) == "i1" else [type_]


def _assembled(e: Emitter, type_: Type, parts: list[Value]) -> Value:
    """The value that a kernel's body knows, of its parameters."""
    if isinstance(type_, MemRefType):
        return _memref(e, type_, parts)
    if isinstance(type_, ComplexType):
        return e.value("complex.create", parts, type_)
    if isinstance(type_, VectorType):
        return e.value("vector.from_elements", parts, type_)
    if str(type_) == "i1":
        return e.value("arith.trunci", parts, type_)
    return parts[0]


def _memref(e: Emitter, type_: MemRefType, parts: list[Value]) -> Value:
    """A memref descriptor, in the form that the conversion to LLVM gives it."""
    rank = type_.rank
    array = f", array<{rank} x i64>, array<{rank} x i64>" if rank else ""
    struct = Type.parse(f"!llvm.struct<(ptr, ptr, i64{array})>")
    word = IntegerType.get_signless(64)
    left = iter(parts[1:])
    index = IndexType.get()
    sizes = [next(left) if size == ShapedType.get_dynamic_size() else e.integer(size) for size in type_.shape]
    strides, contiguous = _strides(type_)
    if contiguous:
        found: list[Value] = []
        step = e.integer(1)
        for size in reversed(sizes):
            found.insert(0, step)
            step = e.binary("muli", step, size)
    else:
        dynamic = ShapedType.get_dynamic_stride_or_offset()
        found = [next(left) if stride == dynamic else e.integer(stride) for stride in strides]
    value = e.value("llvm.mlir.undef", [], struct)
    places: list[tuple[Value, list[int]]] = [(parts[0], [0]), (parts[0], [1])]
    zero = e.value("arith.index_cast", [e.integer(0)], word)
    places.append((zero, [2]))
    for number, group in ((3, sizes), (4, found)):
        for axis, part in enumerate(group):
            assert part.type == index
            places.append((e.value("arith.index_cast", [part], word), [number, axis]))
    for part, place in places:
        value = e.value("llvm.insertvalue", [value, part], struct, {"position": DenseI64ArrayAttr.get(place)})
    return e.value("builtin.unrealized_conversion_cast", [value], type_)


# --- in host code


def values(e: Emitter, value: Value) -> list[Value]:
    """The words, i64 each, that a launch hands over for one argument."""
    type_ = value.type
    word = IntegerType.get_signless(64)
    if isinstance(type_, MemRefType):
        return _of_memref(e, value, type_)
    if isinstance(type_, ComplexType):
        parts = [e.value(f"complex.{part}", [value], type_.element_type) for part in ("re", "im")]
        return [w for part in parts for w in values(e, part)]
    if isinstance(type_, VectorType):
        return [w for part in _elements(e, value, type_) for w in values(e, part)]
    if isinstance(type_, FloatType):
        bits = IntegerType.get_signless(_bits(type_))
        value = e.value("arith.bitcast", [value], bits)
        type_ = bits
    if isinstance(type_, IndexType):
        return [e.value("arith.index_cast", [value], word)]
    return [value if type_ == word else e.value("arith.extui", [value], word)]


def _elements(e: Emitter, value: Value, type_: VectorType) -> list[Value]:
    count = _count(type_)
    return list(e.op("vector.to_elements", [value], [type_.element_type] * count).results)


def _of_memref(e: Emitter, value: Value, type_: MemRefType) -> list[Value]:
    index = IndexType.get()
    word = IntegerType.get_signless(64)
    scalar = MemRefType.get([], type_.element_type)
    metadata = e.op("memref.extract_strided_metadata", [value], [scalar, *[index] * (1 + 2 * type_.rank)])
    _, offset, *extents = metadata.results
    base = e.value("memref.extract_aligned_pointer_as_index", [value], index)
    first = e.binary("addi", base, e.binary("muli", offset, e.integer(element_bytes(type_.element_type))))
    strides, contiguous = _strides(type_)
    found = [first, *[extents[axis] for axis in _dynamic(type_.shape)]]
    if not contiguous:
        dynamic = ShapedType.get_dynamic_stride_or_offset()
        found += [extents[type_.rank + axis] for axis, stride in enumerate(strides) if stride == dynamic]
    return [e.value("arith.index_cast", [v], word) for v in found]
