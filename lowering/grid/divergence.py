"""Barriers inside loops and branches that threads can be seen to go through in different ways: they are refused.

Takes a launch with all that it calls inlined, and changes nothing. What is seen is what depends on a thread's number by
arithmetic alone; of what memory holds, nothing is known.
"""

from __future__ import annotations

from mlir.ir import Operation, Value

from ..errors import LoweringError, position
from .coordinates import OF_THREAD
from .emit import operations, plain, walk

BARRIERS = frozenset({"gpu.barrier", "nvvm.barrier0", "nvvm.barrier"})
EXCHANGES = frozenset({"gpu.shuffle", "gpu.subgroup_broadcast", "nvvm.vote.sync", "nvvm.bar.warp.sync"})
NESTS = frozenset({"scf.for", "scf.while", "scf.if"})


def around(launch: Operation, names: frozenset[str]) -> set[Operation]:
    """The operations of these names in a launch, and those that they are nested in."""
    found: set[Operation] = set()
    for op in walk(launch):
        if op.name in names:
            while op != launch and op not in found:
                found.add(op)
                op = plain(op.parent)
    return found


def refuse_divergent(launch: Operation) -> None:
    """Raise a LoweringError with the place of the first such barrier."""
    nests = [op for op in around(launch, BARRIERS) if op.name in NESTS]
    if not nests:
        return
    seen = differing(launch)
    for op in nests:
        deciding = list(op.operands)[:3] if op.name == "scf.for" else list(op.operands)[:1]
        if op.name == "scf.while":
            deciding = list(operations(op.regions[0].blocks[0])[-1].operands)[:1]
        if any(value in seen for value in deciding):
            barrier = next(inner for inner in walk(op) if inner.name in BARRIERS)
            what = "branch" if op.name == "scf.if" else "loop"
            raise LoweringError(
                f"a barrier in a {what} that the threads of a block go through in different ways",
                position(barrier.location),
                f"move the barrier out of the {what}, or let its condition not depend on the thread",
            )


def differing(launch: Operation) -> set[Value]:
    """The values in a launch that depend on a thread's number by arithmetic alone."""
    arguments = list(launch.regions[0].blocks[0].arguments)
    found: set[Value] = set(arguments[3:6])
    ops = [op for op in walk(launch) if op != launch]
    size = -1
    while size != len(found):
        size = len(found)
        for op in ops:
            if op.name in OF_THREAD or (
                op.name.startswith(("arith.", "index.", "math.")) and any(o in found for o in op.operands)
            ):
                found.update(op.results)
            elif op.name in NESTS:
                for source, target in _flows(op):
                    if source in found:
                        found.add(target)
    return found


def _flows(op: Operation) -> list[tuple[Value, Value]]:
    """The ways of values into a loop, around it and out of it, and out of a branch."""
    ends = [operations(block)[-1] for region in op.regions for block in region.blocks]
    if op.name == "scf.if":
        return [pair for end in ends for pair in zip(end.operands, op.results, strict=True)]
    blocks = [block for region in op.regions for block in region.blocks]
    if op.name == "scf.for":
        arguments = list(blocks[0].arguments)[1:]
        return [
            *zip(list(op.operands)[3:], arguments, strict=True),
            *zip(ends[0].operands, arguments, strict=True),
            *zip(arguments, op.results, strict=True),
        ]
    before, after = (list(block.arguments) for block in blocks)
    forwarded = list(ends[0].operands)[1:]
    return [
        *zip(op.operands, before, strict=True),
        *zip(ends[1].operands, before, strict=True),
        *zip(forwarded, after, strict=True),
        *zip(forwarded, op.results, strict=True),
    ]
