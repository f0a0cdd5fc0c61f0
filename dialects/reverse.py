"""Pass `autodiff-reverse`: the reverse sweep (vector-Jacobian products).

Takes a frame whose forward sweep has been emitted and emits its adjoint: ops in reverse order, each adding to the
cotangents of its operands. Cotangents of scalars are SSA values, carried as accumulators by the reversed loops;
cotangents of memory live in its shadow. Primal values come through `lookup`: available, recomputed, or from the tape
(plan.py says which).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlir.ir import Block, BlockArgument, Operation, Value

from . import lanes, rules
from .activity import STOPS, Activity
from .adjoint_memory import MemoryAdjoints
from .augment import yielded
from .builder import Builder, home, operation, operations
from .caches import cache_type, pushed_type
from .checkpoint.sweeps import Checkpoints
from .copier import add_block, attributes_of
from .cut import taped_values
from .forward import no_rule
from .launch_reverse import LaunchAdjoints
from .launches import fill_zero_together, is_shared
from .needs import needed_within
from .objects import ALLOCATIONS, VIEWS
from .plan import Planner
from .recompute import ReverseScope, lookup_all, sources
from .rules.expr import Leaf
from .sharing import Sharing
from .snapshots import Snapshots
from .stability import LOOPS, Stability
from .sweep import Frame, ReplaySweep, Sweep
from .tangents import Shadow, Tangents
from .tape import Recorded, pop, read

if TYPE_CHECKING:
    from .custom.reverse import CustomCalls


class Reverse(MemoryAdjoints, LaunchAdjoints):
    """The adjoint of one function. `adjoint[v]` is the cotangent gathered so far for the active primal value `v`."""

    custom: CustomCalls

    def __init__(self, builder: Builder, activity: Activity, width: int, strong_zero: bool = False):
        self.b, self.activity, self.width, self.strong_zero = builder, activity, width, strong_zero
        self.tangents = Tangents(builder, width)
        self.stability = Stability(activity.function, activity.objects)
        self.snapshots = Snapshots(self.stability)
        self.planner = Planner(activity, self.stability, self.snapshots)
        self.checkpoints = Checkpoints(self)
        self.adjoint: dict[Value, Value] = {}
        self.sharing = Sharing(activity)
        self.sums = {}
        self.taped: list[Recorded] = []
        #: Values to tape though they could be recomputed from others that would have to be taped.
        self.cut: set[Value] = set()
        self._methods: dict[str, Callable[[Operation, ReverseScope], None]] = {}

    # primal values -------------------------------------------------------------------------------------------------
    def lookup(self, old: Value, scope: ReverseScope) -> Value:
        """The primal value `old` in the reverse sweep, at a place that dominates the current one."""
        return lookup_all(self, [old], scope)[0]

    def read_outer(self, old: Value, sweep: ReplaySweep) -> Value:
        """A value of the outer frame's forward sweep, read in a replay at the same place of the same iteration."""
        outer = sweep.frame.outer
        assert outer is not None and outer.parent is not None
        block = home(old)
        source = outer.parent.frame.sweep.scopes[block]
        recorded = source.record(old)
        if recorded.is_static:
            return read(self.b, recorded, sweep.indices, self.b.ip, self.b.ip)
        return pop(self.b, recorded)

    def shadow(self, old: Value, scope: ReverseScope) -> Shadow:
        """The shadow of the primal memref `old` in the reverse sweep."""
        scope = scope.at(home(old))
        made = scope.shadows.get(old)
        if made is None:
            made = scope.shadows[old] = self._shadow(old, scope)
        return made

    def _shadow(self, old: Value, scope: ReverseScope) -> Shadow:
        op = None if isinstance(old, BlockArgument) else operation(old.owner)
        if op is not None and op.name in VIEWS:
            sources = self.shadow(op.operands[0], scope)
            rest = [self.lookup(o, scope) for o in list(op.operands)[1:]]
            with self.b.at(scope.here(), op.location):
                types = [r.type for r in op.results]
                return tuple(self.b.op(op.name, [s, *rest], types, attributes_of(op)).results[0] for s in sources)
        if op is not None and op.name == "arith.select":
            condition = self.lookup(op.operands[0], scope)
            pairs = zip(*(self.shadow(o, scope) for o in list(op.operands)[1:]), strict=True)
            with self.b.at(scope.here(), op.location):
                return tuple(self.b.value("arith.select", [condition, a, b], old.type) for a, b in pairs)
        if op is not None and op.name in ALLOCATIONS and not self.activity.objects.travels(old):
            sizes = [self.lookup(o, scope) for o in op.operands]
            with self.b.at(scope.here(), op.location):
                made = []
                for _ in range(self.width):
                    memref = self.b.alloc(old.type, sizes)
                    if is_shared(old.type):
                        fill_zero_together(self.b, memref)
                    else:
                        self.b.fill_zero(memref)
                    made.append(memref)
                return tuple(made)
        if op is not None and op.name == "autodiff.init":
            with self.b.at(scope.here(), op.location):
                return (self.b.value("autodiff.init", [], cache_type(self.tangents.type(pushed_type(op)))),)
        if scope.source is None:
            raise AssertionError(f"no shadow of {old}")
        records = scope.source.record_shadow(old)
        return tuple(read(self.b, r, scope.indices, scope.here(), scope.start()) for r in records)

    # cotangents ----------------------------------------------------------------------------------------------------
    def add(self, old: Value, cotangent: Value | None) -> None:
        if cotangent is None or not self.activity.value(old):
            return
        before = self.adjoint.get(old)
        self.adjoint[old] = cotangent if before is None else self.b.add(before, cotangent)

    def take(self, old: Value) -> Value | None:
        """The cotangent of `old`, whose uses have all been seen."""
        return self.adjoint.pop(old, None)

    def take_or_zero(self, old: Value) -> Value:
        taken = self.take(old)
        return self.tangents.zero(old.type) if taken is None else taken

    # the sweep -----------------------------------------------------------------------------------------------------
    def block(self, scope: ReverseScope) -> None:
        """The adjoint of all ops of a primal block, last first, at the end of the scope's reverse block."""
        for op in reversed(operations(scope.old)[:-1]):
            if not self.activity.region(op) or op.name in STOPS:
                continue
            method = self._methods.get(op.name)
            if method is None:
                method = getattr(self, "reverse_" + op.name.replace(".", "_"), self.generic)
                self._methods[op.name] = method
            saved = self.b.loc
            self.b.loc = op.location
            method(op, scope)
            self.b.loc = saved

    def generic(self, op: Operation, scope: ReverseScope) -> None:
        cotangents = [self.take(r) for r in op.results]
        if all(c is None for c in cotangents):
            return
        rule = rules.lookup(op)
        if rule is None:
            raise no_rule(op)
        wanted = [self.activity.value(o) for o in op.operands]
        read = (rule.needs(i, j) for i, c in enumerate(cotangents) for j, w in enumerate(wanted) if c is not None and w)
        leaves = sorted(set[Leaf]().union(*read))  # (what a set has first is another in each process)
        olds = [(op.operands if kind == "x" else op.results)[k] for kind, k in leaves]
        values = dict(zip(leaves, lookup_all(self, olds, scope), strict=True))
        types = [o.type for o in op.operands]

        def apply(given: list[Value | None]) -> list[Value | None]:
            with self.b.ip:
                return rule.reverse(
                    lambda kind, k: values[kind, k], given, types, wanted, self.b.loc, strong_zero=self.strong_zero
                )

        given = lanes.each(self.b, op, self.width, cotangents, [r.type for r in op.results], apply)
        for operand, cotangent in zip(op.operands, given, strict=True):
            self.add(operand, cotangent)

    def reverse_func_call(self, op: Operation, scope: ReverseScope) -> None:
        if self.activity.by_rule(op):
            self.custom.reverse_call(op, scope)
        else:
            self.generic(op, scope)

    def reverse_arith_select(self, op: Operation, scope: ReverseScope) -> None:
        cotangent = self.take(op.results[0])
        if cotangent is None:
            return
        condition = self.lookup(op.operands[0], scope)
        zero = self.b.zero(cotangent.type)
        for k, operand in enumerate(list(op.operands)[1:]):
            if self.activity.value(operand):
                arms = [cotangent, zero] if k == 0 else [zero, cotangent]
                self.add(operand, self.b.value("arith.select", [condition, *arms], cotangent.type))

    def reverse_autodiff_through(self, op: Operation, scope: ReverseScope) -> None:
        self.add(op.operands[1], self.take(op.results[0]))

    def reverse_scf_if(self, op: Operation, scope: ReverseScope) -> None:
        results = [self.take(r) for r in op.results]
        outer = self.adjoint
        captures = self.activity.captured(op)
        condition = self.lookup(op.operands[0], scope)
        types = [self.tangents.type(v.type) for v in captures]
        new = self.b.op("scf.if", [condition], types, regions=2)
        scope.cursor = new
        for old_region, new_region in zip(op.regions, new.regions, strict=True):
            self.adjoint = {v: outer[v] for v in captures if v in outer}
            block = add_block(new_region, [], self.b.loc)
            with self.b.at(block):
                for old in old_region.blocks:
                    for end, cotangent in zip(yielded(old), results, strict=True):
                        self.add(end, cotangent)
                    self.block(scope.branch(old, block))
                self.b.op("scf.yield", [self.take_or_zero(v) for v in captures])
        scope.cursor = None
        self.adjoint = outer
        for value, result in zip(captures, new.results, strict=True):
            self.adjoint[value] = result

    def reverse_scf_for(self, op: Operation, scope: ReverseScope) -> None:
        if self.checkpoints.takes(op):
            self.checkpoints.reverse_loop(op, scope)
            return
        trips = self.lookup(op.operands[1], scope)
        body = op.regions[0].blocks[0]
        self._loop(op, scope, body, trips, list(op.operands)[3:], list(body.arguments)[1:])

    def reverse_scf_while(self, op: Operation, scope: ReverseScope) -> None:
        body = op.regions[1].blocks[0]
        self._loop(op, scope, body, scope.trip_count(self, op), list(op.operands), list(body.arguments))

    def _loop(
        self, op: Operation, scope: ReverseScope, body: Block, trips: Value, inits: list[Value], arguments: list[Value]
    ) -> None:
        """Iterations last to first; carries the cotangents of what the loop carries and of what it captures."""
        moving = [i for i, argument in enumerate(arguments) if self.activity.value(argument)]
        captures = self.activity.captured(op)
        starts = [self.take_or_zero(op.results[i]) for i in moving] + [self.take_or_zero(v) for v in captures]
        outer = self.adjoint
        zero, one = self.b.index(0), self.b.index(1)
        new = self.b.for_loop(zero, trips, one, starts)
        scope.cursor = operation(new.owner)
        carried = list(new.arguments)[1:]
        self.adjoint = dict(zip(captures, carried[len(moving) :], strict=True))
        with self.b.at(new):
            last = self.b.integer("subi", trips, one)
            counter = self.b.integer("subi", last, new.arguments[0])
            inner = scope.iteration(body, new, counter)
            if op.name == "scf.for":
                inner.values[body.arguments[0]] = counter
            ends = yielded(body)
            for i, cotangent in zip(moving, carried[: len(moving)], strict=True):
                self.add(ends[i], cotangent)
            replay = self.planner.replay(op, body, scope.frame)
            if replay is None:
                self._plan_tape(op, scope.frame)
            else:
                frame = Frame(body, outer=inner)
                sweep = ReplaySweep(self, frame, replay)
                sweep.map = inner.values
                sweep.shadows = inner.shadows
                inner.replayed(frame)
                sweep.block(body)
                inner.swept()
            self.block(inner)
            self.b.op(
                "scf.yield",
                [self.take_or_zero(arguments[i]) for i in moving] + [self.take_or_zero(v) for v in captures],
            )
        scope.cursor = None
        self.adjoint = outer
        results = list(operation(new.owner).results)
        for value, result in zip(captures, results[len(moving) :], strict=True):
            self.adjoint[value] = result
        for i, result in zip(moving, results[: len(moving)], strict=True):
            self.add(inits[i], result)

    def _plan_tape(self, loop: Operation, frame: Frame) -> None:
        if loop.block != frame.old and operation(loop.block.owner).name in LOOPS:
            return  # planned with the loop around it
        needed = needed_within(loop, self.activity)
        self.cut |= taped_values(loop, needed, lambda op: sources(self, op, frame))

    def root(self, sweep: Sweep, block: Block) -> ReverseScope:
        """The reverse scope of the function's own frame, whose reverse sweep goes on at the end of `block`."""
        return ReverseScope(sweep.frame, None, sweep.frame.old, block, sweep.map, sweep.shadows)
