"""Launches of grid kernels: what every pass has to know of them.

`gpu.launch` is a structured op whose body all threads of a grid run: a loop over their numbers that carries nothing,
whose iterations may run in any order, but that threads of a block meet at barriers. In normal form (`LaunchForms`)
its body takes no arguments but reads gpu.thread_id and gpu.block_id; extents are the launch's own operands; memory
of a block is an allocation in the workgroup's memory space, at the top of the body; atomics stay atomics.

*Device code* is what threads run: bodies of launches, and functions that are called from one or that ask for a
thread's number themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlir.ir import (
    Attribute,
    Block,
    BlockArgument,
    DenseI32ArrayAttr,
    FlatSymbolRefAttr,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    MemRefType,
    Module,
    Operation,
    Type,
    Value,
)

from .builder import Builder, operation, operations, walk
from .copier import Copier, add_block, attributes_of
from .errors import refuse

LAUNCH, BARRIER = "gpu.launch", "gpu.barrier"
#: Where the threads of a block, or of a warp, wait for each other.
BARRIERS = frozenset({BARRIER, "nvvm.bar.warp.sync"})
#: The attribute of functions in normal form that threads run.
DEVICE = "autodiff.device"
#: Ops that tell a thread or its block apart from others.
PLACES = frozenset({"gpu.thread_id", "gpu.block_id", "gpu.global_id", "gpu.lane_id", "gpu.subgroup_id"})
EXTENTS = frozenset({
    "gpu.block_dim", "gpu.grid_dim", "gpu.subgroup_size", "gpu.num_subgroups",
})  # fmt: skip
#: Ops in which the threads of a warp exchange values.
EXCHANGES = frozenset({"gpu.shuffle", "nvvm.vote.sync", "gpu.subgroup_broadcast"})
AXES = "xyz"
#: Attributes by which a declaration names the function whose derivative it asks for.
_REQUESTS = ("autodiff.forward", "autodiff.reverse")


def is_shared(type_: Type) -> bool:
    """Whether memory of this type belongs to a block."""
    if not isinstance(type_, MemRefType) or type_.memory_space is None:
        return False
    return "workgroup" in str(type_.memory_space) or str(type_.memory_space).split(" ")[0] == "3"


def around(op: Operation) -> Operation | None:
    """The launch that `op` stands in."""
    while op.name not in ("func.func", "builtin.module"):
        parent = op.parent
        if parent is None:
            return None
        op = operation(parent)
        if op.name == LAUNCH:
            return op
    return None


def stands_in(op: Operation, launch: Operation) -> bool:
    """Whether `op` is nested in that launch."""
    found = around(op)
    return found is not None and found == launch


def launch_of(block: Block) -> Operation | None:
    """The launch that `block` is of, or is nested in."""
    owner = operation(block.owner)
    return owner if owner.name == LAUNCH else around(owner)


def extents(launch: Operation) -> list[Value]:
    """Extents of the grid (x, y, z), then of its blocks."""
    sizes = list(launch.attributes["operandSegmentSizes"]) if "operandSegmentSizes" in launch.attributes else []
    first = int(sizes[0]) if sizes else 0
    return list(launch.operands)[first : first + 6]


def meets(region: Operation) -> bool:
    """Whether threads wait for each other in `region`."""
    return any(op.name in BARRIERS for op in walk(region))


def axis(op: Operation) -> int:
    """The axis that an op of PLACES or EXTENTS asks for."""
    if "dimension" not in op.attributes:
        return 0
    return AXES.index(str(op.attributes["dimension"]).removeprefix("#gpu<dim ").removesuffix(">").strip())


def constant(value: Value) -> int | None:
    """The integer a value is, where an arith.constant says so."""
    if isinstance(value, BlockArgument):
        return None
    op = operation(value.owner)
    if op.name != "arith.constant" or not isinstance(op.attributes["value"], IntegerAttr):
        return None
    return int(op.attributes["value"].value)


# device code ---------------------------------------------------------------------------------------------------------
def device_functions(module: Module) -> set[str]:
    """The functions that threads run."""
    from .structure import callee_name, symbol

    functions = {symbol(op): op for op in map(operation, module.body.operations) if op.name == "func.func"}
    found: set[str] = set()
    todo: list[str] = []
    for name, function in functions.items():
        for op in walk(function):
            if op.name == "func.call":
                if around(op) is not None:
                    todo.append(callee_name(op))
            elif op.name in PLACES or op.name in EXTENTS or op.name in EXCHANGES or op.name in BARRIERS:
                if around(op) is None:
                    todo.append(name)
    while todo:
        name = todo.pop()
        if name in found or name not in functions:
            continue
        found.add(name)
        requested = [functions[name].attributes[a] for a in _REQUESTS if a in functions[name].attributes]
        todo += [FlatSymbolRefAttr(a).value for a in requested if isinstance(a, FlatSymbolRefAttr)]
        todo += [callee_name(op) for op in walk(functions[name]) if op.name == "func.call"]
    return found


# building ------------------------------------------------------------------------------------------------------------
def place(b: Builder, name: str, k: int) -> Value:
    """gpu.<name> along axis number `k`."""
    return b.value(f"gpu.{name}", [], IndexType.get(), {"dimension": Attribute.parse(f"#gpu<dim {AXES[k]}>")})


def _multiply(b: Builder, x: Value, y: Value) -> Value:
    m, n = constant(x), constant(y)
    if 1 in (m, n):
        return y if m == 1 else x
    return b.index(m * n) if m is not None and n is not None else b.integer("muli", x, y)


def thread_count(b: Builder, sizes: list[Value]) -> Value:
    """How many threads there are in all, or, of a block's three extents, in a block."""
    total = sizes[0]
    for size in sizes[1:]:
        total = _multiply(b, total, size)
    return total


def number_in_block(b: Builder, sizes: list[Value]) -> Value:
    """A thread's number among those of its block; `sizes` are the block's extents."""
    return _number(b, "thread_id", sizes)


def number_in_grid(b: Builder, sizes: list[Value]) -> Value:
    """A thread's number among all; neighbouring threads of a block are neighbours. `sizes` are all six extents."""
    block = _number(b, "block_id", sizes[:3])
    return b.integer("addi", _multiply(b, block, thread_count(b, sizes[3:])), _number(b, "thread_id", sizes[3:]))


def _number(b: Builder, name: str, sizes: list[Value]) -> Value:
    number = None
    for k in (2, 1, 0):
        if constant(sizes[k]) == 1:
            continue
        here = place(b, name, k)
        number = here if number is None else b.integer("addi", _multiply(b, number, sizes[k]), here)
    return b.index(0) if number is None else number


def block_extents(b: Builder, at: Block) -> list[Value]:
    """The block's extents, inside of a launch or in device code."""
    launch = launch_of(at)
    return extents(launch)[3:] if launch is not None else [place(b, "block_dim", k) for k in range(3)]


def barrier(b: Builder) -> None:
    b.op(BARRIER)


def fill_zero_together(b: Builder, memref: Value) -> None:
    """Zero memory that the block shares, its threads each a part; then they wait for each other."""
    type_ = MemRefType(memref.type)
    sizes = block_extents(b, b.ip.block)
    first, step = number_in_block(b, sizes), thread_count(b, sizes)
    zero = b.zero(type_.element_type)
    total = 1
    for extent in type_.shape:
        total *= extent
    body = b.for_loop(first, b.index(total), step, [])
    with b.at(body):
        rest: Value = body.arguments[0]
        at: list[Value] = []
        for extent in reversed(type_.shape):
            at.insert(0, b.integer("remui", rest, b.index(extent)))
            rest = b.integer("divui", rest, b.index(extent))
        b.store(zero, memref, at if len(at) > 1 else [body.arguments[0]] * len(at))
        b.op("scf.yield")
    barrier(b)


def if_then(b: Builder, condition: Value, body: Callable[[], None]) -> None:
    test = b.op("scf.if", [condition], [], regions=2)
    with b.at(add_block(test.regions[0], [], b.loc)):
        body()
        b.op("scf.yield")


def equal(b: Builder, x: Value, y: Value) -> Value:
    code = IntegerAttr.get(IntegerType.get_signless(64), 0)
    return b.value("arith.cmpi", [x, y], IntegerType.get_signless(1), {"predicate": code})


def add_launch(b: Builder, sizes: list[Value], like: Operation | None = None) -> tuple[Operation, Block]:
    """A launch of these extents, with the attributes of another; its body is to be filled and ended by
    gpu.terminator.
    """
    segments = {"operandSegmentSizes": DenseI32ArrayAttr.get([0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0])}
    new = b.op(LAUNCH, sizes, [], segments if like is None else attributes_of(like), regions=1)
    block = add_block(new.regions[0], [IndexType.get()] * 12, b.loc)
    return new, block


# the normal form -----------------------------------------------------------------------------------------------------
class LaunchForms(Copier):
    """The part of `structure` that deals with launches and device code."""

    #: Whether what is copied is run by threads of a grid.
    device = False

    def copy_gpu_launch(self, op: Operation) -> None:
        if list(op.results) or any(not isinstance(o.type, IndexType) for o in op.operands):
            raise refuse(op, "an asynchronous launch has no derivative", "launch without async")
        if len(op.operands) != 6:
            raise refuse(op, "a launch with clusters or dynamic shared memory has no derivative", "use shared arrays")
        if self.device:
            raise refuse(op, "a launch inside a launch", "launch from host code")
        old = op.regions[0].blocks[0]
        sizes = self.values(op.operands)
        keep = {k: a for k, a in attributes_of(op).items() if k in ("operandSegmentSizes",)}
        new = self.b.op(LAUNCH, sizes, [], keep, regions=1)
        block = add_block(new.regions[0], [IndexType.get()] * 12, self.b.loc)
        with self.b.at(block):
            arguments = list(old.arguments)
            for k in range(3):
                self.map[arguments[k]] = place(self.b, "block_id", k)
                self.map[arguments[3 + k]] = place(self.b, "thread_id", k)
            self.map.update(zip(arguments[6:12], sizes, strict=True))
            for memory in arguments[12:]:
                self.map[memory] = self.b.alloc(memory.type)
            self.device = True
            for inner in operations(old)[:-1]:
                self.operation(inner)
            self.device = False
            self.b.op("gpu.terminator")

    def _extent(self, op: Operation, offset: int) -> None:
        launch = launch_of(self.b.ip.block)
        if launch is None:
            self.copy(op)
        else:
            self.map[op.results[0]] = extents(launch)[offset + axis(op)]

    def copy_gpu_grid_dim(self, op: Operation) -> None:
        self._extent(op, 0)

    def copy_gpu_block_dim(self, op: Operation) -> None:
        self._extent(op, 3)

    def copy_gpu_global_id(self, op: Operation) -> None:
        k = axis(op)
        size = block_extents(self.b, self.b.ip.block)[k]
        first = self.b.integer("muli", place(self.b, "block_id", k), size)
        self.map[op.results[0]] = self.b.integer("addi", first, place(self.b, "thread_id", k))

    def top_of_body(self) -> InsertionPoint:
        """Where memory of a block is made: at the top of the launch's body, or of the function."""
        block = self.b.ip.block
        while operation(block.owner).name not in ("func.func", LAUNCH):
            block = operation(block.owner).block
        return InsertionPoint.at_block_begin(block)


def inline_device_calls(module: Module) -> None:
    """Put the bodies of device functions in place of their calls in launches (which MLIR's inliner leaves)."""
    from .structure import callee_name, symbol

    functions = {
        symbol(op): op
        for op in map(operation, module.body.operations)
        if op.name == "func.func" and len(list(op.regions[0].blocks)) == 1
    }
    device = device_functions(module) & set(functions)
    for launch in list(_launches(module)):
        while True:
            calls = [op for op in walk(launch) if op.name == "func.call" and callee_name(op) in device]
            if not calls:
                break
            for call in calls:
                block = functions[callee_name(call)].regions[0].blocks[0]
                b = Builder(InsertionPoint(call), call.location)
                copier = Copier(b)
                copier.map.update(zip(block.arguments, call.operands, strict=True))
                copier.block(block)
                ends = copier.values(operations(block)[-1].operands)
                for result, value in zip(call.results, ends, strict=True):
                    result.replace_all_uses_with(value)
                call.erase()


def _launches(module: Module) -> Iterator[Operation]:
    return (op for op in walk(module.operation) if op.name == LAUNCH)
