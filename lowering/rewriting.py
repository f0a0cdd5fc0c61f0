"""What the rules that rewrite operations are written with: a builder, and questions about types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlir.ir import (
    Attribute,
    FlatSymbolRefAttr,
    FloatAttr,
    FunctionType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Location,
    Module,
    Operation,
    StringAttr,
    Type,
    TypeAttr,
    Value,
    VectorType,
    WalkOrder,
    WalkResult,
)

# Predicates of arith.cmpi and arith.cmpf by name.
_INT = {"eq": 0, "ne": 1, "slt": 2, "sle": 3, "sgt": 4, "sge": 5, "ult": 6, "ule": 7, "ugt": 8, "uge": 9}
_FLOAT = {"oeq": 1, "ogt": 2, "oge": 3, "olt": 4, "ole": 5, "one": 6, "ord": 7, "uno": 14}


def functions(module: Module) -> list[Operation]:
    """The functions of a module, of any dialect.

    (Iterating over the module's block gives the same, but imports the Python classes of the dialects for it, which for
    the llvm dialect takes longer than all the rest of a small kernel's lowering.)
    """
    found: list[Operation] = []

    def visit(op: Operation) -> WalkResult:
        if op.name in ("func.func", "llvm.func"):
            found.append(op)
            return WalkResult.SKIP
        return WalkResult.ADVANCE

    module.operation.walk(visit, WalkOrder.PRE_ORDER)
    return found


def symbol_name(op: Operation) -> str:
    """The name of a function."""
    return StringAttr(op.attributes["sym_name"]).value


class Builder:
    """Emits operations before one that is being replaced, at its location."""

    def __init__(self, op: Operation, functions: dict[str, Operation], body: Any):
        self.ip, self.loc = InsertionPoint(op), op.location
        self.functions, self.body = functions, body

    def op(self, name: str, type: Type, *operands: Value, **attributes: Attribute) -> Value:
        created = Operation.create(
            name, results=[type], operands=list(operands), attributes=attributes, loc=self.loc, ip=self.ip
        )
        return created.results[0]

    def effect(self, name: str, *operands: Value) -> None:
        """An operation without results."""
        Operation.create(name, results=[], operands=list(operands), loc=self.loc, ip=self.ip)

    def same(self, name: str, *operands: Value) -> Value:
        """An operation whose result has the type of its first operand."""
        return self.op(name, operands[0].type, *operands)

    def constant(self, type: Type, value: float) -> Value:
        """A number, of an integer, index or float type or a vector of them."""
        element = VectorType(type).element_type if isinstance(type, VectorType) else type
        text = f"{int(value)}" if is_integer(element) else _float_text(value, element, self.loc)
        text = f"dense<{text}> : {type}" if element != type else f"{text} : {type}"
        return self.op("arith.constant", type, value=Attribute.parse(text))

    def compare(self, predicate: str, a: Value, b: Value) -> Value:
        integers = is_integer(element_of(a.type))
        table, name = (_INT, "arith.cmpi") if integers else (_FLOAT, "arith.cmpf")
        code = IntegerAttr.get(IntegerType.get_signless(64), table[predicate])
        return self.op(name, with_element(a.type, IntegerType.get_signless(1)), a, b, predicate=code)

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        return self.op("arith.select", yes.type, condition, yes, no)

    def call(self, function: str, type: Type, *operands: Value) -> Value:
        """A call of a C function, declared on its first use."""
        if function not in self.functions:
            signature = FunctionType.get([operand.type for operand in operands], [type])
            attributes = {
                "sym_name": StringAttr.get(function),
                "function_type": TypeAttr.get(signature),
                "sym_visibility": StringAttr.get("private"),
            }
            self.functions[function] = Operation.create(
                "func.func", attributes=attributes, regions=1, loc=Location.unknown(), ip=InsertionPoint(self.body)
            )
        return self.op("func.call", type, *operands, callee=FlatSymbolRefAttr.get(function))


# Emits what replaces an operation and returns the new results; None leaves the operation as it is.
Rule = Callable[[Builder, Operation], "Sequence[Value] | None"]


def is_integer(type: Type) -> bool:
    return str(type) == "index" or isinstance(type, IntegerType)


def element_of(type: Type) -> Type:
    return VectorType(type).element_type if isinstance(type, VectorType) else type


def with_element(type: Type, element: Type) -> Type:
    """The vector type of the same shape with another element, or that element for a scalar."""
    return VectorType.get(VectorType(type).shape, element) if isinstance(type, VectorType) else element


def _float_text(value: float, type: Type, loc: Location) -> str:
    return str(FloatAttr.get(type, value, loc)).split(" : ")[0]
