"""Loops: `for` over ranges, arrays and tuples, and `while`.

What an iteration passes to the next is found by trial: the body is emitted with a guess of the types that come in;
where other types come out, the attempt is thrown away and made again with their join. Most loops are right at once.

A loop takes the simplest form that does it: scf.for; scf.for with its body under a flag, where an iteration may fail;
scf.while with flags where it may break or return. A loop over a tuple is unrolled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlir import ir

from .. import types
from ..syntax import nodes
from ..syntax.loc import Loc
from .iteration import Iteration
from .liveness import Names, bound_names, has_break, has_return
from .parallel_loops import ParallelLoops
from .scope import BREAK, CONTINUE, ERROR, RETURN, RETURNED, Conflict, ObjectValue, State, StructValue, join, join_types
from .values import TupleValue, Value

PLAIN, GUARDED, WHILE = "plain", "guarded", "while"
_ATTEMPTS = 12  # types only grow and there are few; beyond this something is wrong


class Plan:
    """What a loop carries from one iteration to the next."""

    def __init__(self, form: str, exits: frozenset[str]) -> None:
        self.form = form
        self.exits = exits  # the ways to leave that are carried as flags
        self.types: dict[str, types.Type] = {}
        self.flagged: set[str] = set()  # variables that may be unassigned: a flag is carried too
        self.conflicts: dict[str, Conflict] = {}
        self.frozen: set[str] = set()  # variables whose objects may also be known by another name

    def flagged_in_order(self) -> list[str]:
        return [name for name in self.types if name in self.flagged]

    def same(self, other: Plan) -> bool:
        return (
            self.form == other.form
            and self.exits == other.exits
            and self.types == other.types
            and self.flagged == other.flagged
            and self.conflicts.keys() == other.conflicts.keys()
            and self.frozen == other.frozen
        )


class Attempt:
    """One emission of a loop: its operation, the state at the end of the body, and where that end is."""

    def __init__(self, op: ir.Operation, end: State, block: ir.Block, index: ir.Value | None) -> None:
        self.op, self.end, self.block, self.index = op, end, block, index


class Loops(ParallelLoops):
    """The part of the emitter that emits loops."""

    # --- the two statements

    def _for(self, node: nodes.For) -> None:
        iteration = self.iteration(node.iter)
        with self.b.at(node.loc):
            if iteration.elements is not None:
                elements = iteration.elements
                self.checked(lambda: self._unrolled(node, elements), self.live.after[node])
            elif iteration.parallel:
                self.checked(lambda: self._parallel(node, iteration), self.live.after[node])
            else:
                self.checked(lambda: self._counted(node, iteration), self.live.after[node])

    def _counted(self, node: nodes.For, iteration: Iteration) -> None:
        def body(count: ir.Value) -> None:
            self.assign(node.target, iteration.element(count))
            self.block(node.body, self.live.next_iteration[node])

        form, exits = self._guess(node.body)
        assigned = self.live.assigned(node.body) | bound_names(node.target)
        self._settle(
            node, assigned, Plan(form, exits), lambda p, before: self._attempt_counted(node, p, before, iteration, body)
        )

    def _while(self, node: nodes.While) -> None:
        _, exits = self._guess(node.body)
        self._settle(
            node,
            self.live.assigned(node.body),
            Plan(WHILE, exits),
            lambda p, before: self._attempt_while(node, p, before),
        )

    @staticmethod
    def _guess(body: Sequence[nodes.Statement]) -> tuple[str, frozenset[str]]:
        ways = frozenset(w for w, there in ((BREAK, has_break(body)), (RETURN, has_return(body))) if there)
        return (WHILE if ways else PLAIN), ways

    def _unrolled(self, node: nodes.For, elements: Sequence[Value]) -> None:
        """One copy of the body for each element of a tuple, which may differ in type."""
        head, outer = self.live.next_iteration[node], self.exit_live
        self.exit_live = head
        self._unroll(node, elements, head)
        self.exit_live = outer
        self._no_longer(BREAK)

    def _unroll(self, node: nodes.For, elements: Sequence[Value], head: Names) -> None:
        if not elements:
            return
        self.assign(node.target, elements[0])
        self.block(node.body, head)
        self._no_longer(CONTINUE)
        if self.state.dead:
            return
        if self.state.exits:
            self.guard(lambda: self._unroll(node, elements[1:], head), head)
        else:
            self._unroll(node, elements[1:], head)

    def _no_longer(self, way: str) -> None:
        """Past the end of what `way` leaves: that path goes on from here."""
        if self.state.exits.pop(way, None) is not None:
            self.state.dead = False

    # --- to a fixpoint

    def _settle(
        self,
        node: nodes.For | nodes.While,
        assigned: Names,
        plan: Plan,
        attempt: Callable[[Plan, State], Attempt | None],
    ) -> None:
        """Attempt the loop until what comes out of an iteration is what went in, then finish it."""
        before = self.state
        head = self.live.next_iteration[node]
        names = sorted(assigned & head)
        self._first_guess(plan, before, names)
        outer, self.exit_live = self.exit_live, head
        start, pending = len(ir.InsertionPoint.current.block.operations), len(self.unit.pending)
        for number in range(_ATTEMPTS):
            self.state = before.copy()
            for name in assigned:
                # An object stays what it was, until an iteration turns out to make the name another one.
                if name not in before.vars or not _holds_object(before.vars[name]):
                    self.state.drop(name)
            made = attempt(plan, before)
            if made is None:  # a `while` that never runs
                self._drop_from(start)
                self.state, self.exit_live = before, outer
                return
            new = self._next_plan(plan, before, made.end, names, number >= _ATTEMPTS // 2)
            if new.same(plan):
                break
            plan = new
            del self.unit.pending[pending:]
            self._drop_from(start)
        else:
            raise self.b.error("the types of the variables of this loop do not settle", "give each variable one type")
        self.exit_live = outer
        self._finish(plan, made, before, assigned, endless=self._is_endless(node) and BREAK not in plan.exits)

    @staticmethod
    def _is_endless(node: nodes.For | nodes.While) -> bool:
        return isinstance(node, nodes.While) and isinstance(node.test, nodes.Constant) and bool(node.test.value)

    def _first_guess(self, plan: Plan, before: State, names: Sequence[str]) -> None:
        for name in names:
            value = before.vars.get(name)
            if isinstance(value, Conflict):
                plan.conflicts[name] = value
            elif value is not None and not _holds_object(value):
                plan.types[name] = self.type_of(value)
                if name in before.flags:
                    plan.flagged.add(name)

    def _next_plan(self, plan: Plan, before: State, end: State, names: Sequence[str], widen: bool) -> Plan:
        """What the loop has to carry, judged by what its body left behind."""
        form = plan.form
        exits = plan.exits | frozenset(end.exits)
        if form is not WHILE and exits & {BREAK, RETURN}:
            form = WHILE
        elif form is PLAIN and ERROR in exits:
            form = GUARDED
        new = Plan(form, exits)
        slots = [
            n
            for n, v in end.vars.items()
            if n.startswith("#") and n in before.vars and (v is not before.vars[n] or n in plan.types)
        ]
        for name in [*names, *slots]:
            self._carry(new, plan, name, before, end, widen, frozenset(names))
        value = end.vars.get(RETURNED)
        if RETURN in exits and value is not None:
            self._carry_returned(new, plan, value, end)
        return new

    def _carry(self, new: Plan, plan: Plan, name: str, before: State, end: State, widen: bool, live: Names) -> None:
        first, last = before.vars.get(name), end.vars.get(name)
        if not end.matters(name):
            last = first  # no path comes back from the end of the body
        for value in (plan.conflicts.get(name), first, last):
            if isinstance(value, Conflict):
                new.conflicts[name] = value
                return
        if first is None and last is None:
            return
        known = [v for v in (first, last) if v is not None]
        if any(_holds_object(v) for v in known):
            if first is not None and last is not None and _same_objects(first, last) and name not in plan.types:
                return  # the loop does not change which object this is
            states = [before, end][-len(known) :]
            joined = join_types(self._seen(known[0], name, states[0])[0], self._seen(known[-1], name, end)[0])
            if any(self.is_shared(v, name, s, live) for v, s in zip(known, states)):
                new.frozen.add(name)
        else:
            joined = join(known[0], known[-1])
        if joined is not None and widen and name in plan.types:
            joined = join_types(plan.types[name], joined)
        if joined is None:
            new.conflicts[name] = Conflict(self._seen(known[0], name, before), self._seen(known[-1], name, end))
            return
        new.types[name] = joined
        if len(known) < 2 or name in before.flags or (name in end.flags and end.matters(name)):
            if not name.startswith("#"):
                new.flagged.add(name)

    def _carry_returned(self, new: Plan, plan: Plan, value: Value, end: State) -> None:
        joined: types.Type | None = self.type_of(value)
        if isinstance(value, Conflict) or _holds_object(value):
            if not isinstance(value, Conflict):
                raise self.b.error("a loop does not return a struct of the caller's", "return it after the loop")
            new.conflicts[RETURNED] = value
            return
        if RETURNED in plan.types and joined is not None:
            joined = join_types(plan.types[RETURNED], joined)
        if joined is not None:
            new.types[RETURNED] = joined

    def _seen(self, value: Value, name: str, state: State) -> tuple[types.Type, Loc | None]:
        outer, self.state = self.state, state
        type_ = self.type_of(value)
        self.state = outer
        return type_, state.where.get(name)

    # --- one attempt

    def _initial(self, plan: Plan, before: State) -> list[ir.Value]:
        """What the first iteration gets."""
        outer, self.state = self.state, before
        values = self._carried(plan, before)
        self.state = outer
        return values

    def _carried(self, plan: Plan, state: State) -> list[ir.Value]:
        """The leaves of all that is carried, as a state has it; fillers where that has no value."""
        values: list[ir.Value] = []
        for name, type_ in plan.types.items():
            value = state.vars.get(name)
            if (
                value is None
                or isinstance(value, Conflict)
                or (not state.matters(name) and join(value, value) != type_)
            ):
                values += [self.filler(leaf) for leaf in types.leaves(type_)]
            else:
                values += self.leaves_as(value, type_)
        for name in plan.flagged_in_order():
            values.append(self.flag(state.flags.get(name, name in state.vars)))
        return values + [self.flag(state.exits.get(way, False)) for way in sorted(plan.exits)]

    def _enter(self, plan: Plan, args: Sequence[ir.Value]) -> dict[str, ir.Value]:
        """Make the state that of the start of an iteration; gives the flags of the ways to leave."""
        leaves = iter(args)
        for name, type_ in plan.types.items():
            where = self.state.where.get(name)
            old = self.state.vars.get(name)
            self.state.set(name, self.rebuild(type_, leaves, objects=name != RETURNED), where)
            if name in plan.frozen:
                made = [*self.objects_in(self.state.vars[name]), *(self.objects_in(old) if old is not None else ())]
                self.state.frozen |= {found.number for found in made}
        for name in plan.flagged_in_order():
            self.state.flags[name] = next(leaves)
        for name, conflict in plan.conflicts.items():
            self.state.set(name, conflict)
        return {way: next(leaves) for way in sorted(plan.exits)}

    def _attempt_counted(
        self, node: nodes.For, plan: Plan, before: State, iteration: Iteration, body: Callable[[ir.Value], None]
    ) -> Attempt:
        if plan.form is WHILE:
            if iteration.slots is not None:
                raise self.b.error("a checkpointed loop is not left by `break` or `return`", _NO_WAY_OUT)
            return self._attempt_counted_while(node, plan, before, iteration, body)
        inits = self._initial(plan, before)
        index = self.b.shared.type("index")
        lower, upper = (self.to_index(v) for v in (iteration.lower, iteration.upper))
        op = ir.Operation.create("scf.for", [v.type for v in inits], [lower, upper, self.b.index(1), *inits], regions=1)
        places = [ir.Location.file(node.loc.file, node.loc.line, node.loc.col)] * (len(inits) + 1)
        block = op.regions[0].blocks.append(index, *[v.type for v in inits], arg_locs=places)
        flags = self._enter(plan, list(block.arguments)[1:])
        with ir.InsertionPoint(block):
            if iteration.slots is not None:
                ir.Operation.create("autodiff.checkpoint", [], [iteration.slots])
            count = ir.Operation.create("arith.index_cast", [self.b.shared.type("i64")], [block.arguments[0]]).result
            if plan.form is GUARDED:
                self.state.exits = dict(flags)
                self.guard(lambda: body(count), self.live.next_iteration[node])
            else:
                body(count)
        self._no_longer(CONTINUE)
        return Attempt(op, self.state, block, None)

    def _attempt_counted_while(
        self, node: nodes.For, plan: Plan, before: State, iteration: Iteration, body: Callable[[ir.Value], None]
    ) -> Attempt:
        inits = [iteration.lower, *self._initial(plan, before)]
        op, test, block = self._open_while(inits, node)
        arguments = list(test.arguments)
        flags = arguments[len(arguments) - len(plan.exits) :]
        with ir.InsertionPoint(test):
            goes_on = self.compare("slt", arguments[0], iteration.upper)
            if flags:
                goes_on = ir.Operation.create(
                    "arith.andi", [goes_on.type], [goes_on, self.negate(self.any_of(flags))]
                ).result
            ir.Operation.create("scf.condition", [], [goes_on, *arguments])
        self._enter(plan, list(block.arguments)[1:])
        with ir.InsertionPoint(block):
            body(block.arguments[0])
            following = ir.Operation.create("arith.addi", [inits[0].type], [block.arguments[0], self.b.i64(1)]).result
        self._no_longer(CONTINUE)
        return Attempt(op, self.state, block, following)

    def _attempt_while(self, node: nodes.While, plan: Plan, before: State) -> Attempt | None:
        raised = self.b.raises
        op, test, block = self._open_while(self._initial(plan, before), node)
        head = self.state.copy()
        flags = self._enter(plan, list(test.arguments))
        entered = self.state.copy()
        with ir.InsertionPoint(test):
            if flags:
                # The condition is only asked where nothing has left the loop: it need not be safe elsewhere.
                alive = self.negate(self.any_of(list(flags.values())))
                condition = self.choose(alive, lambda: self.condition(node.test), lambda: _FALSE)
            else:
                condition = self.condition(node.test)
            if condition.known and not condition.const:
                return None
            failed = self.b.must_leave
            self.b.must_leave = False
            self._refuse_changes(entered, node)
        self.state = head
        self._enter(plan, list(block.arguments))
        with ir.InsertionPoint(block):
            self.block(node.body, self.live.next_iteration[node])
        self._no_longer(CONTINUE)
        end = self.state
        with ir.InsertionPoint(test):
            goes_on = self.b.ir(condition)
            if self.b.raises > raised:  # an error that does not leave at once must not leave the loop running for ever
                fine = self.negate(self.error_is_set())
                goes_on = ir.Operation.create("arith.andi", [goes_on.type], [goes_on, fine]).result
            ir.Operation.create("scf.condition", [], [goes_on, *test.arguments])
        self.b.must_leave = failed
        return Attempt(op, end, block, None)

    def _refuse_changes(self, entered: State, node: nodes.While) -> None:
        """The condition of a `while` has no way to hand on what a call in it did to the fields of a struct."""
        if any(
            n.startswith("#") and n in entered.vars and v is not entered.vars[n] for n, v in self.state.vars.items()
        ):
            with self.b.at(node.test.loc):
                raise self.b.error(
                    "the condition of a `while` changes a struct",
                    "use `while True:` with the call and a `break` in the body",
                )

    def _open_while(
        self, inits: Sequence[ir.Value], node: nodes.For | nodes.While
    ) -> tuple[ir.Operation, ir.Block, ir.Block]:
        kinds = [v.type for v in inits]
        op = ir.Operation.create("scf.while", kinds, list(inits), regions=2)
        places = [ir.Location.file(node.loc.file, node.loc.line, node.loc.col)] * len(kinds)
        test, body = (region.blocks.append(*kinds, arg_locs=places) for region in op.regions)
        return op, test, body

    # --- after the loop

    def _finish(self, plan: Plan, made: Attempt, before: State, assigned: Names, endless: bool) -> None:
        """Terminate the body and make the state that after the loop."""
        must_leave = self.b.must_leave
        self.state = made.end
        with ir.InsertionPoint(made.block):
            values = self._carried(plan, made.end)
            ir.Operation.create("scf.yield", [], values if made.index is None else [made.index, *values])
        after = before.copy()
        for name in assigned:
            if not (name in before.vars and _holds_object(before.vars[name])):
                after.drop(name)
        for name in plan.types:
            where = made.end.where.get(name)
            if where is not None:
                after.where[name] = where
        self.state = after
        results = list(made.op.results)
        flags = self._enter(plan, results if made.index is None else results[1:])
        after.exits = {way: flag for way, flag in flags.items() if way != BREAK}
        after.dead = endless
        self.b.must_leave = must_leave


def _holds_object(value: Value) -> bool:
    """Whether a value is, or has in it, a reference to a mutable struct."""
    if isinstance(value, (TupleValue, StructValue)):
        return any(map(_holds_object, value.elements))
    return isinstance(value, ObjectValue)


def _same_objects(a: Value, b: Value) -> bool:
    return isinstance(a, ObjectValue) and isinstance(b, ObjectValue) and a.number == b.number


_NO_WAY_OUT = "the schedule needs to know how often it runs: skip the rest of the iterations by an `if`"
_FALSE = Value(types.bool_, const=False)
