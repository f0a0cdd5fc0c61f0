"""Which array arguments of a function may be written, by its MLIR. What is not surely a reader counts as a writer.

Flow-insensitive: values of memref type that may be the same memory form classes (views of one another, carried
around a loop, yielded, stored into memory and loaded from it), and a class is written if one of its members is.
"""

from __future__ import annotations

from typing import Any

from mlir import ir

# Ops whose memref results are other names of their memref operands, and which write nothing.
_VIEWS = frozenset(
    f"memref.{name}"
    for name in [
        "subview",
        "cast",
        "reinterpret_cast",
        "expand_shape",
        "collapse_shape",
        "reshape",
        "transpose",
        "view",
        "memory_space_cast",
        "assume_alignment",
        "distinct_objects",
        "load",
    ]
) | {"arith.select"}
#: Operations on numbers, whose names begin so: most of all.
_NUMBERS = ("math.", "complex.", "arith.add", "arith.sub", "arith.mul", "arith.div", "arith.c", "arith.ext")
_READERS = frozenset(
    f"memref.{name}"
    for name in [
        "load",
        "dim",
        "rank",
        "extract_strided_metadata",
        "extract_aligned_pointer_as_index",
        "prefetch",
        "dealloc",
    ]
) | {"vector.load", "vector.transfer_read", "func.return"}
_STRUCTURED = frozenset({"scf.for", "scf.while", "scf.if", "scf.index_switch", "scf.execute_region", "scf.parallel"})
_ENDS = frozenset({"scf.yield", "scf.condition", "scf.reduce"})


def written_arguments(module: ir.Module, entry: str) -> list[bool]:
    """For each argument of memref type of the function @entry, whether a call may write to it."""
    functions = {}
    for op in module.body.operations:
        if op.operation.name == "func.func":
            functions[ir.StringAttr(op.attributes["sym_name"]).value] = op.operation
    return _Functions(functions).written(entry) or []


class _Functions:
    def __init__(self, functions: dict[str, ir.Operation]) -> None:
        self.functions = functions
        self.known: dict[str, list[bool] | None] = {}

    def written(self, name: str) -> list[bool] | None:
        """None where nothing is known: the function is being looked into, which is recursion."""
        if name not in self.known:
            self.known[name] = None
            function = self.functions.get(name)
            if function is not None and len(function.regions[0].blocks):
                self.known[name] = _Function(self, function).arguments()
            elif function is not None:
                self.known[name] = _declared(function)
        return self.known[name]


def _declared(function: ir.Operation) -> list[bool]:
    """What a declaration says: all arrays may be written but those marked as `llvm.readonly`."""
    inputs = ir.TypeAttr(function.attributes["function_type"]).value.inputs
    marks: list[Any] = [{}] * len(inputs)
    if "arg_attrs" in function.attributes:
        marks = [ir.DictAttr(a) for a in ir.ArrayAttr(function.attributes["arg_attrs"])]
    memrefs = (ir.MemRefType, ir.UnrankedMemRefType)
    return ["llvm.readonly" not in mark for type_, mark in zip(inputs, marks) if isinstance(type_, memrefs)]


class _Function:
    """Classes of one function, by union-find."""

    def __init__(self, functions: _Functions, function: ir.Operation) -> None:
        self.functions = functions
        self.entry = function.regions[0].blocks[0]
        self.parent: dict[ir.Value, ir.Value] = {}
        self.dirty: list[ir.Value] = []
        for block in function.regions[0].blocks:
            self._block(block)

    def arguments(self) -> list[bool]:
        dirty = {self._find(value) for value in self.dirty}
        return [self._find(a) in dirty for a in self.entry.arguments if _is_memref(a)]

    def _find(self, value: ir.Value) -> ir.Value:
        while value in self.parent:
            value = self.parent[value]
        return value

    def _unite(self, values: list[ir.Value]) -> None:
        for other in values[1:]:
            a, b = self._find(values[0]), self._find(other)
            if a != b:
                self.parent[a] = b

    def _block(self, block: ir.Block) -> None:
        for op in block.operations:
            self._op(op.operation)

    def _op(self, op: ir.Operation) -> None:
        name = op.name
        if name.startswith(_NUMBERS):
            return
        operands = [v for v in op.operands if _is_memref(v)]
        results = [v for v in op.results if _is_memref(v)]
        if name in _STRUCTURED:
            self._structured(op, operands, results)
            return
        if len(op.regions):
            for block in (block for region in op.regions for block in region.blocks):
                self._block(block)
        if not operands:
            return
        if name == "memref.store":
            # a memref that is stored may come back by a load: one class with the memory that holds it
            self._unite(operands)
            self.dirty.append(op.operands[1])
        elif name == "memref.copy":
            self.dirty.append(op.operands[1])
        elif name == "func.call":
            callee = ir.FlatSymbolRefAttr(op.attributes["callee"]).value
            flags = self.functions.written(callee)
            self.dirty += [v for k, v in enumerate(operands) if flags is None or flags[k]]
            if results or any(_holds_memrefs(v) for v in operands):
                self._unite([*operands, *results])
        elif name in _VIEWS:
            self._unite([*operands, *results])
        elif name in _READERS:
            if results:
                self._unite([*operands, *results])
        elif name not in _ENDS:
            self._unite([*operands, *results])
            self.dirty += operands

    def _structured(self, op: ir.Operation, operands: list[ir.Value], results: list[ir.Value]) -> None:
        """Arrays that go into a loop or branch, around it or out of it, are one class by their order."""
        ways = [operands, results]
        for region in op.regions:
            for block in region.blocks:
                self._block(block)
                ways.append([a for a in block.arguments if _is_memref(a)])
                last = block.operations[-1].operation
                if last.name in _ENDS:
                    ways.append([v for v in last.operands if _is_memref(v)])
        ways = [way for way in ways if way]
        if len({len(way) for way in ways}) <= 1:
            for same in zip(*ways):
                self._unite(list(same))
        else:
            self._unite([v for way in ways for v in way])


def _is_memref(value: Any) -> bool:
    return isinstance(value.type, (ir.MemRefType, ir.UnrankedMemRefType))


def _holds_memrefs(value: Any) -> bool:
    return isinstance(value.type, ir.MemRefType) and isinstance(value.type.element_type, ir.MemRefType)
