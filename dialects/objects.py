"""Which memory a memref may point into, and who writes it.

An *object* is a piece of memory: an argument, an allocation (all its instances), a global, or what a call returns.
The analysis is flow-insensitive and sound: a value's set of objects holds every one it may point into. Arguments of
one call are taken not to overlap (checked when a kernel is launched), but for those that are marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlir.ir import ArrayAttr, Block, BlockArgument, DenseI64ArrayAttr, MemRefType, Operation, Value

from .builder import home, is_memref, operation, terminator, walk
from .custom.marks import has_effects, is_ruled, uses_shadows, writes

VIEWS = frozenset(
    {
        "memref.subview", "memref.cast", "memref.reinterpret_cast", "memref.expand_shape", "memref.collapse_shape",
        "memref.reshape", "memref.transpose", "memref.view", "memref.memory_space_cast", "memref.assume_alignment",
    }
)  # fmt: skip
ALLOCATIONS = frozenset({"memref.alloc", "memref.alloca"})
#: Ops that take a memref and write nothing into it.
_READS = frozenset(
    {
        "memref.load", "memref.dim", "memref.rank", "memref.dealloc", "memref.extract_strided_metadata", "vector.load",
        "vector.maskedload", "vector.gather", "vector.transfer_read", "arith.select", "func.return", "autodiff.push",
        "autodiff.pop", "builtin.unrealized_conversion_cast",
    }
)  # fmt: skip


#: Ops of these dialects have nothing to do with memory, but for the choice between two memrefs.
NUMBERS = ("math.", "complex.", "index.", "arith.add", "arith.sub", "arith.mul", "arith.div", "arith.c", "arith.ext")


@dataclass(eq=False)
class MemoryObject:
    """One piece of memory; `value` is the memref that stands for the whole of it."""

    value: Value
    argument: int | None = None
    writers: list[Operation] = field(default_factory=list)

    @property
    def allocation(self) -> Operation | None:
        owner = self.value.owner
        return operation(owner) if self.argument is None and operation(owner).name in ALLOCATIONS else None

    @property
    def is_global(self) -> bool:
        return self.argument is None and operation(self.value.owner).name == "memref.get_global"


class Objects:
    """The objects of one function in normal form (see structure.py)."""

    def __init__(self, function: Operation):
        self.function = function
        self.ops = walk(function)
        self.all: list[MemoryObject] = []
        self._of: dict[Value, set[MemoryObject]] = {}
        self._caches: dict[Value, set[MemoryObject]] = {}
        entry = function.regions[0].blocks[0]
        for i, argument in enumerate(entry.arguments):
            if is_memref(argument.type):
                self._new(argument, i)
        for group in _overlapping(function):
            together = {m for argument in group for m in self._of[argument]}
            self._of.update((argument, set(together)) for argument in group)
        self._follow()
        self._find_writers()
        self._travelling = {
            m for value, found in self._of.items() if chain(value)[0] not in {o.value for o in found} for m in found
        } | {m for held in self._caches.values() for m in held}
        # What gets a shadow in the forward sweep already, for the rule of a call to use there.
        early = [o for op in self.ops if is_ruled(op) and uses_shadows(op) for o in op.operands]
        self._travelling |= {m for value in early for m in self.of(value)}

    def of(self, memref: Value) -> set[MemoryObject]:
        return self._of.get(memref, set())

    def is_known(self, memref: Value) -> bool:
        """Whether it is known what a memref may point to. (It is not of one that was read from a stack of memrefs.)"""
        found = self.of(memref)
        return bool(found) and all(o.argument is not None or o.allocation is not None for o in found)

    def held(self, cache: Value) -> set[MemoryObject]:
        """What the memrefs on a cache may point to; nothing for a cache of scalars."""
        return self._caches.get(cache, set())

    def travels(self, memref: Value) -> bool:
        """Whether memory of `memref` may be pointed to by a value that is no view of that memory's own (one that is
        carried, yielded, selected or popped).
        """
        return not self._travelling.isdisjoint(self.of(memref))

    def _new(self, value: Value, argument: int | None = None) -> MemoryObject:
        made = MemoryObject(value, argument)
        self.all.append(made)
        self._of[value] = {made}
        return made

    def _follow(self) -> None:
        """From each piece of memory along all ways that memrefs to it take."""
        ways: dict[Value, list[tuple[dict[Value, set[MemoryObject]], Value]]] = {}
        for op in self.ops:
            name = op.name
            if name.startswith(NUMBERS):
                continue
            along = flows(op)
            for source, target in along:
                if is_memref(target.type):
                    ways.setdefault(source, []).append((self._of, target))
            if name in VIEWS:
                ways.setdefault(op.operands[0], []).append((self._of, op.results[0]))
            elif name == "autodiff.push" and is_memref(op.operands[1].type):
                ways.setdefault(op.operands[1], []).append((self._caches, op.operands[0]))
            elif name == "autodiff.pop" and is_memref(op.results[0].type):
                ways.setdefault(op.operands[0], []).append((self._of, op.results[0]))
            elif not along and len(op.results):
                for result in op.results:
                    if is_memref(result.type) and result not in self._of:
                        self._new(result)
        todo = list(self._of)
        while todo:
            source = todo.pop()
            carried = self._of.get(source, set()) | self._caches.get(source, set())
            for table, target in ways.get(source, ()):
                have = table.setdefault(target, set())
                if not carried <= have:
                    have |= carried
                    todo.append(target)

    def _find_writers(self) -> None:
        for op in self.ops:
            for memref in written(op):
                for target in self.of(memref):
                    target.writers.append(op)


#: An attribute of a function: groups of its arguments that may overlap; of a module: all arguments may.
OVERLAP = "autodiff.overlap"


def mark_overlapping(function: Operation, groups: list[list[int]]) -> None:
    """Write down that the arguments of each group may overlap among each other; others are taken not to."""
    function.attributes[OVERLAP] = ArrayAttr.get([DenseI64ArrayAttr.get(group) for group in groups])


def _overlapping(function: Operation) -> Iterator[list[Value]]:
    """The groups of memrefs that may overlap: of what was marked, those with elements of one type."""
    if OVERLAP not in function.attributes:
        return
    arguments = list(function.regions[0].blocks[0].arguments)
    for group in ArrayAttr(function.attributes[OVERLAP]):
        by_type: dict[str, list[Value]] = {}
        for index in DenseI64ArrayAttr(group):
            if is_memref(arguments[index].type):
                by_type.setdefault(str(MemRefType(arguments[index].type).element_type), []).append(arguments[index])
        yield from by_type.values()


_PASSING = ("scf.", "arith.select", "autodiff.through")


def written(op: Operation) -> list[Value]:
    """The memrefs that `op` itself may write."""
    name = op.name
    if name.startswith(NUMBERS) or name in _READS:
        return []
    if name in ("memref.store", "memref.copy", "vector.store"):
        return [op.operands[1]]
    if name in ("memref.atomic_rmw", "memref.generic_atomic_rmw"):
        return [o for o in op.operands if is_memref(o.type)]
    if has_effects(op):
        return writes(op)
    if name in VIEWS or name in ALLOCATIONS or name.startswith("scf."):
        return []
    return [o for o in op.operands if is_memref(o.type)]  # calls, and ops that are not known here


def flows(op: Operation) -> list[tuple[Value, Value]]:
    """(source, target) pairs along which a value passes unchanged: into regions, out of them, around loops, through
    select.
    """
    name = op.name
    if not name.startswith(_PASSING):
        return []
    if name == "autodiff.through":
        return [(op.operands[1], op.results[0])]
    if name == "arith.select":
        return [(op.operands[1], op.results[0]), (op.operands[2], op.results[0])]
    if name == "scf.for":
        body = op.regions[0].blocks[0]
        carried, yielded = list(body.arguments)[1:], list(terminator(body).operands)
        return carry(list(op.operands)[3:], carried, yielded, list(op.results))
    if name == "scf.while":
        before, after = (region.blocks[0] for region in op.regions)
        forwarded = list(terminator(before).operands)[1:]
        pairs = [
            *zip(op.operands, before.arguments, strict=True),
            *zip(terminator(after).operands, before.arguments, strict=True),
        ]
        return pairs + [*zip(forwarded, after.arguments, strict=True), *zip(after.arguments, op.results, strict=True)]
    if name == "scf.if":
        pairs = []
        for region in op.regions:
            for block in region.blocks:
                pairs += list(zip(terminator(block).operands, op.results, strict=True))
        return pairs
    return []


def carry(
    inits: list[Value], carried: list[Value], yielded: list[Value], results: list[Value]
) -> list[tuple[Value, Value]]:
    pairs: list[tuple[Value, Value]] = []
    for init, argument, end, result in zip(inits, carried, yielded, results, strict=True):
        pairs += [(init, argument), (end, argument), (argument, result)]
    return pairs


def chain(memref: Value) -> tuple[Value, list[Operation]]:
    """The value a memref is a view of, through view ops, and those ops from the memref back to it."""
    views: list[Operation] = []
    while not isinstance(memref, BlockArgument):
        op = operation(memref.owner)
        if op.name not in VIEWS:
            break
        views.append(op)
        memref = op.operands[0]
    return memref, views


def is_root(memref: Value, function: Operation) -> bool:
    """A memref that names its memory by itself: an argument of the function, an allocation, what a function with rules
    of its own returns, or a global.
    """
    if isinstance(memref, BlockArgument):
        return home(memref) == function.regions[0].blocks[0]
    op = operation(memref.owner)
    return op.name in (*ALLOCATIONS, "memref.get_global") or is_ruled(op)


def apart(memref: Value, other: Value, block: Block, objects: Objects) -> bool:
    """Whether two memrefs never mean the same memory in one iteration with the body `block`: they are of other memory,
    or chosen by the same condition among such as are apart (see rotation).
    """
    if objects.of(memref).isdisjoint(objects.of(other)):
        return True
    pair = [chain(m)[0] for m in (memref, other)]
    if any(isinstance(m, BlockArgument) or operation(m.owner).name != "arith.select" for m in pair):
        return False
    (condition, *arms), (same, *others) = (list(operation(m.owner).operands) for m in pair)
    if condition != same or not reaches(block, home(condition)):
        return False
    return all(apart(arm, opposite, block, objects) for arm, opposite in zip(arms, others, strict=True))


def surely_apart(memref: Value, other: Value, block: Block, objects: Objects) -> bool:
    """As `apart`, if it is known what both may point to."""
    return objects.is_known(memref) and objects.is_known(other) and apart(memref, other, block, objects)


def reaches(block: Block, other: Block) -> bool:
    """Whether what `other` has is there in `block`: it is that, or one around it."""
    while block != other:
        owner = operation(block.owner)
        if owner.name == "func.func":
            return False
        block = owner.block
    return True
