"""Pass: loops of host code over arrays on the device become launches.

A loop becomes one if its iterations surely do not depend on each other: it carries nothing, calls nothing, and each
array that it writes is only touched at elements whose first index is the loop's counter. So filling and copying arrays,
and array expressions, run on the device. An scf.parallel, whose author says so, becomes one in any case.
"""

from __future__ import annotations

from mlir.ir import (
    Block,
    DenseI32ArrayAttr,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    MemRefType,
    Operation,
    Value,
)

from ..grid.calls import Copier
from ..grid.emit import Emitter, captured, operations, plain, walk
from .arrays import Arrays

THREADS = 256
_PURE = ("arith.", "math.", "complex.")
_STRUCTURE = frozenset(("scf.for", "scf.if", "scf.yield", "scf.reduce", "memref.load", "memref.store", "memref.dim"))


def spread(arrays: Arrays) -> bool:
    """Turn what loops it can into launches; whether there were any."""
    made = False
    for op in [op for op in arrays.outside_launches() if op.name == "memref.copy" and arrays.on_device(op.operands[0])]:
        _copy(op)
        return True  # the classes have to be found anew
    while True:
        loop = next((found for op in arrays.offending() if (found := _loop_around(op, arrays)) is not None), None)
        if loop is None:
            return made
        _launch(loop)
        made = True


def _copy(op: Operation) -> None:
    """A copy as a loop over the elements."""
    source, target = op.operands
    e = Emitter(InsertionPoint(op), op.location)
    type_ = MemRefType(source.type)
    sizes = [e.value("memref.dim", [source, e.integer(axis)], IndexType.get()) for axis in range(type_.rank)]

    def level(places: list[Value]) -> None:
        if len(places) == type_.rank:
            value = e.value("memref.load", [source, *places], type_.element_type)
            e.op("memref.store", [value, target, *places])
        else:
            e.loop(sizes[len(places)], lambda place: level([*places, place]))

    level([])
    op.erase()


def _loop_around(op: Operation, arrays: Arrays) -> Operation | None:
    """The outermost loop around an operation that can be a launch."""
    around: list[Operation] = []
    parent = plain(op.parent)
    while parent.name != "func.func":
        around.append(parent)
        parent = plain(parent.parent)
    return next((loop for loop in reversed(around) if _independent(loop, arrays)), None)


def _independent(loop: Operation, arrays: Arrays) -> bool:
    if loop.name not in ("scf.for", "scf.parallel") or loop.results:
        return False
    body = loop.regions[0].blocks[0]
    inside = [op for op in walk(loop) if op != loop]
    if not all(op.name in _STRUCTURE or op.name.startswith(_PURE) for op in inside):
        return False
    if any(isinstance(v.type, MemRefType) and not arrays.on_device(v) for v in captured(loop)):
        return False
    if loop.name == "scf.parallel":
        return len(body.arguments) == 1
    accesses = [(op.operands[0 if op.name == "memref.load" else 1], op) for op in inside if _accesses(op)]
    written = {arrays.root(array) for array, op in accesses if op.name == "memref.store"}
    return all(arrays.root(array) not in written or _at(op, body.arguments[0]) for array, op in accesses)


def _accesses(op: Operation) -> bool:
    return op.name in ("memref.load", "memref.store")


def _at(op: Operation, counter: Value) -> bool:
    """Whether the first index of an access is the counter."""
    indices = list(op.operands)[1 if op.name == "memref.load" else 2 :]
    return bool(indices) and indices[0] == counter


def _launch(loop: Operation) -> None:
    """A launch with a thread for each iteration, in place of the loop."""
    lower, upper, step = list(loop.operands)[:3]
    e = Emitter(InsertionPoint(loop), loop.location)
    count = e.value("arith.ceildivsi", [e.value("arith.subi", [upper, lower], upper.type), step], upper.type)
    zero, one = e.integer(0), e.integer(1)
    count = e.value("arith.maxsi", [count, zero], count.type)
    threads = e.integer(THREADS)
    blocks = e.value("arith.ceildivsi", [count, threads], count.type)
    attributes = {
        "operandSegmentSizes": DenseI32ArrayAttr.get([0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]),
        "workgroup_attributions": IntegerAttr.get(IntegerType.get_signless(64), 0),
    }
    launch = e.op("gpu.launch", [blocks, one, one, threads, one, one], [], attributes, 1)
    index = IndexType.get()
    block = launch.regions[0].blocks.append(*[index] * 12, arg_locs=[loop.location] * 12)
    with e.at(block):
        first = e.value("arith.muli", [block.arguments[0], block.arguments[9]], index)
        number = e.value("arith.addi", [first, block.arguments[3]], index)
        branch = e.op("scf.if", [e.compare(2, number, count)], [], None, 2)
        _body(e, loop, branch.regions[0].blocks.append(), number, lower, step)
        e.op("gpu.terminator")
    loop.erase()


def _body(e: Emitter, loop: Operation, block: Block, number: Value, lower: Value, step: Value) -> None:
    with e.at(block):
        place = e.value("arith.addi", [lower, e.value("arith.muli", [number, step], step.type)], step.type)
        copy = Copier(e)
        body = loop.regions[0].blocks[0]
        copy.map[body.arguments[0]] = place
        for op in operations(body)[:-1]:
            copy.operation(op)
        e.op("scf.yield")
