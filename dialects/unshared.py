"""Atomic additions to cells that only one thread is at become plain ones.

A derivative that threads ask for themselves (`autodiff_deferred` in a grid kernel) is made as a function, which cannot
know who calls it with what, so it adds to shadows atomically. In the launch that it has been inlined into, all is
known: where the indices of all atomic updates of an array tell all threads apart (see affine), none of its additions
needs to be atomic. (A thread that is at another one's cell plainly, with no barrier between, races with either.)

Takes functions of ordinary MLIR, device functions inlined into launches; arguments of public ones are taken not to
overlap (checked when a kernel is launched).
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
_ADDF = 0


def make_additions_plain(function: Operation) -> None:
    """Make the additions of all launches in `function` plain that can be."""
    public = "sym_visibility" not in function.attributes or function.attributes["sym_visibility"].value == "public"
    for launch in [op for op in walk(function) if op.name == LAUNCH]:
        used = {chain(o)[0] for op in walk(launch) for o in op.operands if is_memref(o.type)}
        updates = _updates(launch)
        if not updates or not all(_is_apart(memory, public) for memory in used):
            continue
        forms = Forms(launch)
        for memory, ops in updates.items():
            if all(_is_addition(op) for op in ops):
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


def _is_apart(memory: Value, public: bool) -> bool:
    """Whether an array surely is no part of another one that has a name here."""
    if isinstance(memory, BlockArgument):
        return public and operation(memory.owner.owner).name == "func.func"
    return operation(memory.owner).name in ALLOCATIONS


def _is_private(memory: Value, launch: Operation) -> bool:
    """Whether each thread has its own."""
    return not (isinstance(memory, BlockArgument) or is_shared(memory.type)) and stands_in(
        operation(memory.owner), launch
    )


def _is_addition(op: Operation) -> bool:
    return op.name == "memref.atomic_rmw" and IntegerAttr(op.attributes["kind"]).value == _ADDF


def _make_plain(op: Operation) -> None:
    value, memref, *at = op.operands
    b = Builder(InsertionPoint(op), op.location)
    old = b.load(memref, at)
    b.store(b.add(old, value), memref, at)
    op.results[0].replace_all_uses_with(old)
    op.erase()
