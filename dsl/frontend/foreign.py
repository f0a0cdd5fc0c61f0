"""Calls of foreign functions (`dsl.extern`): arguments as the signature says, and C's way of passing them."""

from __future__ import annotations

from collections.abc import Sequence

from mlir import ir
from mlir.dialects import arith

from .. import errors, types
from ..foreign import Foreign
from ..signature import Parameter, spelled
from . import casts
from .memory import as_index, sizes_of
from .scalars import describe
from .values import Builder, Value, constant


def call(b: Builder, function: Foreign, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
    """A call of a C function."""
    if function.kind == "host":
        return _call_host(b, function, args, kwargs)
    signature = function.signature
    given = arguments(b, function, args, kwargs)
    operands = [_passed(b, p, v) for p, v in zip(signature.parameters, given)]
    result = signature.result
    results = [b.storage(result)] if isinstance(result, types.Scalar) else []
    readonly = [k for k, p in enumerate(signature.parameters) if p.readonly]
    arrays = any(isinstance(p.type, types.ArrayType) for p in signature.parameters)
    marks = ["llvm.bareptr"] if arrays else []
    b.declare(function.symbol, [o.type for o in operands], results, readonly, marks)
    callee = {"callee": ir.FlatSymbolRefAttr.get(function.symbol)}
    found = ir.Operation.create("func.call", results, operands, callee).results
    if not isinstance(result, types.Scalar):
        return constant(None)
    if result.kind == "b":
        return Value(result, (_is_true(b, found[0], result),))
    return Value(result, (found[0],))


def _call_host(b: Builder, function: Foreign, args: Sequence[Value], kwargs: dict[str, Value]) -> Value:
    """A call back into Python, which takes the sizes of arrays too; what it raises, the kernel raises."""
    operands: list[ir.Value] = []
    readonly: list[int] = []
    for parameter, value in zip(function.signature.parameters, arguments(b, function, args, kwargs)):
        if parameter.readonly:
            readonly.append(len(operands))
        operands.append(_passed(b, parameter, value))
        if isinstance(value.type, types.ArrayType):
            sizes = [as_index(b, size) for size in sizes_of(b, value)]
            operands += [arith.index_cast(b.shared.type("i64"), size) for size in sizes]
    b.declare(function.symbol, [o.type for o in operands], [b.shared.type("i64")], readonly, ["llvm.bareptr"])
    callee = {"callee": ir.FlatSymbolRefAttr.get(function.symbol)}
    status = ir.Operation.create("func.call", [b.shared.type("i64")], operands, callee).result
    b.check(arith.cmpi(arith.CmpIPredicate.eq, status, b.i64(0)), errors.CALLBACK, "")
    return constant(None)


def arguments(b: Builder, function: Foreign, args: Sequence[Value], kwargs: dict[str, Value]) -> list[Value]:
    """The arguments of a call in the types that the signature says."""
    signature = function.signature
    if kwargs:
        raise b.error(f"{function.name}() takes its arguments by position", f"its signature is {signature}")
    if len(args) != len(signature.parameters):
        raise b.error(
            f"{function.name}() takes {len(signature.parameters)} arguments, {len(args)} given",
            f"its signature is {signature}",
        )
    return [argument(b, function, k, p, a) for k, (p, a) in enumerate(zip(signature.parameters, args))]


def argument(b: Builder, function: Foreign, index: int, parameter: Parameter, value: Value) -> Value:
    """An argument in the type that the signature says."""
    type_ = parameter.type
    value = value.force(b)
    found = describe(value.type)
    if isinstance(type_, types.ArrayType):
        if not isinstance(value.type, types.ArrayType):
            raise b.error(f"argument {index} of {function.name}() is {found}, expected is {spelled(type_)}")
        if value.type.dtype is not type_.dtype or value.type.ndim != type_.ndim:
            raise b.error(f"argument {index} of {function.name}() is {value.type}, expected is {spelled(type_)}")
        if not value.type.contiguous:
            raise b.error(
                f"argument {index} of {function.name}() is a view whose elements may not lie in order",
                "copy it first: .copy()",
            )
        return value
    if not isinstance(value.type, types.Scalar) or not _fits(value.type, type_):
        raise b.error(
            f"argument {index} of {function.name}() is {found}, expected is {type_}", f"convert it: dsl.{type_}(...)"
        )
    return casts.convert(b, value, type_)


def _fits(given: types.Scalar, wanted: types.Scalar) -> bool:
    """Whether a number becomes another type's without being asked: up to a float, and not out of it."""
    if given.weak:
        return given.kind == "i" or given.kind == wanted.kind
    return types.promote(given, wanted) is wanted


def _passed(b: Builder, parameter: Parameter, value: Value) -> ir.Value:
    """What C's conventions pass: an integer that is shorter than an int is extended to one by the caller."""
    operand, type_ = b.ir(value), parameter.type
    if isinstance(type_, types.Scalar) and type_.kind in "biu" and type_.bits < 32:
        name = "arith.extsi" if type_.kind == "i" else "arith.extui"
        return ir.Operation.create(name, [b.shared.type("i32")], [operand]).result
    return operand


def _is_true(b: Builder, byte: ir.Value, type_: types.Scalar) -> ir.Value:
    return arith.cmpi(arith.CmpIPredicate.ne, byte, arith.constant(b.storage(type_), 0))
