"""List comprehensions and generator expressions: functions in a kernel that are called at once, as they are in Python.

A list is an array here: as many elements as the loop has iterations, of the type that the element turns out to have,
which is found by trial. A list of arrays of one shape is an array of one more dimension. A generator is what `sum`,
`any`, `all`, `max`, `min`, `math.prod`, `tuple` and `list` run over.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mlir import ir

from .. import errors, types
from ..syntax import nodes
from ..syntax.loc import Loc
from . import arrays, creation
from .closures import Closure
from .iteration import Iteration
from .launches import Launches
from .memory import ListValue, array_type, sizes_of
from .values import TupleValue, Value, constant

# The variables of the functions that are made here; no name of a user's is like them.
_ITEMS, _ITEM, _OUT, _AT, _ELEMENT, _TOTAL = "<items>", "<item>", "<list>", "<position>", "<element>", "<sum>"

_Node = nodes.ListComp | nodes.GeneratorExp


class Comprehensions(Launches):
    """The part of the emitter for comprehensions."""

    def _generatorexp(self, node: nodes.GeneratorExp) -> Value:
        raise self.b.error(
            "a generator expression stands alone in a call of sum, any, all, max, min, math.prod, tuple or list",
            "write [...] for an array, or a `for` loop",
            errors.UnsupportedSyntax,
        )

    def over_generator(self, function: object, node: nodes.GeneratorExp) -> Value | None:
        """`function(element for ...)`; None for a function that takes no generator."""
        reduce = _REDUCTIONS.get(function) if isinstance(function, type(builtins.sum)) else None
        if reduce is not None:
            return reduce(self, node)
        if function is builtins.list:
            return self._listcomp(node)
        if function is builtins.tuple:
            made = self._of_tuple(node, self._items(node))
            if made is None:
                hint = "write [...] for an array, or run over a tuple, whose length is known"
                raise self.b.error("the length of this tuple is known at run time only", hint)
            return TupleValue(tuple(made))
        if function in (builtins.max, builtins.min, math.prod):
            return self.call_function(_OF_ARRAYS.get(function, function), [self._listcomp(node)], {})
        return None

    # --- reductions

    def _sum(self, node: nodes.GeneratorExp) -> Value:
        items = self._items(node)
        kind = self._kind(node, items)
        if not isinstance(kind, types.Scalar):
            hint = "write np.sum([...], axis=0)" if isinstance(kind, types.ArrayType) else "sum numbers"
            raise self.b.error(f"sum() adds numbers here, not {kind}", hint)
        make = _Maker(node)
        add = make.set(_TOTAL, nodes.BinOp(make.name(_TOTAL), "+", node.elt, loc=node.elt.loc))
        body = [make.set(_TOTAL, make.constant(0)), make.loops([add]), make.returns(make.name(_TOTAL))]
        return self._run(node, body, {_ITEMS: items})

    def _any(self, node: nodes.GeneratorExp) -> Value:
        return self._until(node, node.elt, True)

    def _all(self, node: nodes.GeneratorExp) -> Value:
        return self._until(node, nodes.UnaryOp("not", node.elt, loc=node.elt.loc), False)

    def _until(self, node: nodes.GeneratorExp, test: nodes.Expression, found: bool) -> Value:
        """What `any` and `all` are: the first element that decides ends the loop."""
        make = _Maker(node)
        leave = nodes.If(test, [make.returns(make.constant(found))], [], loc=test.loc)
        body = [make.loops([leave]), make.returns(make.constant(not found))]
        return self._run(node, body, {_ITEMS: self._items(node)})

    # --- lists

    def _listcomp(self, node: _Node) -> Value:
        items = self._items(node)
        elements = self._of_tuple(node, items)
        if elements is not None:
            return creation.from_elements(self.b, elements)
        made = self._filled(node, items)
        return ListValue(array_type(made), self.b.ir(made), sizes_of(self.b, made))

    def _filled(self, node: _Node, items: Iteration) -> Value:
        """The array of a comprehension's elements."""
        kind = self._kind(node, items)
        if isinstance(kind, types.ArrayType):
            return self._rows(node, items, kind)
        if not isinstance(kind, types.Scalar):
            hint = "make one list for each, or an array of dsl.zeros"
            raise self.b.error(f"a list in a kernel is an array of numbers; {kind} is none", hint)
        make = _Maker(node)
        first = node.generators[0]
        if len(node.generators) == 1:
            out = self._allocated(kind, [self._count(items)])
            if not first.ifs:
                store = make.store(node.elt)
                body = [make.over(_numbered_target(make, first), [store])]
                self._run(node, body, {_ITEMS: _numbered(self, items), _OUT: out})
                return out
        else:
            out = self._allocated(kind, [self._list_length(node, items)])
        step = nodes.AugAssign(make.name(_AT), "+", make.constant(1), loc=node.loc)
        body = [make.set(_AT, make.constant(0)), make.loops([make.store(node.elt), step])]
        kept: nodes.Expression = make.name(_OUT)
        if len(node.generators) == 1:  # else exactly as many as are kept were counted
            kept = nodes.Subscript(kept, nodes.Slice(None, make.name(_AT), None, loc=node.loc), loc=node.loc)
        return self._run(node, [*body, make.returns(kept)], {_ITEMS: items, _OUT: out})

    def _list_length(self, node: _Node, items: Iteration) -> Value:
        """How many elements several nested loops have: by running them without the element."""
        for generator in node.generators:
            tested = [*generator.ifs, *([generator.iter] if generator is not node.generators[0] else [])]
            for part in tested:
                if self._may_change_arrays(part):
                    with self.b.at(part.loc):
                        hint = "write the loops out"
                        raise self.b.error(
                            "the loops of this comprehension run twice, first to count, and this calls a function",
                            hint,
                            errors.UnsupportedSyntax,
                        )
        make = _Maker(node)
        step = nodes.AugAssign(make.name(_AT), "+", make.constant(1), loc=node.loc)
        body = [make.set(_AT, make.constant(0)), make.loops([step]), make.returns(make.name(_AT))]
        return self._run(node, body, {_ITEMS: items})

    def _rows(self, node: _Node, items: Iteration, kind: types.ArrayType) -> Value:
        """A list of arrays of one shape, which is that of the first."""
        first = node.generators[0]
        if len(node.generators) > 1 or first.ifs:
            raise self.b.error(
                "a list of arrays is made by one `for` without `if`",
                "make an array of dsl.zeros and fill it in a loop",
                errors.UnsupportedSyntax,
            )
        make = _Maker(node)
        element = self._element(node)
        count = self._count(items)

        def some() -> Value:
            row = self.call_closure(element, [items.element(items.lower)], {}).force(self.b)
            sizes = [arrays.dim(self.b, row, axis) for axis in range(kind.ndim)]
            out = self._allocated(kind.dtype, [count, *sizes])
            arrays.store(self.b, out, [constant(0)], row)
            shape = TupleValue(tuple(sizes))
            behind = nodes.BinOp(make.name(_AT), "+", make.constant(1), loc=node.elt.loc)
            target = nodes.Subscript(make.name(_OUT), behind, loc=node.elt.loc)
            same = nodes.Compare(
                nodes.Attribute(make.name(_ELEMENT), "shape", loc=node.elt.loc), ["=="], [make.name("<shape>")],
                loc=node.elt.loc,
            )  # fmt: skip
            message = nodes.Constant("the arrays in a list are not of one shape", loc=node.elt.loc)
            each = [
                make.set(_ELEMENT, node.elt),
                nodes.If(
                    nodes.UnaryOp("not", same, loc=same.loc), [make.raises(ValueError, message)], [], loc=same.loc
                ),
                nodes.Assign([target], make.name(_ELEMENT), loc=node.elt.loc),
            ]
            body = [make.over(_numbered_target(make, first), each)]
            rest = Iteration(self._op("addi", items.lower, self.b.i64(1)), items.upper, items.element)
            self._run(node, body, {_ITEMS: _numbered(self, rest), _OUT: out, "<shape>": shape})
            return out

        def none() -> Value:
            return self._allocated(kind.dtype, [constant(0)] * (kind.ndim + 1))

        return self.choose(self.compare("slt", items.lower, items.upper), some, none)

    # --- their parts

    def _items(self, node: _Node) -> Iteration:
        """What the first `for` runs over, computed once, outside: as in Python."""
        for found in nodes.walk(node):
            if isinstance(found, nodes.NamedExpr):
                with self.b.at(found.loc):
                    hint = "write the loop out"
                    raise self.b.error("`:=` in a comprehension is not supported", hint, errors.UnsupportedSyntax)
        items = self.iteration(node.generators[0].iter)
        if items.parallel or items.slots is not None:
            raise self.b.error("a comprehension runs over a range, an array or a tuple", "write the loop out")
        return items

    def _of_tuple(self, node: _Node, items: Iteration) -> list[Value] | None:
        """The elements of a comprehension over a tuple, each by itself; None for any other."""
        if items.elements is None or len(node.generators) > 1 or node.generators[0].ifs:
            return None
        element = self._element(node)
        return [self.unless_failed(lambda e=e: self.call_closure(element, [e], {})) for e in items.elements]  # type: ignore[misc]

    def _element(self, node: _Node) -> Closure:
        """The element as a function of what the one `for` runs over."""
        make = _Maker(node)
        bind = nodes.Assign([node.generators[0].target], make.name(_ITEM), loc=node.elt.loc)
        return Closure(make.function([_ITEM], [bind, make.returns(node.elt)]), self, {})

    def _kind(self, node: _Node, items: Iteration) -> types.Type:
        """The type of the element, found by emitting it once and throwing that away."""
        make = _Maker(node)
        body = [make.loops([make.set(_ELEMENT, node.elt)]), make.returns(make.name(_ELEMENT))]
        start, pending = len(ir.InsertionPoint.current.block.operations), len(self.unit.pending)
        before, raises, must_leave = self.state.copy(), self.b.raises, self.b.must_leave
        kind = self.type_of(self._run(node, body, {_ITEMS: items}))
        self._drop_from(start)
        del self.unit.pending[pending:]
        self.state, self.b.raises, self.b.must_leave = before, raises, must_leave
        return types.strong(kind)

    def _run(self, node: _Node, body: Sequence[nodes.Statement], given: dict[str, Any]) -> Value:
        """What statements return that are called, at once, as a function of these variables."""
        tree = _Maker(node).function(list(given), body)
        values = [Value(types.Literal(v), const=v) if isinstance(v, Iteration) else v for v in given.values()]
        return self.unless_failed(lambda: self.call_closure(Closure(tree, self, {}), values, {}))

    def _count(self, items: Iteration) -> Value:
        if items.elements is not None:
            return constant(len(items.elements))
        trips = self._op("maxsi", self._op("subi", items.upper, items.lower), self.b.i64(0))
        return Value(types.pyint, (trips,), nonneg=True)

    def _allocated(self, dtype: types.Scalar, sizes: Sequence[Value]) -> Value:
        return creation.empty(self.b, TupleValue(tuple(sizes)), Value(types.Literal(dtype), const=dtype))


def _numbered(emitter: Comprehensions, items: Iteration) -> Iteration:
    """Pairs of a position, counted from zero, and the element there."""
    inner = emitter._from_zero(items)
    count = lambda n: Value(types.pyint, (n,), nonneg=True)  # noqa: E731
    return Iteration(inner.lower, inner.upper, lambda n: TupleValue((count(n), inner.element(n))))


def _numbered_target(make: _Maker, generator: nodes.Comprehension) -> nodes.Expression:
    return nodes.Tuple([make.name(_AT), generator.target], loc=generator.target.loc)


class _Maker:
    """Makes statements at the place of a comprehension."""

    def __init__(self, node: _Node) -> None:
        self.node = node
        self.loc: Loc = node.loc

    def name(self, name: str) -> nodes.Name:
        return nodes.Name(name, loc=self.loc)

    def constant(self, value: object) -> nodes.Constant:
        return nodes.Constant(value, loc=self.loc)

    def set(self, name: str, value: nodes.Expression) -> nodes.Statement:
        return nodes.Assign([self.name(name)], value, loc=value.loc)

    def returns(self, value: nodes.Expression) -> nodes.Statement:
        return nodes.Return(value, loc=value.loc)

    def raises(self, exc: type, message: nodes.Expression) -> nodes.Statement:
        return nodes.Raise(nodes.Call(nodes.Constant(exc, loc=self.loc), [message], [], loc=self.loc), loc=message.loc)

    def store(self, value: nodes.Expression) -> nodes.Statement:
        target = nodes.Subscript(self.name(_OUT), self.name(_AT), loc=value.loc)
        return nodes.Assign([target], value, loc=value.loc)

    def over(self, target: nodes.Expression, body: Sequence[nodes.Statement]) -> nodes.Statement:
        return nodes.For(target, self.name(_ITEMS), list(body), [], loc=self.loc)

    def loops(self, body: Sequence[nodes.Statement]) -> nodes.Statement:
        """The comprehension's loops and conditions around statements."""
        found = list(body)
        for number in reversed(range(len(self.node.generators))):
            generator = self.node.generators[number]
            for test in reversed(generator.ifs):
                found = [nodes.If(test, found, [], loc=test.loc)]
            over = generator.iter if number else self.name(_ITEMS)
            found = [nodes.For(generator.target, over, found, [], loc=generator.loc)]
        return found[0]

    def function(self, params: Sequence[str], body: Sequence[nodes.Statement]) -> nodes.FunctionDef:
        made = [nodes.Param(name, None, None, loc=self.loc) for name in params]
        return nodes.FunctionDef("<comprehension>", made, list(body), None, loc=self.loc)


_OF_ARRAYS: dict[object, object] = {math.prod: np.prod}
_REDUCTIONS: dict[object, Callable[[Any, nodes.GeneratorExp], Value]] = {
    sum: Comprehensions._sum,
    any: Comprehensions._any,
    all: Comprehensions._all,
}
