"""Which arrays of a program live on the device, and what host code may not do with them.

Values that may be one array (views, what loops carry, what calls pass) form a class. A class is on the device if an
array argument of the entry, something that a launch uses, or an array that the caller gets belongs to it. Host code
hands such arrays on and asks for their extents; it looks at single elements by copies that wait (loops over elements
have become launches, see `spread`). Functions of the host do not take them.

A buffer of buffers is the host's own; what is in it forms one class, which may be on the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mlir.ir import (
    Block,
    ComplexType,
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

if TYPE_CHECKING:
    from .program import Signature

_NAMES = (
    "alloc alloca dealloc cast dim subview reinterpret_cast expand_shape collapse_shape transpose memory_space_cast "
    "extract_strided_metadata extract_aligned_pointer_as_index distinct_objects assume_alignment"
)
_ALLOWED = frozenset(f"memref.{name}" for name in _NAMES.split(" ")) | {
    "func.return",
    "gpu.launch",
    "gpu.launch_func",
    "arith.select",
    "builtin.unrealized_conversion_cast",
}


ELEMENTS = ("memref.load", "memref.store")
EXTENTS = 6
"""Operands of a launch before its arguments."""


def _holds_arrays(value: Value) -> bool:
    return isinstance(value.type, MemRefType) and isinstance(MemRefType(value.type).element_type, MemRefType)


class Arrays:
    """The classes of a module whose entry is @`entry`."""

    def __init__(self, module: Module, entry: str, signature: Signature) -> None:
        self._above: dict[Value, Value] = {}
        self._contents: dict[Value, Value] = {}  # of the classes of buffers of buffers: what is in them
        self.defined = {symbol_name(op): op for op in functions(module) if op.regions[0].blocks}
        self.host = _reached(self.defined, entry)
        for function in self.host:
            self._unite_function(function)
        block = self.defined[entry].regions[0].blocks[0]
        self.arguments = [a for a in block.arguments if isinstance(a.type, MemRefType)]
        self.cell = self.root(self.arguments[-1]) if signature.error else None
        given = self.arguments[: -1 if signature.error else None]
        first = len(given) - len(signature.arguments)
        self.device: set[Value] = set()
        for number, argument in enumerate(given):
            self._put(argument, signature.arguments[number - first] if number >= first else _DEVICE)
        for value in list(_end(block).operands)[: signature.returned]:
            if isinstance(value.type, MemRefType):
                self.device.add(self.root(value))
        for launch in self.outside_launches():
            if launch.name in ("gpu.launch", "gpu.launch_func"):
                used = captured(launch) if launch.name == "gpu.launch" else list(launch.operands)
                self.device |= {self.root(v) for v in used if isinstance(v.type, MemRefType)}
        if self.cell is not None:
            self.device.discard(self.cell)
        while self._promote():
            pass

    def _put(self, array: Value, place: str) -> None:
        if place == _DEVICE and not _holds_arrays(array):
            self.device.add(self.root(array))
        elif place == _CONTENTS and self.root(array) in self._contents:
            self.device.add(self._innermost(array))

    def place(self, array: Value) -> str:
        """Where an array is: "device", "host", or "contents" for a buffer of buffers that are on the device."""
        if self.on_device(array):
            return _DEVICE
        return _CONTENTS if self._innermost(array) in self.device else "host"

    def _innermost(self, array: Value) -> Value:
        """The class of the numbers that are in a buffer, or in the buffers in it."""
        root = self.root(array)
        while root in self._contents:
            root = self.root(self._contents[root])
        return root

    def on_device(self, value: Value) -> bool:
        return isinstance(value.type, MemRefType) and self.root(value) in self.device

    def is_cell(self, value: Value) -> bool:
        return self.cell is not None and isinstance(value.type, MemRefType) and self.root(value) == self.cell

    def outside_launches(self) -> Iterator[Operation]:
        """The operations of host code, in order."""
        for function in self.host:
            yield from outside(function)

    def touches(self) -> list[Operation]:
        """The operations by which host code touches elements of arrays on the device."""
        return [op for op in self.outside_launches() if op.name in ELEMENTS and self.on_device(_array_of(op))]

    def _promote(self) -> bool:
        """Put on the device what loops over arrays there touch as well, such as the result of an array expression."""
        for loop in self.outside_launches():
            if loop.name not in LOOPS:
                continue
            inside = list(outside(loop))
            if not all(op == loop or launchable(op) for op in inside):
                continue
            touched = {self.root(_array_of(op)) for op in inside if op.name in ELEMENTS}
            if self.cell is not None:
                touched.discard(self.cell)
            if touched & self.device and touched - self.device:
                self.device |= touched
                return True
        return False

    def single(self, op: Operation) -> bool:
        """Whether an operation reads or writes one number of an array on the device."""
        if op.name not in ELEMENTS or not self.on_device(_array_of(op)):
            return False
        return isinstance(MemRefType(_array_of(op).type).element_type, _NUMBERS)

    def refuse(self) -> None:
        """Raise LoweringError for the first operation that host code cannot do with an array on the device."""
        for op in self.outside_launches():
            if op.name == "gpu.launch" and any(map(_holds_arrays, captured(op))):
                raise LoweringError("a launch is passed an array of arrays", position(op.location), "pass the arrays")
            if op.name in _ALLOWED or op.name.startswith("scf.") or not any(map(self.on_device, op.operands)):
                continue
            if op.name == "func.call":
                callee = FlatSymbolRefAttr(op.attributes["callee"]).value
                if callee not in self.defined:
                    raise LoweringError(
                        f"{_foreign(callee)} runs on the host, and gets an array that is on the device",
                        position(op.location),
                        "copy the array to the host first, or write a grid kernel for it",
                    )
            elif op.name in ELEMENTS and (self.single(op) or _holds_arrays(_array_of(op))):
                continue
            else:
                raise LoweringError(
                    f"host code does {op.name} on an array that is on the device",
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
        for value in arrays[1:]:
            below, root = self.root(value), self.root(arrays[0])
            if below == root:
                continue
            self._above[below] = root
            contents = self._contents.pop(below, None)
            if contents is not None:
                self._unite(self._contents.setdefault(root, contents), contents)

    def _pairs(self, *groups: Iterable[Value]) -> None:
        for values in zip(*groups, strict=True):
            self._unite(*values)

    def _unite_function(self, function: Operation) -> None:
        for op in outside(function):
            operands = list(op.operands)
            if op.name == "scf.for":
                body = op.regions[0].blocks[0]
                self._pairs(operands[3:], list(body.arguments)[1:], op.results, _end(body).operands)
            elif op.name == "scf.while":
                test, body = (region.blocks[0] for region in op.regions)
                self._pairs(operands, test.arguments, _end(body).operands)
                self._pairs(list(_end(test).operands)[1:], body.arguments, op.results)
            elif op.name.startswith("scf.") and op.name != "scf.reduce" and op.regions:
                for region in op.regions:
                    for block in region.blocks:
                        self._pairs(op.results, _end(block).operands)
            elif op.name == "func.call":
                callee = self.defined.get(FlatSymbolRefAttr(op.attributes["callee"]).value)
                if callee is not None:
                    block = callee.regions[0].blocks[0]
                    self._pairs(operands, block.arguments)
                    self._pairs(op.results, _end(block).operands)
            elif op.name in ELEMENTS and _holds_arrays(_array_of(op)):
                self._hold(_array_of(op), op.operands[0] if op.name == "memref.store" else op.results[0])
            elif op.name == "memref.copy" and _holds_arrays(operands[0]):
                self._unite(*operands)
            elif op.results and not op.regions:
                self._unite(*operands, *op.results)

    def _hold(self, holder: Value, array: Value) -> None:
        """An array is put into a buffer of buffers, or taken out of it."""
        root = self.root(holder)
        self._unite(self._contents.setdefault(root, array), array)


_DEVICE, _CONTENTS = "device", "contents"
_NUMBERS = (IntegerType, FloatType, IndexType, ComplexType)
LOOPS = ("scf.for", "scf.parallel", "scf.while")
_PURE = ("arith.", "math.", "complex.")
_STRUCTURE = frozenset((
    "scf.for", "scf.if", "scf.while", "scf.condition", "scf.yield", "scf.reduce", "memref.dim",
))  # fmt: skip


def launchable(op: Operation) -> bool:
    """Whether a thread can do what an operation of host code does, as far as its name says."""
    if op.name in ELEMENTS:
        return isinstance(MemRefType(_array_of(op).type).element_type, _NUMBERS)
    return op.name in _STRUCTURE or op.name.startswith(_PURE)


def _array_of(op: Operation) -> Value:
    """The array of a load or store."""
    return op.operands[0 if op.name == "memref.load" else 1]


def _foreign(callee: str) -> str:
    """What to call a function that has no body."""
    parts = callee.split(".")
    return f"{parts[1].upper()}'s {parts[2]}" if callee.startswith(("dsl.blas.", "dsl.lapack.")) else f"`{callee}`"


def _end(block: Block) -> Operation:
    return operations(block)[-1]


def outside(op: Operation) -> Iterator[Operation]:
    """An operation and what is in it, but nothing inside launches."""
    yield op
    if op.name != "gpu.launch":
        for region in op.regions:
            for block in region.blocks:
                for inner in block.operations:
                    yield from outside(plain(inner))


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
            FlatSymbolRefAttr(op.attributes["callee"]).value for op in outside(defined[name]) if op.name == "func.call"
        ]
    return list(found.values())
