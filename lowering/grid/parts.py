"""What the function of a launch or parallel loop is handed from outside, and how it is called."""

from __future__ import annotations

from typing import NamedTuple

from mlir.ir import (
    ArrayAttr,
    BlockArgument,
    DictAttr,
    FlatSymbolRefAttr,
    InsertionPoint,
    MemRefType,
    Module,
    Operation,
    StringAttr,
    Type,
    UnitAttr,
    Value,
)

from ..rewriting import functions, symbol_name
from .emit import Emitter, attributes_of, plain, walk
from .order import VIEWS
from .pool import DISPATCH


class Part(NamedTuple):
    """A function that was made: its name, and for each argument its type and whether it is an array that no other
    argument overlaps (given that the arrays of the function it was made in don't).
    """

    name: str
    arguments: list[tuple[Type | None, bool]]


def distinct(name: str, given: list[Value], leading: int) -> Part:
    """The part called `name`, which takes `leading` numbers and then the values `given`."""
    roots = {value: _root(value) for value in given if isinstance(value.type, MemRefType)}
    alone = all(map(_is_own, roots.values())) and len(set(roots.values())) == len(roots)
    return Part(name, [(None, False)] * leading + [(v.type, alone and v in roots) for v in given])


def mark_distinct(module: Module, parts: list[Part]) -> None:
    """In a module of the llvm dialect: say of the functions' arrays that they do not overlap."""
    wanted = {part.name: part for part in parts if any(alone for _, alone in part.arguments)}
    nothing, marked = DictAttr.get({}), DictAttr.get({"llvm.noalias": UnitAttr.get()})
    for op in functions(module) if wanted else ():
        part = wanted.get(symbol_name(op))
        if part is not None:
            attributes: list[DictAttr] = []
            for type_, alone in part.arguments:
                words = 3 + 2 * MemRefType(type_).rank if isinstance(type_, MemRefType) else 1
                attributes += [marked if alone and word == 1 else nothing for word in range(words)]
            op.attributes["arg_attrs"] = ArrayAttr.get(attributes)


def distinct_from_others(array: Value, arrays: list[Value]) -> bool:
    """Whether an array overlaps none of the others in `arrays` (given that the entry function's arguments don't)."""
    roots = [_root(other) for other in arrays if other != array]
    return _root(array) not in roots and all(map(_is_own, [_root(array), *roots]))


def same_memory(a: Value, b: Value) -> bool:
    """Whether two memrefs are views of one."""
    return _root(a) == _root(b)


def _root(memref: Value) -> Value:
    """The array that a memref is a view of."""
    while not isinstance(memref, BlockArgument) and plain(memref.owner).name in VIEWS:
        memref = plain(memref.owner).operands[0]
    return memref


def _is_own(root: Value) -> bool:
    """Whether no other name of that memory is known: an allocation, or an argument of a function that is entered from
    outside, or is handed only such arrays, each once.
    """
    if not isinstance(root, BlockArgument):
        return plain(root.owner).name in ("memref.alloc", "memref.alloca")
    function = plain(root.owner.owner)
    return function.name == "func.func" and (
        StringAttr(function.attributes["sym_visibility"]).value == "public" or _called_with_distinct(function)
    )


def _called_with_distinct(function: Operation) -> bool:
    name = FlatSymbolRefAttr.get(symbol_name(function))
    for op in walk(plain(function.parent)):
        if op.name == "func.call" and op.attributes["callee"] == name:
            roots = [_root(v) for v in op.operands if isinstance(v.type, MemRefType)]
            if len(set(roots)) < len(roots) or not all(map(_is_own, roots)):
                return False
    return True


def call(module: Module, e: Emitter, number: int, first: list[Value], given: list[Value]) -> None:
    """Call the pool; what it is called by is declared."""
    name = DISPATCH.format(number)
    operands = [*first, *given]
    if not any(symbol_name(op) == name for op in functions(module)):
        with e.at(InsertionPoint(module.body)):
            e.function(name, [v.type for v in operands], body=False)
    e.call(name, operands)


def outside(values: list[Value]) -> tuple[list[Value], list[Value]]:
    """The values, each once: those to hand over, and constants, which are made again."""
    unique = list(dict.fromkeys(values))
    fixed = [v for v in unique if not hasattr(v, "arg_number") and plain(v.owner).name == "arith.constant"]
    return [v for v in unique if v not in fixed], fixed


def copies(e: Emitter, constants: list[Value]) -> dict[Value, Value]:
    return {v: e.value("arith.constant", [], v.type, attributes_of(plain(v.owner))) for v in constants}
