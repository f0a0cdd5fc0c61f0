"""Statements: assignments, returns, assertions, and the order in which a block runs until something leaves it.

A block is emitted statement by statement. After one that may have left the block (a `return` in a branch, a failed
check) the rest goes into the side of an scf.if that is taken when it has not: nothing runs after a return.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mlir import ir

from .. import errors, types
from ..syntax import nodes
from . import arrays, casts, elementwise, gather
from .expressions import Expressions, Unreached
from .liveness import Names
from .scope import BREAK, CONTINUE, ERROR, RETURN, RETURNED, ObjectValue, StructValue
from .values import TupleValue, Value, constant


class Statements(Expressions):
    """The part of the emitter that runs statements in order."""

    # --- blocks

    def block(self, items: Sequence[nodes.Statement], live_out: Names) -> None:
        """Emit statements; `live_out` is what is read after the last one. The state is that after them."""
        for position, item in enumerate(items):
            rest = items[position + 1 :]
            try:
                if isinstance(item, nodes.If):
                    if self._if(item, rest, live_out):
                        return
                elif isinstance(item, nodes.Assert):
                    self._assert(item, rest, live_out)
                    return
                else:
                    self.statement(item)
            except Unreached as unreached:
                # Python raises here, so this is a compile error, except while the types of a loop are being found:
                # it may be that an earlier iteration, not yet known of, assigns the variable.
                self.unit.pending.append(unreached.error)
                self.state.leave(ERROR)
            if self.go_on(rest, live_out):
                return

    def go_on(self, rest: Sequence[nodes.Statement], live_out: Names) -> bool:
        """After a statement: whether the rest is done with, because nothing of it runs or because it was emitted
        here.
        """
        if self.state.dead:
            self.b.must_leave = False
            return True
        if self.b.must_leave:
            self.note_error()
        if not self.state.exits:
            return False
        if rest:
            self.guard(lambda: self.block(rest, live_out), live_out)
        return True

    def guard(self, emit: Callable[[], None], live_out: Names) -> None:
        """Emit what runs only if nothing has left the block before."""
        exits = self.state.exits

        def alive() -> None:
            self.state.exits = {}
            emit()

        def left() -> None:
            self.state.dead = True

        with self.b.at(self.b.loc):
            self.branch(self.negate(self.any_of(list(exits.values()))), alive, left, live_out)

    def checked(self, emit: Callable[[], None], live_out: Names) -> None:
        """Emit what follows an operation in the same statement that may have failed."""
        if self.b.must_leave:
            self.note_error()
            self.guard(emit, live_out)
        else:
            emit()

    def statement(self, node: nodes.Statement) -> None:
        with self.b.at(node.loc):
            getattr(self, f"_{type(node).__name__.lower()}")(node)

    # --- branches

    def _if(self, node: nodes.If, rest: Sequence[nodes.Statement], live_out: Names) -> bool:
        """An `if`; true where the rest of the block has been emitted with it."""
        test = self.condition(node.test)
        if test.known:
            # Only the side that is taken exists; what it leaves behind is as if it stood here.
            self.block([*(node.body if test.const else node.orelse), *rest], live_out)
            return True
        if self.b.must_leave:

            def tested() -> None:
                if not self._if_tested(node, test, rest, live_out) and not self.go_on(rest, live_out):
                    self.block(rest, live_out)

            self.checked(tested, live_out)
            return True
        return self._if_tested(node, test, rest, live_out)

    def _if_tested(self, node: nodes.If, test: Value, rest: Sequence[nodes.Statement], live_out: Names) -> bool:
        after = self.live.after[node]
        with self.b.at(node.loc):
            condition = self.b.ir(test)
            op = self.open_branch(condition)
        before = self.state
        sides = (node.body, node.orelse)
        states = []
        for side in (0, 1):
            self.state = before.copy()
            with ir.InsertionPoint(op.regions[side].blocks[0]):
                self.block(sides[side], after)
            states.append(self.state)
        # Where one side surely leaves, the rest belongs to the other: no flag, no merge in between.
        takes_rest = 1 if states[0].dead else 0
        consumed = states[0].dead != states[1].dead and bool(rest)
        if consumed:
            self.state = states[takes_rest]
            with ir.InsertionPoint(op.regions[takes_rest].blocks[0]):
                if not self.go_on(rest, live_out):
                    self.block(rest, live_out)
            states[takes_rest] = self.state
        with self.b.at(node.loc):
            self.close_branch(op, states[0], states[1], live_out if consumed else after)
        return consumed

    # --- leaving

    def _return(self, node: nodes.Return) -> None:
        value = constant(None) if node.value is None else self.forced(node.value)
        self.refuse_closure(value, "cannot be returned")
        self.state.set(RETURNED, self.snapshot(value), node.loc)
        self.state.leave(RETURN)

    def refuse_closure(self, value: Value, what: str) -> None:
        raise NotImplementedError

    def snapshot(self, value: Value) -> Value:
        """What a return keeps of a value: of an object of this function what its fields hold, of the caller's the
        object.
        """
        if isinstance(value, ObjectValue) and value.number not in self.parameter_objects:
            parts = self.parts(value)
            assert parts is not None
            return StructValue(value.cls, tuple(map(self.snapshot, parts)))
        if isinstance(value, StructValue):
            return StructValue(value.cls, tuple(map(self.snapshot, value.elements)))
        if isinstance(value, TupleValue):
            return TupleValue(tuple(map(self.snapshot, value.elements)))
        return value

    def _break(self, node: nodes.Break) -> None:
        self.state.leave(BREAK)

    def _continue(self, node: nodes.Continue) -> None:
        self.state.leave(CONTINUE)

    def _assert(self, node: nodes.Assert, rest: Sequence[nodes.Statement], live_out: Names) -> None:
        """An assertion, and the rest of the block, which only runs where it holds."""
        with self.b.at(node.loc):
            test = self.condition(node.test)
            message = "" if node.msg is None else self._message(node.msg)
            number = self.b.shared.record("AssertionError", message, node.loc)

        def failed() -> None:
            with self.b.at(node.loc):
                self.b.store_error(self.b.i64(number))
            self.state.leave(ERROR)

        def emit() -> None:
            if test.known:
                if test.const:
                    self.block(rest, live_out)
                else:
                    failed()
            else:
                self.branch(self.b.ir(test), lambda: self.block(rest, live_out), failed, live_out)

        self.checked(emit, live_out)

    def _raise(self, node: nodes.Raise) -> None:
        """`raise Class(message)`: the function is left, as by an assertion that fails."""
        exc = self.evaluate(node.exc.func if isinstance(node.exc, nodes.Call) else node.exc).const
        if not (isinstance(exc, type) and issubclass(exc, Exception) and is_raised(exc)):
            hint = "raise one of Python's own exceptions, for example ValueError"
            raise self.b.error("this cannot be raised in a kernel", hint, errors.UnsupportedSyntax)
        given = node.exc.args if isinstance(node.exc, nodes.Call) else []
        if len(given) > 1 or (isinstance(node.exc, nodes.Call) and node.exc.keywords):
            raise self.b.error(f"{exc.__name__} takes one message in a kernel", "write one string")
        message = self._message(given[0]) if given else ""
        self.b.store_error(self.b.i64(self.b.shared.record(exc.__name__, message, node.loc)))
        self.state.leave(ERROR)

    def _message(self, node: nodes.Expression) -> str:
        if isinstance(node, nodes.JoinedStr):
            return node.text
        value = self.evaluate(node)
        if isinstance(value.const, (str, int, float)):
            return str(value.const)
        with self.b.at(node.loc):
            raise self.b.error("the message of an error must be known when compiling", "use a plain string")

    # --- what does nothing, or only evaluates

    def _pass(self, node: nodes.Pass) -> None:
        pass

    def _expr(self, node: nodes.Expr) -> None:
        if not isinstance(node.value, nodes.Constant):
            self.evaluate(node.value)

    # --- assignment

    def _assign(self, node: nodes.Assign) -> None:
        # A lazy array expression that goes into one array's elements is computed right there.
        alone = len(node.targets) == 1 and isinstance(node.targets[0], nodes.Subscript)
        if alone:
            value = self.settled(self.evaluate(node.value), node.targets[0])
        elif all(isinstance(t, (nodes.Tuple, nodes.List)) for t in node.targets):
            value = self.elements(node.value)
        else:
            value = self.forced(node.value)

        def store() -> None:
            for target in node.targets:
                self.assign(target, value)

        if all(isinstance(target, nodes.Name) for target in node.targets):
            store()
        else:
            self.checked(store, self.live.after[node])  # a failure before must not be seen in arrays or objects

    def assign(self, target: nodes.Expression, value: Value) -> None:
        """Bind a value to a target of any form."""
        with self.b.at(target.loc):
            if isinstance(target, nodes.Name):
                self.state.set(target.id, value, target.loc)
            elif isinstance(target, (nodes.Tuple, nodes.List)):
                for element, part in zip(*self._paired(target.elts, value)):
                    self.assign(element, part)
            elif isinstance(target, nodes.Subscript):
                owner = self.forced(target.value)
                self._store(owner, self.index(target.index), value)
            elif isinstance(target, nodes.Attribute):
                self.store_attribute(self.evaluate(target.value), target.attr, value)
            else:
                raise self.b.error("this cannot be assigned to", cls=errors.UnsupportedSyntax)

    def store_attribute(self, owner: Value, name: str, value: Value) -> None:
        raise NotImplementedError

    def _store(self, owner: Value, index: list[object], value: Value) -> None:
        self._refuse_store(owner)
        arrays.store(self.b, owner, index, value)

    def _refuse_store(self, owner: Value) -> None:
        if not isinstance(owner.type, types.ArrayType):
            raise self.b.error(
                f"the elements of {self.type_of(owner)} cannot be assigned to", "only those of arrays can"
            )

    def _paired(
        self, targets: Sequence[nodes.Expression], value: Value
    ) -> tuple[Sequence[nodes.Expression], Sequence[Value]]:
        """Targets with their values; that with a `*` gets a tuple of all that the others leave."""
        star = next((i for i, t in enumerate(targets) if isinstance(t, nodes.Starred)), None)
        if star is None:
            return targets, self._unpacked(value, len(targets))
        starred = targets[star]
        assert isinstance(starred, nodes.Starred)
        parts = self.taken_apart(value, starred)
        behind = len(targets) - star - 1
        if len(parts) < star + behind:
            raise self.b.error(
                f"{len(parts)} values cannot be unpacked into {star + behind} variables and more",
                cls=errors.KernelValueError,
            )
        end = len(parts) - behind
        values = [*parts[:star], TupleValue(tuple(parts[star:end])), *parts[end:]]
        return [t.value if isinstance(t, nodes.Starred) else t for t in targets], values

    def _unpacked(self, value: Value, count: int) -> Sequence[Value]:
        """The values that `a, b = value` gives to a and b."""
        parts = self.parts(value)
        if parts is not None and not (isinstance(value, ObjectValue)):
            if len(parts) != count:
                raise self.b.error(
                    f"{len(parts)} values cannot be unpacked into {count} variables", cls=errors.KernelValueError
                )
            return parts
        if isinstance(value.type, types.ArrayType) and value.type.ndim > 0:
            return self._unpacked_array(value, count)
        raise self.b.error(f"{self.type_of(value)} cannot be unpacked", "unpack a tuple or an array")

    def _unpacked_array(self, array: Value, count: int) -> Sequence[Value]:
        length = arrays.dim(self.b, array, 0)
        fits = self.compare("eq", self.b.ir(length), self.b.i64(count))
        self.b.check(fits, "ValueError", f"the array to unpack does not have {count} elements")
        loaded = self.unless_failed(
            lambda: TupleValue(tuple(arrays.load(self.b, array, [constant(i)]) for i in range(count)))
        )
        assert isinstance(loaded, TupleValue)
        return loaded.elements

    def _augassign(self, node: nodes.AugAssign) -> None:
        target = node.target
        store: Callable[[Value], None]
        chosen = False
        if isinstance(target, nodes.Name):
            name, place = target.id, target.loc
            current = self.read(name)
            store = lambda value: self.state.set(name, value, place)  # noqa: E731
        elif isinstance(target, nodes.Subscript):
            owner = self.forced(target.value)
            index = self.index(target.index)
            chosen = gather.chooses(index)
            self._refuse_store(owner)
            current = self.unless_failed(lambda: arrays.load(self.b, owner, index))
            store = lambda value: arrays.store(self.b, owner, index, value)  # noqa: E731
        elif isinstance(target, nodes.Attribute):
            holder, attr = self.evaluate(target.value), target.attr
            current = self.attribute(holder, attr)
            store = lambda value: self.store_attribute(holder, attr, value)  # noqa: E731
        else:
            raise self.b.error("this cannot be assigned to", cls=errors.UnsupportedSyntax)
        current = self.settled(current, node.value)
        value = self.evaluate(node.value)
        is_array = isinstance(current.type, types.ArrayType)

        def change() -> None:
            if not is_array:
                store(self.binary(node.op, current, value).force(self.b))
                return
            if chosen:  # a copy, of elements here and there
                store(elementwise.updated(self.b, node.op, current, value))
                return
            elementwise.inplace(self.b, node.op, current, value)  # an array stays the one that it is
            if isinstance(target, nodes.Attribute):
                store(current)

        if isinstance(target, nodes.Name) and not is_array:
            change()
        else:
            self.checked(change, self.live.after[node])

    def attribute(self, owner: Value, name: str) -> Value:
        raise NotImplementedError

    def _annassign(self, node: nodes.AnnAssign) -> None:
        if node.value is None:
            return
        value = self.forced(node.value)
        wanted = self.evaluate(node.annotation) if not isinstance(node.annotation, nodes.Constant) else constant(None)
        value = self.annotated(value, wanted)
        self.checked(lambda: self.assign(node.target, value), self.live.after[node])

    def annotated(self, value: Value, annotation: Value) -> Value:
        """A value under an annotation: a scalar type converts it unless that loses something; others only document."""
        scalar = scalar_annotation(annotation.const)
        if scalar is None or (scalar.weak and getattr(value.type, "kind", None) == scalar.kind):
            return value  # a float32 is a float, too
        if not isinstance(value.type, types.Scalar):
            raise self.b.error(
                f"{self.type_of(value)} is annotated as {scalar}", "correct the annotation, or the value"
            )
        order = "biufc"
        if order.index(value.type.kind) > order.index(scalar.kind) and not (
            value.type.kind == "u" and scalar.kind == "i"
        ):
            raise self.b.error(
                f"{value.type} does not become {scalar} without loss", f"convert it yourself: {scalar}(...)"
            )
        return casts.convert(self.b, value, scalar)


def is_raised(exc: type) -> bool:
    """Whether compiled code can raise an exception: it names it, and finds it again by that name."""
    try:
        return errors.python_exception(exc.__name__) is exc
    except AttributeError:
        return False


def scalar_annotation(annotation: object) -> types.Scalar | None:
    """The scalar type that an annotation names; None for any other annotation."""
    named = {bool: types.bool_, int: types.pyint, float: types.pyfloat, complex: types.pycomplex}
    if isinstance(annotation, type) and annotation in named:
        return named[annotation]
    if isinstance(annotation, types.Scalar):
        return annotation
    if isinstance(annotation, type):
        import numpy as np

        if issubclass(annotation, np.generic):
            try:
                return types.from_dtype(annotation)
            except TypeError:
                return None
    return None
