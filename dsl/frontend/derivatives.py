"""`autodiff(...)` inside a kernel: a call of a function whose body the derivative engine makes.

Annotations made in a kernel (`Duplicated(x, dx)`) are compile-time objects around values at run time. The kernel
that is differentiated is specialised for the types of the values, a declaration asks for its derivative (see
dialects/request.py), and the call of that declaration returns what `dsl.autodiff` returns in Python. Nesting needs
nothing more: the function that contains the call may itself be differentiated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from mlir import ir

from dialects.lanes import joined, narrow, wide
from dialects.lanes import lane as one_lane

from .. import errors, types
from ..annotations import Active, Annotation, Const
from ..derivative import builder, one_of
from ..modes import Mode
from ..request import BATCHES, MIXED, SHADOWED, activity, is_continuous, result_activity
from ..written import written_arguments
from . import scalars
from .apart import keep_apart, keep_given_apart
from .closures import Closures
from .memory import may_overlap, same_view
from .scope import StructValue
from .structs import Structs
from .values import Builder, TupleValue, Value, constant

if TYPE_CHECKING:
    from .unit import Function

_NAMES = ("autodiff", "autodiff_deferred")


class _Annotated:
    """The type's content of one annotation: equal to itself only, so that two annotations never merge."""

    def __init__(self, cls: type[Annotation]) -> None:
        self.cls = cls

    def __repr__(self) -> str:
        return f"an annotation ({self.cls.__name__})"


class AnnotatedValue(Value):
    """An annotation around values at run time; `shadows` has one, several in a batch, or none."""

    __slots__ = ("cls", "shadows", "value")

    def __init__(self, cls: type[Annotation], value: Value, shadows: tuple[Value, ...]) -> None:
        super().__init__(types.Literal(_Annotated(cls)))
        self.cls, self.value, self.shadows = cls, value, shadows


class Returned(NamedTuple):
    """An annotation that a rule returns: as a struct, so that branches may merge it with what others return."""

    cls: Any
    val: Any
    shadows: tuple[Any, ...]


def is_autodiff(function: Any) -> bool:
    """Whether a function is `dsl.autodiff`, by one of its names."""
    home = (getattr(function, "__module__", None) or "").partition(".")[0]
    return getattr(function, "__name__", "") in _NAMES and home == "dsl"


def refuse_annotations(b: Builder, emitter: Structs, value: Value) -> None:
    """Raise where a kernel returns an annotation, alone or within a tuple or struct: it is no value at run time."""
    if isinstance(value, AnnotatedValue):
        hint = "return the value itself"
        raise b.error(f"the kernel returns an annotation ({value.cls.__name__})", hint, errors.UnsupportedSyntax)
    for part in emitter.parts(value) or ():
        refuse_annotations(b, emitter, part)


class Derivatives(Closures):
    """The part of the emitter for annotations and derivatives."""

    #: Whether what is emitted is a user's rule, which may return an annotation.
    is_rule = False

    def snapshot(self, value: Value) -> Value:
        if self.is_rule and isinstance(value, AnnotatedValue):
            cls = Value(types.Literal(value.cls), const=value.cls)
            return StructValue(Returned, (cls, super().snapshot(value.value), TupleValue(value.shadows)))
        return super().snapshot(value)

    def attribute(self, owner: Value, name: str) -> Value:
        """`.val` and `.dval` of an annotation, as rules have them for arguments."""
        if not isinstance(owner, AnnotatedValue):
            return super().attribute(owner, name)
        if name == "val":
            return owner.value
        if name == "dval" and owner.shadows:
            return TupleValue(owner.shadows) if owner.cls in BATCHES else owner.shadows[0]
        raise self.b.error(f"{owner.cls.__name__} has no `{name}`", cls=errors.KernelAttributeError)

    def annotate(self, cls: type[Annotation], args: list[Value], kwargs: dict[str, Value]) -> Value:
        """`cls(*args)` for a class of dsl.annotations."""
        names = ("val", "dval") if cls in SHADOWED else ("val",)
        given = dict(zip(names, args)) | kwargs
        if set(given) != set(names) or len(args) > len(names):
            raise self.b.error(f"{cls.__name__} takes {' and '.join(names)}", f"write {_FORMS.get(cls, 'Const(x)')}")
        if cls in MIXED:
            raise self._activity(f"{cls.__name__} is for calls from Python", "write Active(x) or Duplicated(x, dx)")
        forced = {name: value.force(self.b) for name, value in given.items()}
        for value in forced.values():
            self.refuse_closure(value, "is not an argument of a derivative")
        shadows: tuple[Value, ...] = (forced["dval"],) if cls in SHADOWED else ()
        if cls in BATCHES:
            if not isinstance(forced["dval"], TupleValue):
                raise self.b.error(f"the shadows of {cls.__name__} are a tuple", f"write {_FORMS[cls]}")
            shadows = forced["dval"].elements
            if not shadows:
                raise self._activity(f"{cls.__name__} of width 0: there is no shadow", "give at least one, or Const(x)")
        return AnnotatedValue(cls, forced["val"], shadows)

    def differentiate(self, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """`autodiff(mode, f, [result,] *annotated)`."""
        if kwargs or len(args) < 2:
            raise self.b.error("autodiff takes a mode, a kernel, and annotated arguments", _FORM)
        mode = args[0].const if args[0].known else None
        if not isinstance(mode, Mode):
            raise self.b.error(f"the mode of autodiff is {self.type_of(args[0])}", _FORM)
        if mode.split:
            raise self._activity(f"{mode!r} is not there inside kernels yet", "use Forward or Reverse")
        of = args[1].value if isinstance(args[1], AnnotatedValue) and args[1].cls is Const else args[1]
        kernel = self.unit.as_kernel(of.const) if of.known else None
        if kernel is None:
            raise self.b.error(f"what is to be differentiated is {self.type_of(of)}, which is not a kernel", _FORM)
        rest = args[2:]
        returns = None
        if rest and rest[0].known and isinstance(rest[0].const, type) and issubclass(rest[0].const, Annotation):
            returns, rest = rest[0].const, rest[1:]
        self.unit.refuse_recursion(kernel, self.b.loc)
        call = _Call(self, mode, kernel, returns, rest)
        return self.unless_failed(call.emit)

    def _activity(self, message: str, hint: str) -> errors.ActivityError:
        return errors.ActivityError(message, self.b.loc, hint)


class _Call:
    """One derivative: its arguments tested, then its declaration and the call."""

    def __init__(
        self, emitter: Derivatives, mode: Mode, kernel: Any, returns: type[Annotation] | None, given: list[Value]
    ) -> None:
        self.e, self.b, self.mode, self.kernel, self.returns = emitter, emitter.b, mode, kernel, returns
        self.arguments = self._arguments(given)
        widths = {len(a.shadows) for a in self.arguments if a.shadows}
        if len(widths) > 1:
            self._refuse("different widths in one call", "give each argument the same number of shadows")
        self.width = max(widths, default=1)
        self.batched = any(a.cls in BATCHES for a in self.arguments)
        self.given = len(given)
        self.types = [self._type(name, a) for name, a in zip(kernel.params, self.arguments)]

    def _refuse(self, message: str, hint: str = "") -> NoReturn:
        message = f"{message}, in a derivative of {self.kernel.name}"
        raise errors.ActivityError(message, self.b.loc, hint)

    # --- arguments

    def _arguments(self, given: list[Value]) -> list[AnnotatedValue]:
        found = []
        params = self.kernel.params
        for index, value in enumerate(given):
            if not isinstance(value, AnnotatedValue):
                self._refuse(f"argument {index} is not annotated: {self.e.type_of(value)}", _FORM)
            found.append(value)
        missing = [name for name in params[len(given) :] if name not in self.kernel.defaults]
        if len(given) > len(params) or missing:
            self._refuse(
                f"{len(given)} arguments are given, {self.kernel.name} has {len(params)} ({', '.join(params)})"
            )
        from .constants import literal

        found += [
            AnnotatedValue(Const, literal(self.b, self.kernel.defaults[name]), ()) for name in params[len(given) :]
        ]
        return found

    def _type(self, name: str, argument: AnnotatedValue) -> types.Type:
        """The type that an argument is passed as, with its shadows, which must have one like it."""
        type_, cls = types.strong(self.e.type_of(argument.value)), argument.cls
        leaves = types.leaves(type_)
        if cls is Const:
            return type_
        reverse = self.mode.reverse
        if cls is Active:
            if not reverse:
                self._refuse(f"`{name}` is Active in forward mode", "write Duplicated(x, dx)")
            if any(isinstance(leaf, types.ArrayType) for leaf in leaves):
                self._refuse(f"`{name}` is Active, but it is {type_}", "write Duplicated(x, dx), or Const(x)")
            if isinstance(type_, types.Scalar) and type_.kind in "iu":
                type_ = types.float64
                leaves = [type_]
        if not any(map(is_continuous, leaves)):
            self._refuse(
                f"`{name}` is {cls.__name__}, but {type_} holds nothing that has a derivative", "write Const(x)"
            )
        complex_ = any(_scalar_of(leaf).kind == "c" for leaf in leaves)
        ambiguous = reverse and not self.mode.holomorphic and any(isinstance(leaf, types.Scalar) for leaf in leaves)
        if complex_ and (self.width > 1 or ambiguous):
            hint = "use ReverseHolomorphic for d/dz, or Forward with one tangent, or two floats"
            self._refuse(f"`{name}` holds complex numbers", hint)
        if reverse and cls is not Active:
            self._places(name, type_, None)
        for shadow in argument.shadows:
            joined = self._like(type_, types.strong(self.e.type_of(shadow)))
            if joined is None:
                found = self.e.type_of(shadow)
                self._refuse(
                    f"the shadow of `{name}` is {found}; expected is {type_}", "make it with dsl.zeros_like(x)"
                )
            type_ = joined
        return type_

    def _like(self, primal: types.Type, shadow: types.Type) -> types.Type | None:
        """The type that a primal and its shadow can both be passed as: layouts may differ, all else is the same.

        The shadow of a scalar may be any number, which is converted.
        """
        if isinstance(primal, types.Scalar):
            return primal if isinstance(shadow, types.Scalar) and (shadow.kind != "c" or primal.kind == "c") else None
        if isinstance(primal, types.ArrayType):
            if not (isinstance(shadow, types.ArrayType) and (primal.dtype, primal.ndim) == (shadow.dtype, shadow.ndim)):
                return None
            return types.ArrayType(primal.dtype, primal.ndim, primal.contiguous and shadow.contiguous)
        if isinstance(primal, types.TupleType):
            if not isinstance(shadow, types.TupleType) or len(primal.elements) != len(shadow.elements):
                return None
            elements = [self._like(p, s) for p, s in zip(primal.elements, shadow.elements)]
            return None if None in elements else types.TupleType(tuple(elements))  # type: ignore[arg-type]
        if isinstance(primal, types.StructType):
            if not isinstance(shadow, types.StructType) or primal.cls is not shadow.cls:
                return None
            fields = [(name, self._like(p, s)) for (name, p), (_, s) in zip(primal.fields, shadow.fields)]
            return None if any(t is None for _, t in fields) else types.StructType(primal.cls, tuple(fields))  # type: ignore[arg-type]
        return primal

    def _places(self, path: str, type_: types.Type, holder: types.Type | None) -> None:
        """In reverse mode the gradient of a scalar needs a field to be added to."""
        if isinstance(type_, types.Scalar):
            if is_continuous(type_) and not (isinstance(holder, types.StructType) and holder.mutable):
                self._refuse(
                    f"`{path}` is a number, to which nothing can be added in place",
                    "write Active(x): its gradient is returned",
                )
        elif isinstance(type_, types.TupleType):
            for k, element in enumerate(type_.elements):
                self._places(f"{path}[{k}]", element, type_)
        elif isinstance(type_, types.StructType):
            for name, field in type_.fields:
                self._places(f"{path}.{name}", field, type_)

    # --- the call

    def emit(self) -> Value:
        b, mode = self.b, self.mode
        function = self.e.unit.specialise(self.kernel, tuple(self.types), b.loc, b.device)
        if function is None:
            self._refuse(
                "it hands out an array or struct that belongs to its caller, or makes a mutable struct",
                "return a copy of the array, or a number",
            )
        if function.writebacks:
            self._refuse("it assigns to fields of its arguments", "return the new values")
        returns = self._returns(function.result_type)
        result_leaves = types.leaves(function.result_type)
        result_activities = [returns if is_continuous(leaf) else "const" for leaf in result_leaves]
        operands: list[ir.Value] = []
        activities: list[str] = []
        for argument, type_ in zip(self.arguments, self.types):
            operands += self._operands(argument, type_, activities)
        self._keep_apart(operands, activities, function)
        if function.raises:
            operands.append(b.error_cell)
            activities.append("const")
            b.raises += 1
            b.must_leave = True
        if mode.reverse:
            operands += [
                self._ones(t) for t, kind in zip(function.results, result_activities, strict=True) if kind == "active"
            ]
        results = list(function.results) if mode.primal else []
        if mode.reverse:
            active = [leaf for a, t in zip(self.arguments, self.types) if a.cls is not Const
                      for leaf in types.leaves(t) if activity(mode, a.cls, leaf) == "active"]  # fmt: skip
            results += [t for leaf in active for t in self._tangent_types(b.type(leaf))]  # type: ignore[arg-type]
        elif returns == "duplicated":
            moving = [t for t, kind in zip(function.results, result_activities, strict=True) if kind != "const"]
            results += [t for type_ in moving for t in self._tangent_types(type_)]
        symbol = self.e.unit.derivative(
            function.symbol, mode, activities, result_activities, self.width, [v.type for v in operands], results
        )
        call = ir.Operation.create(
            "func.call", results, operands, attributes={"callee": ir.FlatSymbolRefAttr.get(symbol)}
        )
        found = iter(list(call.results))
        outputs = [self.e.rebuild(function.result_type, found)] if mode.primal else []
        if mode.reverse:
            outputs.append(self._gradients(found))
        elif returns == "duplicated":
            count = sum(map(is_continuous, result_leaves))
            lanes = [self._tree(function.result_type, lane, True) for lane in self._lanes(found, count)]
            outputs.append(TupleValue(tuple(lanes)) if self.batched else lanes[0])
        return TupleValue(tuple(outputs))

    def _returns(self, result: types.Type) -> str:
        """The activity of the result: const, active or duplicated."""
        cls = result_activity(self.mode, self.returns, result)
        if cls is Const:
            if self.mode.reverse and self.returns is None and any(map(is_continuous, types.leaves(result))):
                self._refuse(
                    f"the result is {result}: reverse mode differentiates a scalar",
                    "let the kernel write into an argument, and pass Duplicated(y, dy) with dy as the seed; "
                    "if the result does not matter, annotate it Const",
                )
            return "const"
        if self.mode.reverse:
            kinds = "fc" if self.mode.holomorphic else "f"
            if cls is not Active or not (isinstance(result, types.Scalar) and result.kind in kinds):
                self._refuse(
                    f"the result, {result}, is {cls.__name__} in reverse mode", "return one float, or write Const"
                )
            return "active"
        if cls is Active or cls in MIXED or (cls in BATCHES and not self.batched):
            self._refuse(f"the result is {cls.__name__}", "write Duplicated: its tangent is returned")
        return "duplicated"

    def _operands(self, argument: AnnotatedValue, type_: types.Type, activities: list[str]) -> list[ir.Value]:
        """The leaves of an argument, each with its shadows behind it; their activities are appended."""
        primals = self.e.leaves_as(argument.value, type_)
        shadows = [self.e.leaves_as(shadow, type_) for shadow in argument.shadows]
        found: list[ir.Value] = []
        for k, (leaf, primal) in enumerate(zip(types.leaves(type_), primals, strict=True)):
            kind = activity(self.mode, argument.cls, leaf)
            activities.append(kind)
            found.append(primal)
            if kind.startswith("duplicated"):
                beside = [shadow[k] for shadow in shadows]
                if isinstance(leaf, types.Scalar) and self.width > 1:
                    beside = [joined(builder(), beside)]
                found += beside
        return found

    def _keep_apart(self, operands: list[ir.Value], activities: list[str], function: Function) -> None:
        """Shadows must share no memory with what is differentiated, nor with each other where that is overwritten.

        Refused where it is known here, else asked at run time where it may be so.
        """
        arrays: list[tuple[ir.Value, int]] = []  # each with the number of its argument, shadows below zero
        primals: list[ir.Value] = []
        rest = iter(operands)
        for number, kind in enumerate(activities):
            primal = next(rest)
            primals.append(primal)
            shadows = [next(rest) for _ in range(self._shadow_count(kind, primal))]
            found = [(primal, number), *((shadow, -1 - number) for shadow in shadows)]
            arrays += [(v, n) for v, n in found if isinstance(v.type, ir.MemRefType)]
        keep_given_apart(self.b, function.apart, primals)
        if all(number >= 0 for _, number in arrays):
            return
        written: list[bool] | None = None
        numbers = [number for _, number in arrays if number >= 0]
        for k, (left, i) in enumerate(arrays):
            for right, j in arrays[:k]:
                if left == right or same_view(left, right):
                    self._refuse("one array is given twice", "give each shadow memory of its own, and pass copies")
                if not may_overlap(self.b, left, right):
                    continue
                if (i < 0) == (j < 0):  # two arrays, or two shadows
                    if written is None:
                        written = written_arguments(self.e.unit.shared.module, function.symbol)
                    if not any(written[numbers.index(n if n >= 0 else -1 - n)] for n in (i, j)):
                        continue
                what = "one is a shadow or is overwritten"
                message = f"arrays overlap in a derivative of {self.kernel.name}, where {what}"
                keep_apart(self.b, left, right, message)

    def _shadow_count(self, kind: str, primal: ir.Value) -> int:
        """How many operands stand behind one of this activity."""
        if not kind.startswith("duplicated"):
            return 0
        return self.width if isinstance(primal.type, ir.MemRefType) else 1

    def _tangent_types(self, type_: ir.Type) -> list[ir.Type]:
        if isinstance(type_, ir.MemRefType):
            return [type_] * self.width
        return [wide(type_, self.width)]

    def _ones(self, type_: ir.Type) -> ir.Value:
        return joined(builder(), [one_of(type_)] * self.width)

    def _lanes(self, found: Iterator[ir.Value], count: int) -> list[Iterator[ir.Value]]:
        """The next `count` tangents or gradients, for each lane."""
        lanes: list[list[ir.Value]] = [[] for _ in range(self.width)]
        for _ in range(count):
            value = next(found)
            if isinstance(value.type, ir.MemRefType) or self.width == 1:
                for lane in lanes:
                    lane.append(value)
                    value = next(found) if lane is not lanes[-1] else value
                continue
            for k, lane in enumerate(lanes):
                lane.append(one_lane(builder(), value, k, narrow(value.type)))
        return [iter(lane) for lane in lanes]

    def _gradients(self, found: Iterator[ir.Value]) -> Value:
        """The tuple of the gradients of the Active arguments; those of fields are added to their shadows."""
        slots: list[Value] = []
        for number, (argument, type_) in enumerate(zip(self.arguments, self.types)):
            leaves = types.leaves(type_)
            count = sum(activity(self.mode, argument.cls, leaf) == "active" for leaf in leaves)
            lanes = self._lanes(found, count)
            slot: Value = constant(None)
            if argument.cls is Active:
                trees = [self._tree(type_, lane, True) for lane in lanes]
                slot = TupleValue(tuple(trees)) if self.batched else trees[0]
            else:
                for shadow, lane in zip(argument.shadows, lanes):
                    self._accumulate(shadow, type_, lane)
            if number < self.given:
                slots.append(slot)
        return TupleValue(tuple(slots))

    def _accumulate(self, shadow: Value, type_: types.Type, gradients: Iterator[ir.Value]) -> None:
        """Add the gradients of the scalars of a struct to the fields of its shadow."""
        if isinstance(type_, types.TupleType):
            for part, element in zip(self.e.parts(shadow) or (), type_.elements):
                self._accumulate(part, element, gradients)
        elif isinstance(type_, types.StructType):
            for (name, field), part in zip(type_.fields, self.e.parts(shadow) or ()):
                if not isinstance(field, types.Scalar):
                    self._accumulate(part, field, gradients)
                elif is_continuous(field):
                    new = scalars.binary(self.b, "+", part, Value(field, (next(gradients),)))
                    self.e.store_attribute(shadow, name, new)

    def _tree(self, type_: types.Type, leaves: Iterator[ir.Value], tangent: bool) -> Value:
        """A value of this type made of its continuous leaves; what else there is has no derivative, and is zero."""
        if isinstance(type_, types.Scalar):
            return (
                Value(type_, (next(leaves),))
                if is_continuous(type_)
                else Value(type_, const=type_.dtype.type(0).item())
            )
        if isinstance(type_, types.ArrayType):
            return Value(type_, (next(leaves),)) if is_continuous(type_) else constant(None)
        if isinstance(type_, types.TupleType):
            return TupleValue(tuple(self._tree(t, leaves, tangent) for t in type_.elements))
        if isinstance(type_, types.StructType):
            fields = tuple(self._tree(t, leaves, tangent) for _, t in type_.fields)
            return self.e.new_object(type_.cls, fields) if type_.mutable else StructValue(type_.cls, fields)
        return constant(None)


def _scalar_of(leaf: types.Type) -> types.Scalar:
    scalar = leaf.dtype if isinstance(leaf, types.ArrayType) else leaf
    assert isinstance(scalar, types.Scalar)
    return scalar


_FORM = "write autodiff(Reverse, f, Active, Active(x)) or autodiff(Forward, f, Duplicated(x, dx))"
_FORMS: dict[Any, str] = {
    cls: f"{cls.__name__}(x, (dx1, dx2))" if cls in BATCHES else f"{cls.__name__}(x, dx)" for cls in SHADOWED
}  # fmt: skip

__all__ = ["AnnotatedValue", "Derivatives", "is_autodiff"]
