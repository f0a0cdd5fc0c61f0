"""Structs: attributes of values, objects (mutable dataclasses), and making structs in a kernel.

A frozen dataclass or NamedTuple is a value. A mutable dataclass is an object with an identity, as in Python: two
names may be one object. Its fields are pseudo-variables of the state, so that branches and loops carry them as they
carry variables.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir import ir

from .. import constants as surroundings
from .. import errors, types
from ..parallel import Coordinates
from ..syntax import nodes
from . import arrays, casts, parallel
from .constants import literal
from .loops import Loops
from .scope import Conflict, ObjectValue, StructValue
from .values import TupleValue, Value, constant


class MustInline(Exception):
    """A callee that cannot be a function by itself: it hands out, or changes, what belongs to its caller."""


class Structs(Loops):
    """The part of the emitter for attributes and structs."""

    # --- reading

    def _attribute(self, node: nodes.Attribute) -> Value:
        owner = self.evaluate(node.value)
        if isinstance(owner.type, types.Literal) and owner.known and not isinstance(owner, ObjectValue):
            if isinstance(owner.const, Coordinates):
                return parallel.coordinate(self.b, owner.const, node.attr)
            value = surroundings.attribute(owner.const, node.attr, spelling(node.value), self.b.loc)
            return literal(self.b, value)
        return self.attribute(owner, node.attr)

    def attribute(self, owner: Value, name: str) -> Value:
        """`owner.name` of a value at run time."""
        if isinstance(owner, (ObjectValue, StructValue)):
            return self._field(owner, name)
        if isinstance(owner.type, types.ArrayType):
            found = arrays.attribute(self.b, owner, name)
            if found is not None:
                return found
            if arrays.method(self.b, owner, name) is not None:
                raise self.b.error(f"`{name}` is a method", f"call it: .{name}()")
        if isinstance(owner.type, types.Scalar):
            return self._scalar_attribute(owner, owner.type, name)
        raise self.b.error(f"{self.type_of(owner)} has no attribute `{name}`", cls=errors.KernelAttributeError)

    def _field(self, owner: ObjectValue | StructValue, name: str) -> Value:
        names = types.field_names(owner.cls)
        if name not in names:
            member = getattr(owner.cls, name, None)
            if isinstance(member, property) and member.fget is not None:
                return self.call_function(member.fget, [owner], {})
            raise self.b.error(
                f"{owner.cls.__name__} has no field `{name}`",
                f"its fields are {', '.join(names)}",
                errors.KernelAttributeError,
            )
        if isinstance(owner, StructValue):
            return owner.elements[names.index(name)]
        value = self.state.vars[owner.slot(name)]
        if isinstance(value, Conflict):
            raise self.conflict_error(name, value)
        return value

    def call_function(self, function: object, args: list[Value], kwargs: dict[str, Value]) -> Value:
        raise NotImplementedError

    def _scalar_attribute(self, owner: Value, type_: types.Scalar, name: str) -> Value:
        if name in ("real", "imag"):
            if type_.kind != "c":
                return owner if name == "real" else Value(type_, const=0.0 if type_.kind == "f" else 0)
            if owner.known:
                return Value(type_.part, const=getattr(owner.const, name))
            part = "complex.re" if name == "real" else "complex.im"
            return Value(type_.part, (ir.Operation.create(part, [self.b.type(type_.part)], [self.b.ir(owner)]).result,))
        if name == "dtype" and not type_.weak:
            return literal(self.b, type_)
        if not type_.weak:  # Python's own numbers have none of these
            if name in ("ndim", "size", "itemsize"):
                return constant({"ndim": 0, "size": 1, "itemsize": type_.dtype.itemsize}[name])
            if name == "shape":
                return TupleValue(())
        raise self.b.error(f"a {type_} has no attribute `{name}`", cls=errors.KernelAttributeError)

    # --- writing

    def store_attribute(self, owner: Value, name: str, value: Value) -> None:
        value = value.force(self.b)
        self.refuse_closure(value, "is not put into a field")
        if isinstance(owner, StructValue):
            kind = "NamedTuple" if issubclass(owner.cls, tuple) else "frozen dataclass"
            raise self.b.error(
                f"{owner.cls.__name__} is a {kind}: its fields cannot be assigned to",
                "make a new one, or make the class a plain dataclass",
                errors.KernelAttributeError,
            )
        if not isinstance(owner, ObjectValue):
            raise self.b.error(
                f"the attributes of {self.type_of(owner)} cannot be assigned to", cls=errors.KernelAttributeError
            )
        if owner.number in self.state.frozen:
            raise self.b.error(
                f"this {owner.cls.__name__} may be one that another name refers to, depending on the path taken here",
                "assign to the fields before the paths meet, or make a new one",
            )
        old = self._field(owner, name)
        given = self.parameter_objects.get(owner.number)
        if given is not None:
            value = self._as_declared(owner, name, old, value, given)
        self.state.set(owner.slot(name), value, self.b.loc)

    def _as_declared(self, owner: ObjectValue, name: str, old: Value, value: Value, given: types.StructType) -> Value:
        """A value for a field of an argument: the caller sees it, so it must be of the field's type."""
        field = given.field(name)
        if isinstance(field, types.Scalar) and isinstance(value.type, types.Scalar):
            if "biufc".index(value.type.kind) <= "biufc".index(field.kind):
                return casts.convert(self.b, value, field)
            raise self.b.error(
                f"a {value.type} does not fit field `{name}` of {owner.cls.__name__}, which holds {field.strong}",
                "convert it, or pass a struct whose field holds such a number",
            )
        if field == types.none or field is None:
            raise self.b.error(
                f"field `{name}` of {owner.cls.__name__} was None when the kernel was called and stays so"
            )
        if value is old:
            return value
        if self.unit.is_entry(self):
            raise self.b.error(
                f"field `{name}` of {owner.cls.__name__} belongs to the caller, and stays the one it is",
                f"assign to its elements, `.{name}[:] = ...`, or return a new struct",
            )
        raise MustInline

    # --- making

    def new_object(self, cls: type, fields: Sequence[Value]) -> ObjectValue:
        made = ObjectValue(self.unit.object_number(), cls)
        for name, value in zip(types.field_names(cls), fields):
            self.state.set(made.slot(name), value, self.b.loc)
        return made

    def construct(self, cls: type, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
        """`cls(*args, **kwargs)` for a struct class."""
        names = types.field_names(cls)
        parameters = getattr(cls, "__dataclass_params__", None)
        if parameters is not None and not parameters.init:
            raise self.b.error(f"{cls.__name__} has its own __init__, which kernels do not run", "make it without")
        if "__post_init__" in dir(cls):
            raise self.b.error(f"{cls.__name__} has a __post_init__, which kernels do not run", "make it without one")
        given = self.bound(cls.__name__, names, args, kwargs, _defaults(cls))
        for value in given:
            self.refuse_closure(value, "is not put into a field")
        if types.is_mutable_class(cls):
            return self.new_object(cls, given)
        return StructValue(cls, tuple(given))

    def bound(
        self,
        what: str,
        names: Sequence[str],
        args: Sequence[Value],
        kwargs: dict[str, Value],
        defaults: dict[str, object],
        keyword_only: int = 0,
        positional_only: int = 0,
    ) -> list[Value]:
        """The arguments in the order of the parameters, with defaults filled in."""
        positional = len(names) - keyword_only
        if len(args) > positional:
            raise self.b.error(
                f"{what} takes {positional} positional argument{'s' * (positional != 1)}, {len(args)} given"
            )
        values = dict(zip(names, args))
        for name, value in kwargs.items():
            if name not in names[positional_only:]:
                raise self.b.error(f"{what} has no parameter `{name}`", f"its parameters are {', '.join(names)}")
            if name in values:
                raise self.b.error(f"{what} got two values for `{name}`")
            values[name] = value
        missing = [name for name in names if name not in values and name not in defaults]
        if missing:
            raise self.b.error(
                f"{what} misses {', '.join(f'`{m}`' for m in missing)}", f"its parameters are {', '.join(names)}"
            )
        return [values[name] if name in values else literal(self.b, defaults[name]) for name in names]


def _defaults(cls: type) -> dict[str, object]:
    named = getattr(cls, "_field_defaults", None)
    if named is not None:
        return dict(named)
    import dataclasses

    return {f.name: f.default for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}


def spelling(node: nodes.Expression) -> str:
    """A name with its attributes as the user wrote it."""
    if isinstance(node, nodes.Attribute):
        return f"{spelling(node.value)}.{node.attr}"
    return node.id if isinstance(node, nodes.Name) else "..."
