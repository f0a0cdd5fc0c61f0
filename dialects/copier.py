"""Copying structured MLIR op by op with a map from old values to new ones: what every emitter here is built on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlir.ir import Block, FlatSymbolRefAttr, InsertionPoint, Location, Operation, Type, Value

from .builder import Builder, operations, walk


class Copier:
    """Copies blocks; a subclass adds a method `copy_<dialect>_<op>` for each op that it treats in a way of its
    own.
    """

    def __init__(self, builder: Builder):
        self.b = builder
        self.map: dict[Value, Value] = {}
        self._methods: dict[str, Callable[[Operation], Any]] = {}

    def value(self, old: Value) -> Value:
        return self.map[old]

    def values(self, olds: Sequence[Value]) -> list[Value]:
        return [self.value(old) for old in olds]

    def block(self, old: Block, into: Block | None = None) -> None:
        """Copy all ops but the terminator, at the current insertion point or at the end of `into`."""
        if into is not None:
            with self.b.at(into):
                self.block(old)
            return
        for op in operations(old)[:-1]:
            self.operation(op)

    def operation(self, op: Operation) -> Any:
        """Copy one op; returns the copy, where there is just one."""
        method = self._methods.get(op.name)
        if method is None:
            method = getattr(self, "copy_" + op.name.replace(".", "_"), self.copy)
            self._methods[op.name] = method
        saved = self.b.loc
        self.b.loc = op.location
        made = method(op)
        self.b.loc = saved
        return made

    def copy(self, op: Operation) -> Operation:
        """The op itself with mapped operands, regions copied through."""
        new = self.b.op(
            op.name, self.values(op.operands), [r.type for r in op.results], attributes_of(op), regions=len(op.regions)
        )
        self.map.update(zip(op.results, new.results, strict=True))
        for old_region, new_region in zip(op.regions, new.regions, strict=True):
            for old in old_region.blocks:
                types = [a.type for a in old.arguments]
                block = new_region.blocks.append(*types, arg_locs=[a.location for a in old.arguments])
                self.map.update(zip(old.arguments, block.arguments, strict=True))
                with self.b.at(block):
                    for inner in operations(old):
                        self.operation(inner)
        return new



class Within(Copier):
    """Copies within a function: what is not mapped is used as it is."""

    def value(self, old: Value) -> Value:
        return self.map.get(old, old)


def inline_calls(function: Operation, bodies: dict[str, Operation]) -> None:
    """Put the bodies (of one block) of called functions in place of their calls, and so on in what that brings."""
    todo = [op for op in walk(function) if op.name == "func.call"]
    while todo:
        call = todo.pop()
        callee = bodies.get(FlatSymbolRefAttr(call.attributes["callee"]).value)
        blocks = list(callee.regions[0].blocks) if callee is not None else []
        if len(blocks) != 1:
            continue
        copier = Copier(Builder(InsertionPoint(call), call.location))
        copier.map.update(zip(blocks[0].arguments, call.operands, strict=True))
        before = set(operations(call.block))
        copier.block(blocks[0])
        for old, new in zip(call.results, operations(blocks[0])[-1].operands, strict=True):
            old.replace_all_uses_with(copier.value(new))
        made = [op for op in operations(call.block) if op not in before]
        todo += [inner for op in made for inner in walk(op) if inner.name == "func.call"]
        call.erase()


def attributes_of(op: Operation) -> dict[str, Any]:
    return {name: op.attributes[name] for name in op.attributes}


def add_block(region: Any, types: Sequence[Type], loc: Location) -> Block:
    return region.blocks.append(*types, arg_locs=[loc] * len(types))


def pick(values: list[Value], keep: Sequence[int]) -> list[Value]:
    return [values[i] for i in keep]
