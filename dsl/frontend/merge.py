"""The merge of two branches: which values differ, which results the scf.if needs for them, and the state after it.

A value that is the same on both sides stays what it is; numbers and arrays become results, cast to the type that they
have together; tuples and structs are merged part by part. Two different objects become a new one. Where one of the
originals can still be reached by another name, both it and they are frozen: a write to one would have to be seen in
the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlir import ir

from .. import types
from .liveness import Names
from .scope import RETURN, RETURNED, Conflict, ObjectValue, State, StructValue, join
from .values import TupleValue, Value

if TYPE_CHECKING:
    from .base import EmitterBase

Leaf = Callable[[], ir.Value]


class Merge:
    """One merge, of the states at the ends of the two sides of an scf.if that has no results yet."""

    def __init__(self, emitter: EmitterBase, op: ir.Operation, states: tuple[State, State]) -> None:
        self.emitter = emitter
        self.op = op
        self.sides = states
        self.results: list[tuple[ir.Type, Leaf, Leaf]] = []
        self.values: list[ir.Value] = []  # the results of the finished scf.if
        self.merged = State()
        self.needed: Names = frozenset()

    def run(self, needed: Names) -> State:
        first, second = self.sides
        merged = self.merged
        self.needed = needed
        merged.dead = first.dead and second.dead
        merged.frozen = first.frozen | second.frozen
        names = [n for n in {**first.vars, **second.vars} if n in needed or n.startswith("#") or n == RETURNED]
        pending_vars: list[tuple[str, Callable[[], Value]]] = []
        pending_flags: list[tuple[str, Callable[[], ir.Value | bool]]] = []
        for name in names:
            value, assigned = self._variable(name)
            if value is not None:
                pending_vars.append((name, value))
                if assigned is not None:
                    pending_flags.append((name, assigned))
        pending_exits = [(way, self._exit(way)) for way in {**first.exits, **second.exits}]
        self._finish()
        for name, value in pending_vars:
            merged.vars[name] = value()
            merged.where[name] = (first if name in first.where else second).where.get(name, self.emitter.b.loc)
        for name, assigned in pending_flags:
            flag = assigned()
            if not isinstance(flag, bool):
                merged.flags[name] = flag
        for way, flag_of in pending_exits:
            merged.exits[way] = flag_of()
        return merged

    # --- what to merge

    def _matters(self, side: int, name: str) -> bool:
        state = self.sides[side]
        return RETURN in state.exits if name == RETURNED else state.matters(name)

    def _variable(self, name: str) -> tuple[Callable[[], Value] | None, Callable[[], ir.Value | bool] | None]:
        """How to get the value of a variable after the merge, and whether it is assigned; None for no value."""
        a, b = (s.vars.get(name) for s in self.sides)
        matter_a, matter_b = self._matters(0, name), self._matters(1, name)
        if not matter_a and not matter_b:
            return None, None
        if not matter_a or not matter_b:
            # Paths that do not go on do not say whether the variable is assigned either.
            live = 0 if matter_a else 1
            value = (a, b)[live]
            if value is None:
                return None, None
            flag = self.sides[live].flags.get(name)
            assigned = (
                self._flag(flag if live == 0 else True, flag if live == 1 else True) if flag is not None else None
            )
            return (self._one_sided(value, (a, b)[1 - live], live)), assigned
        if a is None or b is None:
            live = 0 if b is None else 1
            value = a if b is None else b
            assert value is not None
            if name == RETURNED or name.startswith("#") or isinstance(value, Conflict):
                return self._one_sided(value, None, live), None
            flags = [self.sides[side].flags.get(name, True) if side == live else False for side in (0, 1)]
            return self._one_sided(value, None, live), self._flag(flags[0], flags[1])
        flags = [s.flags.get(name, True) for s in self.sides]
        assigned = None if flags == [True, True] else self._flag(flags[0], flags[1])
        return self._value(name, a, b), assigned

    def _exit(self, way: str) -> Callable[[], ir.Value | bool]:
        first, second = (s.exits.get(way, False) for s in self.sides)
        return self._flag(first, second)

    def _flag(self, first: ir.Value | bool, second: ir.Value | bool) -> Callable[[], ir.Value | bool]:
        if isinstance(first, bool) and isinstance(second, bool) and first is second:
            return lambda: first
        if not isinstance(first, bool) and not isinstance(second, bool) and first == second:
            return lambda: first
        emitter = self.emitter
        index = self._result(emitter.b.shared.type("i1"), lambda: emitter.flag(first), lambda: emitter.flag(second))
        return lambda: self.values[index]

    def _value(self, name: str, a: Value, b: Value) -> Callable[[], Value]:
        emitter = self.emitter
        if a is b or (isinstance(a, ObjectValue) and isinstance(b, ObjectValue) and a.number == b.number):
            return lambda: a
        if isinstance(a, Conflict) or isinstance(b, Conflict):
            conflict = a if isinstance(a, Conflict) else b
            return lambda: conflict
        if a.known and b.known and a.type == b.type and same_constant(a.const, b.const):
            return lambda: a
        together = self._objects(name, a, b) or self._elements(name, a, b)
        if together is not None:
            return together
        type_ = join(a, b)
        if type_ is None or not isinstance(type_, (types.Scalar, types.ArrayType)):
            wheres = [s.where.get(name) for s in self.sides]
            made = Conflict((self._shown(0, a), wheres[0]), (self._shown(1, b), wheres[1]))
            return lambda: made
        index = self._result(
            emitter.b.type(type_), lambda: emitter.leaves_as(a, type_)[0], lambda: emitter.leaves_as(b, type_)[0]
        )
        nonneg = a.nonneg and b.nonneg
        return lambda: Value(type_, (self.values[index],), nonneg=nonneg)

    def _shown(self, side: int, value: Value) -> types.Type:
        """The type of a value, for a message."""
        outer, self.emitter.state = self.emitter.state, self.sides[side]
        try:
            return self.emitter.type_of(value)
        finally:
            self.emitter.state = outer

    def _objects(self, name: str, a: Value, b: Value) -> Callable[[], Value] | None:
        """A new object in the place of two of one class, with what their fields hold."""
        parts = [self._fields(side, value) for side, value in enumerate((a, b))]
        if parts[0] is None or parts[1] is None or a.cls is not b.cls:  # type: ignore[attr-defined]
            return None
        cls: type = a.cls  # type: ignore[attr-defined]
        fields = [self._value(name, x, y) for x, y in zip(parts[0], parts[1])]
        made = ObjectValue(self.emitter.unit.object_number(), cls)
        numbers = {v.number for v in (a, b) if isinstance(v, ObjectValue)}
        shared = any(self.emitter.is_shared(v, name, s, self.needed) for v, s in zip((a, b), self.sides))

        def finish() -> Value:
            for field, value in zip(types.field_names(cls), fields):
                self.merged.vars[made.slot(field)] = value()
            if shared:
                self.merged.frozen |= {made.number, *numbers}
            return made

        return finish

    def _fields(self, side: int, value: Value) -> tuple[Value, ...] | None:
        """What the fields of a mutable struct hold on one side; None for any other value."""
        if isinstance(value, ObjectValue):
            return tuple(self.sides[side].vars[value.slot(name)] for name in types.field_names(value.cls))
        if isinstance(value, StructValue) and types.is_mutable_class(value.cls):
            return value.elements
        return None

    def _elements(self, name: str, a: Value, b: Value) -> Callable[[], Value] | None:
        """Element by element, where both are tuples, or structs of one class, of one length."""
        if isinstance(a, TupleValue) and isinstance(b, TupleValue) and len(a.elements) == len(b.elements):
            made = [self._value(name, x, y) for x, y in zip(a.elements, b.elements)]
            return lambda: self._whole(TupleValue, [m() for m in made])
        if isinstance(a, StructValue) and isinstance(b, StructValue) and a.cls is b.cls:
            cls = a.cls
            made = [self._value(name, x, y) for x, y in zip(a.elements, b.elements)]
            return lambda: self._whole(lambda elements: StructValue(cls, elements), [m() for m in made])
        return None

    @staticmethod
    def _whole(make: Callable[[tuple[Value, ...]], Value], elements: list[Value]) -> Value:
        """A value of these elements; where one of them does not join, none of it does."""
        for element in elements:
            if isinstance(element, Conflict):
                return element
        return make(tuple(elements))

    def _one_sided(self, value: Value, other: Value | None, live: int) -> Callable[[], Value]:
        """The value that one side leaves; the other has none that is read, and gives its own where that fits, or a
        filler.
        """
        if value is other or isinstance(value, (ObjectValue, Conflict)):
            return lambda: value
        emitter = self.emitter
        parts = value.elements if isinstance(value, (TupleValue, StructValue)) else None
        if parts is not None:
            made = [self._one_sided(part, None, live) for part in parts]
            if isinstance(value, StructValue):
                cls = value.cls
                return lambda: StructValue(cls, tuple(m() for m in made))
            return lambda: TupleValue(tuple(m() for m in made))
        type_ = value.type
        if value.known or not isinstance(type_, (types.Scalar, types.ArrayType)):
            return lambda: value
        kept = other if other is not None and join(value, other) == type_ else None

        def mine() -> ir.Value:
            return emitter.leaves_as(value, type_)[0]

        def spare() -> ir.Value:
            return emitter.filler(type_) if kept is None else emitter.leaves_as(kept, type_)[0]

        index = self._result(emitter.b.type(type_), *((mine, spare) if live == 0 else (spare, mine)))
        return lambda: Value(type_, (self.values[index],), nonneg=value.nonneg)

    # --- the operation

    def _result(self, type_: ir.Type, first: Leaf, second: Leaf) -> int:
        self.results.append((type_, first, second))
        return len(self.results) - 1

    def _finish(self) -> None:
        """Terminate both blocks; an scf.if with results takes the blocks over."""
        for side in (0, 1):
            self.emitter.state = self.sides[side]
            with ir.InsertionPoint(self.op.regions[side].blocks[0]):
                ir.Operation.create("scf.yield", [], [result[1 + side]() for result in self.results])
        if not self.results:
            if not list(self.op.regions[1].blocks[0].operations)[:-1]:
                self._drop_else()
            return
        with self.op.location:
            whole = ir.Operation.create("scf.if", [r[0] for r in self.results], [self.op.operands[0]], regions=2)
        for side in (0, 1):
            self.op.regions[side].blocks[0].append_to(whole.regions[side])
        self.op.erase()
        self.values = list(whole.results)

    def _drop_else(self) -> None:
        """An else side that does nothing is not there."""
        with self.op.location:
            whole = ir.Operation.create("scf.if", [], [self.op.operands[0]], regions=2)
        self.op.regions[0].blocks[0].append_to(whole.regions[0])
        self.op.erase()


def same_constant(a: object, b: object) -> bool:
    """Whether two compile-time values are one and the same: 0.0 and -0.0 are not, nor are 1 and True."""
    if a is b:
        return True
    return type(a) is type(b) and isinstance(a, (bool, int, float, complex, str, tuple)) and repr(a) == repr(b)
