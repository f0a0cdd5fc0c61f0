"""The emitter of one function: all parts together, its parameters, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mlir import ir

from .. import errors, types
from ..syntax import nodes
from ..syntax.loc import Loc
from . import creation
from .calls import Calls
from .liveness import NOTHING, Liveness
from .lowered import Writeback
from .scope import RETURNED, Conflict, ObjectValue, StructValue
from .statements import scalar_annotation
from .values import Builder, Value, constant

if TYPE_CHECKING:
    from .unit import Unit


class Emitter(Calls):
    """Emits the body of a kernel at the insertion point."""

    def __init__(self, unit: Unit, kernel: object, tree: nodes.FunctionDef, liveness: Liveness, b: Builder) -> None:
        super().__init__(unit, kernel, tree, liveness, b)
        self.locals = liveness.assigned(tree.body) | frozenset(p.name for p in tree.params)

    def own_parameters(self, values: Sequence[Value]) -> None:
        """Note which objects are the caller's: of those the fields keep their types and changes are written back."""
        for value in values:
            for found in self.objects_in(value):
                type_ = self.type_of(found)
                assert isinstance(type_, types.StructType)
                self.parameter_objects[found.number] = type_

    def run(self, values: Sequence[Value]) -> Value:
        """Emit the body with the parameters bound to values; the value that it returns."""
        self.outer_objects = {int(name[1:].partition(".")[0]) for name in self.state.vars if name.startswith("#")}
        for param, value in zip(self.tree.params, values):
            with self.b.at(param.loc):
                self.state.set(param.name, self._parameter(param, value), param.loc)
        first = self.tree.loc
        end = Loc(first.file, first.line, first.col, first.line, first.col + 1)
        self.block([*self.tree.body, nodes.Return(None, loc=end)], NOTHING)
        value = self.state.vars.get(RETURNED, constant(None))
        if isinstance(value, Conflict):
            with self.b.at(end):
                raise self.conflict_error(RETURNED, value)
        return value

    def snapshot(self, value: Value) -> Value:
        if isinstance(value, ObjectValue) and (value.number in self.outer_objects or value.number in self.state.frozen):
            return value  # an object that the caller has, or may have: itself
        return super().snapshot(value)

    def _parameter(self, param: nodes.Param, value: Value) -> Value:
        """An argument under the annotation of its parameter: scalars are converted, and not confused with arrays."""
        annotation = self._annotation(param)
        if annotation is None:
            return value
        import numpy as np

        if annotation is np.ndarray and isinstance(value.type, types.Scalar):
            raise self.b.error(f"`{param.name}` is annotated as an array and gets {value.type}", "pass an array")
        if scalar_annotation(annotation) is None:
            return value
        return self.annotated(value, Value(types.Literal(annotation), const=annotation))

    def _annotation(self, param: nodes.Param) -> Any:
        """The object that an annotation names; None where there is none, or none that we can find."""
        if not isinstance(param.annotation, (nodes.Name, nodes.Attribute)):
            return None
        outer, self.locals = self.locals, NOTHING
        try:
            return self.evaluate(param.annotation).const
        except errors.CompileError:
            return None  # Python does not look at annotations either
        finally:
            self.locals = outer

    # --- what goes back

    def changed_fields(self, values: Sequence[Value], initial: dict[str, Value]) -> Iterator[tuple[Writeback, Value]]:
        """The fields of objects among the arguments that are no longer what they were."""
        leaf = 0
        for number, value in enumerate(values):
            yield from self._changed(value, number, (), leaf, initial)
            leaf += len(types.leaves(self.type_of(value)))

    def _changed(
        self, value: Value, argument: int, path: tuple[str, ...], leaf: int, initial: dict[str, Value]
    ) -> Iterator[tuple[Writeback, Value]]:
        if isinstance(value, ObjectValue):
            declared = self.parameter_objects[value.number]
            for name, field_type in declared.fields:
                before, now = initial[value.slot(name)], self.state.vars[value.slot(name)]
                if isinstance(before, ObjectValue):
                    yield from self._changed(before, argument, (*path, name), leaf, initial)
                elif now is not before and types.leaves(field_type):
                    yield Writeback(argument, (*path, name), field_type, leaf), now
                leaf += len(types.leaves(field_type))
        elif isinstance(value, StructValue):
            for name, part in zip(types.field_names(value.cls), value.elements):
                yield from self._changed(part, argument, (*path, name), leaf, initial)
                leaf += len(types.leaves(self.type_of(part)))

    def copied(self, array: ir.Value, type_: types.ArrayType) -> ir.Value:
        """A fresh array with the content of one that is the caller's."""
        return self.as_layout(creation.copy(self.b, Value(type_, (array,))).ir, type_)
