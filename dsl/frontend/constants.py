"""Python objects that are known when compiling, as values: literals, and the globals and closure cells of a kernel."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from .. import errors, types
from ..modes import Mode
from ..parallel import Coordinates
from .scope import StructValue
from .values import Builder, TupleValue, Value, constant


def literal(b: Builder, value: Any) -> Value:
    """The value of a Python object; one that has no place in a kernel is refused at the current place."""
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**64:
        raise b.error(f"the integer {value} does not fit 64 bits", "use a float", errors.KernelValueError)
    if isinstance(value, np.generic):
        scalar = types.from_dtype(value.dtype)
        return Value(scalar, const=value.item())
    if type(value) is tuple:
        return TupleValue(tuple(literal(b, v) for v in value))
    if types.is_struct_class(type(value)):
        if types.is_mutable_class(type(value)):
            raise b.error(
                f"an instance of {type(value).__name__} is not a compile-time constant, as it may change",
                "pass it as an argument, or make the class frozen",
                errors.ClosureConstantError,
            )
        return StructValue(type(value), tuple(literal(b, getattr(value, f)) for f in types.field_names(type(value))))
    if isinstance(value, (ModuleType, type, np.dtype, types.Scalar, Mode, Coordinates)) or callable(value):
        return Value(types.Literal(value), const=value)
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        return constant(value)
    raise b.error(
        f"a {type(value).__name__} from outside the kernel is not a compile-time constant",
        "pass it as an argument",
        errors.ClosureConstantError,
    )
