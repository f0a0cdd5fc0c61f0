"""Memory ops of upstream programs in terms of allocations, views, loads, stores and copies: part of `structure`.

Parallel loops have become sequential ones there, so an atomic update is a load, an operation and a store. Each global
is named once, at the start of the function, so that two names of it are one memref.
"""

from __future__ import annotations

from mlir.ir import (
    AffineMap,
    Block,
    BlockArgument,
    DenseI32ArrayAttr,
    DenseI64ArrayAttr,
    FlatSymbolRefAttr,
    InsertionPoint,
    IntegerAttr,
    MemRefType,
    Operation,
    ShapedType,
    Value,
)

from .builder import Builder, holds_tangents, operation, operations
from .copier import attributes_of
from .errors import refuse
from .launches import LaunchForms, is_shared
from .objects import chain

_LAYOUT = "take a subview, or have a memref with a layout of its own type: the shadow may be laid out in another way"

#: arith's numbers for kinds of atomic updates; "" stores the value itself.
_ATOMIC = (
    "addf", "addi", "andi", "", "maximumf", "maxnumf", "maxsi", "maxui", "minimumf", "minnumf", "minsi", "minui",
    "mulf", "muli", "ori", "xori",
)  # fmt: skip


class MemoryForms(LaunchForms):
    """A copier that leaves out stack discipline, atomics and repeated names of globals."""

    def __init__(self, builder: Builder):
        super().__init__(builder)
        #: The memref of each global that has been named.
        self.globals: dict[str, Value] = {}

    def copy_memref_alloca(self, op: Operation) -> None:
        """Stack memory inside a loop would grow the stack; the lowering moves small buffers back to the stack."""
        if is_shared(op.results[0].type):
            with self.b.at(self.top_of_body()):
                self.map[op.results[0]] = self.b.alloc(op.results[0].type)
            return
        new = self.b.op("memref.alloc", self.values(op.operands), [op.results[0].type], attributes_of(op))
        self.map[op.results[0]] = new.results[0]

    def copy_memref_alloca_scope(self, op: Operation) -> None:
        self._inline(op)

    def copy_scf_execute_region(self, op: Operation) -> None:
        self._inline(op)

    def _inline(self, op: Operation) -> None:
        """The ops of the region in place of `op`."""
        blocks = list(op.regions[0].blocks)
        if len(blocks) != 1:
            raise refuse(op, f"{op.name} with branches inside", "run lift-cf-to-scf first")
        self.block(blocks[0])
        self.map.update(zip(op.results, self.values(operations(blocks[0])[-1].operands), strict=True))

    def copy_memref_dealloc(self, op: Operation) -> None:
        """Dropped, unless a derivative put it there for memory that no block owns."""
        if "autodiff.free" in op.attributes:
            self.copy(op)

    def copy_bufferization_clone(self, op: Operation) -> None:
        made = self.b.copy_of(self.value(op.operands[0]))
        type_ = op.results[0].type
        self.map[op.results[0]] = made if made.type == type_ else self.b.value("memref.cast", [made], type_)

    def copy_bufferization_dealloc(self, op: Operation) -> None:
        raise refuse(
            op, "bufferization.dealloc before differentiation", "differentiate before deallocations are placed"
        )

    def copy_memref_prefetch(self, op: Operation) -> None:
        """Says nothing about values."""

    def copy_memref_assume_alignment(self, op: Operation) -> None:
        """Dropped: shadows need not lie as their primals do."""
        self.map.update(zip(op.results, self.values(op.operands), strict=True))

    def copy_memref_distinct_objects(self, op: Operation) -> None:
        self.map.update(zip(op.results, self.values(op.operands), strict=True))

    def copy_memref_get_global(self, op: Operation) -> None:
        name = FlatSymbolRefAttr(op.attributes["name"]).value
        known = self.globals.get(name)
        if known is None:
            with self.b.at(InsertionPoint.at_block_begin(self._entry())):
                known = self.b.value("memref.get_global", [], op.results[0].type, attributes_of(op))
            self.globals[name] = known
        self.map[op.results[0]] = known

    def _entry(self) -> Block:
        """The block of the function that is being built."""
        block = self.b.ip.block
        while operation(block.owner).name != "func.func":
            block = operation(block.owner).block
        return block

    def copy_memref_extract_strided_metadata(self, op: Operation) -> None:
        """What the type says. A layout that only the descriptor knows need not be that of the shadow."""
        memref = self.value(op.operands[0])
        type_ = MemRefType(memref.type)
        if not holds_tangents(type_):
            self.copy(op)
            return
        strides, offset = type_.get_strides_and_offset()
        dynamic = ShapedType.get_dynamic_stride_or_offset()
        sizes = [self.b.dim(memref, k) for k in range(type_.rank)]
        if type_.affine_map == AffineMap.get_identity(type_.rank):
            steps = [self.b.index(1)] * type_.rank
            for k in reversed(range(type_.rank - 1)):
                steps[k] = self.b.integer("muli", steps[k + 1], sizes[k + 1])
        elif dynamic in (offset, *strides):
            raise refuse(op, f"{op.name} of {type_}, whose layout is known only when it runs", _LAYOUT)
        else:
            steps = [self.b.index(s) for s in strides]
        none = {name: DenseI64ArrayAttr.get([]) for name in ("static_sizes", "static_strides")}
        none["operandSegmentSizes"] = DenseI32ArrayAttr.get([1, 0, 0, 0])
        start = {"static_offsets": DenseI64ArrayAttr.get([0]), **none}
        base = self.b.value("memref.reinterpret_cast", [memref], op.results[0].type, start)
        self.map.update(zip(op.results, [base, self.b.index(offset), *sizes, *steps], strict=True))

    def copy_memref_reinterpret_cast(self, op: Operation) -> None:
        """Where the source's layout is a matter of its descriptor, the shadow's may be another: offsets and strides
        that are right for the one are wrong for the other.
        """
        type_ = MemRefType(op.operands[0].type)
        strides, offset = type_.get_strides_and_offset()
        known = type_.affine_map == AffineMap.get_identity(type_.rank)
        root, _ = chain(self.value(op.operands[0]))
        is_argument = isinstance(root, BlockArgument)
        if is_argument and not known and ShapedType.get_dynamic_stride_or_offset() in (offset, *strides):
            raise refuse(op, f"{op.name} of {type_}, whose layout is known only when it runs", _LAYOUT)
        self.copy(op)

    def copy_memref_atomic_rmw(self, op: Operation) -> None:
        if self.device:
            self.copy(op)
            return
        value, memref, *indices = self.values(op.operands)
        name = _ATOMIC[IntegerAttr(op.attributes["kind"]).value]
        old = self.b.load(memref, indices)
        new = self.b.value(f"arith.{name}", [old, value], value.type) if name else value
        self.b.store(new, memref, indices)
        self.map[op.results[0]] = old

    def copy_memref_generic_atomic_rmw(self, op: Operation) -> None:
        """The result is what was there before, as it is in MLIR's own lowering."""
        if self.device:
            self.copy(op)
            return
        memref, *indices = self.values(op.operands)
        block = op.regions[0].blocks[0]
        old = self.b.load(memref, indices)
        self.map[block.arguments[0]] = old
        self.block(block)
        self.b.store(self.value(operations(block)[-1].operands[0]), memref, indices)
        self.map[op.results[0]] = old
