"""Whether two arrays of host code surely are different memory, though a loop swaps them or a condition chooses them.

Arrays that the entry function is given (if they do not overlap) and allocations are. What a loop carries is if the loop
only puts the arrays that it carries in another order: then it is so for all pairs of arrays that come to their places.
What conditions choose is if it is whatever they say.
"""

from __future__ import annotations

from collections import Counter

from mlir.ir import BlockArgument, MemRefType, Operation, Value

from ..grid.emit import operations, plain
from .arrays import EXTENTS, Arrays

_ALLOCATIONS = ("memref.alloc", "memref.alloca")


def classes(values: list[Value], arrays: Arrays, distinct: bool) -> dict[Value, Value]:
    """For each array what stands for all that may be the same memory: itself, if no other of its class is."""
    groups: dict[Value, list[Value]] = {}
    for value in dict.fromkeys(values):
        groups.setdefault(arrays.root(value), []).append(value)
    found: dict[Value, Value] = {}
    for root, group in groups.items():
        pairs = [(a, b) for number, a in enumerate(group) for b in group[:number]]
        alone = len(group) > 1 and all(_apart(a, b, arrays, distinct) for a, b in pairs)
        found.update({value: value if alone else root for value in group})
    return found


def alike(arrays: Arrays, distinct: bool) -> dict[str, set[int]]:
    """For each kernel that is launched, by its name, its arguments that may be the same memory as another of them."""
    found: dict[str, set[int]] = {}
    for launch in arrays.outside_launches():
        if launch.name == "gpu.launch_func":
            given = list(launch.operands)[EXTENTS:]
            of = classes([v for v in given if isinstance(v.type, MemRefType)], arrays, distinct)
            times = Counter(of.get(value, value) for value in given)
            name = str(launch.attributes["kernel"]).rpartition("@")[2].strip('"')
            found.setdefault(name, set()).update(
                n for n, value in enumerate(given) if value in of and times[of[value]] > 1
            )
    return found


def _apart(a: Value, b: Value, arrays: Arrays, distinct: bool) -> bool:
    a, b = _uncast(a), _uncast(b)
    if a == b:
        return False
    for one, other in ((a, b), (b, a)):
        if _is_named(one, "arith.select"):
            condition, *chosen = plain(one.owner).operands
            others = [other, other]
            if _is_named(other, "arith.select") and plain(other.owner).operands[0] == condition:
                others = list(plain(other.owner).operands)[1:]
            return all(_apart(x, y, arrays, distinct) for x, y in zip(chosen, others, strict=True))
    for one, other in ((a, b), (b, a)):
        place = _carried(one)
        if place is not None:
            return _stay_apart(one, place, other, arrays, distinct)
    given = [isinstance(value, BlockArgument) and value in arrays.arguments for value in (a, b)]
    known = [g or _is_named(value, *_ALLOCATIONS) for g, value in zip(given, (a, b), strict=True)]
    return all(known) and (distinct or not all(given))


def _stay_apart(one: Value, place: tuple[Operation, int], other: Value, arrays: Arrays, distinct: bool) -> bool:
    """Whether `one`, what a loop carries in a place, never is `other`, which may be what it carries in another."""
    loop, first = place
    beside = _carried(other)
    together = (
        beside is not None and beside[0] == loop and isinstance(one, BlockArgument) == isinstance(other, BlockArgument)
    )
    at: tuple[int, int | None] = first, beside[1] if together and beside is not None else None
    initial = list(loop.operands)[3:]
    seen = set()
    while at not in seen:
        seen.add(at)
        a, b = initial[at[0]], other if at[1] is None else initial[at[1]]
        if not _apart(a, b, arrays, distinct):
            return False
        following = [None if number is None else _source(loop, number) for number in at]
        if following[0] is None or (at[1] is not None and following[1] is None):
            return False
        at = following[0], following[1]
    return True


def _source(loop: Operation, number: int) -> int | None:
    """From which place of the iteration before an array comes, if it is one that the loop carries."""
    block = loop.regions[0].blocks[0]
    value = _uncast(operations(block)[-1].operands[number])
    return value.arg_number - 1 if isinstance(value, BlockArgument) and value.owner == block else None


def _carried(value: Value) -> tuple[Operation, int] | None:
    """The loop that carries an array, and in which place."""
    if isinstance(value, BlockArgument):
        loop, number = plain(value.owner.owner), value.arg_number - 1
    else:
        loop = plain(value.owner)
        number = next((n for n, result in enumerate(loop.results) if result == value), -1)
    return (loop, number) if loop.name == "scf.for" and number >= 0 else None


def _uncast(value: Value) -> Value:
    while _is_named(value, "memref.cast"):
        value = plain(value.owner).operands[0]
    return value


def _is_named(value: Value, *names: str) -> bool:
    return not isinstance(value, BlockArgument) and plain(value.owner).name in names
