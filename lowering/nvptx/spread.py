"""Pass: loops of host code over arrays on the device become launches.

A loop becomes one if its iterations surely do not depend on each other: it carries nothing, calls nothing, and each
array that it writes is only touched at elements whose first index goes with the loop's counter. So filling and copying
arrays, and array expressions, run on the device. An scf.parallel, whose author says so, becomes one in any case.
"""

from __future__ import annotations

from mlir.ir import (
    Block,
    BlockArgument,
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
from ..grid.emit import Emitter, captured, home, operations, plain, walk
from .arrays import Arrays

THREADS = 256
_PURE = ("arith.", "math.", "complex.")
_STRUCTURE = frozenset(("scf.for", "scf.if", "scf.yield", "scf.reduce", "memref.load", "memref.store", "memref.dim"))


def spread(arrays: Arrays, distinct: bool) -> bool:
    """Turn what loops it can into launches; whether there were any. `distinct`: arrays do not overlap."""
    made = False
    for op in [op for op in arrays.outside_launches() if op.name == "memref.copy" and arrays.on_device(op.operands[0])]:
        _copy(op)
        return True  # the classes have to be found anew
    while True:
        loop = next(
            (found for op in arrays.offending() if (found := _loop_around(op, arrays, distinct)) is not None), None
        )
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


def _loop_around(op: Operation, arrays: Arrays, distinct: bool) -> Operation | None:
    """The outermost loop around an operation that can be a launch."""
    around: list[Operation] = []
    parent = plain(op.parent)
    while parent.name != "func.func":
        around.append(parent)
        parent = plain(parent.parent)
    return next((loop for loop in reversed(around) if _independent(loop, arrays, distinct)), None)


def _independent(loop: Operation, arrays: Arrays, distinct: bool) -> bool:
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
    places: dict[Value, set[Value | None]] = {}  # of each array, the first indices of its elements that are touched
    written: set[Value] = set()
    for op in inside:
        if op.name in ("memref.load", "memref.store"):
            writes = op.name == "memref.store"
            array, *indices = list(op.operands)[1 if writes else 0 :]
            places.setdefault(arrays.root(array), set()).add(indices[0] if indices else None)
            if writes:
                written.add(arrays.root(array))
    if written and len(places) > 1 and not distinct:
        return False
    return all(_each_its_own(places[array], body.arguments[0]) for array in written)


def _each_its_own(indices: set[Value | None], counter: Value) -> bool:
    """Whether elements at these indices are another for each iteration: at one index, which is the counter, or differs
    from it, or from its negative, by a number that does not change in the loop.
    """
    (index, *others) = indices
    if others or index is None:
        return False
    if index == counter:
        return True
    if isinstance(index, BlockArgument):
        return False
    op = plain(index.owner)
    loop = plain(counter.owner.owner)
    if op.name not in ("arith.addi", "arith.subi") or counter not in list(op.operands):
        return False
    return all(operand == counter or _outside(operand, loop) for operand in op.operands) and (
        op.operands[0] != op.operands[1]
    )


def _outside(value: Value, loop: Operation) -> bool:
    block = home(value)
    while True:
        owner = plain(block.owner)
        if owner == loop:
            return False
        if owner.name == "func.func":
            return True
        block = owner.block


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
