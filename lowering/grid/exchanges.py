"""What the threads of a warp get from each other: shuffles, broadcasts and votes.

The values that the threads hand in lie in a pool with a place for each lane. A lane that does not exist (in the last,
incomplete warp of a block) is not read: a shuffle from it gives the thread's own value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mlir.ir import IndexType, IntegerType, Operation, Value

from .emit import Emitter

Lookup = Callable[[Value], Value]


class Exchange(NamedTuple):
    """`given` is the number of the operand that is handed in; `take` emits a thread's results."""

    given: int
    take: Callable[[Emitter, Operation, Value, Value, Value, Lookup], list[Value]]


def _load(e: Emitter, pool: Value, lane: Value) -> Value:
    return e.value("memref.load", [pool, lane], pool.type.element_type)


def _select(e: Emitter, condition: Value, a: Value, b: Value) -> Value:
    return e.value("arith.select", [condition, a, b], a.type)


def _shuffle(e: Emitter, op: Operation, pool: Value, lane: Value, last: Value, lookup: Lookup) -> list[Value]:
    """As PTX has it, without segments: from a lane out of range a thread gets its own value, and "not valid"."""
    mode = str(op.attributes["mode"]).removeprefix("#gpu<shuffle_mode ").removesuffix(">").strip()
    index = IndexType.get()
    offset, width = (e.value("arith.index_cast", [lookup(v)], index) for v in list(op.operands)[1:3])
    if mode == "xor":
        source = e.value("arith.xori", [lane, offset], index)
    elif mode == "idx":
        source = e.value("arith.andi", [offset, e.integer(31)], index)
    else:
        source = e.value("arith.subi" if mode == "up" else "arith.addi", [lane, offset], index)
    if mode == "up":
        valid = e.compare(5, source, e.value("arith.subi", [e.integer(32), width], index))
    else:
        valid = e.compare(2, source, width)
    there = e.value("arith.andi", [valid, e.compare(6, source, last)], valid.type)
    return [_load(e, pool, _select(e, there, source, lane)), valid]


def _broadcast(e: Emitter, op: Operation, pool: Value, lane: Value, last: Value, lookup: Lookup) -> list[Value]:
    operands = list(op.operands)
    if len(operands) == 1:
        return [_load(e, pool, e.integer(0))]
    source = e.value("arith.index_cast", [lookup(operands[1])], IndexType.get())
    return [_load(e, pool, _select(e, e.compare(6, source, last), source, lane))]


def _vote(e: Emitter, op: Operation, pool: Value, lane: Value, last: Value, lookup: Lookup) -> list[Value]:
    """The bits of all lanes of the mask, then what the vote makes of them."""
    word = IntegerType.get_signless(32)
    mask = lookup(op.operands[0])
    loop = e.op("scf.for", [e.integer(0), last, e.integer(1), e.integer(0, word)], [word], regions=1)
    block = loop.regions[0].blocks.append(IndexType.get(), word, arg_locs=[e.loc] * 2)
    with e.at(block):
        i, bits = block.arguments
        bit = e.value("arith.extui", [_load(e, pool, i)], word)
        bit = e.value("arith.shli", [bit, e.value("arith.index_cast", [i], word)], word)
        e.op("scf.yield", [e.value("arith.ori", [bits, bit], word)])
    bits = e.value("arith.andi", [loop.results[0], mask], word)
    # The lanes of the mask that exist.
    ones = e.value("arith.index_cast", [last], IntegerType.get_signless(64))
    whole = e.value("arith.shli", [e.integer(1, ones.type), ones], ones.type)
    there = e.value("arith.trunci", [e.value("arith.subi", [whole, e.integer(1, ones.type)], ones.type)], word)
    there = e.value("arith.andi", [there, mask], word)
    kind = str(op.attributes["kind"])
    none, every = e.compare(0, bits, e.integer(0, word)), e.compare(0, bits, there)
    if "ballot" in kind:
        return [bits]
    if "any" in kind:
        return [e.compare(1, bits, e.integer(0, word))]
    return [every if "all" in kind else e.value("arith.ori", [none, every], none.type)]


EXCHANGE = {
    "gpu.shuffle": Exchange(0, _shuffle),
    "gpu.subgroup_broadcast": Exchange(0, _broadcast),
    "nvvm.vote.sync": Exchange(1, _vote),
}
