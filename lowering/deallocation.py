"""Frees what the program allocates: takes a module that only allocates, leaves one that frees each buffer once.

A buffer that is not carried out of its block ends there. Where loops, branches or functions carry buffers, upstream's
ownership-based pass decides where each ends (in time quadratic in how many there are in nested branches). Three things
are done around that:

- Memory that is managed by hand (see `manual`) is never freed by us, and a `dealloc` with `autodiff.free` stays where
  it is. Both, and buffers read out of buffers of buffers, are hidden from the pass, which would otherwise take them for
  its own.
- Buffers whose life is one turn of a loop are allocated once, before the loop.
- Small ones of fixed size live on the stack.

Any other `dealloc` in the input is dropped first: who owns what is decided here.
"""

from __future__ import annotations

import re
from math import prod

from mlir.ir import (
    AffineMap,
    Block,
    FlatSymbolRefAttr,
    FunctionType,
    IndexType,
    InsertionPoint,
    Location,
    MemRefType,
    Module,
    Operation,
    StringAttr,
    Type,
    TypeAttr,
    UnitAttr,
    Value,
    WalkResult,
)
from mlir.passmanager import PassManager

from .errors import LoweringError, position
from .manual import FREE, KEEP, allocations, roots
from .memory import element_bytes
from .rewriting import functions, symbol_name

# Upstream's attribute for an allocation that its pass must not free.
_MANUAL = "bufferization.manual_deallocation"
_HIDDEN_FREE = "dsl.hidden_free"
_OWNERSHIP = (
    "builtin.module(ownership-based-buffer-deallocation,canonicalize,buffer-deallocation-simplification,"
    "bufferization-lower-deallocations,convert-bufferization-to-memref,canonicalize,cse,reconcile-unrealized-casts)"
)
_TIDY = "builtin.module(canonicalize{top-down=false},cse,reconcile-unrealized-casts)"
# A buffer goes to the stack if it is at most so large, and all of one function's at most so large together.
STACK_BUFFER, STACK_FUNCTION = 4096, 65536
_ALLOCATES = re.compile(r"memref\.alloc\b")
_RETURNS_ARRAY = re.compile(r"return [^:\n]*: .*memref<")
_ADDRESS = "memref.extract_aligned_pointer_as_index"
_LOOKED_AT = (
    "memref.alloc", "memref.dealloc", "memref.load", "memref.store", "func.call", "bufferization.dealloc", _ADDRESS,
)  # fmt: skip
# Operations, and the operand of theirs, that use a buffer without carrying it on. (The cast is that of a load, hidden.)
_WITHIN = frozenset({
    ("memref.load", 0), ("memref.store", 1), ("memref.copy", 0), ("memref.copy", 1), ("memref.dim", 0),
    ("memref.atomic_rmw", 1), ("vector.load", 0), ("vector.store", 1), ("builtin.unrealized_conversion_cast", 0),
})  # fmt: skip
# Operations whose result is memory of an operand.
_SAME = frozenset({"memref.cast", "memref.subview", "memref.reinterpret_cast", "arith.select"})
_LOOPS = ("scf.for", "scf.while", "affine.for")


def deallocate(module: Module, text: str) -> None:
    """Place the deallocations. `text`, the module's own, tells quickly whether there is anything to do.

    A function that allocates nothing but returns an array returns one that is not its own: that is copied.
    """
    if not _ALLOCATES.search(text) and not _RETURNS_ARRAY.search(text):
        return
    found = _collect(module, *_LOOKED_AT)
    if "bufferization.dealloc" in found:
        op = found["bufferization.dealloc"][0]
        raise LoweringError(
            "bufferization.dealloc is not taken as input", position(op.location), "leave deallocation to the lowering"
        )
    if _by_hand(found) and any(isinstance(r.type, MemRefType) for c in found.get("func.call", ()) for r in c.results):
        # Who owns what a function returns is only known by looking into it.
        PassManager.parse("builtin.module(inline)").run(module.operation)
        found = _collect(module, *_LOOKED_AT)
    _drop_and_hide(module, found)
    ending = [op for op in found.get("memref.alloc", ()) if _MANUAL not in op.attributes]
    if not _RETURNS_ARRAY.search(text) and all(_ends_with_block(op) for op in ending):
        for op in ending:
            last = InsertionPoint.at_block_terminator(op.block)
            Operation.create("memref.dealloc", [], [op.results[0]], loc=op.location, ip=last)
        PassManager.parse(_TIDY).run(module.operation)
    else:
        PassManager.parse(_OWNERSHIP).run(module.operation)
    _restore(module)
    _place(module)


def _by_hand(found: dict[str, list[Operation]]) -> list[Value]:
    return list(roots(found.get("memref.store", ()), found.get("memref.dealloc", ()), found.get(_ADDRESS, ())))


def _collect(module: Module, *names: str) -> dict[str, list[Operation]]:
    """All operations of these names, in order."""
    found: dict[str, list[Operation]] = {}

    def visit(op: Operation) -> WalkResult:
        if op.name in names:
            found.setdefault(op.name, []).append(op)
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    return found


def _hide(value: Value, op: Operation) -> Value:
    """The value as a number, which the ownership pass does not follow."""
    cast = Operation.create(
        "builtin.unrealized_conversion_cast", [IndexType.get()], [value], loc=op.location, ip=InsertionPoint(op)
    )
    return cast.results[0]


def _drop_and_hide(module: Module, found: dict[str, list[Operation]]) -> None:
    for op in found.get("memref.alloc", ()):
        if KEEP in op.attributes:
            op.attributes[_MANUAL] = UnitAttr.get()
    for op in allocations(_by_hand(found), found.get("func.call", ())):
        op.attributes[_MANUAL] = UnitAttr.get()
    for op in found.get("memref.load", ()):
        if isinstance(op.results[0].type, MemRefType):
            # Two casts that cancel later: in between the buffer that is read has no tie to the one it is read from.
            number = _hide(op.operands[0], op)
            again = Operation.create(
                "builtin.unrealized_conversion_cast",
                [op.operands[0].type],
                [number],
                loc=op.location,
                ip=InsertionPoint(op),
            )
            op.operands[0] = again.results[0]
    hidden = False
    for op in found.get("memref.dealloc", ()):
        if FREE in op.attributes:
            hidden = True
            Operation.create(
                "func.call",
                [],
                [_hide(op.operands[0], op)],
                {"callee": FlatSymbolRefAttr.get(_HIDDEN_FREE)},
                loc=op.location,
                ip=InsertionPoint(op),
            )
        op.erase()
    if hidden:
        attributes = {
            "sym_name": StringAttr.get(_HIDDEN_FREE),
            "function_type": TypeAttr.get(FunctionType.get([IndexType.get()], [])),
            "sym_visibility": StringAttr.get("private"),
        }
        Operation.create(
            "func.func", [], [], attributes, regions=1, loc=Location.unknown(), ip=InsertionPoint(module.body)
        )


def _restore(module: Module) -> None:
    """Hidden frees become deallocations again."""
    for op in _collect(module, "func.call").get("func.call", ()):
        if FlatSymbolRefAttr(op.attributes["callee"]).value == _HIDDEN_FREE:
            cast = op.operands[0].owner
            Operation.create(
                "memref.dealloc", [], [cast.operands[0]], {FREE: UnitAttr.get()}, loc=op.location, ip=InsertionPoint(op)
            )
            op.erase()
            if not list(cast.results[0].uses):
                cast.erase()
    for op in functions(module):
        if symbol_name(op) == _HIDDEN_FREE:
            op.erase()


def _ends_with_block(alloc: Operation) -> bool:
    """Whether nothing carries the buffer out of the block that it is allocated in."""
    if len(alloc.block.region.blocks) > 1:
        return False
    todo = [alloc]
    while todo:
        for use in todo.pop().results[0].uses:
            if use.owner.name in _SAME:
                todo.append(use.owner.operation)
            elif (use.owner.name, use.operand_number) not in _WITHIN:
                return False
    return True


def _place(module: Module) -> None:
    """Hoist buffers out of loops, and put small ones on the stack."""
    room: dict[Operation, int] = {}
    for alloc in _collect(module, "memref.alloc").get("memref.alloc", ()):
        free = _only_free(alloc)
        if free is None or KEEP in alloc.attributes:
            continue
        size = _bytes(alloc.results[0].type)
        function = _function(alloc)
        if size is not None and size <= STACK_BUFFER and room.get(function, 0) + size <= STACK_FUNCTION:
            room[function] = room.get(function, 0) + size
            _to_stack(alloc, free, function)
        else:
            _hoist(alloc, free)


def _only_free(alloc: Operation) -> Operation | None:
    """The deallocation of this buffer, if it is the only one and stands in the same block: its life ends there."""
    frees = [use.owner for use in alloc.results[0].uses if use.owner.name == "memref.dealloc"]
    if len(frees) == 1 and frees[0].operation.block == alloc.block and FREE not in frees[0].attributes:
        return frees[0].operation
    return None


def _bytes(type: Type) -> int | None:
    """The size of a memref, or None if it is not fixed."""
    memref = MemRefType(type)
    if not memref.has_static_shape or memref.affine_map != AffineMap.get_identity(memref.rank):
        return None
    return prod(memref.shape) * element_bytes(memref.element_type)


def _function(op: Operation) -> Operation:
    while op.name != "func.func":
        op = op.parent.operation
    return op


def _to_stack(alloc: Operation, free: Operation, function: Operation) -> None:
    """One slot in the function's frame, whatever loops the allocation stood in."""
    attributes = {
        name: alloc.attributes[name] for name in ("operandSegmentSizes", "alignment") if name in alloc.attributes
    }
    slot = Operation.create(
        "memref.alloca",
        [alloc.results[0].type],
        [],
        attributes,
        loc=alloc.location,
        ip=InsertionPoint.at_block_begin(function.regions[0].blocks[0]),
    )
    alloc.results[0].replace_all_uses_with(slot.results[0])
    free.erase()
    alloc.erase()


def _hoist(alloc: Operation, free: Operation) -> None:
    """Move the pair around each enclosing loop in whose body it stands, as long as its extents are known before."""
    while True:
        loop = alloc.parent.operation
        if loop.name not in _LOOPS or any(_inside(operand, loop) for operand in alloc.operands):
            return
        alloc.move_before(loop)
        free.move_after(loop)


def _inside(value: Value, loop: Operation) -> bool:
    """Whether the value is defined within the loop."""
    owner = value.owner
    op = owner.owner.operation if isinstance(owner, Block) else owner.operation.parent.operation
    while True:
        if op == loop:
            return True
        if op.name in ("func.func", "builtin.module"):
            return False
        op = op.parent.operation
