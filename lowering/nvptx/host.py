"""Pass: what host code asks of the device becomes calls of one C function, `DEVICE`, given when the code is loaded.

    int64_t dsl_device(int64_t *words)

    LAUNCH  kernel, grid x y z, block x y z, a word for each parameter → 0
    ALLOC   bytes                                                     → address
    FREE    address                                                   → 0

Takes a module after `device.outline`; leaves one for the CPU.
"""

from __future__ import annotations

from mlir.ir import (
    DenseI32ArrayAttr,
    DenseI64ArrayAttr,
    FlatSymbolRefAttr,
    FunctionType,
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
from ..abi import DEVICE, FREE_CALL, LAUNCH_CALL
from ..errors import LoweringError, position
from ..grid.emit import Emitter, home, operations, plain
from ..memory import element_bytes
from ..pointers import ATTRIBUTE
from .arrays import Arrays
from .device import Kernel
from .parameters import values


def call_device(module: Module, arrays: Arrays, kernels: dict[str, Kernel]) -> list[list[int]]:
    """Rewrite; returns for each kernel, in order, which of its arguments are the host's error cell."""
    _declare(module)
    order = {name: number for number, name in enumerate(kernels)}
    cells: list[list[int]] = [[] for _ in kernels]
    for op in list(arrays.outside_launches()):
        if op.name == "gpu.launch_func":
            name = str(op.attributes["kernel"]).rpartition("@")[2]
            arguments = list(op.operands)[6:]
            cells[order[name]] = [n for n, value in enumerate(arguments) if arrays.is_cell(value)]
            _launch(op, order[name], arguments)
        elif op.name == "memref.alloc" and arrays.on_device(op.results[0]):
            _alloc(op, arrays)
        elif op.name == "memref.dealloc" and arrays.on_device(op.operands[0]):
            op.erase()
    for op in operations(module.body):
        if op.name == "gpu.module":
            op.erase()
    if "gpu.container_module" in module.operation.attributes:
        del module.operation.attributes["gpu.container_module"]
    return cells


def refuse_returned(arrays: Arrays, entry: Operation) -> None:
    """A program that returns an array on the device is refused: nobody would own it."""
    end = operations(entry.regions[0].blocks[0])[-1]
    if any(map(arrays.on_device, end.operands)):
        raise LoweringError(
            "an array on the device is returned", position(end.location), "write into an argument instead"
        )


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
    return e.value("func.call", [array], IntegerType.get_signless(64), callee)


def _words(e: Emitter, *numbers: int) -> list[Value]:
    return [e.integer(number, IntegerType.get_signless(64)) for number in numbers]


def _launch(op: Operation, number: int, arguments: list[Value]) -> None:
    e = Emitter(InsertionPoint(op), op.location)
    extents = [w for value in list(op.operands)[:6] for w in values(e, value)]
    words = [w for value in arguments for w in values(e, value)]
    _ask(op, e, [*_words(e, LAUNCH_CALL, number), *extents, *words])
    op.erase()


def _alloc(op: Operation, arrays: Arrays) -> None:
    """Memory from the device. What does not outlive the block that it is allocated in is freed at its end."""
    e = Emitter(InsertionPoint(op), op.location)
    type_ = MemRefType(op.results[0].type)
    dynamic = iter(op.operands)
    sizes = [next(dynamic) if n == ShapedType.get_dynamic_size() else e.integer(n) for n in type_.shape]
    count = e.product([e.integer(element_bytes(type_.element_type)), *sizes])
    word = IntegerType.get_signless(64)
    address = _ask(op, e, [*_words(e, ALLOC), e.value("arith.index_cast", [count], word)])
    block = home(op.results[0])
    if plain(block.owner).name != "func.func" and all(_within(v, block) for v in arrays.members(op.results[0])):
        end = Emitter(InsertionPoint(operations(block)[-1]), op.location)
        _ask(op, end, [*_words(end, FREE_CALL), address])
    op.results[0].replace_all_uses_with(_array(e, type_, address, sizes))
    op.erase()


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
