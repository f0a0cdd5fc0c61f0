"""Warp-wide instructions and barriers with results, against each lane's own definition."""

from __future__ import annotations

import numpy as np
import pytest

from .kernels import module
from .running import launch

HEAD = """
  .reg .b32 %r<9>; .reg .b64 %a<9>; .reg .pred %p<5>; .reg .b64 %d;
  ld.param.b64 %a0, [x]; ld.param.b64 %a1, [y]; mov.u32 %r0, %tid.x;
  mad.wide.u32 %a2, %r0, 4, %a0; mad.wide.u32 %a3, %r0, 4, %a1; ld.global.b32 %r1, [%a2];
"""


def run(body: str, x: np.ndarray, threads: int) -> np.ndarray:
    """What the body leaves in %r2 of each thread, %r1 being its element of x."""
    y = np.zeros(threads, np.uint32)
    text = module(f"{HEAD}{body}\nst.global.b32 [%a3], %r2; ret;", ".param .u64 x, .param .u64 y")
    launch(text, "k", 1, threads, x, y)
    return y


def source(mode: str, lane: int, b: int, c: int) -> tuple[int, bool]:
    segment, clamp = c >> 8 & 31, c & 31
    low = lane & segment
    high = low | clamp & ~segment & 31
    if mode == "up":
        return (lane - b, True) if lane - b >= high else (lane, False)
    j = {"down": lane + b, "bfly": lane ^ b, "idx": low | b & ~segment & 31}[mode]
    return (j, True) if j <= high else (lane, False)


@pytest.mark.parametrize("mode", ["up", "down", "bfly", "idx"])
@pytest.mark.parametrize("width", [32, 16, 8])
def test_shuffles(mode, width):
    x = np.random.default_rng(1).integers(0, 2**32, 64, np.uint32)
    c = (32 - width) << 8 | (0 if mode == "up" else 31)
    for b in (0, 1, 3, 7, 20, 31):
        body = f"shfl.sync.{mode}.b32 %r2|%p0, %r1, {b}, {c}, -1; @!%p0 not.b32 %r2, %r2;"
        want = []
        for t in range(64):
            lane, valid = source(mode, t % 32, b, c)
            want.append(int(x[t // 32 * 32 + lane]) ^ (0 if valid else 0xFFFFFFFF))
        assert run(body, x, 64).tolist() == want


def test_a_lane_that_is_not_there_gives_ones():
    x = np.arange(48, dtype=np.uint32)
    got = run("shfl.sync.down.b32 %r2, %r1, 16, 31, -1;", x, 48)
    assert got[:16].tolist() == list(range(16, 32)) and got[32:].tolist() == [0xFFFFFFFF] * 16


def test_votes_in_parts_of_a_warp():
    x = np.random.default_rng(2).integers(0, 5, 64).astype(np.uint32)
    yes = x > 1
    # lanes below 20 vote among themselves, in a branch of their own
    for mode in ("all", "any", "uni", "ballot"):
        vote = (
            "vote.sync.ballot.b32 %r2, %p0, {m};"
            if mode == "ballot"
            else f"vote.sync.{mode}.pred %p1, %p0, {{m}}; selp.b32 %r2, 1, 0, %p1;"
        )
        low, high = (1 << 20) - 1, 0xFFFFFFFF ^ (1 << 20) - 1
        body = f"""
          setp.gt.u32 %p0, %r1, 1; mov.u32 %r3, %laneid; setp.lt.u32 %p2, %r3, 20;
          @%p2 bra low;
          {vote.format(m=high)}
          bra.uni done;
        low: {vote.format(m=low)}
        done:"""
        want = []
        for t in range(64):
            lanes = range(20) if t % 32 < 20 else range(20, 32)
            said = {k: bool(yes[t // 32 * 32 + k]) for k in lanes}
            want.append(
                {
                    "all": int(all(said.values())),
                    "any": int(any(said.values())),
                    "uni": int(len(set(said.values())) == 1),
                    "ballot": sum(v << k for k, v in said.items()),
                }[mode]
            )
        assert run(body, x, 64).tolist() == want


def test_matches():
    x = np.random.default_rng(3).integers(0, 4, 64).astype(np.uint32)
    want = [sum(1 << k for k in range(32) if x[t // 32 * 32 + k] == x[t]) for t in range(64)]
    assert run("match.any.sync.b32 %r2, %r1, -1;", x, 64).tolist() == want
    wide = "cvt.u64.u32 %d, %r1; match.any.sync.b64 %r2, %d, -1;"
    assert run(wide, x, 64).tolist() == want
    every = "match.all.sync.b32 %r2|%p0, %r1, -1; selp.b32 %r3, 1, 0, %p0; and.b32 %r2, %r2, 6; add.u32 %r2, %r2, %r3;"
    assert run(every, x, 64).tolist() == [0] * 64
    assert run(every, np.full(64, 9, np.uint32), 64).tolist() == [7] * 64


@pytest.mark.parametrize(
    "op, type", [("add", "u32"), ("min", "s32"), ("max", "u32"), ("and", "b32"), ("or", "b32"), ("xor", "b32")]
)
def test_reductions_of_a_warp(op, type):
    x = np.random.default_rng(4).integers(0, 2**32, 40, np.uint32)
    view = x.view(np.int32) if type == "s32" else x
    reduce = {
        "add": np.add,
        "min": np.minimum,
        "max": np.maximum,
        "and": np.bitwise_and,
        "or": np.bitwise_or,
        "xor": np.bitwise_xor,
    }[op].reduce
    with np.errstate(over="ignore"):
        want = [
            int(np.array([reduce(part, dtype=part.dtype)]).view(np.uint32)[0])
            for part in (view[:32], view[32:])
            for _ in part
        ]
    assert run(f"redux.sync.{op}.{type} %r2, %r1, -1;", x, 40).tolist() == want


def test_a_leader_is_elected():
    got = run("elect.sync %r2|%p0, -1; selp.b32 %r3, 100, 0, %p0; add.u32 %r2, %r2, %r3;", np.zeros(40, np.uint32), 40)
    assert got.tolist() == [100, *[0] * 31, 100, *[0] * 7]


def test_active_lanes():
    body = """
      mov.u32 %r3, %laneid; setp.lt.u32 %p2, %r3, 3;
      @%p2 bra low;
      activemask.b32 %r2; bra.uni done;
    low: activemask.b32 %r2;
    done:"""
    assert run(body, np.zeros(36, np.uint32), 36).tolist() == [7] * 3 + [0xFFFFFFF8] * 29 + [7] * 3 + [8]


def test_barriers_count():
    x = np.random.default_rng(5).integers(0, 2, 96).astype(np.uint32)
    start = "setp.ne.u32 %p0, %r1, 0;"
    for count in ("bar.red.popc.u32", "barrier.red.popc.aligned.u32"):
        assert run(f"{start} {count} %r2, 0, %p0;", x, 96).tolist() == [int(x.sum())] * 96
    for opcode, value in (("bar.red.and.pred", int(x.all())), ("barrier.red.or.pred", int(x.any()))):
        body = f"{start} {opcode} %p1, 0, %p0; selp.b32 %r2, 1, 0, %p1;"
        assert run(body, x, 96).tolist() == [value] * 96
    assert (
        run("mov.u32 %r2, 4; barrier.sync 3; barrier.sync.aligned 2; barrier.cta.sync 1;", x, 96).tolist() == [4] * 96
    )


def test_producers_arrive_and_consumers_wait():
    body = """
      .shared .align 4 .b32 s[32];
      mov.u32 %r3, s; and.b32 %r4, %r0, 31; shl.b32 %r4, %r4, 2; add.u32 %r3, %r3, %r4;
      setp.lt.u32 %p2, %r0, 32;
      @%p2 bra produce;
      bar.sync 1, 64;
      ld.shared.b32 %r2, [%r3];
      bra.uni done;
    produce:
      st.shared.b32 [%r3], %r1;
      mov.u32 %r2, 0;
      {arrive} 1, 64;
    done:"""
    x = np.arange(64, dtype=np.uint32) + 7
    for arrive in ("bar.arrive", "barrier.arrive"):
        assert run(body.replace("{arrive}", arrive), x, 64).tolist() == [0] * 32 + list(range(7, 39))
