"""Pass: each `gpu.launch` of a module becomes a function over block numbers, and a call of the pool that runs it.

Takes a module with launches in it; leaves, for each, a function `gridN.blocks(first, last, ...)` that runs these
blocks one after the other, and in place of the launch a call of `gridN.dispatch(blocks, work, ordered, ...)`, which
`pool.runtime` defines. Its further arguments are what the launch uses from outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from mlir.ir import IndexType, InsertionPoint, IntegerType, Module, Operation, Value
from mlir.passmanager import PassManager

from .calls import inline_calls
from .chunks import Launched, run_in_chunks
from .coordinates import Block
from .emit import Emitter, captured, constant, plain, walk
from .fission import DISAGREE, Fission, lift_shared
from .order import seen_order
from .parallel import lower_parallel
from .parts import Part, call, copies, distinct, outside
from .pool import BLOCKS
from .regions import Regions
from .sums import sums
from .windows import Reach
from .work import of_launch


def lower(module: Module, text: str, check: bool, distinct_arrays: bool) -> list[Part]:
    """Lower all launches and parallel loops. `text`, the module's own, tells quickly whether there are any. With
    `check`, threads that go different ways where they have to meet end the call; with `distinct_arrays` the arrays that
    the entry function is given do not overlap. Returns the functions that were made.
    """
    numbers = count()
    made: list[Part] = []
    if "gpu.launch" in text:
        launches = [op for op in walk(module.operation) if op.name == "gpu.launch"]
        for launch in launches:
            inline_calls(module, launch)
        lowered = [_lower(module, launch, numbers, check, distinct_arrays) for launch in launches]
        made += [part for part, _ in lowered]
        if any(disagree for _, disagree in lowered):
            Emitter(InsertionPoint(module.body), module.operation.location).function(
                DISAGREE, [IntegerType.get_signless(32)], body=False
            )
        _remove_kernels(module)
    if "scf.parallel" in text:
        loops = [op for op in walk(module.operation) if op.name == "scf.parallel" and not _inside_parallel(op)]
        made += [lower_parallel(module, loop, next(numbers)) for loop in loops]
    return made


def _lower(
    module: Module, launch: Operation, numbers: Iterator[int], check: bool, distinct_arrays: bool
) -> tuple[Part, bool]:
    """Returns also whether the function that ends a call is used."""
    lift_shared(launch)
    number = next(numbers)
    regions = Regions(launch)
    e = Emitter(InsertionPoint(module.body), launch.location)
    dims = list(launch.operands)[-6 - _dynamic_shared(launch) :][:6]
    given, fixed = outside([*dims, *captured(launch)])
    index = IndexType.get()
    name = BLOCKS.format(number)
    function = e.function(name, [index, index, *[v.type for v in given]])
    body = function.regions[0].blocks[0]
    ordered, reach = seen_order(launch), Reach(launch)
    summed = sums(launch, ordered, reach) if ordered and distinct_arrays else None
    in_order = bool(ordered) and summed is None
    alone = {op for op in walk(launch) if op.name == "memref.atomic_rmw"} if in_order else set(ordered)
    with e.at(body):
        outer = dict(zip(given, list(body.arguments)[2:], strict=True)) | copies(e, fixed)
        grid, extents = [outer[d] for d in dims[:3]], [outer[d] for d in dims[3:]]
        block = Block([], grid, extents, e.product(extents))
        fission = Fission(e, regions, block, outer, alone, check)
        fission.allocate()

        def one(b: Value) -> None:
            fission.entry = InsertionPoint(plain(e.ip.block.owner))
            block.ids = _place(e, b, grid)
            fission.run()

        e.loop(body.arguments[1], one, body.arguments[0])
        e.op("func.return")
    with e.at(InsertionPoint(launch)):
        blocks = e.product(dims[:3])
        work = e.binary("muli", e.product(dims[3:]), of_launch(e, launch, reach, dims, given))
        if summed is None:
            call(module, e, number, [blocks, work, e.integer(int(in_order))], given)
        else:
            run_in_chunks(
                module, e, Launched(launch, number, dims, blocks, work, given, fixed), summed, reach, numbers.__next__
            )
    part = distinct(name, given, 2)
    launch.erase()
    return part, fission.uses_disagree


def _place(e: Emitter, number: Value, grid: list[Value]) -> list[Value]:
    """A block's place in the grid, from its number; x counts fastest."""
    if constant(grid[1]) == 1 and constant(grid[2]) == 1:
        return [number, e.integer(0), e.integer(0)]
    rest = e.value("arith.divui", [number, grid[0]], number.type)
    return [
        e.value("arith.remui", [number, grid[0]], number.type),
        e.value("arith.remui", [rest, grid[1]], number.type),
        e.value("arith.divui", [rest, grid[1]], number.type),
    ]


def _dynamic_shared(launch: Operation) -> int:
    """Whether a launch is given a size of shared memory, behind its extents."""
    return int(list(launch.attributes["operandSegmentSizes"])[-1]) if "operandSegmentSizes" in launch.attributes else 0


def _remove_kernels(module: Module) -> None:
    """Functions of which only launches made use, and which do not lower by themselves."""
    PassManager.parse("builtin.module(symbol-dce)").run(module.operation)


def _inside_parallel(loop: Operation) -> bool:
    around = plain(loop.parent)
    while around.name not in ("func.func", "builtin.module"):
        if around.name == "scf.parallel":
            return True
        around = plain(around.parent)
    return False
