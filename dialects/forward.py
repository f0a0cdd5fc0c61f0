"""Pass `autodiff-forward`: tangents beside primals in one sweep over the body (Jacobian-vector products).

Takes a function in normal form and the activity of its arguments and results; leaves a function whose arguments are
each primal followed by its tangent (scalars) or shadow (memrefs) where it is duplicated, and whose results are the
primal ones (if asked for) and the tangents of the duplicated results.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir.ir import IntegerAttr, Operation, Type, Value

from . import lanes, rules
from .activity import STOPS
from .augment import Augmenter
from .builder import is_memref, operation
from .caches import cache_type, pushed_type
from .copier import attributes_of
from .custom.forward import call_forward_rule
from .custom.resolve import Rules
from .errors import refuse
from .extremes import SETTLED, check, foresee, is_extreme, unordered, won
from .launches import around, if_then
from .objects import chain
from .order import ADDITIONS, follow_order


class Forward(Augmenter):
    """`tangent[v]` is the tangent of the active primal value `v`; absent means zero."""

    strong_zero = False
    custom: Rules
    #: The function's return, where the values returned are of no interest.
    unread_return: Operation | None = None

    def __init__(self, *arguments: object):
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.tangent: dict[Value, Value] = {}
        #: What cells will hold that atomic updates of a launch compete for: copies of arrays.
        self.foreseen: dict[Value, Value] = {}

    # travel --------------------------------------------------------------------------------------------------------
    def extra_types(self, old: Value) -> list[Type]:
        if self.activity.value(old):
            return [self.tangents.type(old.type)]
        return super().extra_types(old)

    def extra(self, old: Value) -> list[Value]:
        if is_memref(old.type):
            return super().extra(old)
        return [self.tangent_or_zero(old)]

    def set_extra(self, old: Value, values: Sequence[Value]) -> None:
        if is_memref(old.type):
            super().set_extra(old, values)
        else:
            self.tangent[old] = values[0]

    def tangent_or_zero(self, old: Value) -> Value:
        tangent = self.tangent.get(old)
        return self.tangents.zero(old.type) if tangent is None else tangent

    # ops -----------------------------------------------------------------------------------------------------------
    def copy(self, op: Operation) -> Operation:
        new = super().copy(op)
        if any(self.activity.value(r) for r in op.results) and op.name not in STOPS:
            self.differentiate(op, new)
        return new

    def after_select(self, op: Operation, new: Operation) -> None:
        if self.activity.value(op.results[0]):
            a, b = (self.tangent_or_zero(o) for o in list(op.operands)[1:])
            self.tangent[op.results[0]] = self.b.value("arith.select", [new.operands[0], a, b], a.type)

    def differentiate(self, op: Operation, new: Operation) -> None:
        """Tangents of the results by the op's row: the sum of partial times operand tangent."""
        rule = rules.lookup(op)
        if rule is None:
            raise no_rule(op)
        leaf = lambda kind, i: (new.operands if kind == "x" else new.results)[i]  # noqa: E731
        moving = [self.tangent.get(o) for o in op.operands]
        types = [r.type for r in op.results]

        def apply(tangents: list[Value | None]) -> list[Value | None]:
            with self.b.ip:
                return rule.forward(leaf, tangents, types, self.b.loc, strong_zero=self.strong_zero)

        made = lanes.each(self.b, op, self.width, moving, [o.type for o in op.operands], apply)
        for result, tangent in zip(op.results, made, strict=True):
            if tangent is not None and self.activity.value(result):
                self.tangent[result] = tangent
        if op.name in ADDITIONS and made[0] is not None and all(t is not None for t in moving):
            follow_order(op, operation(made[0].owner))

    def copy_func_call(self, op: Operation) -> None:
        if self.activity.by_rule(op):
            call_forward_rule(self, op)
        else:
            self.copy(op)

    def copy_memref_load(self, op: Operation) -> None:
        new = Augmenter.copy(self, op)
        if self.activity.value(op.results[0]):
            self.tangent[op.results[0]] = self.tangents.load(self.shadow(op.operands[0]), list(new.operands)[1:])

    def copy_memref_store(self, op: Operation) -> None:
        new = Augmenter.copy(self, op)
        if self.activity.memory(op.operands[1]):
            indices = list(new.operands)[2:]
            self.tangents.store(self.tangent.get(op.operands[0]), self.shadow(op.operands[1]), indices)

    def copy_memref_copy(self, op: Operation) -> None:
        Augmenter.copy(self, op)
        source, target = op.operands
        if self.activity.memory(target):
            for k, memref in enumerate(self.shadow(target)):
                if self.activity.memory(source):
                    self.b.op("memref.copy", [self.shadow(source)[k], memref])
                else:
                    self.b.fill_zero(memref)

    def copy_autodiff_stop(self, op: Operation) -> None:
        self.map[op.results[0]] = self.value(op.operands[0])

    def copy_autodiff_through(self, op: Operation) -> None:
        self.copy_autodiff_stop(op)
        if self.activity.value(op.results[0]):
            self.tangent[op.results[0]] = self.tangent_or_zero(op.operands[1])

    def copy_autodiff_init(self, op: Operation) -> None:
        Augmenter.copy(self, op)
        if self.activity.cache(op.results[0]):
            element = pushed_type(op)
            types = [element] * self.width if is_memref(element) else [self.tangents.type(element)]
            made = [self.b.value("autodiff.init", [], cache_type(t)) for t in types]
            self.shadows[op.results[0]] = tuple(made)

    def copy_autodiff_push(self, op: Operation) -> None:
        Augmenter.copy(self, op)
        cache, value = op.operands
        if self.activity.cache(cache):
            for c, v in zip(self.shadows[cache], self.extra(value), strict=True):
                self.b.op("autodiff.push", [c, v])

    def copy_autodiff_pop(self, op: Operation) -> None:
        Augmenter.copy(self, op)
        cache, result = op.operands[0], op.results[0]
        if self.activity.cache(cache):
            types = self.extra_types(result) or [self.tangents.type(result.type)]
            pairs = zip(self.shadows[cache], types, strict=True)
            popped = [self.b.value("autodiff.pop", [c], t, attributes_of(op)) for c, t in pairs]
            if self.extra_types(result):
                self.set_extra(result, popped)

    def copy_memref_dealloc(self, op: Operation) -> None:
        Augmenter.copy(self, op)
        for memref in self.shadows.get(op.operands[0], ()):
            self.b.op("memref.dealloc", [memref], [], attributes_of(op))

    def copy_gpu_launch(self, op: Operation) -> Operation:
        self.foreseen.update(foresee(self, op))
        return super().copy_gpu_launch(op)

    def copy_memref_atomic_rmw(self, op: Operation) -> None:
        """A sum: the tangent is added as the primal is. A largest or smallest value: the winner stores its tangent."""
        new = Augmenter.copy(self, op)
        if not self.activity.memory(op.operands[1]) or SETTLED in op.attributes:
            return
        if is_extreme(op):
            if around(op) is None:
                check(op, self.activity)  # which refuses it
            value, _, *at = new.operands
            final = self.b.load(self.foreseen[chain(op.operands[1])[0]], at)
            shadow, tangent = self.shadow(op.operands[1]), self.tangent.get(op.operands[0])
            winner = won(self.b, op, value, new.results[0], final)
            if_then(self.b, winner, lambda: self.tangents.store(tangent, shadow, at))
            return
        if IntegerAttr(op.attributes["kind"]).value != 0:
            raise unordered(op)
        for k, memref in enumerate(self.shadow(op.operands[1])):
            tangent = self.tangents.lane(self.tangent_or_zero(op.operands[0]), k, op.operands[0].type)
            operands = [tangent, memref, *list(new.operands)[2:]]
            old = self.b.op("memref.atomic_rmw", operands, [op.results[0].type], attributes_of(op))
            if self.activity.value(op.results[0]):
                if self.width != 1:
                    raise refuse(op, "the value of an atomic is used in a batched derivative", "use width 1")
                self.tangent[op.results[0]] = old.results[0]

    def copy_gpu_shuffle(self, op: Operation) -> None:
        new = Augmenter.copy(self, op)
        if self.activity.value(op.results[0]):
            tangent = self.tangent_or_zero(op.operands[0])
            rest = list(new.operands)[1:]
            parts = []
            for k in range(self.width):
                operands = [self.tangents.lane(tangent, k, op.operands[0].type), *rest]
                types = [r.type for r in op.results]
                parts.append(self.b.op("gpu.shuffle", operands, types, attributes_of(op)).results[0])
            whole = parts[0] if self.width == 1 else self.b.value("vector.from_elements", parts, tangent.type)
            self.tangent[op.results[0]] = whole


def no_rule(op: Operation) -> Exception:
    name = op.name if op.name != "func.call" else f"call of {op.attributes['callee']}"
    return refuse(
        op,
        f"no derivative rule for {name}, which is on the active path",
        rules.refused(op.name) or "give it a rule, make its input Const, or wrap the value in ignore_derivatives",
    )
