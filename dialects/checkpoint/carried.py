"""Arrays that a checkpointed loop makes anew and passes on get a place of their own.

    for %t ... iter_args(%u = %u0) { %new = alloc ...; yield %new }

becomes a loop that carries no array: memory made before it holds what %u does, at the start a copy of %u0, at the end
of each iteration a copy of %new. That is the same program only if what arrays are passed on is not written any more,
and if all have the shape of the first one; else the loop is refused, by the place of what is in the way.
"""

from __future__ import annotations

from mlir.ir import Block, BlockArgument, InsertionPoint, IntegerAttr, MemRefType, Operation, ShapedType, Value

from ..builder import Builder, ancestor_in, is_memref, operation, operations, walk
from ..copier import attributes_of, pick
from ..errors import refuse
from ..launches import LAUNCH
from ..objects import Objects, chain, is_root
from .marks import NAME, mark_of

_WRITTEN = "a checkpointed loop passes on an array that is written here"
_SHAPES = "a checkpointed loop passes on an array whose shape may change"
_REMEDY = "make the arrays before the loop, write into them (a[:] = ...), and swap them"


def settle(function: Operation) -> None:
    """Rewrite the checkpointed loops of a function in normal form."""
    marks = [op for op in walk(function) if op.name == NAME]
    for mark in marks:
        around = operation(mark.block.owner)
        if around.name == "scf.while":
            hint = "write it as a for loop over a range, without break or return"
            raise refuse(mark, "a while loop cannot be checkpointed: how often it runs is not known beforehand", hint)
        while around.name != "func.func":
            if around.name == LAUNCH:
                raise refuse(mark, "a checkpointed loop in a thread of a grid, which has no memory for snapshots")
            around = operation(around.block.owner)
    if not marks:
        return
    objects = Objects(function)
    for loop in [op for op in walk(function) if mark_of(op) is not None]:
        arguments = list(loop.regions[0].blocks[0].arguments)[1:]
        moving = [j for j, argument in enumerate(arguments) if is_memref(argument.type)]
        if moving:
            _refuse(function, loop, moving, objects)
    for loop in reversed([op for op in walk(function) if mark_of(op) is not None]):
        arguments = list(loop.regions[0].blocks[0].arguments)[1:]
        moving = [j for j, argument in enumerate(arguments) if is_memref(argument.type)]
        if moving:
            _rewrite(loop, moving)


def _refuse(function: Operation, loop: Operation, moving: list[int], objects: Objects) -> None:
    """Raise if the loop cannot be rewritten."""
    body = loop.regions[0].blocks[0]
    ends, inits = operations(body)[-1].operands, list(loop.operands)[3:]
    for j in moving:
        for memory in objects.of(loop.results[j]):
            for writer in memory.writers:
                # By its own name, and before it is passed on or, for what the loop starts from, before the loop.
                by_name = any(chain(o)[0] == memory.value for o in writer.operands if is_memref(o.type))
                allocation = memory.allocation
                mine = allocation is not None and ancestor_in(body, allocation) is not None
                if not (by_name and is_root(memory.value, function) and (mine or _before(writer, loop))):
                    raise refuse(writer, _WRITTEN, _REMEDY)
        shape = _Shape(loop)
        for axis in range(MemRefType(inits[j].type).rank):
            if shape.extent(ends[j], axis) != shape.extent(inits[j], axis):
                end = ends[j]
                raise refuse(loop if isinstance(end, BlockArgument) else operation(end.owner), _SHAPES, _REMEDY)


def _before(op: Operation, loop: Operation) -> bool:
    """Whether `op` runs before `loop`, and not again after it."""
    block: Block = loop.block
    inner = loop
    while True:
        found = ancestor_in(block, op)
        if found is not None:
            ops = operations(block)
            return ops.index(found) < ops.index(inner)
        inner = operation(block.owner)
        if inner.name != "scf.if":
            return False
        block = inner.block


class _Shape:
    """Extents of memrefs in terms of values from before a loop, all that it carries having the extents of the first."""

    def __init__(self, loop: Operation):
        self.loop, self.body = loop, loop.regions[0].blocks[0]

    def extent(self, memref: Value, axis: int) -> object:
        """An int, a value, or a memref and an axis; equal only if the extents are."""
        size = MemRefType(memref.type).shape[axis]
        if size != ShapedType.get_dynamic_size():
            return size
        if isinstance(memref, BlockArgument):
            if memref.owner == self.body:
                return self.extent(list(self.loop.operands)[2 + memref.arg_number], axis)
            return memref, axis
        op = operation(memref.owner)
        if op.name in ("memref.alloc", "memref.alloca"):
            dynamic = [i for i, n in enumerate(MemRefType(memref.type).shape) if n == ShapedType.get_dynamic_size()]
            return self.number(op.operands[dynamic.index(axis)])
        if op.name == "memref.cast":
            return self.extent(op.operands[0], axis)
        arms = _arms(op, memref)
        extents = {self.extent(arm, axis) for arm in arms}
        if len(extents) == 1:
            return extents.pop()
        return memref, axis

    def number(self, value: Value) -> object:
        """The same for a number or truth value that an extent is computed from, as where arrays are broadcast."""
        if isinstance(value, BlockArgument):
            return value
        op = operation(value.owner)
        if op.name == "arith.constant" and isinstance(op.attributes["value"], IntegerAttr):
            return IntegerAttr(op.attributes["value"]).value
        if op.name == "memref.dim":
            axis = self.number(op.operands[1])
            if isinstance(axis, int):
                return self.extent(op.operands[0], axis)
        if op.name == "arith.maxsi" and self.number(op.operands[1]) == 0:
            inner = self.number(op.operands[0])
            if isinstance(inner, tuple):  # an extent is never negative
                return inner
        if op.name == "arith.cmpi" and IntegerAttr(op.attributes["predicate"]).value == 0:
            return True if self.number(op.operands[0]) == self.number(op.operands[1]) else value
        if op.name == "arith.ori" and any(self.number(o) is True for o in op.operands):
            return True
        if op.name == "arith.select":
            condition, chosen, other = (self.number(o) for o in op.operands)
            if condition is True or chosen == other:
                return chosen
        return value


def _arms(op: Operation, memref: Value) -> list[Value]:
    """Of what `memref`, a result of `op`, is one."""
    if op.name == "arith.select":
        return list(op.operands)[1:]
    if op.name != "scf.if":
        return []
    position = list(op.results).index(memref)
    return [operations(block)[-1].operands[position] for region in op.regions for block in region.blocks]


def _rewrite(loop: Operation, moving: list[int]) -> None:
    body = loop.regions[0].blocks[0]
    b = Builder(InsertionPoint(loop), loop.location)
    inits, last = list(loop.operands)[3:], operations(body)[-1]
    ends, arguments = list(last.operands), list(body.arguments)[1:]
    places = {j: b.copy_of(inits[j]) for j in moving}
    with b.at(InsertionPoint(last)):
        # What is itself a part of such a place is read before any of them is written.
        given = {j: ends[j] if _is_new(ends[j], body) else b.copy_of(ends[j]) for j in moving}
        for j in moving:
            b.op("memref.copy", [given[j], places[j]])
    for j in moving:
        arguments[j].replace_all_uses_with(places[j])
        loop.results[j].replace_all_uses_with(places[j])
    kept = [j for j in range(len(arguments)) if j not in places]
    operands = [*list(loop.operands)[:3], *pick(inits, kept)]
    new = b.op("scf.for", operands, [loop.results[j].type for j in kept], attributes_of(loop), regions=1)
    block = new.regions[0].blocks.append(
        body.arguments[0].type, *[arguments[j].type for j in kept], arg_locs=[loop.location] * (1 + len(kept))
    )
    for old, argument in zip([body.arguments[0], *pick(arguments, kept)], block.arguments, strict=True):
        old.replace_all_uses_with(argument)
    for op in operations(body)[:-1]:
        block.append(op)
    with b.at(block, last.location):
        b.op("scf.yield", pick(list(last.operands), kept))
    for j, result in zip(kept, new.results, strict=True):
        loop.results[j].replace_all_uses_with(result)
    last.erase()
    loop.erase()


def _is_new(memref: Value, body: Block) -> bool:
    root, _ = chain(memref)
    return (
        not isinstance(root, BlockArgument)
        and operation(root.owner).name == "memref.alloc"
        and (operation(root.owner).block == body)
    )
