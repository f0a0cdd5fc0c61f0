"""What a `for` runs over: a range, an array, a tuple, and `enumerate`, `zip` and `reversed` of these.

An `Iteration` is a count from `lower` to `upper` in steps of one and the element at each count; or, for tuples, whose
elements may differ in type, the elements themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir

from .. import errors, types
from ..functions import checkpointed
from ..parallel import prange
from ..syntax import nodes
from . import arrays, casts
from .statements import Statements
from .values import TupleValue, Value, constant


class Iteration:
    """`element(count)` for each count from `lower` up to but not including `upper` (i64), or else `elements`."""

    def __init__(
        self,
        lower: ir.Value | None,
        upper: ir.Value | None,
        element: Callable[[ir.Value], Value] | None,
        elements: Sequence[Value] | None = None,
        slots: ir.Value | None = None,
    ) -> None:
        self.parallel = False  # whether the iterations may run at once
        self._lower, self._upper, self._element = lower, upper, element
        self.elements = elements
        self.slots = slots  # of a checkpointed loop: an index, 0 for the default

    @property
    def lower(self) -> ir.Value:
        assert self._lower is not None
        return self._lower

    @property
    def upper(self) -> ir.Value:
        assert self._upper is not None
        return self._upper

    def element(self, count: ir.Value) -> Value:
        assert self._element is not None
        return self._element(count)


class Iterations(Statements):
    """The part of the emitter that makes iterations of expressions."""

    def iteration(self, node: nodes.Expression) -> Iteration:
        """What `for ... in node` runs over; everything that the loop needs is computed here, once."""
        with self.b.at(node.loc):
            if isinstance(node, nodes.Call):
                known: dict[Any, Callable[[nodes.Call], Iteration]] = {
                    range: self._range,
                    enumerate: self._enumerate,
                    zip: self._zip,
                    reversed: self._reversed,
                }
                function = self.evaluate(node.func).const
                if function is prange:
                    return self._parallel_range(node)
                if function is checkpointed:
                    return self._checkpointed(node)
                make = known.get(function) if isinstance(function, type) else None
                if make is not None:
                    if node.keywords and function is not enumerate:
                        raise self.b.error(f"{function.__name__} takes no keyword arguments here")
                    return make(node)
            value = self.elements(node)
            return value.const if isinstance(value.const, Iteration) else self._over(value)

    def _over(self, value: Value) -> Iteration:
        parts = self.parts(value)
        if self._is_sequence(value) and parts is not None:
            return Iteration(None, None, None, parts)
        if isinstance(value.type, types.ArrayType) and value.type.ndim > 0:
            upper = self.b.ir(arrays.dim(self.b, value, 0))
            return Iteration(self.b.i64(0), upper, lambda n: arrays.load(self.b, value, [_counter(n)]))
        raise self.b.error(
            f"a loop does not run over {self.type_of(value)}", "loop over range(...), an array or a tuple"
        )

    # --- range

    def _range(self, node: nodes.Call) -> Iteration:
        if not 1 <= len(node.args) <= 3:
            raise self.b.error(f"range takes 1 to 3 arguments, {len(node.args)} given")
        bounds = [self._integer(arg) for arg in node.args]
        start = bounds[0] if len(bounds) > 1 else constant(0)
        stop = bounds[0] if len(bounds) == 1 else bounds[1]
        step = bounds[2] if len(bounds) == 3 else constant(1)
        if step.known and step.const == 0:
            raise self.b.error("the step of a range is zero", cls=errors.KernelValueError)
        first, last = self.b.ir(start), self.b.ir(stop)
        if step.known and step.const == 1:
            nonneg = start.nonneg
            return Iteration(first, last, lambda n: _counter(n, nonneg))
        stride = self.b.ir(step)
        trips = self._trips(first, last, stride, step)
        down_to_zero = step.known and step.const < 0 and stop.known and stop.const >= -1
        never_negative = down_to_zero or (step.known and step.const > 0 and start.nonneg)
        return Iteration(
            self.b.i64(0),
            trips,
            lambda n: _counter(self._op("addi", first, self._op("muli", n, stride)), never_negative),
        )

    def _parallel_range(self, node: nodes.Call) -> Iteration:
        if self.b.device:
            raise self.b.error(
                "prange is for host code: a thread of a grid runs its loops by itself",
                "write range, or share the iterations among the threads",
                errors.UnsupportedSyntax,
            )
        if node.keywords:
            raise self.b.error("prange takes no keyword arguments")
        made = self._range(node)
        made.parallel = True
        return made

    def _integer(self, node: nodes.Expression) -> Value:
        return self._as_integer(self.evaluate(node), node, "range takes integers")

    def _as_integer(self, value: Value, node: nodes.Expression, what: str) -> Value:
        if not isinstance(value.type, types.Scalar) or value.type.kind not in "biu":
            with self.b.at(node.loc):
                raise self.b.error(f"{what}, not {self.type_of(value)}", "convert it with int(...)")
        return casts.convert(self.b, value, types.pyint)

    def _trips(self, first: ir.Value, last: ir.Value, stride: ir.Value, step: Value) -> ir.Value:
        """ceil((last - first) / stride), at least 0; the difference is taken unsigned, where it cannot overflow."""
        zero, one = self.b.i64(0), self.b.i64(1)
        if step.known:
            low, high = (first, last) if step.const > 0 else (last, first)
            size = self.b.i64(abs(step.const))
            runs = self.compare("slt", low, high)
        else:
            nonzero = self.compare("ne", stride, zero)
            self.b.check(nonzero, "ValueError", "range() arg 3 must not be zero")
            up = self.compare("sgt", stride, zero)
            low, high = self._op("select", up, first, last), self._op("select", up, last, first)
            size = self._op("select", up, stride, self._op("subi", zero, stride))
            size = self._op("select", nonzero, size, one)
            runs = self._op("andi", nonzero, self.compare("slt", low, high))
        distance = self._op("subi", self._op("subi", high, low), one)
        count = self._op("addi", self._op("divui", distance, size), one)
        return self._op("select", runs, count, zero)

    def _op(self, name: str, *operands: ir.Value) -> ir.Value:
        """One op of arith, whose result has the type of its last operand."""
        return ir.Operation.create(f"arith.{name}", [operands[-1].type], list(operands)).result

    def to_index(self, value: ir.Value) -> ir.Value:
        return ir.Operation.create("arith.index_cast", [self.b.shared.type("index")], [value]).result

    # --- checkpointed

    def _checkpointed(self, node: nodes.Call) -> Iteration:
        given = [*node.args[1:], *(k.value for k in node.keywords if k.arg == "slots")]
        if not node.args or len(given) > 1 or any(k.arg != "slots" for k in node.keywords):
            raise self.b.error("dsl.checkpointed takes something to run over and slots")
        inner = self.iteration(node.args[0])
        if inner.elements is not None:
            raise self.b.error("a loop over a tuple is unrolled, not checkpointed", "loop over a range or an array")
        if inner.slots is not None:
            raise self.b.error("dsl.checkpointed is applied twice")
        if inner.parallel:
            raise self.b.error("iterations that may run at once have no state to keep", "write range, not prange")
        if self.b.device:
            raise self.b.error(
                "dsl.checkpointed is for host code: a thread of a grid has no memory for snapshots",
                "write range, or loop over launches",
                errors.UnsupportedSyntax,
            )
        slots = self.evaluate(given[0]) if given else constant(None)
        if slots.known and slots.const is None:
            number = self.b.index(0)
        else:
            number = self._slots(slots, given[0])
        return Iteration(inner.lower, inner.upper, inner.element, slots=number)

    def _slots(self, given: Value, node: nodes.Expression) -> ir.Value:
        with self.b.at(node.loc):
            slots = self._as_integer(given, node, "the number of slots is an integer")
            if slots.known and slots.const < 1:
                raise self.b.error(
                    f"a checkpointed loop with {slots.const} slots: it needs at least one", cls=errors.KernelValueError
                )
            number = self.b.ir(slots)
            if not slots.known:
                enough = self.compare("sge", number, self.b.i64(1))
                self.b.check(enough, "ValueError", "a checkpointed loop needs at least one slot")
                number = self._op("maxsi", number, self.b.i64(1))
            return self.to_index(number)

    # --- enumerate, zip, reversed

    def _enumerate(self, node: nodes.Call) -> Iteration:
        starts = [*node.args[1:], *(k.value for k in node.keywords if k.arg == "start")]
        if len(node.args) < 1 or len(starts) > 1 or any(k.arg != "start" for k in node.keywords):
            raise self.b.error("enumerate takes something to run over and a start")
        start = self._integer(starts[0]) if starts else constant(0)
        inner = self.iteration(node.args[0])
        if inner.elements is not None:
            pairs = [TupleValue((self.binary("+", start, constant(i)), e)) for i, e in enumerate(inner.elements)]
            return Iteration(None, None, None, pairs)
        inner = self._from_zero(inner)
        first = self.b.ir(start)
        return Iteration(
            inner.lower,
            inner.upper,
            lambda n: TupleValue((_counter(self._op("addi", first, n), start.nonneg), inner.element(n))),
        )

    def _zip(self, node: nodes.Call) -> Iteration:
        if not node.args:
            raise self.b.error("zip needs something to run over")
        inners = [self.iteration(arg) for arg in node.args]
        if any(inner.elements is not None for inner in inners):
            columns = [inner.elements for inner in inners]
            rows: list[Value] = []
            for column in columns:
                if column is None:
                    raise self.b.error("zip does not mix tuples with arrays or ranges", "loop over an index")
            for row in zip(*(c for c in columns if c is not None)):
                rows.append(TupleValue(tuple(row)))
            return Iteration(None, None, None, rows)
        inners = [self._from_zero(inner) for inner in inners]
        upper = inners[0].upper
        for inner in inners[1:]:
            upper = self._op("minsi", upper, inner.upper)
        return Iteration(self.b.i64(0), upper, lambda n: TupleValue(tuple(inner.element(n) for inner in inners)))

    def _reversed(self, node: nodes.Call) -> Iteration:
        if len(node.args) != 1:
            raise self.b.error("reversed takes one argument")
        inner = self.iteration(node.args[0])
        if inner.elements is not None:
            return Iteration(None, None, None, list(reversed(inner.elements)))
        inner = self._from_zero(inner)
        last = self._op("subi", inner.upper, self.b.i64(1))
        return Iteration(inner.lower, inner.upper, lambda n: inner.element(self._op("subi", last, n)))

    def _from_zero(self, inner: Iteration) -> Iteration:
        """The same elements, counted from zero."""
        if inner.slots is not None:
            raise self.b.error(
                "dsl.checkpointed stands around everything else that a loop runs over",
                "for example dsl.checkpointed(enumerate(range(n)))",
            )
        lower = inner.lower
        owner = lower.owner
        if (
            isinstance(owner, ir.Operation)
            and owner.name == "arith.constant"
            and ir.IntegerAttr(owner.attributes["value"]).value == 0
        ):
            return inner
        count = self._op("maxsi", self._op("subi", inner.upper, lower), self.b.i64(0))
        return Iteration(self.b.i64(0), count, lambda n: inner.element(self._op("addi", lower, n)))


def _counter(value: ir.Value, nonneg: bool = True) -> Value:
    """An index as a Python int."""
    return Value(types.pyint, (value,), nonneg=nonneg)
