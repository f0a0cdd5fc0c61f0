"""What a user's rule returned, tested against what it should return, and laid out as the engine takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from mlir import ir

from .. import errors, types
from .. import rules as given
from ..annotations import Const
from ..syntax.loc import Loc
from .derivatives import AnnotatedValue, Returned
from .origin import belongs_to_caller
from .scope import RETURNED, StructValue
from .values import TupleValue, Value, constant

if TYPE_CHECKING:
    from .rule_function import RuleFunction


class Results:
    """The result of one rule."""

    def __init__(self, function: RuleFunction, returned: Value) -> None:
        self.f, self.e, self.b = function, function.e, function.b
        self.ruled, self.asked, self.wanted = function.ruled, function.asked, function.wanted
        self.returned = _annotation(returned)

    def leaves(self, block: ir.Block) -> list[ir.Value]:
        """All values that the function returns."""
        with self.b.at(self._place()):
            parts = {"forward": self._forward, "augment": self._augment, "reverse": self._reverse}
            found: list[ir.Value] = []
            roots: list[ir.Value] = []
            for leaf in parts[self.f.part]():
                if isinstance(leaf.type, ir.MemRefType):  # the receiver's own: no argument, and nothing twice
                    if _root(leaf) in roots or belongs_to_caller(leaf, block):
                        leaf = _copy(leaf)
                    roots.append(_root(leaf))
                found.append(leaf)
            return found

    def _place(self) -> Loc:
        return self.e.state.where.get(RETURNED) or self.f.kernel.loc

    def _wrong(self, expected: str, found: Value) -> NoReturn:
        shown = found.cls.__name__ if isinstance(found, AnnotatedValue) else self.e.type_of(found)
        raise errors.DifferentiationError(
            f"{self.asked.name}, {self.f.kernel.name}, returns {shown}; expected is {expected}", self._place()
        )

    # --- the three kinds

    def _forward(self) -> list[ir.Value]:
        """`Duplicated(value, tangent)`, the two in a tuple, or the one that is wanted."""
        value = self.returned
        needs_shadow = self.asked.returns is not Const
        if isinstance(value, AnnotatedValue):
            primal, lanes = value.value, value.shadows
            if value.cls is Const:
                lanes = ()
        elif not needs_shadow:
            primal, lanes = value, ()
        elif self._is_pair(value):
            assert isinstance(value, TupleValue)
            primal, lanes = value.elements[0], self._per_lane(value.elements[1])
        elif self.wanted.needs_primal:
            self._wrong("Duplicated(value, tangent)", value)
        else:
            primal, lanes = constant(None), self._per_lane(value)
        found = self.primal(primal)
        if not needs_shadow:
            return found
        if len(lanes) != self.f.width:
            expected = "a tangent" if self.f.width == 1 else f"{self.f.width} tangents in a tuple"
            self._wrong(f"{expected} beside the value", value)
        per_lane = [self._as(lane, self.ruled.result_type, "a tangent") for lane in lanes]
        for k, kind in enumerate(self.asked.return_kinds):
            if kind != "const":
                found += self._beside([leaves[k] for leaves in per_lane])
        return found

    def _is_pair(self, value: Value) -> bool:
        """Whether what is returned is a value with its tangent, and not a tangent (or one a lane) alone."""
        if not isinstance(value, TupleValue) or len(value.elements) != 2:
            return False
        if self.wanted.needs_primal:
            return True
        alone = self.ruled.result_type
        if self.f.width > 1:
            alone = types.TupleType((alone,) * self.f.width)
        return not becomes(self.e.type_of(value), alone)

    def _augment(self) -> list[ir.Value]:
        value = self.returned
        if not (isinstance(value, StructValue) and value.cls is given.AugmentedReturn):
            self._wrong("AugmentedReturn(primal, shadow, tape)", value)
        primal, shadow, tape = value.elements
        found = self.primal(primal)
        leaves = types.leaves(self.ruled.result_type)
        arrays = [k for k, leaf in enumerate(leaves) if isinstance(leaf, types.ArrayType)]
        moving = [k for k in arrays if self.asked.return_kinds[k] != "const"]
        if moving:
            lanes = self._per_lane(shadow)
            if len(lanes) != self.f.width or shadow.type == types.none:
                self._wrong(f"a shadow of {self.ruled.result_type} in AugmentedReturn", shadow)
            per_lane = [self._as(lane, self.ruled.result_type, "a shadow") for lane in lanes]
            found += [of_lane[k] for k in moving for of_lane in per_lane]
        tape = tape.force(self.b)
        type_ = types.strong(self.e.type_of(tape))
        self.f.maker.tapes[self.ruled.symbol, self.wanted] = type_
        return found + self.e.leaves_as(tape, type_)

    def _reverse(self) -> list[ir.Value]:
        value, params = self.returned, self.ruled.kernel.params
        active = [k for k, kinds in enumerate(self.asked.kinds) if "active" in kinds]
        if value.type == types.none and not active:
            return []
        elements = value.elements if isinstance(value, TupleValue) else ()
        if not isinstance(value, TupleValue) or len(elements) != len(params):
            names = ", ".join(f"d{name}" if k in active else "None" for k, name in enumerate(params))
            self._wrong(f"({names}{',' * (len(params) == 1)}), one element for each argument", value)
        found: list[ir.Value] = []
        for k, gradient in enumerate(elements):
            cls = self.asked.classes[k]
            if k not in active:
                if gradient.type != types.none and cls is not Const:
                    self._wrong(f"None for `{params[k]}`, which is {cls.__name__}", gradient)
                continue
            lanes = self._per_lane(gradient)
            if len(lanes) != self.f.width:
                self._wrong(f"{self.f.width} gradients in a tuple for `{params[k]}`", gradient)
            per_lane = [self._as(lane, self.ruled.arg_types[k], f"a gradient for `{params[k]}`") for lane in lanes]
            for j, kind in enumerate(self.asked.kinds[k]):
                if kind == "active":
                    found += self._beside([leaves[j] for leaves in per_lane])
        return found

    # --- values

    def primal(self, value: Value | None) -> list[ir.Value]:
        """The leaves of the kernel's result; where it is not needed and not given, zeros."""
        result = self.ruled.result_type
        if value is not None and value.type != types.none:
            return self._as(value, result, "a value")
        if self.wanted.needs_primal and types.leaves(result):
            self._wrong(f"with a value of type {result}, as config.needs_primal is True", self.returned)
        return [self.e.filler(leaf) for leaf in types.leaves(result)]

    def _per_lane(self, value: Value) -> tuple[Value, ...]:
        if self.f.width == 1:
            return (value,)
        return value.elements if isinstance(value, TupleValue) else ()

    def _beside(self, lanes: list[ir.Value]) -> list[ir.Value]:
        return lanes if isinstance(lanes[0].type, ir.MemRefType) else [self.f.joined(lanes)]

    def _as(self, value: Value, type_: types.Type, what: str) -> list[ir.Value]:
        """The leaves of a value that has to be of a type, or such that become it."""
        value = value.force(self.b)
        if not becomes(self.e.type_of(value), type_):
            self._wrong(f"{what} of type {type_}", value)
        return self.e.leaves_as(value, type_)


def _annotation(value: Value) -> Value:
    """What was returned, annotations as such."""
    if isinstance(value, StructValue) and value.cls is Returned:
        cls, val, shadows = value.elements
        assert isinstance(shadows, TupleValue)
        return AnnotatedValue(cls.const, val, shadows.elements)
    return value


def becomes(found: types.Type, wanted: types.Type) -> bool:
    """Whether a value of one type can stand for one of another: numbers may be rounded, and no more."""
    if isinstance(found, types.Scalar) and isinstance(wanted, types.Scalar):
        rounded = wanted.kind in "fc" and "biufc".index(found.kind) <= "biufc".index(wanted.kind)
        return rounded or types.promote(found, wanted.strong) is wanted.strong
    if isinstance(found, types.ArrayType) and isinstance(wanted, types.ArrayType):
        return found.dtype is wanted.dtype and found.ndim == wanted.ndim
    if isinstance(found, types.TupleType) and isinstance(wanted, types.TupleType):
        return len(found.elements) == len(wanted.elements) and all(map(becomes, found.elements, wanted.elements))
    if isinstance(found, types.StructType) and isinstance(wanted, types.StructType) and found.cls is wanted.cls:
        return all(becomes(f, w) for (_, f), (_, w) in zip(found.fields, wanted.fields))
    return found == wanted


def _root(value: ir.Value) -> ir.Value:
    while isinstance(value.owner, ir.Operation) and value.owner.name == "memref.cast":
        value = value.owner.operands[0]
    return value


def _copy(array: ir.Value) -> ir.Value:
    """A fresh array with the same content and type."""
    from mlir.dialects import arith, memref

    type_ = ir.MemRefType(array.type)
    index = ir.IndexType.get()
    sizes = [memref.DimOp(array, arith.ConstantOp(index, axis)).result for axis in range(type_.rank)]
    made = memref.AllocOp(ir.MemRefType.get(type_.shape, type_.element_type), sizes, []).result
    memref.CopyOp(array, made)
    return made if made.type == type_ else memref.CastOp(type_, made).result
