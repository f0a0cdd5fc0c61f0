"""What the parts of the emitter share: its state, conversions between values and their leaves, and the merge of two
branches.

The emitter of a function is one class in several files: expressions, statements, control_flow, loops, structs and
calls each add a part to `EmitterBase`; emitter.py puts them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from mlir import ir

from .. import errors, types
from ..syntax import nodes
from ..syntax.loc import Loc
from . import casts
from .liveness import NOTHING, Liveness, Names
from .scope import RETURN, RETURNED, Conflict, ObjectValue, State, StructValue, join
from .values import Builder, TupleValue, Value, constant

if TYPE_CHECKING:
    from .unit import Unit

Leaf = Callable[[], ir.Value]


class EmitterBase:
    """The emission of one function. `state` holds at the current insertion point."""

    def __init__(self, unit: Unit, kernel: object, tree: nodes.FunctionDef, liveness: Liveness, b: Builder) -> None:
        self.unit = unit
        self.kernel = kernel
        self.tree = tree
        self.live = liveness
        self.b = b
        self.state = State()
        self.exit_live: Names = NOTHING  # what is read where the innermost loop goes on, or ends
        self.locals: Names = NOTHING
        self.parameter_objects: dict[int, types.StructType] = {}
        self.caller: EmitterBase | None = None  # where this body is inlined

    # --- parts that other files fill in

    def evaluate(self, node: nodes.Expression) -> Value:
        raise NotImplementedError

    def block(self, items: Sequence[nodes.Statement], live_out: Names) -> None:
        raise NotImplementedError

    def assign(self, target: nodes.Expression, value: Value) -> None:
        raise NotImplementedError

    def new_object(self, cls: type, fields: Sequence[Value]) -> ObjectValue:
        raise NotImplementedError

    # --- values

    def type_of(self, value: Value) -> types.Type:
        """The type of a value; that of a mutable struct follows from what its fields hold now."""
        if isinstance(value, ObjectValue):
            fields = tuple(
                (name, self.type_of(self.state.vars[value.slot(name)])) for name in types.field_names(value.cls)
            )
            return types.StructType(value.cls, fields)
        if isinstance(value, StructValue):
            named = zip(types.field_names(value.cls), value.elements)
            return types.StructType(value.cls, tuple((name, self.type_of(e)) for name, e in named))
        if isinstance(value, TupleValue):
            return types.TupleType(tuple(map(self.type_of, value.elements)))
        return value.type

    def parts(self, value: Value) -> tuple[Value, ...] | None:
        """The elements of a tuple or struct, None of anything else."""
        if isinstance(value, (TupleValue, StructValue)):
            return value.elements
        if isinstance(value, ObjectValue):
            return tuple(self.state.vars[value.slot(name)] for name in types.field_names(value.cls))
        return None

    def leaves_as(self, value: Value, type_: types.Type) -> list[ir.Value]:
        """The leaves of a value as those of a type that it joins to; casts go to the insertion point."""
        if isinstance(type_, types.Scalar):
            if value.known and value.leaves is None and isinstance(value.type, types.Scalar):
                return [self.b.number(value.const, type_)]
            return [self.b.ir(casts.convert(self.b, value, type_))]
        if isinstance(type_, types.ArrayType):
            return [self.as_layout(self.b.ir(value), type_)]
        parts = self.parts(value)
        if parts is None:
            return []
        wanted = type_.elements if isinstance(type_, types.TupleType) else [t for _, t in self._fields(type_)]
        return [leaf for part, t in zip(parts, wanted) for leaf in self.leaves_as(part, t)]

    @staticmethod
    def _fields(type_: types.Type) -> tuple[tuple[str, types.Type], ...]:
        assert isinstance(type_, types.StructType), f"{type_} has no parts"
        return type_.fields

    def as_layout(self, array: ir.Value, type_: types.ArrayType) -> ir.Value:
        """The same array under the memref type that `type_` spells."""
        wanted = self.b.type(type_)
        if array.type == wanted:
            return array
        return ir.Operation.create("memref.cast", [wanted], [array]).result

    def rebuild(self, type_: types.Type, leaves: Iterator[ir.Value], objects: bool = True) -> Value:
        """The value of a type that has these leaves, taking as many as it needs; a mutable struct becomes a new
        object.
        """
        if isinstance(type_, (types.Scalar, types.ArrayType)):
            return Value(type_, (next(leaves),))
        if isinstance(type_, types.TupleType):
            return TupleValue(tuple(self.rebuild(t, leaves, objects) for t in type_.elements))
        if isinstance(type_, types.StructType):
            fields = tuple(self.rebuild(t, leaves, objects) for _, t in type_.fields)
            return self.new_object(type_.cls, fields) if type_.mutable and objects else StructValue(type_.cls, fields)
        if isinstance(type_, types.Literal):
            return Value(type_, const=type_.value)
        return constant(None)

    def filler(self, type_: types.Type) -> ir.Value:
        """A leaf that nobody reads, on a path where a variable has no value: zero, or an array without elements."""
        if isinstance(type_, types.Scalar):
            return self.b.number(0, type_)
        assert isinstance(type_, types.ArrayType)
        empty = types.ArrayType(type_.dtype, type_.ndim)
        sizes = [self.b.index(0)] * type_.ndim
        segments = ir.DenseI32ArrayAttr.get([len(sizes), 0])
        array = ir.Operation.create(
            "memref.alloc", [self.b.type(empty)], sizes, attributes={"operandSegmentSizes": segments}
        ).result
        return self.as_layout(array, type_)

    def leaf_types(self, type_: types.Type) -> list[ir.Type]:
        return [self.b.shared.type(leaf.mlir) for leaf in types.leaves(type_)]

    # --- branches

    def branch(self, condition: ir.Value, then: Callable[[], None], orelse: Callable[[], None], needed: Names) -> None:
        """Emit an scf.if with the two sides and go on with the merge of the states that they leave."""
        before = self.state
        op = self.open_branch(condition)
        states = []
        for side, emit in enumerate((then, orelse)):
            self.state = before.copy()
            with ir.InsertionPoint(op.regions[side].blocks[0]):
                emit()
            states.append(self.state)
        self.close_branch(op, states[0], states[1], needed)

    def open_branch(self, condition: ir.Value) -> ir.Operation:
        """An scf.if without results and with two empty blocks, for `close_branch`."""
        op = ir.Operation.create("scf.if", [], [condition], regions=2)
        for region in op.regions:
            region.blocks.append()
        return op

    def close_branch(self, op: ir.Operation, first: State, second: State, needed: Names) -> None:
        """Give the scf.if the results that the merge of its sides' states needs, and make that merge the state."""
        self.state = Merge(self, op, (first, second)).run(needed | self.exit_live)

    # --- run-time errors

    def note_error(self) -> None:
        """After an operation that may have failed: the function is being left if the error cell is set."""
        self.b.must_leave = False
        self.state.exits["error"] = self.error_is_set()

    def error_is_set(self) -> ir.Value:
        self.b.raises += 1  # a use of the cell
        cell = ir.Operation.create(
            "memref.load", [self.b.shared.type("i64")], [self.b.error_cell, self.b.index(0)]
        ).result
        return self.compare("ne", cell, self.b.i64(0))

    def compare(self, predicate: str, left: ir.Value, right: ir.Value) -> ir.Value:
        from mlir.dialects import arith

        return arith.CmpIOp(getattr(arith.CmpIPredicate, predicate), left, right).result

    def any_of(self, flags: Sequence[ir.Value | bool]) -> ir.Value:
        """Whether one of the flags is set; there is at least one."""
        from mlir.dialects import arith

        values = [self.flag(f) for f in flags]
        result = values[0]
        for value in values[1:]:
            result = arith.OrIOp(result, value).result
        return result

    def negate(self, flag: ir.Value) -> ir.Value:
        from mlir.dialects import arith

        return arith.XOrIOp(flag, self.b.i1(True)).result

    def flag(self, flag: ir.Value | bool) -> ir.Value:
        """A flag that may be known when compiling, as an i1."""
        return self.b.i1(flag) if isinstance(flag, bool) else flag

    # --- compile errors

    def conflict_error(self, name: str, conflict: Conflict) -> errors.CompileError:
        """The JoinError of a variable, or of what the function returns, at the current place."""
        (a, a_loc), (b, b_loc) = conflict.first, conflict.second
        if name == RETURNED:
            message = f"the function returns {a} on one path and {b} on another"
            hint = "return values of one kind on every path, also where the function ends without a return"
            here = a_loc or b_loc
        else:
            message = f"`{name}` is {a} on one path and {b} on another"
            hint = "use two names, or convert one of the values"
            here = self.b.loc
        notes: list[tuple[str, Loc | None]] = [
            (f"{t} comes from here", loc) for t, loc in ((a, a_loc), (b, b_loc)) if loc is not None
        ]
        return errors.JoinError(message, here, hint, notes)


class Merge:
    """The merge of the states at the ends of the two sides of an scf.if: which results it needs, and the state after
    it.
    """

    def __init__(self, emitter: EmitterBase, op: ir.Operation, states: tuple[State, State]) -> None:
        self.emitter = emitter
        self.op = op
        self.sides = states
        self.results: list[tuple[ir.Type, Leaf, Leaf]] = []
        self.values: list[ir.Value] = []  # the results of the finished scf.if

    def run(self, needed: Names) -> State:
        first, second = self.sides
        merged = State()
        merged.dead = first.dead and second.dead
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
            if name == RETURNED or isinstance(value, (Conflict, ObjectValue)):
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
        elements = self._elements(name, a, b)
        if elements is not None:
            return elements
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
