"""`for i in dsl.prange(n)`: loops whose iterations may run at once.

An iteration writes into arrays, and may hand on numbers in one way: by a reduction, `s += v`, `s *= v`, `s = min(s, v)`
or `s = max(s, v)` of a variable that the loop has no other use for. In the body such a variable begins with what
changes nothing (0, 1, or an infinity), so what it ends with is what the iteration gives; scf.reduce combines that.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from mlir import ir

from .. import errors, types
from ..syntax import nodes
from . import casts, mathlib
from .iteration import Iteration, Iterations
from .liveness import bound_names, has_break, has_return
from .scope import CONTINUE, join_types
from .values import Value, constant

_ATTEMPTS = 8
#: By what a loop's iterations may be combined: the operators of statements, and functions.
_OPERATORS = {"+": "+", "-": "+", "*": "*"}
_EXTREMES: dict[Any, str] = {
    builtins.min: "min", builtins.max: "max", np.minimum: "min", np.maximum: "max", np.fmin: "min", np.fmax: "max",
}  # fmt: skip


class Reduction(NamedTuple):
    """`operator` is "+" or "*", or "min" or "max" by `function`."""

    operator: str
    function: Any = None


class ParallelLoops(Iterations):
    """The part of the emitter that emits parallel loops."""

    if TYPE_CHECKING:

        def _no_longer(self, way: str) -> None: ...

    def _parallel(self, node: nodes.For, iteration: Iteration) -> None:
        self._refuse_exits(node)
        reductions = self._reductions(node)
        before, raised = self.state, self.b.raises
        bounds = [self.to_index(v) for v in (iteration.lower, iteration.upper)]
        kinds = {name: self._reduced_type(name, self.type_of(self.read(name))) for name in reductions}
        start, pending = len(ir.InsertionPoint.current.block.operations), len(self.unit.pending)
        for _ in range(_ATTEMPTS):
            self.state = before.copy()
            op, found = self._attempt_parallel(node, iteration, bounds, reductions, kinds)
            if found == kinds:
                break
            kinds = found
            del self.unit.pending[pending:]
            self._drop_from(start)
        self.state = before
        for name in self.live.assigned(node.body) | bound_names(node.target):
            if name not in reductions:
                self.state.drop(name)
        for (name, type_), result in zip(kinds.items(), op.results):
            self.state.set(name, Value(type_, (result,)), node.loc)
        if self.b.raises > raised:
            self.b.must_leave = True

    @staticmethod
    def _drop_from(start: int) -> None:
        """Throw away what has been emitted in this block since it had `start` operations."""
        for op in reversed(list(ir.InsertionPoint.current.block.operations)[start:]):
            op.operation.erase()

    def _attempt_parallel(
        self,
        node: nodes.For,
        iteration: Iteration,
        bounds: list[ir.Value],
        reductions: dict[str, Reduction],
        kinds: dict[str, types.Scalar],
    ) -> tuple[ir.Operation, dict[str, types.Scalar]]:
        """The loop, if its reductions have these types; and the types that they turn out to have."""
        before = self.state.copy()
        inits = [leaf for name, type_ in kinds.items() for leaf in self.leaves_as(self.read(name), type_)]
        segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1, 1, len(inits)])}
        results = [init.type for init in inits]
        op = ir.Operation.create("scf.parallel", results, [*bounds, self.b.index(1), *inits], segments, regions=1)
        place = ir.Location.file(node.loc.file, node.loc.line, node.loc.col)
        block = op.regions[0].blocks.append(self.b.shared.type("index"), arg_locs=[place])
        outer, self.exit_live = self.exit_live, frozenset(reductions)
        with ir.InsertionPoint(block):
            for name, type_ in kinds.items():
                neutral = casts.convert(self.b, constant(_neutral(reductions[name].operator, type_)), type_)
                self.state.set(name, Value(type_, (self.b.ir(neutral),)), node.loc)
            count = ir.Operation.create("arith.index_cast", [self.b.shared.type("i64")], [block.arguments[0]]).result
            self.assign(node.target, iteration.element(count))
            self.block(node.body, frozenset(reductions))
            self._no_longer(CONTINUE)
            found = {}
            for name, type_ in kinds.items():
                given = self.type_of(self.read(name)) if self.state.matters(name) else type_
                found[name] = self._reduced_type(name, join_types(type_, given))
            if found == kinds:
                self._reduce(reductions, kinds, place)
            else:
                ir.Operation.create("scf.reduce", [], [])
        changed = [n for n, v in before.vars.items() if n.startswith("#") and self.state.vars.get(n) is not v]
        if changed:
            raise self.b.error("the body of a parallel loop changes a struct", "let it write into an array")
        self.exit_live = outer
        return op, found

    def _reduce(self, reductions: dict[str, Reduction], kinds: dict[str, types.Scalar], place: ir.Location) -> None:
        given = []
        for name, type_ in kinds.items():
            if self.state.matters(name):
                given += self.leaves_as(self.read(name), type_)
            else:  # no path comes to the end of the body
                given.append(self.filler(types.leaves(type_)[0]))
        op = ir.Operation.create("scf.reduce", [], given, regions=len(kinds))
        for (name, type_), value, region in zip(kinds.items(), given, op.regions):
            block = region.blocks.append(value.type, value.type, arg_locs=[place, place])
            with ir.InsertionPoint(block):
                total, part = (Value(type_, (argument,)) for argument in block.arguments)
                combined = self._combined(reductions[name], total, part)
                ir.Operation.create("scf.reduce.return", [], self.leaves_as(combined, type_))

    def _combined(self, reduction: Reduction, total: Value, part: Value) -> Value:
        if reduction.function is None:
            return self.binary(reduction.operator, total, part)
        row = mathlib.find(reduction.function)
        assert row is not None
        return mathlib.call(self.b, row, [total, part], {})

    def _reduced_type(self, name: str, type_: types.Type | None) -> types.Scalar:
        if not isinstance(type_, types.Scalar):
            raise self.b.error(
                f"`{name}` is no number in each iteration of this parallel loop",
                "reduce numbers, or write into an array",
            )
        return types.pyint if type_ == types.bool_ else type_

    # --- what may go from one iteration to the next

    def _refuse_exits(self, node: nodes.For) -> None:
        if has_break(node.body) or has_return(node.body):
            raise self.b.error(
                "a parallel loop is not left before its end", "take range instead of prange", errors.UnsupportedSyntax
            )

    def _reductions(self, node: nodes.For) -> dict[str, Reduction]:
        """The variables that are reduced; one that goes to the next iteration in another way is refused."""
        assigned = self.live.assigned(node.body) | bound_names(node.target)
        head = self.live.next_iteration[node] - bound_names(node.target)
        found: dict[str, Reduction] = {}
        for name in sorted(assigned & head):
            reduction = self._reduction(name, node.body)
            if reduction is None:
                raise self.b.error(
                    f"`{name}` goes from one iteration of this parallel loop to the next, or to what follows it",
                    f"reduce it (`{name} += ...`, `*=`, `{name} = min({name}, ...)`, max) and use it for nothing else "
                    "in the loop, or take range instead of prange",
                    errors.UnsupportedSyntax,
                )
            found[name] = reduction
        return found

    def _reduction(self, name: str, body: Sequence[nodes.Statement]) -> Reduction | None:
        """What a variable is reduced by, if that is all that a loop's body does with it."""
        found: set[Reduction] = set()
        if name in self.live.held:
            return None
        readers = {name, *(function for function, captured in self.live.captured.items() if name in captured)}
        mentions = sum(_mentions(readers, stmt) for stmt in body)
        for stmt in nodes.statements(body):
            made = self._update(name, stmt)
            if made is not None:
                found.add(made[0])
                mentions -= made[1]
        return found.pop() if len(found) == 1 and mentions == 0 else None

    def _update(self, name: str, stmt: nodes.Statement) -> tuple[Reduction, int] | None:
        """The reduction that a statement is a step of, and how often it mentions the variable for that."""
        if isinstance(stmt, nodes.AugAssign) and _is(name, stmt.target) and stmt.op in _OPERATORS:
            return Reduction(_OPERATORS[stmt.op]), 1
        if not isinstance(stmt, nodes.Assign) or len(stmt.targets) != 1 or not _is(name, stmt.targets[0]):
            return None
        value = stmt.value
        if isinstance(value, nodes.BinOp) and value.op in _OPERATORS:
            if _is(name, value.left) or (value.op != "-" and _is(name, value.right)):
                return Reduction(_OPERATORS[value.op]), 2
        if isinstance(value, nodes.Call) and len(value.args) == 2 and not value.keywords:
            function = self.evaluate(value.func).const
            if any(_is(name, arg) for arg in value.args) and _hashable(function) and function in _EXTREMES:
                return Reduction(_EXTREMES[function], function), 2
        return None


def _neutral(operator: str, type_: types.Scalar) -> Any:
    """What a reduction begins with in each iteration."""
    if operator == "*":
        return 1
    if operator == "+":
        return -0.0 if type_.kind in "fc" else 0  # -0.0 + x is x, whatever x is
    if type_.kind == "f":
        return math.inf if operator == "min" else -math.inf
    if type_.kind == "u":
        return 2**type_.bits - 1 if operator == "min" else 0
    return 2 ** (type_.bits - 1) - 1 if operator == "min" else -(2 ** (type_.bits - 1))


def _is(name: str, node: nodes.Expression) -> bool:
    return isinstance(node, nodes.Name) and node.id == name


def _mentions(names: set[str], node: nodes.Node) -> int:
    return sum(isinstance(n, nodes.Name) and n.id in names for n in nodes.walk(node))


def _hashable(value: Any) -> bool:
    return getattr(type(value), "__hash__", None) is not None
