"""LLVM IR that runs a function over a range of blocks on several threads.

`gridN.dispatch(blocks, work, ordered, ...)` packs its further arguments and hands `gridN.blocks(first, last, ...)` to
`dsl.pool.share`: chunks of the range are taken by as many threads as `abi.THREADS` says, the calling one among them.
Short work, and work whose order matters, stays on the calling thread. A thread in which memory runs out (or in which
threads of a block disagree) ends its part; when all have ended, the call is ended as it would be from the calling
thread.

The other threads are started when they are first needed and stay: they wait for jobs in a list that the process has
(words of `abi.SHARED`, under a lock), so several calls may be under way at once. Every object brings these functions;
those of the object that is loaded first are used by all (`abi.POOL`), as the waiting threads are in its code. Nobody
waits for a thread that has not joined a job, so a process that was forked, and has none of them, goes on.
"""

from __future__ import annotations

import re

from ..abi import DISAGREEMENT, DONE, JOBS, JUMP_KEY, LOCK, POOL, RUN_POOL, SHARED, SHARED_OUT, STARTED, THREADS, WAKE
from .fission import DISAGREE

BLOCKS, DISPATCH = "grid{}.blocks", "grid{}.dispatch"
_DECLARED = re.compile(r'^declare void @"?(grid(\d+)\.dispatch)"?\((.*)\)[^\n]*\n', re.M)
_DISAGREE = re.compile(rf'^declare void @"?{re.escape(DISAGREE)}"?\(i32\)[^\n]*\n', re.M)
_ATTRIBUTES = re.compile(r"\b(noundef|noalias|nonnull|nocapture)\b ?")
#: Fewer operations than this are done before another thread is there.
WORTHWHILE = 200_000
_MOST_THREADS = 256
#: Into how many parts, for each thread, a range is cut: a thread that is late has little left to do.
_SHARES = 24
#: How often a thread that waits gives the processor to others before it goes to sleep: some 50 microseconds.
_SPINS = 100


def _word(number: int) -> str:
    return f"getelementptr (i64, ptr @{SHARED}, i64 {number})"


_POOL = f"""
; {{ function, arguments, blocks, chunk, next block, status, threads that may still join, that have joined, next job }}
%dsl.job = type {{ ptr, ptr, i64, i64, i64, i32, i64, i64, ptr }}
declare i32 @pthread_create(ptr, ptr, ptr, ptr) nounwind
declare i32 @pthread_detach(i64) nounwind
declare i32 @pthread_mutex_lock(ptr) nounwind
declare i32 @pthread_mutex_unlock(ptr) nounwind
declare i32 @pthread_cond_wait(ptr, ptr) nounwind
declare i32 @pthread_cond_signal(ptr) nounwind
declare i32 @pthread_cond_broadcast(ptr) nounwind
declare i32 @sched_yield() nounwind

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

; What one thread does of a job.
define internal void @dsl.work(ptr %job) noinline {{
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
  ret void
}}

; A thread that waits for jobs: a moment on the processor, then asleep. It never returns.
define internal ptr @dsl.worker(ptr %nothing) noinline {{
  br label %idle
idle:
  br label %spin
spin:
  %turn = phi i64 [ 0, %idle ], [ %following, %again ]
  %seen = load atomic ptr, ptr {_word(JOBS)} monotonic, align 8
  %any = icmp ne ptr %seen, null
  %long = icmp uge i64 %turn, {_SPINS}
  %enter = or i1 %any, %long
  br i1 %enter, label %lock, label %again
again:
  %yielded = call i32 @sched_yield()
  %following = add i64 %turn, 1
  br label %spin
lock:
  %locked = call i32 @pthread_mutex_lock(ptr {_word(LOCK)})
  br label %scan
scan:
  %head = load ptr, ptr {_word(JOBS)}
  br label %look
look:
  %job = phi ptr [ %head, %scan ], [ %next, %skip ]
  %none = icmp eq ptr %job, null
  br i1 %none, label %sleep, label %ask
sleep:
  %woken = call i32 @pthread_cond_wait(ptr {_word(WAKE)}, ptr {_word(LOCK)})
  br label %scan
ask:
  %at.room = getelementptr %dsl.job, ptr %job, i32 0, i32 6
  %room = load i64, ptr %at.room
  %free = icmp sgt i64 %room, 0
  br i1 %free, label %join, label %skip
skip:
  %at.next = getelementptr %dsl.job, ptr %job, i32 0, i32 8
  %next = load ptr, ptr %at.next
  br label %look
join:
  %less = sub i64 %room, 1
  store i64 %less, ptr %at.room
  %at.joined = getelementptr %dsl.job, ptr %job, i32 0, i32 7
  %joined = atomicrmw add ptr %at.joined, i64 1 monotonic
  %unlocked = call i32 @pthread_mutex_unlock(ptr {_word(LOCK)})
  call void @dsl.work(ptr %job)
  %relocked = call i32 @pthread_mutex_lock(ptr {_word(LOCK)})
  %before = atomicrmw sub ptr %at.joined, i64 1 release
  %told = call i32 @pthread_cond_broadcast(ptr {_word(DONE)})
  %given = call i32 @pthread_mutex_unlock(ptr {_word(LOCK)})
  br label %idle
}}

; Threads, until there are so many, if the system gives them.
define internal void @dsl.start(i64 %wanted) noinline {{
  %id = alloca i64, align 8
  br label %look
look:
  %there = load i64, ptr {_word(STARTED)}
  %enough = icmp sge i64 %there, %wanted
  br i1 %enough, label %end, label %one
one:
  %refused = call i32 @pthread_create(ptr %id, ptr null, ptr @dsl.worker, ptr null)
  %bad = icmp ne i32 %refused, 0
  br i1 %bad, label %end, label %count
count:
  %thread = load i64, ptr %id
  %detached = call i32 @pthread_detach(i64 %thread)
  %more = add i64 %there, 1
  store i64 %more, ptr {_word(STARTED)}
  br label %look
end:
  ret void
}}

; Offer a job to other threads, work on it, and wait for those that have joined.
define internal void @dsl.share(ptr %job) noinline {{
  %at.room = getelementptr %dsl.job, ptr %job, i32 0, i32 6
  %at.joined = getelementptr %dsl.job, ptr %job, i32 0, i32 7
  %at.next = getelementptr %dsl.job, ptr %job, i32 0, i32 8
  %room = load i64, ptr %at.room
  %locked = call i32 @pthread_mutex_lock(ptr {_word(LOCK)})
  call void @dsl.start(i64 %room)
  %head = load ptr, ptr {_word(JOBS)}
  store ptr %head, ptr %at.next
  store atomic ptr %job, ptr {_word(JOBS)} monotonic, align 8
  %unlocked = call i32 @pthread_mutex_unlock(ptr {_word(LOCK)})
  br label %wake
wake:
  %number = phi i64 [ 0, %0 ], [ %following, %wake ]
  %woken = call i32 @pthread_cond_signal(ptr {_word(WAKE)})
  %following = add i64 %number, 1
  %more = icmp slt i64 %following, %room
  br i1 %more, label %wake, label %mine
mine:
  call void @dsl.work(ptr %job)
  %relocked = call i32 @pthread_mutex_lock(ptr {_word(LOCK)})
  br label %find
find:
  %slot = phi ptr [ {_word(JOBS)}, %mine ], [ %at.following, %beyond ]
  %listed = load ptr, ptr %slot
  %here = icmp eq ptr %listed, %job
  br i1 %here, label %remove, label %beyond
beyond:
  %at.following = getelementptr %dsl.job, ptr %listed, i32 0, i32 8
  br label %find
remove:
  %after = load ptr, ptr %at.next
  store atomic ptr %after, ptr %slot monotonic, align 8
  %released = call i32 @pthread_mutex_unlock(ptr {_word(LOCK)})
  br label %spin
spin:
  %turn = phi i64 [ 0, %remove ], [ %nth, %again ]
  %busy = load atomic i64, ptr %at.joined acquire, align 8
  %free = icmp eq i64 %busy, 0
  %long = icmp uge i64 %turn, {_SPINS}
  %enough = or i1 %free, %long
  br i1 %enough, label %sure, label %again
again:
  %yielded = call i32 @sched_yield()
  %nth = add i64 %turn, 1
  br label %spin
sure:
  ; Under the lock, as the last thread tells while it has it: then it looks at the job no more.
  %held = call i32 @pthread_mutex_lock(ptr {_word(LOCK)})
  br label %check
check:
  %left = load atomic i64, ptr %at.joined acquire, align 8
  %over = icmp eq i64 %left, 0
  br i1 %over, label %end, label %wait
wait:
  %told = call i32 @pthread_cond_wait(ptr {_word(DONE)}, ptr {_word(LOCK)})
  br label %check
end:
  %given = call i32 @pthread_mutex_unlock(ptr {_word(LOCK)})
  ret void
}}

define void @{RUN_POOL}(ptr %function, ptr %arguments, i64 %blocks, i64 %work, i64 %ordered) noinline {{
entry:
  %job = alloca %dsl.job, align 64
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
  %shares = mul i64 %count, {_SHARES}
  %each = sdiv i64 %blocks, %shares
  %chunk = call i64 @llvm.smax.i64(i64 %each, i64 1)
  %room = sub i64 %count, 1
  %at.arguments = getelementptr %dsl.job, ptr %job, i32 0, i32 1
  %at.blocks = getelementptr %dsl.job, ptr %job, i32 0, i32 2
  %at.chunk = getelementptr %dsl.job, ptr %job, i32 0, i32 3
  %at.next = getelementptr %dsl.job, ptr %job, i32 0, i32 4
  %at.status = getelementptr %dsl.job, ptr %job, i32 0, i32 5
  %at.room = getelementptr %dsl.job, ptr %job, i32 0, i32 6
  %at.joined = getelementptr %dsl.job, ptr %job, i32 0, i32 7
  store ptr %function, ptr %job
  store ptr %arguments, ptr %at.arguments
  store i64 %blocks, ptr %at.blocks
  store i64 %chunk, ptr %at.chunk
  store i64 0, ptr %at.next
  store i32 0, ptr %at.status
  store i64 %room, ptr %at.room
  store i64 0, ptr %at.joined
  %counted = atomicrmw add ptr {_word(SHARED_OUT)}, i64 1 monotonic
  call void @dsl.share(ptr %job)
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
define internal void @{DISAGREE}(i32 %place) cold noinline noreturn nounwind {{
  %status = add i32 %place, {DISAGREEMENT}
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
    """The function that packs arguments and calls the pool, and the one that unpacks them."""
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
{pack}  %pool = load ptr, ptr {_word(POOL)}
  call void %pool(ptr @"{name}.part", ptr %pack, i64 %a0, i64 %a1, i64 %a2)
  ret void
}}
"""
