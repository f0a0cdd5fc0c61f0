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
from .memory import alloca
from .merge import Merge
from .scope import RETURNED, Conflict, ObjectValue, State, StructValue
from .values import Builder, TupleValue, Value, constant

if TYPE_CHECKING:
    from .unit import Unit


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
        self.outer_objects: set[int] = set()  # those that were there before this body: the caller's
        self.caller: EmitterBase | None = None  # where this body is inlined
        self.outer: EmitterBase | None = None  # of a function in a kernel: where the variables around it are
        self.closure: object = None  # that function
        self.closures: dict[int, list] = {}  # by the node that makes it: each function in this one

    # --- parts that other files fill in

    def evaluate(self, node: nodes.Expression) -> Value:
        raise NotImplementedError

    def block(self, items: Sequence[nodes.Statement], live_out: Names) -> None:
        raise NotImplementedError

    def assign(self, target: nodes.Expression, value: Value) -> None:
        raise NotImplementedError

    def new_object(self, cls: type, fields: Sequence[Value]) -> ObjectValue:
        raise NotImplementedError

    def read(self, name: str) -> Value:
        raise NotImplementedError

    def is_variable(self, name: str) -> bool:
        """Whether a name is a variable here, or of a function around this one; else it is a global or a builtin."""
        return name in self.locals or (self.outer is not None and self.outer.is_variable(name))

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

    def forced_arguments(self, args: Sequence[Value], kwargs: dict[str, Value]) -> tuple[list[Value], dict[str, Value]]:
        """Arguments as they are passed: lazy array expressions computed."""
        return [a.force(self.b) for a in args], {k: v.force(self.b) for k, v in kwargs.items()}

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
        if self.b.device:
            return self.as_layout(alloca(self.b, type_.dtype, [0] * type_.ndim).ir, type_)
        empty = types.ArrayType(type_.dtype, type_.ndim)
        sizes = [self.b.index(0)] * type_.ndim
        segments = ir.DenseI32ArrayAttr.get([len(sizes), 0])
        array = ir.Operation.create(
            "memref.alloc", [self.b.type(empty)], sizes, attributes={"operandSegmentSizes": segments}
        ).result
        return self.as_layout(array, type_)

    def leaf_types(self, type_: types.Type) -> list[ir.Type]:
        return [self.b.shared.type(leaf.mlir) for leaf in types.leaves(type_)]

    # --- objects

    def objects_in(self, value: Value) -> list[ObjectValue]:
        """The mutable structs that a value refers to, those in its fields included."""
        found = [value] if isinstance(value, ObjectValue) else []
        for part in self.parts(value) or ():
            found += self.objects_in(part)
        return found

    def is_shared(self, value: Value, name: str, state: State, live: Names) -> bool:
        """Whether the objects of a variable can, in a state, also be reached by another name, or by the caller."""
        outer, self.state = self.state, state
        try:
            numbers = {found.number for found in self.objects_in(value)}
            if numbers & self.outer_objects:
                return True
            others = [v for n, v in state.vars.items() if n != name and (n in live or n.startswith("#"))]
            return any(found.number in numbers for other in others for found in self.objects_in(other))
        finally:
            self.state = outer

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
            hint = "return values of one kind on every path"
            if types.none in (a, b):
                hint += "; where a function ends without a `return` it returns None"
            here = a_loc or b_loc
        else:
            message = f"`{name}` is {a} on one path and {b} on another"
            hint = "use two names, or convert one of the values"
            here = self.b.loc
        notes: list[tuple[str, Loc | None]] = [
            (f"{t} comes from here", loc) for t, loc in ((a, a_loc), (b, b_loc)) if loc is not None
        ]
        return errors.JoinError(message, here, hint, notes)
