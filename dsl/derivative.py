"""A request for a derivative as MLIR: a declaration, which the passes give a body, and the entry that calls it.

The entry's arguments are the leaves of the kernel's arguments, each with its shadow behind it, then the seeds of
fields that the kernel overwrites, then the error cell. The seed of an active result is the constant 1, where LLVM
sees it.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlir import ir

from dialects.builder import Builder
from dialects.lanes import joined, lane, wide

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
    overlap: bool = False,
) -> str:
    """Add declaration and entry for a derivative of @callee to `module`; returns the entry's name.

    In split mode there is no entry yet: returns the declaration's name.
    """
    assert request.mode is not None
    leaves = request.leaves()
    function = _function(module, callee)
    with module.context, ir.Location.unknown(), ir.InsertionPoint(module.body):
        inputs, outputs = _types(function)
        activities = [leaf.activity for leaf in leaves] + ["const"] * error
        result_activities = [returns if is_continuous(leaf) else "const" for leaf in types.leaves(result)]
        result_activities += [_overwritten(request, leaves[index]) for index in writebacks]
        reverse = request.mode.reverse

        width = request.width
        given: list[tuple[ir.Type, int]] = []  # what the derivative takes: types, each with its number of lanes
        for type_, kind in zip(inputs[: len(leaves)], activities, strict=False):
            given.append((type_, 1))
            if kind.startswith("duplicated"):
                given += _tangents(type_, width)
        own = len(outputs) - len(writebacks)
        kinds = list(zip(outputs, result_activities, strict=True))
        ones = [one for t, kind in kinds[:own] if reverse and kind != "const" for one in _tangents(t, width)]
        passed = [(t, width) for t, kind in kinds[own:] if reverse and kind == "active"]
        cell = [(inputs[-1], 1)] if error else []

        results: list[tuple[ir.Type, int]] = [(t, 1) for t in outputs] if primal else []
        differentiated, wanted = (inputs, activities) if reverse else (outputs, result_activities)
        for type_, kind in zip(differentiated, wanted, strict=True):
            if kind == ("active" if reverse else "duplicated"):
                results += _tangents(type_, width)

        attributes = {
            f"autodiff.{request.mode.kind}": ir.FlatSymbolRefAttr.get(callee),
            "autodiff.activity": _strings(activities),
            "autodiff.returns": _strings(result_activities),
        }
        flags = {"primal": primal, "strong_zero": request.mode.strong_zero, "holomorphic": request.mode.holomorphic}
        for name, on in flags.items():
            if on:
                attributes[f"autodiff.{name}"] = ir.UnitAttr.get()
        if width > 1:
            attributes["autodiff.width"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), width)
        if overlap:
            attributes["autodiff.overlap"] = ir.UnitAttr.get()
        if request.mode.split:
            attributes |= {"autodiff.split": ir.UnitAttr.get(), "autodiff.public": ir.UnitAttr.get()}
            changeable = request.overwritten()
            if changeable is not None:
                attributes["autodiff.overwritten"] = ir.DenseI64ArrayAttr.get(changeable)
        name = _fresh(module, f"{callee}.{request.mode.kind}")
        given_types = [wide(t, n) for t, n in given + cell + ones + passed]
        result_types = [wide(t, n) for t, n in results]
        _declare(name, given_types, result_types, "private", attributes)
        if request.mode.split:
            return name  # of it become two functions, see dsl.halves
        entry = _fresh(module, ENTRY)
        entry_types = [t for t, n in given + passed + cell for _ in range(n)]
        block = (
            _declare(entry, entry_types, [t for t, n in results for _ in range(n)], "public", {})
            .regions[0]
            .blocks.append(*entry_types, arg_locs=[ir.Location.unknown()] * len(entry_types))
        )
        with ir.InsertionPoint(block):
            arguments = iter(block.arguments)
            operands = [_joined(arguments, n) for _, n in given]
            moved = [_joined(arguments, n) for _, n in passed]
            operands += [*arguments, *(joined(builder(), [one_of(t)] * n) for t, n in ones), *moved]
            call = ir.Operation.create("func.call", result_types, operands, {"callee": ir.FlatSymbolRefAttr.get(name)})
            returned = [v for value, (t, n) in zip(call.results, results) for v in _apart(value, n, t)]
            ir.Operation.create("func.return", [], returned)
    return entry


def _tangents(type_: ir.Type, width: int) -> list[tuple[ir.Type, int]]:
    """The tangents of a value as the engine has them: several shadows of an array, one vector for a scalar."""
    return [(type_, 1)] * width if isinstance(type_, ir.MemRefType) else [(type_, width)]


def builder() -> Builder:
    """The engine's hand on MLIR, at the present insertion point."""
    return Builder(ir.InsertionPoint.current, ir.Location.current)


def _joined(arguments: Iterator[ir.Value], lanes: int) -> ir.Value:
    """The next arguments as one value: the entry takes tangents in several directions one by one."""
    return joined(builder(), [next(arguments) for _ in range(lanes)])


def _apart(value: ir.Value, lanes: int, type_: ir.Type) -> list[ir.Value]:
    """The lanes of a result, the tangent of a value of this type."""
    return [lane(builder(), value, k, type_) for k in range(lanes)]


def asks(module: ir.Module) -> bool:
    """Whether there is a request for a derivative in `module`."""
    return any("autodiff.activity" in op.attributes for op in module.body.operations)


def _overwritten(request: Request, leaf: Leaf) -> str:
    """The activity of a result that is the new value of an argument's field: as that of the field itself."""
    assert request.mode is not None
    if request.mode.reverse:
        return "active" if leaf.activity == "active" else "const"
    return "duplicated" if leaf.shadowed else "const"


def one_of(type_: ir.Type) -> ir.Value:
    """The number 1 of a float or complex type."""
    if isinstance(type_, ir.ComplexType):
        parts = [ir.FloatAttr.get(type_.element_type, x) for x in (1.0, 0.0)]
        attributes = {"value": ir.ArrayAttr.get(parts)}
        return ir.Operation.create("complex.constant", [type_], attributes=attributes).result
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


def drop_stops(module: ir.Module) -> bool:
    """Put the value itself in the place of each `ignore_derivatives`, and False in that of each `within_autodiff`,
    where no derivative is asked for, and drop the marks of checkpointed loops; whether there was one.
    """
    stops: list[ir.Operation] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name in ("autodiff.stop", "autodiff.checkpoint"):
            stops.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in stops:
        if op.name == "autodiff.stop":
            op.results[0].replace_all_uses_with(op.operands[0])
        op.erase()
    from dialects.within import settle

    settled = [settle(function, inside=False) for function in _functions(module).values()]
    return bool(stops) or any(settled)
