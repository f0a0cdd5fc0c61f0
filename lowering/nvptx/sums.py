"""Additions to elements of arrays, `a[k] = a[k] + v`, that threads may do at once as atomic additions, whatever `k` is.

An array that a nest touches in no other way may be added to by iterations in any order: by which its sums differ in
their last bits.
"""

from __future__ import annotations

from mlir.ir import FloatType, InsertionPoint, IntegerAttr, IntegerType, MemRefType, Operation, Value

from ..additions import Addition, addition, undisturbed
from ..grid.emit import Emitter, walk
from .arrays import ELEMENTS, Arrays
from .swaps import classes

_ADD = {"arith.addf": "addf", "arith.addi": "addi", "arith.subf": "addf", "arith.subi": "addi"}
_KIND = {"addf": 0, "addi": 1}  # arith's numbers for memref.atomic_rmw
_WIDTHS = (32, 64)


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
        made = [addition(store, _adds) if _has_atomics(store.operands[0]) else None for store in stores]
        whole = [one for one in made if one is not None]
        if stores and len(whole) == len(stores) and len({one.load for one in whole}) + len(stores) == len(ops):
            found[root] = whole
    return {root: made for root, made in found.items() if all(undisturbed(one, touched[root]) for one in made)}


def _adds(op: Operation) -> bool:
    return op.name in _ADD


def _has_atomics(value: Value) -> bool:
    return isinstance(value.type, (FloatType, IntegerType)) and value.type.width in _WIDTHS


def make_atomic(made: Addition) -> None:
    """Put an atomic addition in the place of one."""
    store = made.store
    type_ = store.operands[0].type
    e = Emitter(InsertionPoint(store), store.location)
    total: Value | None = None
    for op, new in made.steps:
        if op.name == "arith.subf":
            new = e.value("arith.negf", [new], type_)
        elif op.name == "arith.subi":
            new = e.value("arith.subi", [e.integer(0, type_), new], type_)
        total = new if total is None else e.value(f"arith.{_ADD[op.name]}", [total, new], type_)
    kind = IntegerAttr.get(IntegerType.get_signless(64), _KIND[_ADD[made.steps[0][0].name]])
    e.op("memref.atomic_rmw", [total, *list(store.operands)[1:]], [type_], {"kind": kind})
    for op in (store, *(step for step, _ in reversed(made.steps)), made.load):
        op.erase()
