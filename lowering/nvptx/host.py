"""Pass: what host code asks of the device becomes calls of one C function, `DEVICE`, given when the code is loaded.

    int64_t dsl_device(int64_t *words)

    LAUNCH  kernel, grid x y z, block x y z, a word for each parameter → 0
    ALLOC   bytes                                                     → address
    FREE    address                                                   → 0
    READ    address, bytes                                            → the bits of a number
    WRITE   address, bytes, the bits of a number                      → 0

Where that fails it puts `FAILED` in place of the first word, and the host code ends there.

Takes a module after `device.outline`; leaves one for the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mlir.ir import (
    ComplexType,
    DenseI32ArrayAttr,
    DenseI64ArrayAttr,
    FlatSymbolRefAttr,
    FunctionType,
    IndexType,
    InsertionPoint,
    IntegerType,
    MemRefType,
    Module,
    Operation,
    ShapedType,
    StringAttr,
    Type,
    TypeAttr,
    UnitAttr,
    Value,
)

from ..abi import ALLOC_CALL as ALLOC
from ..abi import DEVICE, FAILED, FREE_CALL, LAUNCH_CALL, READ_CALL, WRITE_CALL
from ..grid.emit import Emitter, home, operations, plain
from ..manual import FREE, KEEP
from ..memory import REFUSE, declare_refuse, element_bytes
from ..pointers import ATTRIBUTE
from .arrays import Arrays
from .device import Kernel
from .parameters import values

_EQ = 0


def call_device(module: Module, arrays: Arrays, kernels: dict[str, Kernel]) -> list[list[int]]:
    """Rewrite; returns for each kernel, in order, which of its arguments are the host's error cell."""
    _declare(module)
    declare_refuse(module)
    order = {name: number for number, name in enumerate(kernels)}
    cells: list[list[int]] = [[] for _ in kernels]
    # What is to be done is found first: the classes know nothing of values that come in place of others.
    todo: list[tuple[Callable[[Operation], None], Operation]] = []
    for op in arrays.outside_launches():
        if op.name == "gpu.launch_func":
            number = order[str(op.attributes["kernel"]).rpartition("@")[2]]
            cells[number] = [n for n, value in enumerate(list(op.operands)[6:]) if arrays.is_cell(value)]
            todo.append((partial(_launch, number), op))
        elif op.name in ("memref.alloc", "memref.alloca") and arrays.on_device(op.results[0]):
            todo.append((partial(_alloc, _frees(op, arrays)), op))
        elif arrays.single(op):
            todo.append((_read if op.name == "memref.load" else _write, op))
        elif op.name == "memref.dealloc" and arrays.on_device(op.operands[0]):
            todo.append((_free if FREE in op.attributes else Operation.erase, op))
    for rewrite, op in todo:
        rewrite(op)
    for op in operations(module.body):
        if op.name == "gpu.module":
            op.erase()
    if "gpu.container_module" in module.operation.attributes:
        del module.operation.attributes["gpu.container_module"]
    return cells


def return_words(arrays: Arrays, entry: str) -> list[str]:
    """Let the entry return arrays on the device as the words that describe them: nothing on the host owns them. Returns
    where each of the arrays is.
    """
    function = arrays.defined[entry]
    end = operations(function.regions[0].blocks[0])[-1]
    e = Emitter(InsertionPoint(end), end.location)
    places: list[str] = []
    returned: list[Value] = []
    for value in end.operands:
        if isinstance(value.type, MemRefType):
            places.append(arrays.place(value))
        returned += _described(e, value) if arrays.on_device(value) else [value]
    if "device" in places:
        type_ = FunctionType(TypeAttr(function.attributes["function_type"]).value)
        found = FunctionType.get(list(type_.inputs), [value.type for value in returned])
        function.attributes["function_type"] = TypeAttr.get(found)
        e.op("func.return", returned)
        end.erase()
    return places


def _described(e: Emitter, array: Value) -> list[Value]:
    """The words of an array, as the entry function's caller takes them."""
    type_ = MemRefType(array.type)
    index, word = IndexType.get(), IntegerType.get_signless(64)
    scalar = MemRefType.get([], type_.element_type)
    _, *extents = e.op("memref.extract_strided_metadata", [array], [scalar, *[index] * (1 + 2 * type_.rank)]).results
    address = e.value("memref.extract_aligned_pointer_as_index", [array], index)
    return [e.value("arith.index_cast", [v], word) for v in (address, address, *extents)]


def _declare(module: Module) -> None:
    array = Type.parse("memref<?xi64>")
    type_ = FunctionType.get([array], [IntegerType.get_signless(64)])
    attributes = {
        "sym_name": StringAttr.get(DEVICE),
        "function_type": TypeAttr.get(type_),
        "sym_visibility": StringAttr.get("private"),
        ATTRIBUTE: UnitAttr.get(),
    }
    Emitter(InsertionPoint.at_block_begin(module.body), module.operation.location).op(
        "func.func", attributes=attributes, regions=1
    )


def _ask(op: Operation, e: Emitter, words: list[Value]) -> Value:
    """Call the device with these words, which lie on the stack."""
    function = op
    while function.name != "func.func":
        function = plain(function.parent)
    start = Emitter(InsertionPoint.at_block_begin(function.regions[0].blocks[0]), op.location)
    type_ = MemRefType.get([len(words)], IntegerType.get_signless(64))
    segments = {"operandSegmentSizes": DenseI32ArrayAttr.get([0, 0])}
    buffer = start.value("memref.alloca", [], type_, segments)
    for number, word in enumerate(words):
        e.op("memref.store", [word, buffer, e.integer(number)])
    array = e.value("memref.cast", [buffer], Type.parse("memref<?xi64>"))
    callee = {"callee": FlatSymbolRefAttr.get(DEVICE)}
    word = IntegerType.get_signless(64)
    answer = e.value("func.call", [array], word, callee)
    first = e.value("memref.load", [buffer, e.integer(0)], word)
    failed = e.op("scf.if", [e.compare(_EQ, first, e.integer(FAILED, word))], regions=2)
    with e.at(failed.regions[0].blocks.append()):
        e.call(REFUSE, [])
        e.op("scf.yield")
    return answer


def _words(e: Emitter, *numbers: int) -> list[Value]:
    return [e.integer(number, IntegerType.get_signless(64)) for number in numbers]


def _launch(number: int, op: Operation) -> None:
    arguments = list(op.operands)[6:]
    e = Emitter(InsertionPoint(op), op.location)
    extents = [w for value in list(op.operands)[:6] for w in values(e, value)]
    words = [w for value in arguments for w in values(e, value)]
    _ask(op, e, [*_words(e, LAUNCH_CALL, number), *extents, *words])
    op.erase()


def _frees(op: Operation, arrays: Arrays) -> bool:
    """Whether an array is to be freed at the end of the block that it is allocated in, which it does not outlive."""
    block = home(op.results[0])
    members = arrays.members(op.results[0])
    if plain(block.owner).name == "func.func" or not all(_within(v, block) for v in members):
        return False
    return not any(_outlives(plain(use.owner), value) for value in members for use in value.uses)


def _outlives(op: Operation, array: Value) -> bool:
    """Whether an operation says that an array may live on: it or its address is kept, or it is freed by hand."""
    if op.name == "memref.store":
        return op.operands[0] == array
    return KEEP in op.attributes or FREE in op.attributes


def _free(op: Operation) -> None:
    """Memory that the program frees by hand (see `manual`)."""
    e = Emitter(InsertionPoint(op), op.location)
    address = e.value("memref.extract_aligned_pointer_as_index", [op.operands[0]], IndexType.get())
    _ask(op, e, [*_words(e, FREE_CALL), e.value("arith.index_cast", [address], IntegerType.get_signless(64))])
    op.erase()


def _alloc(frees: bool, op: Operation) -> None:
    """Memory from the device."""
    e = Emitter(InsertionPoint(op), op.location)
    type_ = MemRefType(op.results[0].type)
    dynamic = iter(op.operands)
    sizes = [next(dynamic) if n == ShapedType.get_dynamic_size() else e.integer(n) for n in type_.shape]
    count = e.product([e.integer(element_bytes(type_.element_type)), *sizes])
    word = IntegerType.get_signless(64)
    address = _ask(op, e, [*_words(e, ALLOC), e.value("arith.index_cast", [count], word)])
    if frees:
        end = Emitter(InsertionPoint(operations(home(op.results[0]))[-1]), op.location)
        _ask(op, end, [*_words(end, FREE_CALL), address])
    op.results[0].replace_all_uses_with(_array(e, type_, address, sizes))
    op.erase()


def _read(op: Operation) -> None:
    e = Emitter(InsertionPoint(op), op.location)
    array, *places = op.operands
    type_ = op.results[0].type
    address, nbytes = _address(e, array, places)
    parts = [type_.element_type] * 2 if isinstance(type_, ComplexType) else [type_]
    size = nbytes // len(parts)
    found = [
        _number(e, _ask(op, e, [*_words(e, READ_CALL), _further(e, address, n * size), *_words(e, size)]), part)
        for n, part in enumerate(parts)
    ]
    value = e.value("complex.create", found, type_) if len(found) == 2 else found[0]
    op.results[0].replace_all_uses_with(value)
    op.erase()


def _write(op: Operation) -> None:
    e = Emitter(InsertionPoint(op), op.location)
    number, array, *places = op.operands
    address, nbytes = _address(e, array, places)
    parts = values(e, number)
    size = nbytes // len(parts)
    for n, part in enumerate(parts):
        _ask(op, e, [*_words(e, WRITE_CALL), _further(e, address, n * size), *_words(e, size), part])
    op.erase()


def _further(e: Emitter, address: Value, nbytes: int) -> Value:
    return e.binary("addi", address, e.integer(nbytes, address.type))


def _address(e: Emitter, array: Value, places: list[Value]) -> tuple[Value, int]:
    """Where an element is, and its bytes."""
    type_ = MemRefType(array.type)
    index, scalar = IndexType.get(), MemRefType.get([], type_.element_type)
    found = e.op("memref.extract_strided_metadata", [array], [scalar, *[index] * (1 + 2 * type_.rank)]).results
    at, strides = found[1], list(found)[2 + type_.rank :]
    for place, stride in zip(places, strides, strict=True):
        at = e.value("arith.addi", [at, e.binary("muli", place, stride)], index)
    nbytes = element_bytes(type_.element_type)
    base = e.value("memref.extract_aligned_pointer_as_index", [array], index)
    address = e.value("arith.addi", [base, e.binary("muli", at, e.integer(nbytes))], index)
    return e.value("arith.index_cast", [address], IntegerType.get_signless(64)), nbytes


def _number(e: Emitter, bits: Value, type_: Type) -> Value:
    """The number that a word's low bits are."""
    if isinstance(type_, IndexType):
        return e.value("arith.index_cast", [bits], type_)
    whole = IntegerType.get_signless(type_.width)
    if whole.width < 64:
        bits = e.value("arith.trunci", [bits], whole)
    return bits if type_ == whole else e.value("arith.bitcast", [bits], type_)


def _within(value: Value, block: object) -> bool:
    found = home(value)
    while found != block:
        owner = plain(found.owner)
        if owner.name in ("func.func", "builtin.module"):
            return False
        found = owner.block
    return True


def _array(e: Emitter, type_: MemRefType, address: Value, sizes: list[Value]) -> Value:
    """The memref of contiguous memory at an address."""
    rank = type_.rank
    extents = f", array<{rank} x i64>, array<{rank} x i64>" if rank else ""
    struct = Type.parse(f"!llvm.struct<(ptr, ptr, i64{extents})>")
    pointer = e.value("llvm.inttoptr", [address], Type.parse("!llvm.ptr"))
    word = IntegerType.get_signless(64)
    strides: list[Value] = []
    step = e.integer(1)
    for size in reversed(sizes):
        strides.insert(0, step)
        step = e.binary("muli", step, size)
    parts = [(pointer, [0]), (pointer, [1]), (e.integer(0, word), [2])]
    for number, group in ((3, sizes), (4, strides)):
        parts += [(e.value("arith.index_cast", [v], word), [number, axis]) for axis, v in enumerate(group)]
    value = e.value("llvm.mlir.undef", [], struct)
    for part, place in parts:
        value = e.value("llvm.insertvalue", [value, part], struct, {"position": DenseI64ArrayAttr.get(place)})
    return e.value("builtin.unrealized_conversion_cast", [value], type_)
