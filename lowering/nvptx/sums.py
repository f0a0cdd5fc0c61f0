"""Additions to elements of arrays, `a[k] = a[k] + v`, that threads may do at once as atomic additions, whatever `k` is.

An array that a nest touches in no other way may be added to by iterations in any order: by which its sums differ in
their last bits.
"""

from __future__ import annotations

from typing import NamedTuple

from mlir.ir import BlockArgument, FloatType, InsertionPoint, IntegerAttr, IntegerType, MemRefType, Operation, Value

from ..grid.emit import Emitter, operations, plain, walk
from .arrays import ELEMENTS, Arrays
from .swaps import classes

_ADD = {"arith.addf": "addf", "arith.addi": "addi", "arith.subf": "addf", "arith.subi": "addi"}
_KIND = {"addf": 0, "addi": 1}  # arith's numbers for memref.atomic_rmw
_WIDTHS = (32, 64)


class Addition(NamedTuple):
    """A load of an element, what is added to it or subtracted from it one after the other, and the store."""

    load: Operation
    steps: list[tuple[Operation, Value]]
    store: Operation


def additions(loop: Operation, arrays: Arrays, distinct: bool) -> dict[Value, list[Addition]]:
    """The classes of arrays that `loop` does nothing to but add to elements, each with these additions."""
    touching = [
        (operand, op)
        for op in walk(loop)
        if op.name != "memref.dim"
        for operand in op.operands
        if isinstance(operand.type, MemRefType)
    ]
    of = classes([array for array, _ in touching], arrays, distinct)
    touched: dict[Value, list[Operation]] = {}
    for array, op in touching:
        touched.setdefault(of[array], []).append(op)
    found: dict[Value, list[Addition]] = {}
    for root, ops in touched.items():
        if arrays.is_cell(root) or not all(op.name in ELEMENTS for op in ops):
            continue
        stores = [op for op in ops if op.name == "memref.store"]
        made = [_addition(store) for store in stores]
        whole = [one for one in made if one is not None]
        if stores and len(whole) == len(stores) and len({one.load for one in whole}) + len(stores) == len(ops):
            found[root] = whole
    return {root: made for root, made in found.items() if all(_undisturbed(one, touched[root]) for one in made)}


def _addition(store: Operation) -> Addition | None:
    value, array, *indices = store.operands
    if not _has_atomics(value):
        return None
    steps: list[tuple[Operation, Value]] = []
    while True:
        if isinstance(value, BlockArgument) or len(list(value.uses)) != 1:
            return None
        op = plain(value.owner)
        if op.block != store.block:
            return None
        if op.name == "memref.load":
            same = op.operands[0] == array and list(op.operands)[1:] == indices
            return Addition(op, steps[::-1], store) if same and steps else None
        if op.name not in _ADD:
            return None
        left, right = op.operands
        old, new = (
            (left, right) if op.name.startswith("arith.sub") or _leads_to(left, array, indices) else (right, left)
        )
        steps.append((op, new))
        value = old


def _has_atomics(value: Value) -> bool:
    return isinstance(value.type, (FloatType, IntegerType)) and value.type.width in _WIDTHS


def _leads_to(value: Value, array: Value, indices: list[Value]) -> bool:
    """Whether a value is an element, or that with something added to it."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, BlockArgument):
            continue
        op = plain(value.owner)
        if op.name == "memref.load" and op.operands[0] == array and list(op.operands)[1:] == indices:
            return True
        if op.name in _ADD:
            waiting += list(op.operands)
    return False


def _undisturbed(addition: Addition, touching: list[Operation]) -> bool:
    """Whether nothing is stored in the array between the load and the store."""
    ops = operations(addition.store.block)
    between = ops[ops.index(addition.load) + 1 : ops.index(addition.store)]
    return not any(inner.name == "memref.store" and inner in touching for op in between for inner in walk(op))


def make_atomic(addition: Addition) -> None:
    """Put an atomic addition in the place of one."""
    store = addition.store
    type_ = store.operands[0].type
    e = Emitter(InsertionPoint(store), store.location)
    total: Value | None = None
    for op, new in addition.steps:
        if op.name == "arith.subf":
            new = e.value("arith.negf", [new], type_)
        elif op.name == "arith.subi":
            new = e.value("arith.subi", [e.integer(0, type_), new], type_)
        total = new if total is None else e.value(f"arith.{_ADD[op.name]}", [total, new], type_)
    kind = IntegerAttr.get(IntegerType.get_signless(64), _KIND[_ADD[addition.steps[0][0].name]])
    e.op("memref.atomic_rmw", [total, *list(store.operands)[1:]], [type_], {"kind": kind})
    for op in (store, *(step for step, _ in reversed(addition.steps)), addition.load):
        op.erase()
