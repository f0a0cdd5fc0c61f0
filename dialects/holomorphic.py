"""The derivative by complex numbers, d/dz, of holomorphic functions in reverse mode.

Reverse mode takes a complex number as the pair of its parts: the cotangent of z is dL/dx + i dL/dy for a real L. With
L = Re f that is conj(df/dz) where f is holomorphic (the Cauchy-Riemann equations), and each rule's reverse is
conj(partial) times cotangent. So what is asked for is the conjugate on both sides: of the seeds, and of the gradients.
Shadows, into which gradients are added and from which seeds are taken, are conjugated in place before the reverse
sweep and again behind it.

Where f is not holomorphic there is no one derivative, and what reverse mode gives is another thing. So an op that is
not (abs, conj, the parts, making a complex number of two) is refused on the way.
"""

from __future__ import annotations

from mlir.ir import ComplexType, MemRefType, Operation, Type, Value, VectorType

from . import rules
from .activity import Activity
from .builder import Builder, is_memref, walk
from .errors import refuse
from .lanes import joined, lane


def refuse_others(activity: Activity) -> None:
    """Raise for the first op through which the derivative goes that has no derivative by a complex number."""
    for op in walk(activity.function):
        if op.name.startswith("complex.") and any(activity.value(r) for r in op.results) and not _is_holomorphic(op):
            raise refuse(
                op,
                f"{op.name} has no derivative by a complex number: it is not holomorphic",
                "take the derivatives along 1 and 1j in forward mode, or those of a real result by real numbers in "
                "reverse mode",
            )


def _is_holomorphic(op: Operation) -> bool:
    rule = rules.lookup(op)
    return rule is None or rule.holomorphic


def is_complex(type_: Type) -> bool:
    """Complex numbers, vectors of them, and memory that holds them."""
    if isinstance(type_, (MemRefType, VectorType)):
        return is_complex(type_.element_type)
    return isinstance(type_, ComplexType)


def conjugate(b: Builder, value: Value, primal: Type) -> Value:
    """The conjugate of a cotangent of a value of type `primal`; memory is changed in place. Of what is not complex,
    that itself.
    """
    if not is_complex(primal):
        return value
    if not is_memref(primal):
        width = 1 if value.type == primal else value.type.shape[0]
        return joined(b, [b.value("complex.conj", [lane(b, value, k, primal)], primal) for k in range(width)])
    element = MemRefType(primal).element_type

    def turn(indices: list[Value]) -> None:
        b.store(conjugate(b, b.load(value, indices), element), value, indices)

    b.for_each(value, turn)
    return value
