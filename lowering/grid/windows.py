"""Which part of an array a range of blocks may reach: the least and the largest index along each axis.

An index is an expression of whole numbers. For a range of blocks each of its values lies in an interval, and that of a
result follows from those of the operands: a row of `_RULES` emits it, as host code that runs before the launch. Truth
values have an interval too: whether they surely hold, and whether they may hold. What overflows, or divides by what is
not positive, leaves nothing known: the interval is then that of all numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from mlir.ir import BlockArgument, IndexType, IntegerAttr, IntegerType, Operation, Value

from .coordinates import axis
from .emit import Emitter, constant, home, plain, walk

#: Beyond all indices; two of them still add up.
EVERYTHING = 2**60
_FACTOR = 2**30  # numbers below this are multiplied without overflow


class Interval(NamedTuple):
    """Both ends belong to it. Of a truth value: `least` is whether it holds surely, `most` whether it may hold."""

    least: Value
    most: Value


class Reach:
    """What is known of the indices in a launch."""

    def __init__(self, launch: Operation):
        self.launch = launch
        self.inside = {block for op in walk(launch) for region in op.regions for block in region.blocks}
        self._known: dict[Value, bool] = {}
        self._moves: dict[Value, bool] = {}

    def known(self, value: Value) -> bool:
        """Whether there is an interval for a value."""
        if value not in self._known:
            self._known[value] = self._is_known(value)
        return self._known[value]

    def _is_known(self, value: Value) -> bool:
        if not _is_wide(value):
            return _is_truth(value)
        if home(value) not in self.inside:
            return True
        if isinstance(value, BlockArgument):
            loop = counted_by(value)
            return self.place(value) is not None or (loop is not None and all(map(self.known, loop.operands[:2])))
        op = plain(value.owner)
        if op.name == "memref.dim":
            return home(op.operands[0]) not in self.inside and self.known(op.operands[1])
        return op.name in _PLACES or op.name == "arith.constant" or (
            op.name in _RULES and all(map(self.known, op.operands))
        )  # fmt: skip

    def moves(self, value: Value) -> bool:
        """Whether a value depends on the block."""
        if value not in self._moves:
            self._moves[value] = self._does_move(value)
        return self._moves[value]

    def _does_move(self, value: Value) -> bool:
        if home(value) not in self.inside:
            return False
        if isinstance(value, BlockArgument):
            place, loop = self.place(value), counted_by(value)
            return place == "gpu.block_id" or (loop is not None and any(map(self.moves, loop.operands[:2])))
        op = plain(value.owner)
        return op.name in ("gpu.block_id", "gpu.global_id") or any(map(self.moves, op.operands))

    def place(self, argument: BlockArgument) -> str | None:
        """The operation that gives what an argument of the launch's body is."""
        if argument.owner != self.launch.regions[0].blocks[0] or argument.arg_number >= 12:
            return None
        return ("gpu.block_id", "gpu.thread_id", "gpu.grid_dim", "gpu.block_dim")[argument.arg_number // 3]


def counted_by(value: BlockArgument) -> Operation | None:
    """The loop whose counter a block's argument is."""
    owner = plain(value.owner.owner)
    counts = owner.name == "scf.for" and value.arg_number == 0 and "unsignedCmp" not in owner.attributes
    return owner if counts else None


def _is_wide(value: Value) -> bool:
    return isinstance(value.type, IndexType) or (isinstance(value.type, IntegerType) and value.type.width == 64)


def _is_truth(value: Value) -> bool:
    return isinstance(value.type, IntegerType) and value.type.width == 1


class Host:
    """Emits the intervals of a launch's values for the blocks from number `first` to `last`. `dims` are the extents of
    the grid and of its blocks, `outer` is what values from outside of the launch are called here.
    """

    def __init__(
        self, e: Emitter, reach: Reach, dims: list[Value], outer: dict[Value, Value], first: Value, last: Value
    ):
        self.e, self.reach, self.dims, self.outer = e, reach, dims, outer
        self.valid = self.truth(True)
        self._made: dict[Value, Interval] = {}
        rest = Interval(first, last)
        self.blocks = []
        for size in map(self.point, dims[:2]):
            self.blocks.append(_remainder(self, rest, size))
            rest = _quotient(self, rest, size)
        self.blocks.append(rest)

    def window(self, indices: list[Value]) -> Interval:
        """The interval of one axis that is indexed by all of `indices`."""
        found = [self.of(index) for index in indices]
        least, most = found[0]
        for other in found[1:]:
            least, most = self.op("minsi", least, other.least), self.op("maxsi", most, other.most)
        everything = self.number(EVERYTHING), self.number(-EVERYTHING)
        return Interval(self.select(self.valid, least, everything[1]), self.select(self.valid, most, everything[0]))

    def of(self, value: Value) -> Interval:
        if value not in self._made:
            self._made[value] = self._of(value)
        return self._made[value]

    def _of(self, value: Value) -> Interval:
        number = constant(value)
        if number is not None:
            return self.point(self.truth(number != 0) if _is_truth(value) else self.number(number))
        if _is_truth(value):
            return self._truth(value)
        if home(value) not in self.reach.inside:
            value = self.outer[value]
            if not isinstance(value.type, IndexType):
                value = self.e.value("arith.index_cast", [value], IndexType.get())
            return self.checked(value, value)
        if isinstance(value, BlockArgument):
            name = self.reach.place(value)
            return self._counter(value) if name is None else self._place(name, value.arg_number % 3)
        op = plain(value.owner)
        if op.name in _PLACES:
            return self._place(op.name, axis(op))
        if op.name == "memref.dim":
            at = self.of(op.operands[1]).least
            return self.point(self.e.value("memref.dim", [self.outer[op.operands[0]], at], IndexType.get()))
        return _RULES[op.name](self, *map(self.of, op.operands))

    def _truth(self, value: Value) -> Interval:
        op = None if isinstance(value, BlockArgument) else plain(value.owner)
        if op is not None and home(value) in self.reach.inside and all(map(self.reach.known, op.operands)):
            if op.name == "arith.cmpi" and not _is_truth(op.operands[0]):
                return _compare(self, IntegerAttr(op.attributes["predicate"]).value, *map(self.of, op.operands))
            if op.name in _LOGIC:
                return _LOGIC[op.name](self, *map(self.of, op.operands))
        return Interval(self.truth(False), self.truth(True))

    def _place(self, name: str, k: int) -> Interval:
        if name == "gpu.block_id":
            return self.blocks[k]
        if name in ("gpu.grid_dim", "gpu.block_dim"):
            return self.point(self.dims[k + 3 * (name == "gpu.block_dim")])
        size = self.dims[3 + k]
        thread = Interval(self.number(0), self.op("subi", size, self.number(1)))
        if name == "gpu.thread_id":
            return thread
        return _add(self, _multiply(self, self.blocks[k], self.point(size)), thread)

    def _counter(self, value: BlockArgument) -> Interval:
        lower, upper = map(self.of, list(plain(value.owner.owner).operands)[:2])
        last = self.op("subi", upper.most, self.number(1))
        return Interval(lower.least, self.op("maxsi", lower.least, last))

    # what rules are made of ----------------------------------------------------------------------------------------
    def op(self, name: str, a: Value, b: Value) -> Value:
        return self.e.binary(name, a, b)

    def select(self, condition: Value, a: Value, b: Value) -> Value:
        return self.e.value("arith.select", [condition, a, b], a.type)

    def number(self, value: int) -> Value:
        return self.e.integer(value)

    def truth(self, value: bool) -> Value:
        return self.e.integer(-1 if value else 0, IntegerType.get_signless(1))

    def point(self, value: Value) -> Interval:
        return Interval(value, value)

    def require(self, *conditions: Value) -> None:
        for condition in conditions:
            self.valid = self.op("andi", self.valid, condition)

    def within(self, limit: int, interval: Interval) -> None:
        """Require that an interval lies between -limit and limit."""
        self.require(
            self.e.compare(3, interval.most, self.number(limit)), self.e.compare(5, interval.least, self.number(-limit))
        )

    def checked(self, least: Value, most: Value) -> Interval:
        made = Interval(least, most)
        self.within(EVERYTHING, made)
        return made


# rules: an operation → how its interval is made of those of its operands ---------------------------------------------
def _add(h: Host, a: Interval, b: Interval) -> Interval:
    return h.checked(h.op("addi", a.least, b.least), h.op("addi", a.most, b.most))


def _subtract(h: Host, a: Interval, b: Interval) -> Interval:
    return h.checked(h.op("subi", a.least, b.most), h.op("subi", a.most, b.least))


def _multiply(h: Host, a: Interval, b: Interval) -> Interval:
    if a.least == a.most and constant(a.least) == 1:
        return b
    if b.least == b.most and constant(b.least) == 1:
        return a
    for factor in (a, b):
        h.within(_FACTOR, factor)
    ends = [h.op("muli", x, y) for x in dict.fromkeys(a) for y in dict.fromkeys(b)]
    least = most = ends[0]
    for end in ends[1:]:
        least, most = h.op("minsi", least, end), h.op("maxsi", most, end)
    return Interval(least, most)


def _shift(h: Host, a: Interval, b: Interval) -> Interval:
    h.require(h.e.compare(5, b.least, h.number(0)), h.e.compare(3, b.most, h.number(29)))
    by = [h.op("shli", h.number(1), h.op("andi", end, h.number(31))) for end in b]
    return _multiply(h, a, Interval(*by))


def _positive(h: Host, b: Interval) -> Interval:
    """A divisor, which has to be positive. One number stays one."""
    h.require(h.e.compare(4, b.least, h.number(0)))
    made = {end: h.op("maxsi", end, h.number(1)) for end in b}
    return Interval(made[b.least], made[b.most])


def _natural(h: Host, a: Interval) -> None:
    h.require(h.e.compare(5, a.least, h.number(0)))


def _quotient(h: Host, a: Interval, b: Interval) -> Interval:
    if b.least == b.most and constant(b.least) == 1:
        return a
    b = _positive(h, b)
    least, most = ([h.op("divsi", end, by) for by in dict.fromkeys(b)] for end in a)
    return Interval(h.op("minsi", least[0], least[-1]), h.op("maxsi", most[0], most[-1]))


def _remainder(h: Host, a: Interval, b: Interval) -> Interval:
    if b.least == b.most and constant(b.least) == 1:
        return h.point(h.number(0))
    b = _positive(h, b)
    last = h.op("subi", b.most, h.number(1))
    natural = h.e.compare(5, a.least, h.number(0))
    least = h.select(natural, h.number(0), h.op("subi", h.number(0), last))
    rounds = [h.op("divsi", end, b.most) for end in a]
    same = h.op("andi", natural, h.e.compare(0, rounds[0], rounds[1]))
    if b.least != b.most:  # by the same number all the same?
        same = h.op("andi", same, h.e.compare(0, b.least, b.most))
    ends = [h.op("remsi", end, b.most) for end in a]
    return Interval(h.select(same, ends[0], least), h.select(same, ends[1], last))


def _unsigned(rule: Callable[[Host, Interval, Interval], Interval]) -> Callable[[Host, Interval, Interval], Interval]:
    """The rule of the signed operation, for what is not negative."""

    def made(h: Host, a: Interval, b: Interval) -> Interval:
        _natural(h, a)
        _natural(h, b)
        return rule(h, a, b)

    return made


def _ends(name: str) -> Callable[[Host, Interval, Interval], Interval]:
    """Of an operation that grows with both of its operands."""
    return lambda h, a, b: Interval(h.op(name, a.least, b.least), h.op(name, a.most, b.most))


def _select(h: Host, c: Interval, a: Interval, b: Interval) -> Interval:
    least, most = h.op("minsi", a.least, b.least), h.op("maxsi", a.most, b.most)
    least, most = h.select(c.most, least, b.least), h.select(c.most, most, b.most)
    return Interval(h.select(c.least, a.least, least), h.select(c.least, a.most, most))


def _differing_bits(h: Host, a: Interval, b: Interval) -> Interval:
    """Of numbers that are not negative: at most their sum."""
    natural = h.op("andi", *(h.e.compare(5, end.least, h.number(0)) for end in (a, b)))
    most = h.op("addi", a.most, b.most)
    return Interval(
        h.select(natural, h.number(0), h.number(-EVERYTHING)), h.select(natural, most, h.number(EVERYTHING))
    )


def _same(h: Host, a: Interval) -> Interval:
    return a


def _same_natural(h: Host, a: Interval) -> Interval:
    _natural(h, a)
    return a


def _compare(h: Host, predicate: int, a: Interval, b: Interval) -> Interval:
    if predicate in (4, 5):  # greater
        return _compare(h, predicate - 2, b, a)
    if predicate in (2, 3):  # less (or equal)
        return Interval(h.e.compare(predicate, a.most, b.least), h.e.compare(predicate, a.least, b.most))
    if predicate in (0, 1):
        meet = h.op("andi", h.e.compare(3, a.least, b.most), h.e.compare(3, b.least, a.most))
        single = h.op("andi", h.e.compare(0, a.least, a.most), h.e.compare(0, b.least, b.most))
        equal = Interval(h.op("andi", meet, single), meet)
        return equal if predicate == 0 else _not(h, equal)
    return Interval(h.truth(False), h.truth(True))


def _not(h: Host, a: Interval) -> Interval:
    return Interval(h.op("xori", a.most, h.truth(True)), h.op("xori", a.least, h.truth(True)))


def _exclusive(h: Host, a: Interval, b: Interval) -> Interval:
    return _LOGIC["arith.ori"](
        h, _LOGIC["arith.andi"](h, a, _not(h, b)), _LOGIC["arith.andi"](h, _not(h, a), b)
    )  # fmt: skip


_PLACES = frozenset({"gpu.block_id", "gpu.thread_id", "gpu.global_id", "gpu.grid_dim", "gpu.block_dim"})
_LOGIC = {"arith.andi": _ends("andi"), "arith.ori": _ends("ori"), "arith.xori": _exclusive}
_RULES: dict[str, Callable[..., Interval]] = {
    "arith.addi": _add,
    "arith.subi": _subtract,
    "arith.muli": _multiply,
    "arith.shli": _shift,
    "arith.divsi": _quotient,
    "arith.divui": _unsigned(_quotient),
    "arith.remsi": _remainder,
    "arith.remui": _unsigned(_remainder),
    "arith.minsi": _ends("minsi"),
    "arith.maxsi": _ends("maxsi"),
    "arith.minui": _unsigned(_ends("minsi")),
    "arith.maxui": _unsigned(_ends("maxsi")),
    "arith.xori": _differing_bits,
    "arith.select": _select,
    "arith.index_cast": _same,
    "arith.index_castui": _same_natural,
}
