"""What holds at one point of a function: the variables, and whether the function or loop is being left.

The emitter changes a `State` as it walks; each branch works on a copy, and `merge` makes one of two.
`join` says which type two values have together where paths meet.
"""

from __future__ import annotations

import math

from mlir import ir

from .. import types
from ..syntax.loc import Loc
from .values import UNKNOWN, TupleValue, Value

RETURNED = "%returned"  # the pseudo-variable that holds what the function returns

# The ways to leave a block before its end.
RETURN, ERROR, BREAK, CONTINUE = "return", "error", "break", "continue"


class Conflict(Value):
    """A variable whose values on two paths do not join. Only using it is an error, which names both places."""

    __slots__ = ("first", "second")

    def __init__(self, first: tuple[types.Type, Loc | None], second: tuple[types.Type, Loc | None]) -> None:
        super().__init__(types.none)
        self.first, self.second = first, second


class ObjectValue(Value):
    """A reference to a mutable struct. Its fields are pseudo-variables of the state, named by `slot`."""

    __slots__ = ("cls", "number")

    def __init__(self, number: int, cls: type) -> None:
        super().__init__(types.Literal(cls))
        self.number = number
        self.cls = cls

    def slot(self, field: str) -> str:
        return f"#{self.number}.{field}"


class StructValue(Value):
    """An immutable struct (a NamedTuple, a frozen dataclass): its fields are values by themselves."""

    __slots__ = ("cls", "elements")

    def __init__(self, cls: type, elements: tuple[Value, ...]) -> None:
        named = zip(types.field_names(cls), elements)
        super().__init__(types.StructType(cls, tuple((name, e.type) for name, e in named)))
        self.cls = cls
        self.elements = elements


class State:
    """Variables by name. `flags`: an i1 for those that may be unassigned. `where`: the place of the last assignment.

    `exits`: for each way to leave that may have been taken, an i1, or True where it surely was. `dead`: one surely was.
    `frozen`: the numbers of objects that may be one and the same, or not; their fields can no longer be assigned to.
    """

    __slots__ = ("dead", "exits", "flags", "frozen", "vars", "where")

    def __init__(self) -> None:
        self.vars: dict[str, Value] = {}
        self.flags: dict[str, ir.Value] = {}
        self.where: dict[str, Loc] = {}
        self.exits: dict[str, ir.Value | bool] = {}
        self.dead = False
        self.frozen: set[int] = set()

    def copy(self) -> State:
        other = State()
        other.vars = dict(self.vars)
        other.flags = dict(self.flags)
        other.where = dict(self.where)
        other.exits = dict(self.exits)
        other.dead = self.dead
        other.frozen = set(self.frozen)
        return other

    def set(self, name: str, value: Value, loc: Loc | None = None) -> None:
        self.vars[name] = value
        self.flags.pop(name, None)
        if loc is not None:
            self.where[name] = loc

    def drop(self, name: str) -> None:
        self.vars.pop(name, None)
        self.flags.pop(name, None)

    def leave(self, way: str) -> None:
        """From here on nothing more of this block runs."""
        self.exits = {way: True}
        self.dead = True

    def matters(self, name: str) -> bool:
        """Whether the value that a variable has here can still be read, by what runs after the block."""
        if not self.dead:
            return True
        if BREAK in self.exits or CONTINUE in self.exits:
            return True
        return RETURN in self.exits and name.startswith("#")  # the fields of objects may be the caller's


def representable(value: object, type_: types.Scalar) -> bool:
    """Whether a Python number is the same as a value of a sized type."""
    if isinstance(value, bool) or not isinstance(value, (int, float, complex)):
        return False
    if type_.kind in "iu":
        low, high = (0, 2**type_.bits) if type_.kind == "u" else (-(2 ** (type_.bits - 1)), 2 ** (type_.bits - 1))
        return type(value) is int and low <= value < high
    if type_.kind == "f" and isinstance(value, complex):
        return False
    if type_.kind not in "fc":
        return False
    try:
        converted = complex(type_.dtype.type(value))
        original = complex(value)
    except OverflowError:
        return False
    return all(
        a == b or (math.isnan(a) and math.isnan(b))
        for a, b in ((converted.real, original.real), (converted.imag, original.imag))
    )


def join_scalars(
    a: types.Scalar, b: types.Scalar, a_const: object = UNKNOWN, b_const: object = UNKNOWN
) -> types.Scalar:
    """The type of a variable that is an `a` on one path and a `b` on another.

    A Python number that is known and that the sized type holds exactly takes that type: `s = 0.0`, then `s += x[i]`
    with a float32 array, is a float32. One that is not known is taken as wide as it is.
    """
    if a is b:
        return a
    if (a.weak or a is types.bool_) and (b.weak or b is types.bool_):
        return types.promote(a, b)
    if a.weak and representable(a_const, b):
        return b
    if b.weak and representable(b_const, a):
        return a
    return types.promote(a.strong, b.strong)


def join_types(a: types.Type, b: types.Type) -> types.Type | None:
    """The type that values of both have together; None where they do not join."""
    if a == b:
        return a
    if isinstance(a, types.Scalar) and isinstance(b, types.Scalar):
        return join_scalars(a, b)
    if isinstance(a, types.ArrayType) and isinstance(b, types.ArrayType):
        if a.dtype is b.dtype and a.ndim == b.ndim:
            return types.ArrayType(a.dtype, a.ndim, False)
        return None
    if isinstance(a, types.TupleType) and isinstance(b, types.TupleType) and len(a.elements) == len(b.elements):
        joined = [join_types(x, y) for x, y in zip(a.elements, b.elements)]
        return None if None in joined else types.TupleType(tuple(t for t in joined if t is not None))
    if isinstance(a, types.StructType) and isinstance(b, types.StructType) and a.cls is b.cls:
        fields = []
        for (name, x), (_, y) in zip(a.fields, b.fields):
            field = join_types(x, y)
            if field is None:
                return None
            fields.append((name, field))
        return types.StructType(a.cls, tuple(fields))
    return None


def join(a: Value, b: Value) -> types.Type | None:
    """As join_types, using also what is known of the values."""
    if isinstance(a.type, types.Scalar) and isinstance(b.type, types.Scalar):
        return join_scalars(a.type, b.type, a.const, b.const)
    if isinstance(a, (TupleValue, StructValue)) and isinstance(b, (TupleValue, StructValue)) and type(a) is type(b):
        if len(a.elements) != len(b.elements) or (
            isinstance(a, StructValue) and isinstance(b, StructValue) and a.cls is not b.cls
        ):
            return None
        joined = [join(x, y) for x, y in zip(a.elements, b.elements)]
        if None in joined:
            return None
        elements = tuple(t for t in joined if t is not None)
        if isinstance(a, StructValue):
            return types.StructType(a.cls, tuple(zip(types.field_names(a.cls), elements)))
        return types.TupleType(elements)
    if isinstance(a, ObjectValue) or isinstance(b, ObjectValue):
        same = isinstance(a, ObjectValue) and isinstance(b, ObjectValue) and a.number == b.number
        return a.type if same else None
    return join_types(a.type, b.type)
