"""Where the snapshots go: the binomial schedule, as MLIR and in Python.

With s snapshots, the first of them at the first of l iterations, and no iteration run forward more than r times, at
most β(s, r) = (s+r)! / (s! r!) iterations can be reversed (Griewank 1992). For the smallest r with l ≤ β(s, r) it takes
r·l - β(s+1, r-1) runs of an iteration to reverse them, which is the least possible, whenever the second snapshot is
taken after m iterations with

    β(s, r-2) ≤ m ≤ β(s, r-1)   and   β(s-1, r-1) ≤ l - m ≤ β(s-1, r)

(Griewank and Walther 2000, section 2). Here m is the largest such number, min(β(s, r-1), l - β(s-1, r-1)).
"""

from __future__ import annotations

from math import comb, isqrt

from mlir.ir import F64Type, IndexType, IntegerAttr, IntegerType, Value

from ..builder import Builder
from ..copier import add_block


def split(length: int, slots: int) -> int:
    """After how many of `length` > 1 iterations the next of `slots` snapshots is due, the first of which is taken."""
    r = repetitions(length, slots)
    return min(comb(slots + r - 1, slots), length - comb(slots + r - 2, slots - 1))


def repetitions(length: int, slots: int) -> int:
    """How often, at most, the schedule runs an iteration forward before it is reversed."""
    r = 0
    while comb(slots + r, slots) < length:
        r += 1
    return r


def advances(length: int, slots: int) -> int:
    """How many runs of an iteration it takes to reverse `length` of them, besides the run that is reversed itself."""
    r = repetitions(length, slots)
    return r * length - comb(slots + r, slots + 1) if r else 0


def default_slots(length: int) -> int:
    """So many snapshots that no iteration is run forward more than about twice: about the root of 2·length."""
    return max(1, isqrt(2 * length))


# the same in MLIR ----------------------------------------------------------------------------------------------------
def emit_slots(b: Builder, wanted: Value, trips: Value) -> Value:
    """The number of snapshots of a loop with that many trips: as many as `wanted`, or, that being 0, the default; not
    more than there are trips, and at least one.
    """
    one = b.index(1)
    i64, f64 = IntegerType.get_signless(64), F64Type.get()
    twice = b.value("arith.index_cast", [b.integer("addi", trips, trips)], i64)
    root = b.value("math.sqrt", [b.value("arith.sitofp", [twice], f64)], f64)
    default = b.value("arith.index_cast", [b.value("arith.fptosi", [root], i64)], IndexType.get())
    chosen = choose(b, compare(b, "eq", wanted, b.index(0)), default, wanted)
    return b.integer("maxsi", b.integer("minsi", chosen, trips), one)


def emit_split(b: Builder, length: Value, slots: Value) -> Value:
    """`split`; of one iteration or none, some number of at least 1."""
    zero, one, index = b.index(0), b.index(1), IndexType.get()
    # r, β(slots, r-1) and β(slots, r), from r = 0 on
    loop = b.op("scf.while", [zero, zero, one], [index] * 3, regions=2)
    before = add_block(loop.regions[0], [index] * 3, b.loc)
    with b.at(before):
        short = compare(b, "slt", before.arguments[2], length)
        b.op("scf.condition", [short, *before.arguments])
    body = add_block(loop.regions[1], [index] * 3, b.loc)
    with b.at(body):
        r, _, reach = body.arguments
        following = b.integer("addi", r, one)
        more = b.integer("muli", reach, b.integer("addi", slots, following))
        b.op("scf.yield", [following, reach, b.integer("divui", more, following)])
    r, reach = loop.results[0], loop.results[1]
    # β(slots-1, r-1) = β(slots, r-1) · slots / (slots + r - 1)
    below = b.integer("maxsi", b.integer("subi", b.integer("addi", slots, r), one), one)
    rest = b.integer("divui", b.integer("muli", reach, slots), below)
    return b.integer("maxsi", b.integer("minsi", reach, b.integer("subi", length, rest)), one)


_PREDICATES = {"eq": 0, "slt": 2, "sge": 5}


def compare(b: Builder, predicate: str, x: Value, y: Value) -> Value:
    code = IntegerAttr.get(IntegerType.get_signless(64), _PREDICATES[predicate])
    return b.value("arith.cmpi", [x, y], IntegerType.get_signless(1), {"predicate": code})


def choose(b: Builder, condition: Value, x: Value, y: Value) -> Value:
    return b.value("arith.select", [condition, x, y], x.type)
