"""What a loop does to memory, and whether its iterations are independent in it.

Iterations may run side by side if each piece of memory that the loop writes is of one of these kinds:

- *private*: allocated in the iteration, which does nothing but load, store and ask for extents;
- *own*: one index of every access is the same steady function of the loop's counter, so that iterations touch other
  elements;
- a *stack* of an iteration, see `stacks`;
- *added to*: nothing is done but `a[k] = a[k] + v` with additions that may be done in any order.

Anything else, and any array of which it is not known what memory it is, makes a loop unfit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlir.ir import AffineMap, BlockArgument, FlatSymbolRefAttr, IntegerType, MemRefType, Operation, Value

from ..additions import Addition, addition, undisturbed
from ..grid.emit import constant, home, plain, walk
from ..grid.order import VIEWS
from .stacks import ACCESSES, Stacks

ALLOCATIONS = ("memref.alloc", "memref.alloca")
_ARGUMENTS = "arguments"
#: Conversions between integers of 64 bits, if both are.
CASTS = ("arith.index_cast", "arith.index_castui")


@dataclass
class Memory:
    """What is known of a fit loop's memory."""

    private: set[Value] = field(default_factory=set)
    #: By the store that ends it.
    additions: dict[Operation, Addition] = field(default_factory=dict)
    #: The loads and steps of additions: all is done where the store is.
    folded: set[Operation] = field(default_factory=set)


def array_and_indices(access: Operation) -> tuple[Value, list[Value]]:
    """Of a load or store."""
    array, *indices = list(access.operands)[0 if access.name == "memref.load" else 1 :]
    return array, indices


def understand(loop: Operation, stacks: Stacks, distinct: bool, any_order: bool) -> Memory | None:
    """The memory of `loop`, an scf.for; None if its iterations may depend on each other. `distinct`: arguments of the
    function do not overlap; `any_order`: all sums may be added up in any order.
    """
    memory = Memory()
    groups: dict[object, list[Operation]] = {}
    for op in walk(loop):
        if stacks.is_apart(op) or stacks.concerns(op):
            continue
        if op.name in ALLOCATIONS:
            memory.private.add(op.results[0])
        if op.name in ACCESSES:
            array, indices = array_and_indices(op)
            key = _piece(array, distinct)
            if key is None or any(isinstance(v.type, MemRefType) for v in (*indices, _element(op))):
                return None
            groups.setdefault(key, []).append(op)
        elif op.name != "memref.dim" and any(isinstance(v.type, MemRefType) for v in op.operands):
            return None
    for key, accesses in groups.items():
        if key in memory.private or all(op.name == "memref.load" for op in accesses):
            continue
        if not _own(loop, accesses) and not _added_to(accesses, memory, any_order):
            return None
    return memory


def _element(access: Operation) -> Value:
    return access.results[0] if access.name == "memref.load" else access.operands[0]


def _piece(array: Value, distinct: bool) -> object:
    """What stands for the piece of memory that an array is in; None where it is not known."""
    while not isinstance(array, BlockArgument):
        op = plain(array.owner)
        if op.name in ALLOCATIONS:
            return array
        if op.name == "memref.get_global":
            return FlatSymbolRefAttr(op.attributes["name"]).value
        if op.name not in VIEWS:
            return None
        array = op.operands[0]
    if plain(array.owner.owner).name != "func.func":
        return None
    return array if distinct else _ARGUMENTS


# own elements ---------------------------------------------------------------------------------------------------------
def _own(loop: Operation, accesses: list[Operation]) -> bool:
    """Whether an index of these accesses, of one array, tells iterations of the loop apart."""
    found = [array_and_indices(op) for op in accesses]
    array = found[0][0]
    type_ = MemRefType(array.type)
    if any(other != array for other, _ in found) or type_.affine_map != AffineMap.get_identity(type_.rank):
        return False
    steady = Steady(loop)
    for axis in range(type_.rank):
        first = steady.sum(found[0][1][axis])
        if first and first.get(steady.counter) and all(steady.sum(at[axis]) == first for _, at in found[1:]):
            return True
    return False


class Steady:
    """Integers that are a sum of multiples of a loop's counter and of what the loop does not change."""

    def __init__(self, loop: Operation):
        self.counter = loop.regions[0].blocks[0].arguments[0]
        self._blocks = {
            block for op in walk(loop) if len(op.regions) for region in op.regions for block in region.blocks
        }

    def sum(self, value: Value) -> dict[object, int] | None:
        """Each part with its factor; a constant has the name "". None: it is no such sum."""
        number = constant(value)
        if number is not None:
            return {"": number} if number else {}
        if value == self.counter or home(value) not in self._blocks:
            return {value: 1}
        if isinstance(value, BlockArgument):
            return None
        op = plain(value.owner)
        if op.name in CASTS and all(is_long(v) for v in (value, op.operands[0])):
            return self.sum(op.operands[0])
        if op.name not in ("arith.addi", "arith.subi", "arith.muli") or not is_long(value):
            return None
        a, b = map(self.sum, op.operands)
        if a is None or b is None:
            return None
        if op.name == "arith.muli":
            factor, parts = (a, b) if set(a) <= {""} else (b, a)
            return _plus({}, parts, factor.get("", 0)) if set(factor) <= {""} else None
        return _plus(a, b, 1 if op.name == "arith.addi" else -1)


def _plus(a: dict[object, int], b: dict[object, int], factor: int) -> dict[object, int]:
    total = dict(a)
    for part, times in b.items():
        total[part] = total.get(part, 0) + factor * times
    return {part: times for part, times in total.items() if times}


def is_long(value: Value) -> bool:
    """Whether it is an integer of 64 bits."""
    return not isinstance(value.type, IntegerType) or value.type.width == 64


# additions ------------------------------------------------------------------------------------------------------------
def is_free(op: Operation, any_order: bool) -> bool:
    """Whether the operation adds, and may do it in any order."""
    if op.name == "arith.addi":
        return True
    return op.name == "arith.addf" and (any_order or "reassoc" in str(op.attributes["fastmath"]))


def _added_to(accesses: list[Operation], memory: Memory, any_order: bool) -> bool:
    """Whether nothing is done but additions; writes them down."""
    stores = [op for op in accesses if op.name == "memref.store"]
    found = [addition(store, lambda op: is_free(op, any_order)) for store in stores]
    whole = [one for one in found if one is not None]
    if len(whole) < len(found) or len({one.load for one in whole}) + len(stores) != len(accesses):
        return False
    if len({array_and_indices(op)[0] for op in accesses}) > 1 or not all(undisturbed(one, accesses) for one in whole):
        return False
    for one in whole:
        memory.additions[one.store] = one
        memory.folded |= {one.load, *(step for step, _ in one.steps)}
    return True
