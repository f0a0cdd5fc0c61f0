"""One rule as a function: its arguments become annotations, its result is laid out as the engine takes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mlir import ir

from dialects.custom.resolve import Made
from dialects.lanes import joined, narrow, wide
from dialects.lanes import lane as one_lane

from .. import errors, types
from .. import rules as given
from ..annotations import Active, Annotation, Const, Duplicated
from ..derivative import builder
from ..request import is_continuous
from . import creation
from .constants import literal
from .derivatives import AnnotatedValue
from .partials import Partials
from .rule_results import Results
from .rules import Asked, RuleMaker, batched, looks_at_shadows
from .values import Builder, TupleValue, Value, constant

if TYPE_CHECKING:
    from .unit import Unit


class RuleFunction:
    """A rule in the making."""

    def __init__(self, unit: Unit, asked: Asked, rule: given.Rule, maker: RuleMaker) -> None:
        assert rule.kernel is not None
        self.unit, self.asked, self.maker = unit, asked, maker
        self.ruled, self.wanted, self.part = asked.ruled, asked.wanted, asked.part
        self.kernel = rule.kernel
        self.width = self.wanted.width if rule.batched else 1
        self.is_easy = rule.part == "easy"

    def make(self) -> Made | None:
        """The text of a module with the function, and its name; None where an easy rule has nothing to do."""
        if self.is_easy and self.part == "augment" and not Partials.takes_result(self.kernel, self.ruled.kernel):
            return None  # the partial derivatives are computed in the reverse sweep
        name = re.sub(r"\W+", "", self.kernel.name) or "rule"
        symbol = f"{name}.{self.part}.{next(self.maker.numbers)}"
        tree, _ = self.unit.tree(self.kernel)
        place = ir.Location.file(tree.loc.file, tree.loc.line, tree.loc.col)
        inputs = self._inputs()
        attributes: dict[str, ir.Attribute] = {
            "sym_name": ir.StringAttr.get(symbol),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get(inputs, [])),
        }
        if self.width > 1:
            attributes["autodiff.width"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), self.width)
        module = self.unit.shared.module
        with ir.InsertionPoint(module.body), place:
            op = ir.Operation.create("func.func", attributes=attributes, regions=1)
        spare = self.unit.shared.type("memref<1xi64>")
        block = op.regions[0].blocks.append(*inputs, spare, arg_locs=[place] * (len(inputs) + 1))
        with ir.InsertionPoint(block), place, self.unit.calling(self.kernel):
            results = self._fill(block, tree.loc)
        op.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, [r.type for r in results]))
        self.unit.drop_unused(symbol)
        module.operation.verify()
        return Made(module.operation.get_asm(enable_debug_info=True), symbol)

    def _fill(self, block: ir.Block, loc: Any) -> list[ir.Value]:
        """Emit the body and the return; the results."""
        arguments = list(block.arguments)
        spare = arguments.pop()  # the error cell that a rule of a function without one must not use
        taken = iter(arguments)
        self.b = Builder(self.unit.shared, loc, spare, self.ruled.device)
        self.b.boundscheck = self.ruled.raises and self.unit.boundscheck(self.kernel)
        self.e = self.unit.emitter(self.kernel, self.b)
        self.e.is_rule = True
        layout = zip(self.asked.classes, self.ruled.arg_types, self.asked.kinds)
        values = [self._argument(cls, type_, kinds, taken) for cls, type_, kinds in layout]
        if self.ruled.raises:
            self.b.error_cell = next(taken)
        results = self._easy(values, taken) if self.is_easy else self._user(values, taken, block)
        if self.unit.pending:
            raise self.unit.pending[0]
        if any(True for _ in spare.uses):
            name = self.ruled.kernel.name
            raise errors.DifferentiationError(
                f"{self.asked.name} may raise an exception, but {name} itself does not",
                self.kernel.loc,
                f"test it in {name}",
            )
        ir.Operation.create("func.return", [], results)
        block.erase_argument(len(arguments))
        return results

    # --- arguments

    def _leaf_types(self, type_: types.Type) -> list[ir.Type]:
        return [self.unit.shared.type(leaf.mlir) for leaf in types.leaves(type_)]

    def _beside(self, type_: ir.Type) -> list[ir.Type]:
        """The types of the tangent or shadows beside a value."""
        if isinstance(type_, ir.MemRefType):
            return [type_] * self.width
        return [wide(type_, self.width)]

    def _inputs(self) -> list[ir.Type]:
        found: list[ir.Type] = []
        for type_, kinds in zip(self.ruled.arg_types, self.asked.kinds):
            for leaf, kind in zip(self._leaf_types(type_), kinds):
                found += [leaf, *(self._beside(leaf) if kind == "duplicated" else [])]
        if self.ruled.raises:
            found.append(self.unit.shared.type("memref<1xi64>"))
        if self.part == "reverse":
            for leaf, kind in zip(self._leaf_types(self.ruled.result_type), self.asked.return_kinds):
                if kind != "const":
                    found += ([leaf] if isinstance(leaf, ir.MemRefType) else []) + self._beside(leaf)
            found += self._leaf_types(self._tape())
        return found

    def _tape(self) -> types.Type:
        return self.maker.tapes.get((self.ruled.symbol, self.wanted), types.none)

    def _argument(
        self, cls: type[Annotation], type_: types.Type, kinds: list[str], taken: Iterator[ir.Value]
    ) -> AnnotatedValue:
        primals: list[ir.Value] = []
        lanes: list[list[ir.Value]] = [[] for _ in range(self.width)]
        unseen = cls is Const or cls is Active or (self.part == "augment" and not looks_at_shadows(self.kernel))
        for leaf, kind in zip(types.leaves(type_), kinds):
            primals.append(next(taken))
            if kind == "duplicated" or not unseen:
                for lane, shadow in zip(lanes, self._shadows(leaf, kind, primals[-1], taken)):
                    lane.append(shadow)
        value = self.e.rebuild(type_, iter(primals), objects=False)
        if unseen:
            return AnnotatedValue(batched(cls, self.width), value, ())
        shadows = tuple(self.e.rebuild(type_, iter(lane), objects=False) for lane in lanes)
        return AnnotatedValue(batched(cls, self.width), value, shadows)

    def _shadows(self, leaf: types.Type, kind: str, primal: ir.Value, taken: Iterator[ir.Value]) -> list[ir.Value]:
        """The shadow of a leaf in each lane; zeros for one that does not move within an argument that does."""
        if kind == "duplicated":
            if isinstance(leaf, types.ArrayType):
                return [next(taken) for _ in range(self.width)]
            return self.lanes(next(taken))
        if not is_continuous(leaf):
            return [primal] * self.width
        if isinstance(leaf, types.Scalar):
            return [self.b.number(0, leaf)] * self.width
        assert isinstance(leaf, types.ArrayType)
        zeros = creation.full_like(self.b, Value(leaf, (primal,)), constant(0)).force(self.b)
        return [self.e.as_layout(self.b.ir(zeros), leaf)] * self.width

    def _cotangent(self, taken: Iterator[ir.Value]) -> AnnotatedValue:
        """`dret`: of numbers their cotangents, of arrays the arrays with their shadows. Of a result that does not
        matter the cotangent is zero, where that is a number.
        """
        type_, returns = self.ruled.result_type, self.asked.returns
        leaves = types.leaves(type_)
        if returns is Const:
            if any(isinstance(leaf, types.ArrayType) for leaf in leaves):
                return AnnotatedValue(Const, constant(None), ())
            zeros = iter([self.e.filler(leaf) for leaf in leaves])
            return AnnotatedValue(Const, self.e.rebuild(type_, zeros, objects=False), ())
        primals: list[ir.Value] = []
        lanes: list[list[ir.Value]] = [[] for _ in range(self.width)]
        for leaf, kind in zip(leaves, self.asked.return_kinds):
            moves = kind != "const"
            if isinstance(leaf, types.Scalar):
                zero = self.b.number(0, leaf)
                primals.append(zero)
                shadows = self.lanes(next(taken)) if moves else [zero] * self.width
            else:
                made = [next(taken) if moves else self.e.filler(leaf) for _ in range(1 + self.width)]
                primals.append(made[0])
                shadows = made[1:]
            for lane, shadow in zip(lanes, shadows):
                lane.append(shadow)
        found = tuple(self.e.rebuild(type_, iter(lane), objects=False) for lane in lanes)
        if returns is Active:
            return AnnotatedValue(Active, found[0] if self.width == 1 else TupleValue(found), ())
        primal = self.e.rebuild(type_, iter(primals), objects=False)
        return AnnotatedValue(batched(Duplicated, self.width), primal, found)

    # --- tangents of several directions

    def lanes(self, value: ir.Value) -> list[ir.Value]:
        """The tangents that a vector holds."""
        if self.width == 1:
            return [value]
        return [one_lane(builder(), value, k, narrow(value.type)) for k in range(self.width)]

    def joined(self, lanes: Sequence[ir.Value]) -> ir.Value:
        """One value of the tangents in each direction."""
        return joined(builder(), lanes)

    # --- the user's rule

    def _user(self, values: list[AnnotatedValue], taken: Iterator[ir.Value], block: ir.Block) -> list[ir.Value]:
        wanted, returns = self.wanted, self.asked.returns
        overwritten = (False, *self.asked.overwritten())
        config = given.Config(
            wanted.needs_primal, returns is not Const, self.width, overwritten, False, wanted.strong_zero
        )
        kernel = self.ruled.kernel
        func = AnnotatedValue(Const, Value(types.Literal(kernel), const=kernel), ())
        leading: list[Value] = [literal(self.b, config), func]
        if self.part == "reverse":
            leading += [self._cotangent(taken), self.e.rebuild(self._tape(), taken, objects=False)]
        else:
            cls = batched(returns, self.width)
            leading.append(Value(types.Literal(cls), const=cls))
        return Results(self, self.e.run([*leading, *values])).leaves(block)

    # --- from partial derivatives

    def _easy(self, values: list[AnnotatedValue], taken: Iterator[ir.Value]) -> list[ir.Value]:
        self._refuse_arrays()
        arg_types, results = self.ruled.arg_types, types.leaves(self.ruled.result_type)
        rule = Partials(self.e, self.kernel, self.ruled.kernel, self.ruled.result_type, self.wanted.strong_zero)
        inputs = [a.value for a in values]
        moving = [k for k, cls in enumerate(self.asked.classes) if cls is not Const]
        active = [r for r, kind in enumerate(self.asked.return_kinds) if kind != "const"]
        lanes = range(self.width)
        if self.part == "augment":
            value = rule.value(inputs)
            type_ = types.strong(self.ruled.result_type)
            self.maker.tapes[self.ruled.symbol, self.wanted] = type_
            return 2 * self.e.leaves_as(value, type_)
        if self.part == "forward":
            made, partials = rule.evaluate(inputs, None, self.wanted.needs_primal)
            found = Results(self, constant(None)).primal(made)
            for r in active:
                total = [
                    rule.total([(partials[r][k], values[k].shadows[i].ir, arg_types[k]) for k in moving], results[r])
                    for i in lanes
                ]
                found.append(self.joined(total))
            return found
        seeds = {r: self.lanes(next(taken)) for r in active}
        kept = None if self._tape() == types.none else self.e.rebuild(self._tape(), taken)
        _, partials = rule.evaluate(inputs, kept, False)
        found = []
        for k in moving:
            total = [
                rule.total([(partials[r][k], seeds[r][i], results[r]) for r in active], arg_types[k], conjugate=True)
                for i in lanes
            ]
            found.append(self.joined(total))
        return found

    def _refuse_arrays(self) -> None:
        kernel = self.ruled.kernel
        shown = [*zip(kernel.params, self.ruled.arg_types)]
        shown += [("the result", leaf) for leaf in types.leaves(self.ruled.result_type)]
        for name, type_ in shown:
            if not isinstance(type_, types.Scalar):
                raise errors.DifferentiationError(
                    f"an easy rule is for functions of numbers; in {kernel.name}, {name} is {type_}",
                    self.kernel.loc,
                    "write rules.forward, rules.augmented_primal and rules.reverse",
                )
