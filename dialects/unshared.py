"""Atomic updates of cells that only one thread is at become plain ones.

Where the indices of all atomic updates of an array in a launch tell all threads apart (see affine), none of them needs
to be atomic. (A thread that is at another one's cell plainly, with no barrier between, races with either.) This is done

- on the normal form: of plain loads and stores anything can be differentiated, exchanges and values that are used too;
- at the end: a derivative that threads ask for themselves (`autodiff_deferred` in a grid kernel) is made as a function,
  which cannot know who calls it with what, so it adds to shadows atomically. In the launch that it has been inlined
  into, all is known.
"""

from __future__ import annotations

from mlir.ir import BlockArgument, InsertionPoint, IntegerAttr, Operation, Value

from .affine import Forms
from .builder import Builder, is_memref, operation, walk
from .launches import LAUNCH, is_shared, stands_in
from .objects import ALLOCATIONS, VIEWS, chain

#: Ops that read or write memory plainly, or not at all.
_PLAIN = VIEWS | {
    "memref.load", "memref.store", "memref.copy", "memref.dim", "memref.extract_aligned_pointer_as_index",
    "vector.load", "vector.store",
}  # fmt: skip
#: By arith's number of the kind of update, what computes the new value of the old and the given one; None: it is that.
_UPDATES = {
    0: "arith.addf", 3: None, 4: "arith.maximumf", 5: "arith.maxnumf", 8: "arith.minimumf", 9: "arith.minnumf"
}  # fmt: skip


def make_updates_plain(function: Operation, distinct: bool = False) -> None:
    """Make the updates of all launches in `function` plain that can be. `distinct`: its arguments do not overlap, as
    those of public functions are taken not to.
    """
    distinct |= "sym_visibility" not in function.attributes or function.attributes["sym_visibility"].value == "public"
    for launch in [op for op in walk(function) if op.name == LAUNCH]:
        used = {chain(o)[0] for op in walk(launch) for o in op.operands if is_memref(o.type)}
        updates = _updates(launch)
        if not updates or not all(_is_apart(memory, distinct) for memory in used):
            continue
        forms = Forms(launch)
        for memory, ops in updates.items():
            if all(_is_known(op) for op in ops):
                cells = [forms.cell(op.operands[1], list(op.operands)[2:]) for op in ops]
                sites = [(op, cell) for op, (_, cell) in zip(ops, cells, strict=True)]
                apart = all(array == memory for array, _ in cells) and forms.own_cells(sites, is_shared(memory.type))
                if apart or _is_private(memory, launch):
                    for op in ops:
                        _make_plain(op)


def _updates(launch: Operation) -> dict[Value, list[Operation]]:
    """The ops that change an array in one step, or in a way not known, by what they change."""
    found: dict[Value, list[Operation]] = {}
    for op in walk(launch):
        if op.name not in _PLAIN:
            for memref in (o for o in op.operands if is_memref(o.type)):
                found.setdefault(chain(memref)[0], []).append(op)
    return found


def _is_apart(memory: Value, distinct: bool) -> bool:
    """Whether an array surely is no part of another one that has a name here."""
    if isinstance(memory, BlockArgument):
        return distinct and operation(memory.owner.owner).name == "func.func"
    return operation(memory.owner).name in ALLOCATIONS


def _is_private(memory: Value, launch: Operation) -> bool:
    """Whether each thread has its own."""
    return not (isinstance(memory, BlockArgument) or is_shared(memory.type)) and stands_in(
        operation(memory.owner), launch
    )


def _is_known(op: Operation) -> bool:
    return op.name == "memref.atomic_rmw" and IntegerAttr(op.attributes["kind"]).value in _UPDATES


def _make_plain(op: Operation) -> None:
    value, memref, *at = op.operands
    b = Builder(InsertionPoint(op), op.location)
    old = b.load(memref, at)
    name = _UPDATES[IntegerAttr(op.attributes["kind"]).value]
    b.store(value if name is None else b.value(name, [old, value], value.type), memref, at)
    op.results[0].replace_all_uses_with(old)
    op.erase()
