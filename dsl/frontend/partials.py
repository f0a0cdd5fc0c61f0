"""Easy rules: the tangents and gradients of a kernel of numbers from its partial derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlir import ir

from .. import errors, types
from . import casts, scalars
from .scope import RETURNED
from .values import TupleValue, Value, constant

if TYPE_CHECKING:
    from ..foreign import Foreign
    from ..kernel import Kernel
    from .emitter import Emitter

#: One partial derivative; None: zero.
Partial = Value | None


class Partials:
    """The partial derivatives of `kernel`, by the function `rule`, emitted in a function of their own."""

    def __init__(
        self, emitter: Emitter, rule: Kernel, kernel: Kernel | Foreign, result_type: types.Type, strong_zero: bool
    ) -> None:
        self.e, self.b = emitter, emitter.b
        self.rule, self.kernel, self.strong_zero = rule, kernel, strong_zero
        self.results: list[Any] = types.leaves(result_type)

    @staticmethod
    def takes_result(rule: Kernel, kernel: Kernel | Foreign) -> bool:
        """Whether the partial derivatives are computed from the result, too."""
        return len(rule.params) == len(kernel.params) + 1

    def value(self, arguments: list[Value]) -> Value:
        """The kernel itself."""
        return self.e.call_function(self.kernel, arguments, {})

    def evaluate(
        self, arguments: list[Value], kept: Value | None, needs_value: bool
    ) -> tuple[Value | None, list[list[Partial]]]:
        """The value, if it is needed (and not `kept`), and the partial derivatives of each result by each argument."""
        asked = self.takes_result(self.rule, self.kernel)
        value = kept
        if value is None and (asked or needs_value):
            value = self.value(arguments)
        returned = self.e.run([*arguments, value] if asked and value is not None else arguments)
        return value, self._matrix(returned)

    def _matrix(self, returned: Value) -> list[list[Partial]]:
        count = len(self.kernel.params)
        rows = [returned]
        if len(self.results) > 1:
            rows = list(returned.elements) if isinstance(returned, TupleValue) else []
            if len(rows) != len(self.results):
                self._wrong(f"a tuple of partial derivatives for each of its {len(self.results)} results", returned)
        found = []
        for row in rows:
            elements = list(row.elements) if isinstance(row, TupleValue) else [row]
            if len(elements) != count:
                self._wrong(f"a partial derivative by each of its {count} arguments", row)
            found.append([self._partial(element) for element in elements])
        return found

    def _partial(self, value: Value) -> Partial:
        if value.type == types.none or (value.known and value.const == 0):
            return None
        if not isinstance(value.type, types.Scalar) or value.type.kind not in "biufc":
            self._wrong("numbers", value)
        return value

    def _wrong(self, expected: str, found: Value) -> None:
        raise errors.DifferentiationError(
            f"the easy rule of {self.kernel.name}, {self.rule.name}, returns {self.e.type_of(found)}; "
            f"expected is {expected}",
            self.e.state.where.get(RETURNED) or self.rule.loc,
        )

    def total(
        self, terms: Sequence[tuple[Partial, ir.Value, types.Type]], wanted: types.Type, conjugate: bool = False
    ) -> ir.Value:
        """The sum of partial derivatives times tangents (or cotangents, with their types) as a number of a type."""
        assert isinstance(wanted, types.Scalar)
        wanted = wanted.strong
        sum_: Value | None = None
        for partial, tangent, type_ in terms:
            if partial is None:
                continue
            given = Value(type_.strong, (tangent,))  # type: ignore[attr-defined]
            if conjugate:
                partial = self._conjugate(partial)
            product = self._guarded(scalars.binary(self.b, "*", partial, given), given)
            sum_ = product if sum_ is None else scalars.binary(self.b, "+", sum_, product)
        if sum_ is None:
            return self.b.number(0, wanted)
        assert isinstance(sum_.type, types.Scalar)
        if sum_.type.kind == "c" and wanted.kind != "c":
            sum_ = self.e.attribute(sum_, "real")  # the gradient by a real argument
        return self.b.ir(casts.convert(self.b, sum_, wanted))

    def _conjugate(self, partial: Value) -> Value:
        if not isinstance(partial.type, types.Scalar) or partial.type.kind != "c":
            return partial
        number = self.b.ir(partial)
        return Value(partial.type, (ir.Operation.create("complex.conj", [number.type], [number]).result,))

    def _guarded(self, product: Value, given: Value) -> Value:
        """With strong zero: zero where what was given is zero, whatever the partial derivative is."""
        if not self.strong_zero:
            return product
        is_zero = self.b.ir(scalars.compare(self.b, "==", given, constant(0)))
        assert isinstance(product.type, types.Scalar)
        operands = [is_zero, self.b.number(0, product.type), self.b.ir(product)]
        return Value(product.type, (ir.Operation.create("arith.select", [operands[1].type], operands).result,))
