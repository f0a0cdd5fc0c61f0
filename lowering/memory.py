"""Allocation that fails cleanly: no memory, or an extent that makes no sense, ends the call and is reported.

Two parts. `guard` puts, before each allocation with extents known at run time only, a test that they are not negative
and that the bytes can be counted. `RUNTIME` is LLVM IR that the generated code calls in place of malloc: on failure it
jumps out of the kernel to the entry function (`entry`), which returns a status. Buffers which the ended call had
allocated are lost; whatever it had written to the caller's arrays stays written.
"""

from __future__ import annotations

from mlir.ir import (
    Attribute,
    ComplexType,
    FlatSymbolRefAttr,
    FunctionType,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Location,
    MemRefType,
    Module,
    Operation,
    StringAttr,
    Type,
    TypeAttr,
    Value,
    VectorType,
    WalkResult,
)

from .abi import BAD_EXTENT, KEY, OUT_OF_MEMORY

# The functions that generated code calls.
ALLOC, REFUSE = "dsl.alloc", "dsl.bad_extent"
# More bytes than this is a mistake in the count, not a wish for memory.
_LIMIT = 1 << 62


def element_bytes(type: Type) -> int:
    """Bytes of one element of a memref; of one that is itself a memref, or unknown, more than it can be."""
    if isinstance(type, IndexType):
        return 8
    if isinstance(type, ComplexType):
        return 2 * element_bytes(type.element_type)
    if isinstance(type, VectorType):
        count = 1
        for extent in type.shape:
            count *= extent
        return count * element_bytes(type.element_type)
    if isinstance(type, MemRefType):
        return 8 * (3 + 2 * type.rank)
    return max(1, (getattr(type, "width", 1024) + 7) // 8)


def guard(module: Module, text: str) -> None:
    """Test the extents of each allocation. `text`, the module's own, tells quickly whether there is any."""
    if "memref.alloc" not in text:
        return
    found: list[Operation] = []

    def visit(op: Operation) -> WalkResult:
        if op.name == "memref.alloc" and len(op.operands):
            found.append(op)
        return WalkResult.ADVANCE

    module.operation.walk(visit)
    if not found:
        return
    for op in found:
        _guard_one(op)
    attributes = {
        "sym_name": StringAttr.get(REFUSE),
        "function_type": TypeAttr.get(FunctionType.get([], [])),
        "sym_visibility": StringAttr.get("private"),
    }
    Operation.create("func.func", [], [], attributes, regions=1, loc=Location.unknown(), ip=InsertionPoint(module.body))


def _guard_one(alloc: Operation) -> None:
    """if an extent is negative or the product of all overflows: end the call."""
    ip, loc = InsertionPoint(alloc), alloc.location
    index, bit = IndexType.get(), IntegerType.get_signless(1)

    def emit(name: str, types: list[Type], *operands: Value, **attributes: Attribute) -> Operation:
        return Operation.create(name, types, list(operands), attributes, loc=loc, ip=ip)

    def constant(value: int) -> Value:
        return emit("arith.constant", [index], value=IntegerAttr.get(index, value)).results[0]

    def compare(predicate: int, a: Value, b: Value) -> Value:
        code = IntegerAttr.get(IntegerType.get_signless(64), predicate)
        return emit("arith.cmpi", [bit], a, b, predicate=code).results[0]

    memref = alloc.results[0].type
    fixed = element_bytes(memref.element_type)
    for extent in memref.shape:
        if extent >= 0:
            fixed *= extent
    extents = list(alloc.operands)
    zero, limit = constant(0), constant(_LIMIT // max(1, fixed))
    product, bad = extents[0], None
    for extent in extents[1:]:
        low = emit("arith.mului_extended", [index, index], product, extent)
        over = compare(1, low.results[1], zero)
        product = low.results[0]
        bad = over if bad is None else emit("arith.ori", [bit], bad, over).results[0]
    large = compare(8, product, limit)  # unsigned: a negative extent is a very large one
    bad = large if bad is None else emit("arith.ori", [bit], bad, large).results[0]
    test = Operation.create("scf.if", [], [bad], regions=2, loc=loc, ip=ip)
    block = test.regions[0].blocks.append()
    with InsertionPoint(block), loc:
        Operation.create("func.call", [], [], {"callee": FlatSymbolRefAttr.get(REFUSE)})
        Operation.create("scf.yield", [], [])


# The key of a thread-specific value, the innermost entry's jump buffer; its place is given when the code is loaded.
# `dsl.alloc` gives NULL for a size that no guard lets pass (a buffer that was hoisted above its guard).
RUNTIME = f"""
@{KEY} = external global i64
declare ptr @pthread_getspecific(i64) nounwind
declare i32 @pthread_setspecific(i64, ptr) nounwind
declare i32 @_setjmp(ptr) nounwind returns_twice
declare void @_longjmp(ptr, i32) noreturn nounwind
declare noalias ptr @malloc(i64) nounwind willreturn memory(inaccessiblemem: readwrite)
  allockind("alloc,uninitialized") allocsize(0) "alloc-family"="malloc"

define internal void @dsl.leave(i32 %status) cold noinline noreturn nounwind {{
  %key = load i64, ptr @{KEY}
  %buffer = call ptr @pthread_getspecific(i64 %key)
  call void @_longjmp(ptr %buffer, i32 %status)
  unreachable
}}

define internal void @{REFUSE}() cold noinline noreturn nounwind {{
  call void @dsl.leave(i32 {BAD_EXTENT})
  unreachable
}}

define internal noalias ptr @{ALLOC}(i64 %bytes) noinline nounwind memory(inaccessiblemem: readwrite)
    allockind("alloc,uninitialized") allocsize(0) "alloc-family"="malloc" {{
  %absurd = icmp ugt i64 %bytes, {_LIMIT}
  br i1 %absurd, label %refuse, label %try
try:
  %some = call i64 @llvm.umax.i64(i64 %bytes, i64 1)
  %memory = call ptr @malloc(i64 %some)
  %failed = icmp eq ptr %memory, null
  br i1 %failed, label %leave, label %done
done:
  ret ptr %memory
refuse:
  ret ptr null
leave:
  call void @dsl.leave(i32 {OUT_OF_MEMORY})
  unreachable
}}
"""
