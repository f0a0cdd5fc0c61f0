"""LLVM IR that runs a function over a range of blocks on several threads.

`gridN.dispatch(blocks, work, ordered, ...)` packs its further arguments and hands `gridN.blocks(first, last, ...)` to
`dsl.parallel`: chunks of the range are taken by as many threads as `abi.THREADS` says, the calling one among them. They
are started for this one call and have ended when it returns. Short work, and work whose order matters, stays on the
calling thread. A thread in which memory runs out (or in which threads of a block disagree) ends its part; when all
have ended, the call is ended as it would be from the calling thread.
"""

from __future__ import annotations

import re

from ..abi import DISAGREEMENT, JUMP_KEY, SHARED, THREADS
from .fission import DISAGREE

BLOCKS, DISPATCH = "grid{}.blocks", "grid{}.dispatch"
_DECLARED = re.compile(r'^declare void @"?(grid(\d+)\.dispatch)"?\((.*)\)[^\n]*\n', re.M)
_DISAGREE = re.compile(rf'^declare void @"?{re.escape(DISAGREE)}"?\(i32\)[^\n]*\n', re.M)
_ATTRIBUTES = re.compile(r"\b(noundef|noalias|nonnull|nocapture)\b ?")
#: Fewer operations than this, times threads, are done before another thread has been started.
WORTHWHILE = 400_000
_MOST_THREADS = 256


def _word(number: int) -> str:
    return f"getelementptr (i64, ptr @{SHARED}, i64 {number})"


_POOL = f"""
; {{ function, arguments, blocks, chunk, next block, status }}
%dsl.job = type {{ ptr, ptr, i64, i64, i64, i32 }}
declare i32 @pthread_create(ptr, ptr, ptr, ptr) nounwind
declare i32 @pthread_join(i64, ptr) nounwind

define internal void @dsl.take_chunks(ptr %job) noinline {{
  %at.function = getelementptr %dsl.job, ptr %job, i32 0, i32 0
  %at.arguments = getelementptr %dsl.job, ptr %job, i32 0, i32 1
  %at.blocks = getelementptr %dsl.job, ptr %job, i32 0, i32 2
  %at.chunk = getelementptr %dsl.job, ptr %job, i32 0, i32 3
  %at.next = getelementptr %dsl.job, ptr %job, i32 0, i32 4
  %function = load ptr, ptr %at.function
  %arguments = load ptr, ptr %at.arguments
  %blocks = load i64, ptr %at.blocks
  %chunk = load i64, ptr %at.chunk
  br label %look
look:
  %first = atomicrmw add ptr %at.next, i64 %chunk monotonic
  %some = icmp slt i64 %first, %blocks
  br i1 %some, label %work, label %end
work:
  %beyond = add i64 %first, %chunk
  %last = call i64 @llvm.smin.i64(i64 %beyond, i64 %blocks)
  call void %function(ptr %arguments, i64 %first, i64 %last)
  br label %look
end:
  ret void
}}

define internal ptr @dsl.worker(ptr %job) noinline {{
  %buffer = alloca [64 x i64], align 16
  %key = load i64, ptr {_word(JUMP_KEY)}
  %outer = call ptr @pthread_getspecific(i64 %key)
  %status = call i32 @_setjmp(ptr %buffer) returns_twice
  %ended = icmp ne i32 %status, 0
  br i1 %ended, label %failed, label %run
run:
  %set = call i32 @pthread_setspecific(i64 %key, ptr %buffer)
  call void @dsl.take_chunks(ptr %job)
  br label %leave
failed:
  %at.status = getelementptr %dsl.job, ptr %job, i32 0, i32 5
  store atomic i32 %status, ptr %at.status monotonic, align 4
  %at.blocks = getelementptr %dsl.job, ptr %job, i32 0, i32 2
  %blocks = load i64, ptr %at.blocks
  %at.next = getelementptr %dsl.job, ptr %job, i32 0, i32 4
  store atomic i64 %blocks, ptr %at.next monotonic, align 8
  br label %leave
leave:
  %reset = call i32 @pthread_setspecific(i64 %key, ptr %outer)
  ret ptr null
}}

define internal void @dsl.parallel(ptr %function, ptr %arguments, i64 %blocks, i64 %work, i64 %ordered) noinline {{
entry:
  %job = alloca %dsl.job, align 16
  %ids = alloca [{_MOST_THREADS} x i64], align 16
  %threads = load i64, ptr {_word(THREADS)}
  %most = call i64 @llvm.smin.i64(i64 %threads, i64 {_MOST_THREADS})
  %total = call {{ i64, i1 }} @llvm.umul.with.overflow.i64(i64 %blocks, i64 %work)
  %amount = extractvalue {{ i64, i1 }} %total, 0
  %large = extractvalue {{ i64, i1 }} %total, 1
  %long = icmp ugt i64 %amount, {WORTHWHILE}
  %worth = or i1 %large, %long
  %free = icmp eq i64 %ordered, 0
  %several = icmp sgt i64 %most, 1
  %enough = icmp sgt i64 %blocks, 1
  %a = and i1 %worth, %free
  %b = and i1 %several, %enough
  %split = and i1 %a, %b
  br i1 %split, label %parallel, label %alone
alone:
  call void %function(ptr %arguments, i64 0, i64 %blocks)
  ret void
parallel:
  %count = call i64 @llvm.smin.i64(i64 %most, i64 %blocks)
  %shares = mul i64 %count, 8
  %each = sdiv i64 %blocks, %shares
  %chunk = call i64 @llvm.smax.i64(i64 %each, i64 1)
  %at.arguments = getelementptr %dsl.job, ptr %job, i32 0, i32 1
  %at.blocks = getelementptr %dsl.job, ptr %job, i32 0, i32 2
  %at.chunk = getelementptr %dsl.job, ptr %job, i32 0, i32 3
  %at.next = getelementptr %dsl.job, ptr %job, i32 0, i32 4
  %at.status = getelementptr %dsl.job, ptr %job, i32 0, i32 5
  store ptr %function, ptr %job
  store ptr %arguments, ptr %at.arguments
  store i64 %blocks, ptr %at.blocks
  store i64 %chunk, ptr %at.chunk
  store i64 0, ptr %at.next
  store i32 0, ptr %at.status
  br label %start
start:
  %started = phi i64 [ 1, %parallel ], [ %more, %go ]
  %all = icmp sge i64 %started, %count
  br i1 %all, label %mine, label %one
one:
  %id = getelementptr i64, ptr %ids, i64 %started
  %refused = call i32 @pthread_create(ptr %id, ptr null, ptr @dsl.worker, ptr %job)
  %bad = icmp ne i32 %refused, 0
  br i1 %bad, label %mine, label %go
go:
  %more = add i64 %started, 1
  br label %start
mine:
  %nothing = call ptr @dsl.worker(ptr %job)
  br label %join
join:
  %joined = phi i64 [ 1, %mine ], [ %following, %wait ]
  %done = icmp sge i64 %joined, %started
  br i1 %done, label %look, label %wait
wait:
  %slot = getelementptr i64, ptr %ids, i64 %joined
  %thread = load i64, ptr %slot
  %ended = call i32 @pthread_join(i64 %thread, ptr null)
  %following = add i64 %joined, 1
  br label %join
look:
  %status = load atomic i32, ptr %at.status monotonic, align 4
  %failed = icmp ne i32 %status, 0
  br i1 %failed, label %leave, label %end
leave:
  call void @dsl.leave(i32 %status)
  unreachable
end:
  ret void
}}
"""
_DISAGREEMENT = f"""
define internal void @{DISAGREE}(i32 %line) cold noinline noreturn nounwind {{
  %status = add i32 %line, {DISAGREEMENT}
  call void @dsl.leave(i32 %status)
  unreachable
}}
"""


def runtime(ir: str) -> tuple[str, str]:
    """The module's LLVM IR without declarations of what is defined here, and LLVM IR with the definitions."""
    found = [(m[1], int(m[2]), _types(m[3])) for m in _DECLARED.finditer(ir)]
    if not found:
        return ir, ""
    ir = _DECLARED.sub("", ir)
    made = _POOL + "".join(_dispatch(name, BLOCKS.format(number), types) for name, number, types in found)
    if _DISAGREE.search(ir):
        ir = _DISAGREE.sub("", ir)
        made += _DISAGREEMENT
    return ir, made


def _types(text: str) -> list[str]:
    """The types of a declaration's parameters; vectors are the only ones with a comma in them."""
    depth, parts, start = 0, [], 0
    for i, c in enumerate(text):
        depth += (c in "<[{(") - (c in ">]})")
        if c == "," and not depth:
            parts.append(text[start:i])
            start = i + 1
    return [_ATTRIBUTES.sub("", part).strip() for part in [*parts, text[start:]]]


def _dispatch(name: str, function: str, types: list[str]) -> str:
    """The function that packs arguments and calls `dsl.parallel`, and the one that unpacks them."""
    rest = types[3:]
    struct = f"{{ {', '.join(rest)} }}"
    parameters = ", ".join(f"{t} %a{i}" for i, t in enumerate(types))
    pack = "".join(
        f"  %p{i} = getelementptr {struct}, ptr %pack, i32 0, i32 {i}\n  store {t} %a{i + 3}, ptr %p{i}\n"
        for i, t in enumerate(rest)
    )
    unpack = "".join(
        f"  %p{i} = getelementptr {struct}, ptr %pack, i32 0, i32 {i}\n  %v{i} = load {t}, ptr %p{i}\n"
        for i, t in enumerate(rest)
    )
    actual = "".join(f", {t} %v{i}" for i, t in enumerate(rest))
    return f"""
define internal void @"{name}.part"(ptr %pack, i64 %first, i64 %last) {{
{unpack}  call void @"{function}"(i64 %first, i64 %last{actual})
  ret void
}}

define internal void @"{name}"({parameters}) {{
  %pack = alloca {struct}, align 16
{pack}  call void @dsl.parallel(ptr @"{name}.part", ptr %pack, i64 %a0, i64 %a1, i64 %a2)
  ret void
}}
"""
