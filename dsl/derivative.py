"""A request for a derivative as MLIR: a declaration, which the passes give a body, and the entry that calls it.

The entry's arguments are the leaves of the kernel's arguments, each with its shadow behind it, then the seeds of
fields that the kernel overwrites, then the error cell. The seed of an active result is the constant 1, where LLVM
sees it.
"""

from __future__ import annotations

from mlir import ir

from . import types
from .request import Leaf, Request, is_continuous

ENTRY = "derivative"


def add(
    module: ir.Module,
    callee: str,
    request: Request,
    result: types.Type,
    returns: str,
    writebacks: tuple[int, ...],
    error: bool,
    primal: bool,
) -> str:
    """Add declaration and entry for a derivative of @callee to `module`; returns the entry's name."""
    assert request.mode is not None
    leaves = request.leaves()
    function = _function(module, callee)
    with module.context, ir.Location.unknown(), ir.InsertionPoint(module.body):
        inputs, outputs = _types(function)
        activities = [leaf.activity for leaf in leaves] + ["const"] * error
        result_activities = [returns if is_continuous(leaf) else "const" for leaf in types.leaves(result)]
        result_activities += [_overwritten(request, leaves[index]) for index in writebacks]
        reverse = request.mode.reverse

        given: list[ir.Type] = []  # what the derivative takes
        mine: list[int | None] = []  # where the entry has it; None for a seed of 1
        count = 0
        for type_, kind in zip(inputs[: len(leaves)], activities, strict=False):
            for _ in range(2 if kind.startswith("duplicated") else 1):
                given.append(type_)
                mine.append(count)
                count += 1
        seed_types = [t for t, kind in zip(outputs, result_activities, strict=True) if reverse and kind == "active"]
        own = len(seed_types) - sum(kind == "active" for kind in result_activities[len(outputs) - len(writebacks) :])
        seeds: list[int | None] = [None] * own + list(range(count, count + len(seed_types) - own))
        count += len(seed_types) - own
        entry_types = given + seed_types[own:]
        if error:
            given.append(inputs[-1])
            mine.append(count)
            entry_types.append(inputs[-1])
        given += seed_types
        mine += seeds

        results = list(outputs) if primal else []
        if reverse:
            results += [t for t, kind in zip(inputs, activities, strict=True) if kind == "active"]
        else:
            results += [t for t, kind in zip(outputs, result_activities, strict=True) if kind == "duplicated"]

        attributes = {
            f"autodiff.{request.mode.kind}": ir.FlatSymbolRefAttr.get(callee),
            "autodiff.activity": _strings(activities),
            "autodiff.returns": _strings(result_activities),
        }
        for name, on in (("primal", primal), ("strong_zero", request.mode.strong_zero)):
            if on:
                attributes[f"autodiff.{name}"] = ir.UnitAttr.get()
        name = _fresh(module, f"{callee}.{request.mode.kind}")
        _declare(name, given, results, "private", attributes)
        entry = _fresh(module, ENTRY)
        block = (
            _declare(entry, entry_types, results, "public", {})
            .regions[0]
            .blocks.append(*entry_types, arg_locs=[ir.Location.unknown()] * len(entry_types))
        )
        with ir.InsertionPoint(block):
            operands = [
                block.arguments[at] if at is not None else _one(type_) for type_, at in zip(given, mine, strict=True)
            ]
            call = ir.Operation.create("func.call", results, operands, {"callee": ir.FlatSymbolRefAttr.get(name)})
            ir.Operation.create("func.return", [], list(call.results))
    return entry


def _overwritten(request: Request, leaf: Leaf) -> str:
    """The activity of a result that is the new value of an argument's field: as that of the field itself."""
    assert request.mode is not None
    if request.mode.reverse:
        return "active" if leaf.activity == "active" else "const"
    return "duplicated" if leaf.shadowed else "const"


def _one(type_: ir.Type) -> ir.Value:
    return ir.Operation.create("arith.constant", [type_], attributes={"value": ir.FloatAttr.get(type_, 1.0)}).result


def _declare(
    name: str, inputs: list[ir.Type], results: list[ir.Type], visibility: str, attributes: dict[str, ir.Attribute]
) -> ir.Operation:
    own = {
        "sym_name": ir.StringAttr.get(name),
        "function_type": ir.TypeAttr.get(ir.FunctionType.get(inputs, results)),
        "sym_visibility": ir.StringAttr.get(visibility),
    }
    return ir.Operation.create("func.func", attributes=own | attributes, regions=1)


def _strings(items: list[str]) -> ir.Attribute:
    return ir.ArrayAttr.get([ir.StringAttr.get(item) for item in items])


def _functions(module: ir.Module) -> dict[str, ir.Operation]:
    return {
        ir.StringAttr(op.attributes["sym_name"]).value: op.operation
        for op in module.body.operations
        if op.operation.name == "func.func"
    }


def _function(module: ir.Module, name: str) -> ir.Operation:
    return _functions(module)[name]


def _types(function: ir.Operation) -> tuple[list[ir.Type], list[ir.Type]]:
    type_ = ir.FunctionType(ir.TypeAttr(function.attributes["function_type"]).value)
    return list(type_.inputs), list(type_.results)


def _fresh(module: ir.Module, name: str) -> str:
    taken = _functions(module)
    while name in taken:
        name += "_"
    return name


def only_entry(module: ir.Module, entry: str) -> None:
    """Drop the functions that @entry does not need."""
    from mlir.passmanager import PassManager

    with module.context:
        for name, function in _functions(module).items():
            if name != entry:
                function.attributes["sym_visibility"] = ir.StringAttr.get("private")
        PassManager.parse("builtin.module(symbol-dce)").run(module.operation)


def drop_stops(module: ir.Module) -> bool:
    """Put the value itself in the place of each `ignore_derivatives`, where no derivative is asked for; whether there
    was one.
    """
    stops: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "autodiff.stop":
            stops.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in stops:
        op.results[0].replace_all_uses_with(op.operands[0])
        op.erase()
    return bool(stops)
