"""Indices as sums of products, and what they tell about the threads that compute them.

A `Form` is a polynomial with whole coefficients: a product of symbols → its coefficient. Symbols are a thread's number
`("tid", axis)`, a block's `("bid", axis)`, a loop's counter `("loop", value)`, and values that are the same for all
threads `("same", value)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from mlir.ir import BlockArgument, DenseI64ArrayAttr, IntegerAttr, Operation, ShapedType, Value

from .builder import home, operation, walk
from .launches import LAUNCH, axis, constant, extents

Symbol: TypeAlias = tuple[str, object]
Product: TypeAlias = tuple[Symbol, ...]
Form: TypeAlias = dict[Product, int]

_CASTS = frozenset({"arith.index_cast", "arith.index_castui", "arith.extsi", "arith.extui"})
#: Views under which an index stays the index that it is.
SAME_INDEX = frozenset({"memref.cast", "memref.memory_space_cast", "memref.assume_alignment"})
_PARTS, _DYNAMIC = ("offsets", "sizes", "strides"), ShapedType.get_dynamic_size()
_THREAD = ("tid", "bid", "loop")
# Predicates of arith.cmpi: what holds (less than, as left and right operand), if the condition does, and if not.
_LESS = {2: (0, 1), 6: (0, 1), 4: (1, 0), 8: (1, 0)}
_NOT_LESS = {5: (0, 1), 9: (0, 1), 3: (1, 0), 7: (1, 0)}


@dataclass
class Guards:
    """What holds where an op stands: what is less than what, and symbols that are fixed, each with what fixes it."""

    bounds: list[tuple[Form, Form]] = field(default_factory=list)
    pinned: set[tuple[Symbol, str]] = field(default_factory=set)


def add(a: Form, b: Form, factor: int = 1) -> Form:
    total = dict(a)
    for product, coefficient in b.items():
        total[product] = total.get(product, 0) + factor * coefficient
    return {p: c for p, c in total.items() if c}


def multiply(a: Form, b: Form) -> Form:
    total: Form = {}
    for p, c in a.items():
        for q, d in b.items():
            product = tuple(sorted((*p, *q), key=str))
            total[product] = total.get(product, 0) + c * d
    return {p: c for p, c in total.items() if c}


def varying(form: Form) -> Form:
    """The part that differs between threads, or between the turns of a loop."""
    return {p: c for p, c in form.items() if any(s[0] in _THREAD for s in p)}


class Forms:
    """The forms of the indices in a launch in normal form."""

    def __init__(self, region: Operation):
        self.region = region
        self.inside = {b for op in walk(region) for r in op.regions for b in r.blocks}
        self._known: dict[Value, Form | None] = {}
        self._ranges: dict[Symbol, Form] = {}
        #: Symbols that are never negative.
        self._natural: set[Symbol] = set()
        sizes = extents(region)
        for k in range(3):
            for name, size in (("bid", sizes[k]), ("tid", sizes[3 + k])):
                form = self.of(size)
                if form is not None:
                    self._ranges[name, k] = form
                    self._natural |= {symbol for product in form for symbol in product}

    def of(self, value: Value) -> Form | None:
        """The form of an integer; None if it depends on what no form tells."""
        if value not in self._known:
            self._known[value] = self._of(value)
        return self._known[value]

    def _of(self, value: Value) -> Form | None:
        number = constant(value)
        if number is not None:
            return {(): number} if number else {}
        if home(value) not in self.inside:
            return self._outside(value)
        if isinstance(value, BlockArgument):
            owner = operation(value.owner.owner)
            if owner.name == LAUNCH:
                return self._argument(value.arg_number)
            if owner.name != "scf.for" or value.arg_number != 0:
                return None
            bound = self._bound(owner.operands[1])
            if bound is not None:
                self._ranges["loop", value] = bound
            return {(("loop", value),): 1}
        op = operation(value.owner)
        if op.name == "gpu.thread_id":
            return {(("tid", axis(op)),): 1}
        if op.name == "gpu.block_id":
            return {(("bid", axis(op)),): 1}
        if op.name in ("gpu.grid_dim", "gpu.block_dim"):
            return self.of(extents(self.region)[axis(op) + (3 if op.name == "gpu.block_dim" else 0)])
        return self._combined(op, value)

    def _argument(self, number: int) -> Form | None:
        """An argument of the launch's body: block's and thread's numbers, then the extents (in normal form unused)."""
        if number < 6:
            return {(("bid" if number < 3 else "tid", number % 3),): 1}
        return self.of(extents(self.region)[number - 6]) if number < 12 else None

    def _bound(self, value: Value) -> Form | None:
        """A form that a loop's bound is at most, the same for all threads."""
        form = self.of(value)
        if form is not None and not varying(form):
            return form
        op = None if isinstance(value, BlockArgument) else operation(value.owner)
        if op is not None and op.name in ("arith.minsi", "arith.minui"):
            return next((b for b in map(self._bound, op.operands) if b is not None), None)
        return None

    def _outside(self, value: Value) -> Form:
        """What comes from outside is the same for all threads; casts are looked through."""
        if not isinstance(value, BlockArgument):
            op = operation(value.owner)
            if op.name in _CASTS:
                return self.of(op.operands[0]) or {(("same", value),): 1}
        return {(("same", value),): 1}

    def _combined(self, op: Operation, value: Value) -> Form | None:
        if op.name in _CASTS:
            return self.of(op.operands[0])
        if op.name in ("arith.addi", "arith.subi", "arith.muli"):
            a, b = (self.of(o) for o in op.operands)
            if a is None or b is None:
                return None
            return multiply(a, b) if op.name == "arith.muli" else add(a, b, -1 if op.name == "arith.subi" else 1)
        if op.name == "arith.shli":
            a, by = self.of(op.operands[0]), constant(op.operands[1])
            return None if a is None or by is None else multiply(a, {(): 1 << by})
        if op.name == "memref.dim" or (op.name.startswith("arith.") and len(op.operands)):
            operands = [o for o in op.operands if "memref<" not in str(o.type)]
            forms = [self.of(o) for o in operands]
            memory = [o for o in op.operands if "memref<" in str(o.type)]
            if all(f is not None and not varying(f) for f in forms) and all(home(m) not in self.inside for m in memory):
                return {(("same", value),): 1}
        return None

    def cell(self, memref: Value, indices: list[Value]) -> tuple[Value, list[Form | None]]:
        """The array that a memref is a view of, as far as indices can be followed, and its own indices."""
        forms = [self.of(index) for index in indices]
        while not isinstance(memref, BlockArgument):
            view = operation(memref.owner)
            if view.name == "memref.subview":
                through = self._through(view, forms)
                if through is None:
                    break
                forms = through
            elif view.name not in SAME_INDEX:
                break
            memref = view.operands[0]
        return memref, forms

    def _through(self, view: Operation, forms: list[Form | None]) -> list[Form | None] | None:
        """The indices of what memref.subview `view` is a part of; None if it is not clear which axes it leaves out."""
        offsets, sizes, strides = (list(DenseI64ArrayAttr(view.attributes[f"static_{n}"])) for n in _PARTS)
        dynamic = iter(list(view.operands)[1:])
        known = [[n if n != _DYNAMIC else next(dynamic) for n in part] for part in (offsets, sizes, strides)]
        left_out = len(offsets) - len(forms)
        dropped = [k for k, size in enumerate(sizes) if size == 1] if left_out else []
        if len(dropped) != left_out:
            return None
        own = iter(forms)
        found: list[Form | None] = []
        for k, (offset, _, stride) in enumerate(zip(*known, strict=True)):
            first, step, index = self._form(offset), self._form(stride), {} if k in dropped else next(own)
            found.append(None if first is None or step is None or index is None else add(first, multiply(step, index)))
        return found

    def _form(self, number: int | Value) -> Form | None:
        return ({(): number} if number else {}) if isinstance(number, int) else self.of(number)

    def _entry(self) -> object:
        return self.region.regions[0].blocks[0]

    def same_for_all(self, index: Value) -> bool:
        """Whether an index is the same for all threads, and known at the top of the region."""
        form = self.of(index)
        if form is None or varying(form):
            return False
        return home(index) not in self.inside or home(index) == self._entry()

    def same(self, a: Form, b: Form) -> bool:
        return not add(a, b, -1)

    # what tells threads apart --------------------------------------------------------------------------------------
    def own_cells(self, sites: list[tuple[Operation, list[Form | None]]], shared: bool) -> bool:
        """Whether no two threads are at one cell of an array (of the block's memory, if `shared`) that is read or
        written at `sites`: ops of the region, each with the array's indices.
        """
        sizes = extents(self.region)
        needed: set[Symbol] = {("tid", k) for k in range(3) if constant(sizes[3 + k]) != 1}
        if not shared:
            needed |= {("bid", k) for k in range(3) if constant(sizes[k]) != 1}
        guards = [self.guards(op) for op, _ in sites]
        covered = {symbol for symbol, _ in set.intersection(*(g.pinned for g in guards))}
        for column in zip(*(forms for _, forms in sites), strict=True):
            first = column[0]
            if first is None or any(form is None or not self.same(form, first) for form in column[1:]):
                continue
            told = [self.digits(first, guard) for guard in guards]
            if all(t is not None for t in told):
                covered |= set.intersection(*(t for t in told if t is not None))
        return needed <= covered

    def digits(self, form: Form, guards: Guards) -> set[Symbol] | None:
        """The numbers of threads and blocks that an index tells apart; None if it mixes them up."""
        return self._digits(varying(form), guards, 8)

    def _digits(self, form: Form, guards: Guards, depth: int) -> set[Symbol] | None:
        if not form:
            return set()
        if len(form) == 1:
            ((product, _),) = form.items()
            return {product[0]} if len(product) == 1 else None
        if depth == 0:
            return None
        for digit, bound in self._candidates(form, guards):
            rest = add(form, digit, -1)
            if len(rest) >= len(form) or any(p in rest for p in digit):
                continue
            higher = _divided(rest, bound)
            if higher is None:
                continue
            low, high = self._digits(digit, guards, depth - 1), self._digits(higher, guards, depth - 1)
            if low is not None and high is not None:
                return low | high
        return None

    def _candidates(self, form: Form, guards: Guards) -> list[tuple[Form, Form]]:
        """Parts of a form that may be its lowest digit, from 0, with what they stay below (scaled alike)."""
        found: list[tuple[Form, Form]] = []
        for product, coefficient in form.items():
            if len(product) == 1 and product[0] in self._ranges and coefficient > 0:
                bound = multiply(self._ranges[product[0]], {(): coefficient})
                found.append(({product: coefficient}, bound))
        for small, large in guards.bounds:
            if small and varying(small) == small and self._is_natural(small) and not varying(large):
                found.append((small, large))
        return found

    def _is_natural(self, form: Form) -> bool:
        """Whether a form is never negative."""
        return all(c > 0 and all(s[0] in _THREAD or s in self._natural for s in product) for product, c in form.items())

    def guards(self, op: Operation) -> Guards:
        """What the branches around `op` make sure of."""
        found = Guards()
        while op != self.region:
            block = op.block
            owner = operation(block.owner)
            if owner.name == "scf.if":
                holds = block == owner.regions[0].blocks[0]
                self._condition(owner.operands[0], holds, found)
            op = owner
        return found

    def _condition(self, value: Value, holds: bool, found: Guards) -> None:
        if isinstance(value, BlockArgument):
            return
        op = operation(value.owner)
        if op.name == ("arith.andi" if holds else "arith.ori"):
            for operand in op.operands:
                self._condition(operand, holds, found)
        elif op.name == "arith.xori" and constant(op.operands[1]) in (1, -1):
            self._condition(op.operands[0], not holds, found)
        elif op.name == "arith.cmpi":
            predicate = IntegerAttr(op.attributes["predicate"]).value
            sides = [self.of(o) for o in op.operands]
            if sides[0] is None or sides[1] is None:
                return
            if predicate == (0 if holds else 1):
                self._pin(add(sides[0], sides[1], -1), found)
            order = (_LESS if holds else _NOT_LESS).get(predicate)
            if order is not None:
                small, large = sides[order[0]], sides[order[1]]
                assert small is not None and large is not None
                found.bounds.append((small, large))

    def _pin(self, difference: Form, found: Guards) -> None:
        """A difference is 0: what it tells apart is fixed."""
        told = self.digits(difference, Guards())
        if told is not None:
            found.pinned |= {(symbol, str(sorted(difference.items(), key=str))) for symbol in told}


def _divided(form: Form, bound: Form) -> Form | None:
    """`form` over a weight that is at least `bound`; None if it has no such weight."""
    if len(bound) != 1:
        return None
    ((product, coefficient),) = bound.items()
    made: Form = {}
    for p, c in form.items():
        rest = list(p)
        for symbol in product:
            if symbol not in rest:
                return None
            rest.remove(symbol)
        if coefficient <= 0:
            return None
        if product:
            if c % coefficient:
                return None
            made[tuple(rest)] = c // coefficient
        else:
            made[tuple(rest)] = c
    if product:
        return made
    weight = 0
    for c in made.values():
        weight = _gcd(weight, abs(c))
    return {p: c // weight for p, c in made.items()} if weight >= coefficient else None


def _gcd(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a
