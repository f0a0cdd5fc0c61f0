"""What the engine finds out about a module's derivatives, for `explain`: activity by source line, tape, loops.

`examine` makes the derivatives as `pipeline.differentiate` does and tells what it saw on the way; `count_tape` makes
the final IR count what it allocates for the tape.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlir.ir import (
    ComplexType,
    FloatType,
    FunctionType,
    InsertionPoint,
    IntegerType,
    Location,
    MemRefType,
    Module,
    Operation,
    ShapedType,
    Type,
    TypeAttr,
    Value,
    VectorType,
)

from . import dialect, pipeline
from .activity import STATES, Activity
from .builder import Builder, is_memref, walk
from .custom.marks import release
from .custom.resolve import RuleSource
from .errors import refuse, source_position
from .findings import AGAIN, FORWARD, REVERSE, STACK, TAPE, Position, marks
from .objects import Objects
from .prepare import prepare
from .stability import LOOPS
from .structure import callee_name, symbol


@dataclass(frozen=True)
class Derivative:
    """One derivative that was made, and for each place of the source with a differentiable value its state."""

    expansion: pipeline.Expansion
    states: dict[Position, str]


@dataclass(frozen=True)
class Examined:
    """The derivatives, innermost first, and the marks of the forward loops that are left."""

    derivatives: list[Derivative]
    forward: frozenset[str]


def examine(module: Module, rules: RuleSource | None = None) -> Examined:
    """Make the derivatives that `module` asks for, in place, as `pipeline.differentiate`. Raises DerivativeError."""
    dialect.load(module.context)
    made: list[Derivative] = []
    with module.context, Location.unknown():
        while pipeline._pending(module):
            prepare(module)
            declaration, request = pipeline.innermost(module)
            name = f"{symbol(declaration)}.explained"
            normal = pipeline.differentiated_form(module, declaration, request.callee, name, request.overlapping())
            states = _states(Activity(normal, request.activity, request.returns))
            normal.erase()
            made.append(Derivative(pipeline._expand(module, declaration, request, rules), states))
    pipeline.lower_tape(module)
    with module.context:
        release(module)
    pipeline.clean(module)
    loops = [op for f in pipeline.walk_functions(module) for op in walk(f) if op.name in LOOPS]
    return Examined(made, frozenset(mark for op in loops for mark in marks(op.location, FORWARD)))


def _states(activity: Activity) -> dict[Position, str]:
    """The state of each source position: that of the most active of its values."""
    found: dict[Position, str] = {}
    for op in walk(activity.function):
        position = source_position(op.location)
        if op != activity.function and position is not None:
            for states in activity.states(op).values():
                found[position] = max(found.get(position, "const"), *states, key=STATES.index)
    return found


# --- counting the tape ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """A counter of bytes. `mark` says for which taped value; `how` is "buffer" (an allocation), "stack" (all the
    buffers of a stack that grows) or "kept" (an array that a stack of arrays keeps). Two count iterations instead, of
    loops: "steps".
    """

    mark: str
    how: str


def count_tape(module: Module, entry: str) -> list[Site]:
    """Give @entry of a module without requests a last argument, memref<?xi64> of zeros, in which a call counts what
    its tape takes: for each of the sites returned the most bytes at any time, then for each the bytes of the moment.
    """
    with module.context, Location.unknown():
        functions = {symbol(f): f for f in pipeline.walk_functions(module)}
        for name in _called(functions, entry):
            for op in walk(functions[name]):
                if _mark(op) is not None:
                    raise refuse(op, "the tape of a function that is not inlined cannot be counted")
        return _Counting(functions[entry]).run()


def _called(functions: dict[str, Operation], entry: str) -> set[str]:
    """The functions that @entry calls, however deep."""
    found: set[str] = set()
    todo = [entry]
    while todo:
        calls = [callee_name(op) for op in walk(functions[todo.pop()]) if op.name == "func.call"]
        todo += [name for name in calls if name in functions and name not in found]
        found.update(name for name in calls if name in functions)
    return found - {entry}


class _Counting:
    def __init__(self, function: Operation):
        self.function = function
        self.sites: dict[Operation | str, Site] = {}
        self.ops: dict[Operation, tuple[int, int]] = {}  # to be counted: the counter, and the sign

    def run(self) -> list[Site]:
        self._find()
        cells = self._argument()
        for op, (site, sign) in self.ops.items():
            if op.name == "scf.for":
                b = Builder(InsertionPoint(op), op.location)
                self._add_up(b, cells, site, b.integer("subi", op.operands[1], op.operands[0]), 1)
                continue
            memref = op.results[0] if sign > 0 else op.operands[0]
            with_op = Builder(InsertionPoint.after(op) if sign > 0 else InsertionPoint(op), op.location)
            self._count(with_op, cells, site, memref, sign)
        return list(self.sites.values())

    def _find(self) -> None:
        kept = self._kept()
        for op in walk(self.function):
            mark = _mark(op)
            growing = mark is not None and next(marks(op.location, STACK), None) is not None
            if op.name == "scf.for":
                for start in (REVERSE, AGAIN):
                    for loop in marks(op.location, start):
                        self._add(op, loop, Site(loop, "steps"))
            if op.name == "memref.dealloc" and growing and mark is not None:
                self._add(op, mark, Site(mark, "stack"), -1)
            elif op.name != "memref.alloc":
                continue
            elif mark is not None:
                self._add(op, mark if growing else op, Site(mark, "stack" if growing else "buffer"))
            elif op in kept:
                self._add(op, op, Site(kept[op], "kept"))

    def _add(self, op: Operation, key: Operation | str, site: Site, sign: int = 1) -> None:
        self.sites.setdefault(key, site)
        self.ops[op] = list(self.sites).index(key), sign

    def _kept(self) -> dict[Operation, str]:
        """The allocations of arrays that are put on stacks of arrays, with the stack's mark."""
        objects = Objects(self.function)
        found: dict[Operation, str] = {}
        for op in walk(self.function):
            if op.name == "memref.store" and is_memref(op.operands[0].type):
                holders = [o.allocation for o in objects.of(op.operands[1])]
                mark = next((m for holder in holders if holder is not None and (m := _mark(holder))), None)
                for memory in objects.of(op.operands[0]):
                    if mark is not None and memory.allocation is not None:
                        found.setdefault(memory.allocation, mark)
        return found

    def _argument(self) -> Value:
        type_ = MemRefType.get([ShapedType.get_dynamic_size()], IntegerType.get_signless(64))
        old = FunctionType(TypeAttr(self.function.attributes["function_type"]).value)
        new = FunctionType.get([*old.inputs, type_], old.results)
        self.function.attributes["function_type"] = TypeAttr.get(new)
        return self.function.regions[0].blocks[0].add_argument(type_, Location.unknown())

    def _count(self, b: Builder, cells: Value, site: int, memref: Value, sign: int) -> None:
        type_ = MemRefType(memref.type)
        size = b.index(_bytes(type_.element_type))
        for axis in range(type_.rank):
            size = b.integer("muli", size, b.dim(memref, axis))
        self._add_up(b, cells, site, size, sign)

    def _add_up(self, b: Builder, cells: Value, site: int, size: Value, sign: int) -> None:
        size = b.value("arith.index_cast", [size], IntegerType.get_signless(64))
        most, now = b.index(site), b.index(site + len(self.sites))
        # A plain buffer is allocated anew only where the one before has ended.
        if list(self.sites.values())[site].how != "buffer":
            size = b.integer("addi" if sign > 0 else "subi", b.load(cells, [now]), size)
        b.store(size, cells, [now])
        b.store(b.integer("maxsi", b.load(cells, [most]), size), cells, [most])


def _mark(op: Operation) -> str | None:
    return next(marks(op.location, TAPE), None)


def _bytes(type_: Type) -> int:
    """What an element takes in memory."""
    if isinstance(type_, VectorType):
        count = 1
        for size in type_.shape:
            count *= size
        return count * _bytes(type_.element_type)
    if isinstance(type_, ComplexType):
        return 2 * _bytes(type_.element_type)
    if isinstance(type_, MemRefType):
        return 8 * (3 + 2 * type_.rank)
    if isinstance(type_, (IntegerType, FloatType)):
        return max(1, type_.width // 8)
    return 8
