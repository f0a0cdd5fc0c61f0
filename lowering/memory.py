"""Allocation that fails cleanly, and that is quick where blocks are large.

Two parts. `guard` puts, before each allocation with extents known at run time only, a test that they are not negative
and that the bytes can be counted. `RUNTIME` is LLVM IR that the generated code calls in place of malloc and free:

- Where there is no memory, or an extent makes no sense, it jumps out of the kernel to the entry function (`entry`),
  which returns a status. Buffers which the ended call had allocated are lost; whatever it had written to the caller's
  arrays stays written.
- Large blocks are kept when they are freed, up to a limit, and used again.
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

from .abi import (
    BAD_EXTENT,
    BLOCK_COUNT,
    BLOCKS,
    JUMP_KEY,
    KEEP_LIMIT,
    KEPT,
    OUT_OF_MEMORY,
    SHARED,
    USABLE_SIZE,
)

# The functions that generated code calls.
ALLOC, FREE, REFUSE = "dsl.alloc", "dsl.free", "dsl.bad_extent"
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
    if f"@{REFUSE}(" not in text:
        declare_refuse(module)


def declare_refuse(module: Module) -> None:
    """Declare the function that ends the call."""
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


# Blocks from this size on are kept when they are freed: the system gives fresh pages slowly, and a derivative needs the
# same blocks again in its next call.
_LARGE = 1 << 15
# Blocks from the first size on begin where a line of the cache does, so that vectors do not straddle two. (For smaller
# ones, which come and go more often, the C library takes several times as long to find such a place.)
_LINES, _LINE = 640, 64


def _word(number: int) -> str:
    """The address of one of the shared words."""
    return f"getelementptr (i64, ptr @{SHARED}, i64 {number})"


# `dsl.alloc` gives NULL for a size that no guard lets pass (a buffer that was hoisted above its guard). All else that
# it gives is malloc's or aligned_alloc's, and may be freed by the C library's own free. Kept blocks are taken and put
# back by atomic exchanges, so threads don't disturb each other.
RUNTIME = f"""
@{SHARED} = external global i64
declare ptr @pthread_getspecific(i64) nounwind
declare i32 @pthread_setspecific(i64, ptr) nounwind
declare i32 @_setjmp(ptr) nounwind returns_twice
declare void @_longjmp(ptr, i32) noreturn nounwind
declare noalias ptr @malloc(i64) nounwind willreturn memory(inaccessiblemem: readwrite)
  allockind("alloc,uninitialized") allocsize(0) "alloc-family"="malloc"
declare noalias ptr @aligned_alloc(i64, i64) nounwind willreturn memory(inaccessiblemem: readwrite)
declare void @free(ptr allocptr) nounwind willreturn allockind("free") "alloc-family"="malloc"

define internal void @dsl.leave(i32 %status) cold noinline noreturn nounwind {{
  %key = load i64, ptr {_word(JUMP_KEY)}
  %buffer = call ptr @pthread_getspecific(i64 %key)
  call void @_longjmp(ptr %buffer, i32 %status)
  unreachable
}}

define internal void @{REFUSE}() cold noinline noreturn nounwind {{
  call void @dsl.leave(i32 {BAD_EXTENT})
  unreachable
}}

define internal i64 @dsl.size(ptr %block) noinline nounwind {{
  %function = load ptr, ptr {_word(USABLE_SIZE)}
  %none = icmp eq ptr %function, null
  br i1 %none, label %unknown, label %ask
unknown:
  ret i64 0
ask:
  %size = call i64 %function(ptr %block)
  ret i64 %size
}}

; A kept block of at least so many bytes, and not more than twice as many; or NULL.
define internal ptr @dsl.take(i64 %bytes) noinline nounwind {{
start:
  %most = shl i64 %bytes, 1
  br label %look
look:
  %number = phi i64 [ 0, %start ], [ %following, %next ]
  %slot = getelementptr ptr, ptr {_word(BLOCKS)}, i64 %number
  %seen = load atomic ptr, ptr %slot monotonic, align 8
  %empty = icmp eq ptr %seen, null
  br i1 %empty, label %next, label %grab
grab:
  %block = atomicrmw xchg ptr %slot, ptr null acq_rel
  %gone = icmp eq ptr %block, null
  br i1 %gone, label %next, label %measure
measure:
  %size = call i64 @dsl.size(ptr %block)
  %enough = icmp uge i64 %size, %bytes
  %fits = icmp ule i64 %size, %most
  %good = and i1 %enough, %fits
  br i1 %good, label %found, label %back
found:
  %less = atomicrmw sub ptr {_word(KEPT)}, i64 %size monotonic
  ret ptr %block
back:
  %swap = cmpxchg ptr %slot, ptr null, ptr %block acq_rel monotonic
  %kept = extractvalue {{ ptr, i1 }} %swap, 1
  br i1 %kept, label %next, label %drop
drop:
  %lost = atomicrmw sub ptr {_word(KEPT)}, i64 %size monotonic
  call void @free(ptr %block)
  br label %next
next:
  %following = add i64 %number, 1
  %more = icmp ult i64 %following, {BLOCK_COUNT}
  br i1 %more, label %look, label %none
none:
  ret ptr null
}}

define internal noalias ptr @{ALLOC}(i64 %bytes) noinline nounwind memory(inaccessiblemem: readwrite)
    allockind("alloc,uninitialized") allocsize(0) "alloc-family"="malloc" {{
  %large = icmp uge i64 %bytes, {_LARGE}
  br i1 %large, label %check, label %try
check:
  %absurd = icmp ugt i64 %bytes, {_LIMIT}
  br i1 %absurd, label %refuse, label %reuse
reuse:
  %old = call ptr @dsl.take(i64 %bytes)
  %none = icmp eq ptr %old, null
  br i1 %none, label %try, label %again
again:
  ret ptr %old
try:
  %lines = icmp uge i64 %bytes, {_LINES}
  br i1 %lines, label %aligned, label %plain
aligned:
  %more = add i64 %bytes, {_LINE - 1}
  %whole = and i64 %more, {-_LINE}
  %start = call ptr @aligned_alloc(i64 {_LINE}, i64 %whole)
  br label %some
plain:
  %least = call i64 @llvm.umax.i64(i64 %bytes, i64 1)
  %small = call ptr @malloc(i64 %least)
  br label %some
some:
  %memory = phi ptr [ %start, %aligned ], [ %small, %plain ]
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

define internal void @{FREE}(ptr allocptr %block) noinline nounwind allockind("free") "alloc-family"="malloc"
    memory(argmem: readwrite, inaccessiblemem: readwrite) {{
start:
  %nothing = icmp eq ptr %block, null
  br i1 %nothing, label %end, label %measure
measure:
  %size = call i64 @dsl.size(ptr %block)
  %large = icmp uge i64 %size, {_LARGE}
  br i1 %large, label %count, label %drop
count:
  %before = atomicrmw add ptr {_word(KEPT)}, i64 %size monotonic
  %after = add i64 %before, %size
  %limit = load i64, ptr {_word(KEEP_LIMIT)}
  %room = icmp ule i64 %after, %limit
  br i1 %room, label %look, label %uncount
look:
  %number = phi i64 [ 0, %count ], [ %following, %next ]
  %slot = getelementptr ptr, ptr {_word(BLOCKS)}, i64 %number
  %swap = cmpxchg ptr %slot, ptr null, ptr %block acq_rel monotonic
  %kept = extractvalue {{ ptr, i1 }} %swap, 1
  br i1 %kept, label %end, label %next
next:
  %following = add i64 %number, 1
  %more = icmp ult i64 %following, {BLOCK_COUNT}
  br i1 %more, label %look, label %uncount
uncount:
  %lost = atomicrmw sub ptr {_word(KEPT)}, i64 %size monotonic
  br label %drop
drop:
  call void @free(ptr %block)
  br label %end
end:
  ret void
}}
"""
