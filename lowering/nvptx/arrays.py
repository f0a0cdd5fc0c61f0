"""Which arrays of a program live on the device, and what host code may not do with them.

Values that may be one array (views, what loops carry, what calls pass) form a class. A class is on the device if an
array argument of the entry or something that a launch uses belongs to it. Host code hands such arrays on and asks for
their extents; it does not look at elements, save at single ones of arrays that it has allocated itself (sums, counts).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlir.ir import (
    Block,
    FlatSymbolRefAttr,
    FloatType,
    IndexType,
    IntegerType,
    MemRefType,
    Module,
    Operation,
    Value,
)

from ..errors import LoweringError, position
from ..grid.emit import captured, operations, plain
from ..rewriting import functions, symbol_name

_NAMES = (
    "alloc dealloc cast dim subview reinterpret_cast expand_shape collapse_shape transpose memory_space_cast "
    "extract_strided_metadata extract_aligned_pointer_as_index distinct_objects assume_alignment"
)
_ALLOWED = frozenset(f"memref.{name}" for name in _NAMES.split(" ")) | {
    "func.call",
    "func.return",
    "gpu.launch",
    "gpu.launch_func",
    "arith.select",
    "builtin.unrealized_conversion_cast",
}


_ELEMENTS = ("memref.load", "memref.store")


def _is_array(value: Value) -> bool:
    return isinstance(value.type, MemRefType)


class Arrays:
    """The classes of a module whose entry is @`entry`; `cell`: its last argument is the error cell, which stays."""

    def __init__(self, module: Module, entry: str, cell: bool) -> None:
        self._above: dict[Value, Value] = {}
        defined = {symbol_name(op): op for op in functions(module) if op.regions[0].blocks}
        self.host = _reached(defined, entry)
        for function in self.host:
            self._unite_function(function, defined)
        block = defined[entry].regions[0].blocks[0]
        arguments = [a for a in block.arguments if isinstance(a.type, MemRefType)]
        self.cell = self.root(arguments.pop()) if cell else None
        given = [self.root(a) for a in arguments]
        self.device = set(given)
        for launch in self.outside_launches():
            if launch.name in ("gpu.launch", "gpu.launch_func"):
                used = captured(launch) if launch.name == "gpu.launch" else list(launch.operands)
                self.device |= {self.root(v) for v in used if isinstance(v.type, MemRefType)}
        if self.cell is not None:
            self.device.discard(self.cell)
        self._given = set(given)
        while self._promote():
            pass

    def on_device(self, value: Value) -> bool:
        return isinstance(value.type, MemRefType) and self.root(value) in self.device

    def is_cell(self, value: Value) -> bool:
        return self.cell is not None and isinstance(value.type, MemRefType) and self.root(value) == self.cell

    def outside_launches(self) -> Iterator[Operation]:
        """The operations of host code, in order."""
        for function in self.host:
            yield from _outside(function)

    def offending(self) -> list[Operation]:
        """The operations by which host code touches elements of arrays on the device."""
        return [
            op
            for op in self.outside_launches()
            if op.name not in _ALLOWED and not op.name.startswith("scf.") and any(map(self.on_device, op.operands))
        ]

    def _promote(self) -> bool:
        """Put on the device what loops over arrays there touch as well, such as the result of an array expression."""
        for loop in self.outside_launches():
            if loop.name not in ("scf.for", "scf.parallel"):
                continue
            inside = list(_outside(loop))
            if any(op.name == "gpu.launch" for op in inside):
                continue
            touched = {self.root(v) for op in inside if op.name in _ELEMENTS for v in op.operands if _is_array(v)}
            if self.cell is not None:
                touched.discard(self.cell)
            if touched & self.device and touched - self.device:
                self.device |= touched
                return True
        return False

    def single(self, op: Operation) -> bool:
        """Whether an operation reads or writes one number of an array that host code has allocated."""
        if op.name not in ("memref.load", "memref.store"):
            return False
        array = op.operands[0 if op.name == "memref.load" else 1]
        element = MemRefType(array.type).element_type
        return self.root(array) not in self._given and isinstance(element, (IntegerType, FloatType, IndexType))

    def refuse(self) -> None:
        """Raise LoweringError for the first of them that host code may not do."""
        for op in self.offending():
            if self.single(op):
                continue
            raise LoweringError(
                "host code looks at an element of an array that is on the device",
                position(op.location),
                "do it in a grid kernel, or copy the array to the host first",
            )

    def members(self, value: Value) -> list[Value]:
        """All values of a class."""
        root = self.root(value)
        return [v for v in self._above if self.root(v) == root]

    # --- classes

    def root(self, value: Value) -> Value:
        above = self._above.setdefault(value, value)
        while above != value:
            value, above = above, self._above[above]
        return value

    def _unite(self, *values: Value) -> None:
        arrays = [v for v in values if isinstance(v.type, MemRefType)]
        for value in arrays:
            self._above[self.root(value)] = self.root(arrays[0])

    def _pairs(self, *groups: Iterable[Value]) -> None:
        for values in zip(*groups, strict=True):
            self._unite(*values)

    def _unite_function(self, function: Operation, defined: dict[str, Operation]) -> None:
        for op in _outside(function):
            operands = list(op.operands)
            if op.name == "scf.for":
                body = op.regions[0].blocks[0]
                self._pairs(operands[3:], list(body.arguments)[1:], op.results, _end(body).operands)
            elif op.name == "scf.while":
                test, body = (region.blocks[0] for region in op.regions)
                self._pairs(operands, test.arguments, _end(body).operands)
                self._pairs(list(_end(test).operands)[1:], body.arguments, op.results)
            elif op.name.startswith("scf.") and op.regions:
                for region in op.regions:
                    for block in region.blocks:
                        self._pairs(op.results, _end(block).operands)
            elif op.name == "func.call":
                callee = defined.get(FlatSymbolRefAttr(op.attributes["callee"]).value)
                if callee is not None:
                    block = callee.regions[0].blocks[0]
                    self._pairs(operands, block.arguments)
                    self._pairs(op.results, _end(block).operands)
            elif op.name == "memref.store" or (op.results and not op.regions):
                self._unite(*operands, *op.results)


def _end(block: Block) -> Operation:
    return operations(block)[-1]


def _outside(op: Operation) -> Iterator[Operation]:
    """An operation and what is in it, but nothing inside launches."""
    yield op
    if op.name != "gpu.launch":
        for region in op.regions:
            for block in region.blocks:
                for inner in block.operations:
                    yield from _outside(plain(inner))


def _reached(defined: dict[str, Operation], entry: str) -> list[Operation]:
    """The functions that run on the host."""
    found: dict[str, Operation] = {}
    todo = [entry]
    while todo:
        name = todo.pop()
        if name in found or name not in defined:
            continue
        found[name] = defined[name]
        todo += [
            FlatSymbolRefAttr(op.attributes["callee"]).value for op in _outside(defined[name]) if op.name == "func.call"
        ]
    return list(found.values())
