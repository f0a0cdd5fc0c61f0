"""Additions to elements of arrays, `a[k] = a[k] + v`, as they stand in a loop's body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mlir.ir import BlockArgument, Operation, Value

from .grid.emit import operations, plain, walk


class Addition(NamedTuple):
    """A load of an element, what is added to it or subtracted from it one after the other, and the store."""

    load: Operation
    steps: list[tuple[Operation, Value]]
    store: Operation


def addition(store: Operation, adds: Callable[[Operation], bool]) -> Addition | None:
    """The addition that `store` ends, all of whose steps are operations that `adds` takes; None if there is none."""
    value, *place = store.operands
    steps: list[tuple[Operation, Value]] = []
    while True:
        if isinstance(value, BlockArgument) or len(list(value.uses)) != 1:
            return None
        op = plain(value.owner)
        if op.block != store.block:
            return None
        if op.name == "memref.load":
            return Addition(op, steps[::-1], store) if steps and list(op.operands) == place else None
        if not adds(op):
            return None
        old, new = op.operands
        if not (op.name.startswith("arith.sub") or _leads_to(old, place, adds)):
            old, new = new, old
        steps.append((op, new))
        value = old


def _leads_to(value: Value, place: Sequence[Value], adds: Callable[[Operation], bool]) -> bool:
    """Whether a value is the element, or that with something added to it."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, BlockArgument):
            continue
        op = plain(value.owner)
        if op.name == "memref.load" and list(op.operands) == place:
            return True
        if adds(op):
            waiting += list(op.operands)
    return False


def undisturbed(found: Addition, accesses: Sequence[Operation]) -> bool:
    """Whether none of the `accesses` of the array is a store between the load and the store."""
    ops = operations(found.store.block)
    between = ops[ops.index(found.load) + 1 : ops.index(found.store)]
    stores = {op for op in accesses if op.name == "memref.store"}
    return not any(inner in stores for op in between for inner in walk(op))
