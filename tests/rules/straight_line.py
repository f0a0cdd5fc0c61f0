"""A small differentiator of straight-line functions, by the rules alone: the engine's job on the simplest of programs.

Takes a function of a module by its symbol; leaves another function in the module. What it leaves is straight-line
again, so it can be applied to its own output: that is how second derivatives are tested.
"""

from __future__ import annotations

from collections.abc import Callable

from mlir import ir

from dialects.rules import inactive, lookup
from dialects.rules.emission import constant


def function(module: ir.Module, name: str) -> ir.Operation:
    return next(op for op in module.body if op.attributes["sym_name"].value == name)


def _copy(module: ir.Module, name: str, new_name: str) -> tuple[ir.Operation, list[ir.Operation], ir.Operation]:
    copy = function(module, name).operation.clone()
    copy.attributes["sym_name"] = ir.StringAttr.get(new_name)
    module.body.append(copy)
    *body, end = list(copy.regions[0].blocks[0])
    return copy, [op.operation for op in body], end


def _finish(copy: ir.Operation, end: ir.Operation, results: list[ir.Value]) -> None:
    arguments = [a.type for a in copy.regions[0].blocks[0].arguments]
    copy.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(arguments, [r.type for r in results]))
    with ir.InsertionPoint(end):
        ir.Operation.create("func.return", operands=results, loc=end.location)
    end.operation.erase()


def _leaf(op: ir.Operation) -> Callable[[str, int], ir.Value]:
    return lambda kind, i: (op.operands if kind == "x" else op.results)[i]


def forward(
    module: ir.Module,
    name: str,
    new_name: str,
    operand: int,
    *,
    seed: Callable[[ir.Type], ir.Value] | None = None,
    strong_zero: bool = False,
) -> None:
    """Leave @new_name, the derivative of the results of @name by one of its arguments."""
    copy, body, end = _copy(module, name, new_name)
    loc = copy.location
    argument = copy.regions[0].blocks[0].arguments[operand]
    with ir.InsertionPoint(end):
        one = (seed or (lambda type: constant(1.0, type, loc)))(argument.type)
        tangents: dict[ir.Value, ir.Value] = {argument: one}
        for op in body:
            given = [tangents.get(v) for v in op.operands]
            if inactive(op) or all(t is None for t in given):
                continue
            rule = lookup(op)
            assert rule is not None, f"no rule for {op.name}, which a rule emitted or a test uses"
            found = rule.forward(_leaf(op), given, [r.type for r in op.results], loc, strong_zero)
            tangents.update({r: t for r, t in zip(op.results, found) if t is not None})
        zero = [constant(0.0, r.type, loc) for r in end.operands]
        results = [tangents.get(r, z) for r, z in zip(end.operands, zero)]
    _finish(copy, end, results)


def reverse(
    module: ir.Module,
    name: str,
    new_name: str,
    *,
    seed: Callable[[ir.Type], ir.Value] | None = None,
    strong_zero: bool = False,
) -> None:
    """Leave @new_name, the gradient of the (first) result of @name by all float arguments."""
    copy, body, end = _copy(module, name, new_name)
    loc = copy.location
    with ir.InsertionPoint(end):
        result = end.operands[0]
        cotangents = {result: (seed or (lambda type: constant(1.0, type, loc)))(result.type)}
        for op in reversed(body):
            given = [cotangents.get(r) for r in op.results]
            if inactive(op) or all(t is None for t in given):
                continue
            rule = lookup(op)
            assert rule is not None, f"no rule for {op.name}, which a rule emitted or a test uses"
            types = [v.type for v in op.operands]
            wanted = [_is_float(type) for type in types]
            for v, t in zip(op.operands, rule.reverse(_leaf(op), given, types, wanted, loc, strong_zero)):
                if t is not None:
                    cotangents[v] = _add(cotangents[v], t, loc) if v in cotangents else t
        arguments = [a for a in copy.regions[0].blocks[0].arguments if _is_float(a.type)]
        results = [cotangents[a] if a in cotangents else constant(0.0, a.type, loc) for a in arguments]
    _finish(copy, end, results)


def _is_float(type: ir.Type) -> bool:
    part = type.element_type if isinstance(type, (ir.VectorType, ir.ComplexType)) else type
    return isinstance(part, ir.FloatType)


def _add(a: ir.Value, b: ir.Value, loc: ir.Location) -> ir.Value:
    name = "complex.add" if isinstance(a.type, ir.ComplexType) else "arith.addf"
    return ir.Operation.create(name, results=[a.type], operands=[a, b], loc=loc).results[0]
