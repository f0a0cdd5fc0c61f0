"""Moves, loads and stores in every space, calls with parameters, tables of labels."""

from __future__ import annotations

import numpy as np
import pytest

from lowering.simulator import Device
from lowering.simulator.errors import PtxError

from .kernels import module
from .running import launch

from .opcodes import N, case, check  # isort: skip

CASES = [case(f"mov.{t}", t, t, lambda a: a) for t in "pred b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64".split()]
CASES += [
    case("cvta.to.global.u64", "u64", "u64", lambda a: a),
    case("cvta.global.u64", "u64", "u64", lambda a: a),
]
assert N % 128 == 0
# Bodies of kernels: what they leave in 16 words of 32 bits that hold 0 to 15 at first.
PROGRAMS: dict[str, tuple[str, list[int]]] = {
    "packs and unpacks": (
        """
        .reg .b16 %h<4>; .reg .b32 %r<4>; .reg .b64 %d;
        ld.global.v4.b32 {%r0, %r1, %r2, %r3}, [%x];
        mov.b64 %d, {%r3, %r2};
        mov.b64 {%r0, %r1}, %d;
        mov.b32 {%h0, %h1}, 0x00070009;
        mov.b64 %d, {%h1, %h0, %h0, %h1};
        mov.b64 {%h0, %h1, %h2, %h3}, %d;
        mov.b32 %r2, {%h0, %h3};
        mov.b64 {_, %r3}, %d;
        st.global.v4.b32 [%x], {%r0, %r1, %r2, %r3};""",
        [3, 2, 0x00070007, 0x00070009],
    ),
    "vectors of all widths": (
        """
        .reg .b64 %d<2>; .reg .b16 %h<4>; .reg .b32 %r<4>;
        ld.global.nc.v2.b64 {%d0, %d1}, [%x+16];
        st.global.v2.b64 [%x], {%d1, %d0};
        ld.global.v4.b16 {%h0, %h1, %h2, %h3}, [%x+32];
        st.global.v2.b16 [%x+36], {%h0, %h2};
        ld.global.L1::no_allocate.v2.f32 {%r0, %r1}, [%x+40];
        st.global.wb.v2.f32 [%x+40], {%r1, %r0};""",
        [6, 7, 4, 5, 4, 5, 6, 7, 8, 8 | 9 << 16, 11, 10],
    ),
    "generic addresses": (
        """
        .shared .align 4 .b32 s[2]; .local .align 4 .b8 depot[8];
        .reg .b64 %a<5>; .reg .b32 %r<4>; .reg .pred %p;
        mov.b64 %a0, s; cvta.shared.u64 %a1, %a0;
        mov.b64 %a2, depot; cvta.local.u64 %a3, %a2;
        st.b32 [%a1+4], 21; st.b32 [%a3], 22; st.shared.b32 [s], 20;
        ld.shared.b32 %r0, [s+4]; ld.local.b32 %r1, [depot]; ld.b32 %r2, [%a1]; ld.b32 %r3, [%x+60];
        st.global.v4.b32 [%x], {%r0, %r1, %r2, %r3};
        isspacep.shared %p, %a1; selp.b32 %r0, 1, 0, %p; isspacep.local %p, %a3; selp.b32 %r1, 1, 0, %p;
        isspacep.global %p, %x; selp.b32 %r2, 1, 0, %p; isspacep.global %p, %a1; selp.b32 %r3, 1, 0, %p;
        st.global.v4.b32 [%x+16], {%r0, %r1, %r2, %r3};
        cvta.to.shared.u64 %a4, %a1; cvt.u32.u64 %r0, %a4; add.u32 %r0, %r0, 4; ld.shared.b32 %r1, [%r0];
        cvta.to.local.u64 %a4, %a3; ld.local.b32 %r2, [%a4];
        st.global.v2.b32 [%x+32], {%r1, %r2};""",
        [21, 22, 20, 15, 1, 1, 1, 0, 21, 22],
    ),
    "strong accesses and fences": (
        """
        .reg .b32 %r<3>;
        ld.volatile.global.b32 %r0, [%x+4]; st.volatile.global.b32 [%x], %r0;
        ld.relaxed.gpu.global.b32 %r1, [%x+8]; st.relaxed.sys.global.b32 [%x+4], %r1;
        fence.sc.gpu; membar.cta; fence.acq_rel.cta; membar.sys;
        ld.acquire.gpu.b32 %r2, [%x+12]; st.release.gpu.b32 [%x+8], %r2;
        ld.weak.global.b32 %r2, [%x+16]; st.weak.global.b32 [%x+12], %r2;
        ldu.global.b32 %r2, [%x+20]; prefetch.global.L2 [%x]; prefetchu.L1 [%x]; nanosleep.u32 20;""",
        [1, 2, 3, 4],
    ),
    "constant and global tables": (
        """
        .reg .b64 %a<3>; .reg .b32 %r<2>;
        mov.b64 %a0, fixed; cvta.const.u64 %a0, %a0; cvta.to.const.u64 %a0, %a0; ld.const.b32 %r0, [%a0+4];
        ld.global.b64 %a1, [pointers+8]; ld.b32 %r1, [%a1];
        st.global.v2.b32 [%x], {%r0, %r1};""",
        [12, 32],
    ),
    "special registers": (
        """
        .reg .b32 %r<4>; .reg .b64 %d;
        mov.u32 %r0, %nwarpid; mov.u32 %r1, %lanemask_lt; mov.u32 %r2, %lanemask_ge; mov.u32 %r3, WARP_SZ;
        st.global.v4.b32 [%x], {%r0, %r1, %r2, %r3};
        mov.u32 %r0, %warpid; mov.u32 %r1, %nctaid.z; mov.u32 %r2, %smid; mov.u32 %r3, %lanemask_eq;
        mov.u64 %d, %clock64; mov.u32 %r2, %cluster_nctaid.x;
        st.global.v4.b32 [%x+16], {%r0, %r1, %r2, %r3};""",
        [1, 0, 0xFFFFFFFF, 32, 0, 1, 1, 1],
    ),
    "tables of labels": (
        """
        .reg .b32 %r<3>; .reg .pred %p;
        mov.u32 %r0, 0;
        targets: .branchtargets first, second, third;
        loop: brx.idx %r0, targets;
        first: mov.u32 %r1, 50; bra.uni next;
        second: mov.u32 %r1, 51; bra next;
        third: mov.u32 %r1, 52;
        next: { .reg .b64 %y; mul.wide.u32 %y, %r0, 4; add.s64 %y, %y, %x; st.global.b32 [%y], %r1; }
        add.u32 %r0, %r0, 1; setp.lt.u32 %p, %r0, 3; @%p bra loop;""",
        [50, 51, 52],
    ),
    "carries": (
        """
        .reg .b32 %r<6>;
        add.cc.u32 %r0, 0xffffffff, 2; addc.cc.u32 %r1, 0xffffffff, 0; addc.u32 %r2, 5, 6;
        st.global.v2.b32 [%x], {%r0, %r1}; st.global.b32 [%x+8], %r2;
        sub.cc.u32 %r0, 1, 2; subc.cc.u32 %r1, 0, 0; subc.u32 %r2, 5, 1;
        st.global.b32 [%x+12], %r0; st.global.v2.b32 [%x+16], {%r1, %r2};
        mad.lo.cc.u32 %r0, 0x10000, 0x10001, 0xffff0000; madc.hi.cc.u32 %r1, 0x10000, 0x10001, 7;
        madc.lo.u32 %r2, 3, 4, 0;
        st.global.v2.b32 [%x+24], {%r0, %r1}; st.global.b32 [%x+32], %r2;""",
        [1, 0, 12, 0xFFFFFFFF, 0xFFFFFFFF, 3, 0, 9, 12],
    ),
    "nothing and active lanes": (
        """
        .reg .b32 %r<2>; activemask.b32 %r0; st.global.b32 [%x], %r0;
        griddepcontrol.wait; prefetch.L1 [%x]; discard.global.L2 [%x+0], 128;""",
        [1],
    ),
    "the widest vectors": (
        """
        .reg .b64 %d<4>; .reg .b32 %r<8>;
        ld.global.v4.b64 {%d0, %d1, %d2, %d3}, [%x];
        ld.global.v8.b32 {%r0, %r1, %r2, %r3, %r4, %r5, %r6, %r7}, [%x+32];
        st.global.v4.b64 [%x+32], {%d0, %d1, %d2, %d3};
        st.global.v8.b32 [%x], {%r7, %r6, %r5, %r4, %r3, %r2, %r1, %r0};""",
        [15, 14, 13, 12, 11, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7],
    ),
    "a way out": (".reg .pred %p; setp.ne.b64 %p, %x, 0; @%p exit; st.global.b32 [%x], 7;", [0]),
}  # fmt: skip
TABLES = """
.const .align 4 .b32 fixed[3] = {11, 12, 13};
.global .align 4 .b32 one[1] = {31};
.global .align 4 .b32 two[1] = {32};
.global .align 8 .u64 pointers[2] = {one, generic(two)};
"""


def program(body: str) -> str:
    return module(f".reg .b64 %x; ld.param.b64 %x, [x];\n{body}\nret;", ".param .u64 x", TABLES)


@pytest.mark.parametrize("c", CASES, ids=str)
def test_instruction(c):
    check(c)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    body, want = PROGRAMS[name]
    x = np.arange(32, dtype=np.uint32)
    launch(program(body.replace("discard.global.L2 [%x+0], 128;", "")), "k", 1, 1, x)
    assert x[: len(want)].tolist() == want


CALL = """
.func (.param .b32 back) scaled(.param .b32 a, .param .align 8 .b8 pair[16])
{
  .reg .b32 %r<4>; .reg .b64 %d; .reg .pred %p;
  .local .align 4 .b8 depot[4];
  ld.param.b32 %r0, [a];
  ld.param.b64 %d, [pair+8];
  cvt.u32.u64 %r1, %d;
  setp.gt.u32 %p, %r0, 2;
  @%p bra large;
  mul.lo.u32 %r2, %r0, %r1;
  st.local.b32 [depot], %r2;
  ld.local.b32 %r3, [depot];
  st.param.b32 [back], %r3;
  ret;
large:
  st.param.b32 [back], %r1;
  ret;
}
"""
CALLER = """
  .reg .b64 %a<3>; .reg .b32 %r<5>; .reg .b64 %d; .reg .pred %p;
  mov.u32 %r0, %tid.x; ld.param.b64 %a0, [x]; mad.wide.u32 %a1, %r0, 4, %a0;
  setp.eq.u32 %p, %r0, 5;
  @%p bra done;
  mov.b64 %d, 100;
  {
    .param .b32 p0; .param .align 8 .b8 p1[16]; .param .b32 r0;
    st.param.b32 [p0], %r0; st.param.b64 [p1+8], %d;
    call.uni (r0), scaled, (p0, p1);
    ld.param.b32 %r1, [r0];
  }
  {
    .param .b32 p0; .param .align 8 .b8 p1[16]; .param .b32 r0;
    st.param.b32 [p0], 1; st.param.b64 [p1+8], %d;
    call (r0), scaled, (p0, p1);
    ld.param.b32 %r2, [r0];
  }
  add.u32 %r1, %r1, %r2;
  st.global.b32 [%a1], %r1;
done:
  ret;
"""


def test_functions_are_called_and_come_back_together():
    out = np.zeros(8, np.uint32)
    launch(module(CALLER, ".param .u64 x", CALL), "k", 1, 8, out)
    assert out.tolist() == [100, 200, 300, 200, 200, 0, 200, 200]


def test_printf_and_assertions(capsys):
    from lowering.simulator.errors import Trap

    text = """
    .extern .func (.param .b32 r) vprintf(.param .b64 f, .param .b64 a);
    .extern .func __assertfail(.param .b64 m, .param .b64 f, .param .b32 l, .param .b64 g, .param .b64 c);
    .global .align 1 .b8 format[13] = {37, 100, 32, 37, 46, 50, 102, 37, 37, 37, 115, 10, 0};
    .global .align 1 .b8 word[3] = {111, 107, 0};
    """
    body = """
    .local .align 8 .b8 depot[24]; .reg .b64 %a<3>; .reg .b32 %r; .reg .pred %p;
    mov.b64 %a0, depot; cvta.local.u64 %a0, %a0; mov.u32 %r, %tid.x;
    st.local.b32 [depot], %r; st.local.f64 [depot+8], 0d3FF4000000000000;
    mov.b64 %a1, word; cvta.global.u64 %a1, %a1; st.local.b64 [depot+16], %a1;
    mov.b64 %a2, format; cvta.global.u64 %a2, %a2;
    { .param .b64 p0; .param .b64 p1; .param .b32 r0; st.param.b64 [p0], %a2; st.param.b64 [p1], %a0;
      call.uni (r0), vprintf, (p0, p1); }
    setp.ne.u32 %p, %r, 1;
    @%p bra done;
    { .param .b64 p0; .param .b64 p1; .param .b32 p2; .param .b64 p3; .param .b64 p4;
      st.param.b64 [p0], %a1; st.param.b64 [p1], %a1; st.param.b32 [p2], 7; st.param.b64 [p3], %a1;
      st.param.b64 [p4], 1;
      call.uni __assertfail, (p0, p1, p2, p3, p4); }
    done: ret;"""
    with pytest.raises(Trap, match="assertion `ok` failed at ok:7") as error:
        launch(module(body, declarations=text), "k", 1, 2)
    assert error.value.site.thread == (1, 0, 0)
    assert capsys.readouterr().out == "0 1.25%ok\n1 1.25%ok\n"


@pytest.mark.parametrize(
    "body, match",
    [
        ("tcgen05.alloc.sync.aligned.b32 [%x], 32;", r"opcode `tcgen05.alloc.sync.aligned.b32` is not known"),
        ("add.rn.s32 %r0, %r1, %r2;", r"opcode `add.rn.s32` is not known"),
        ("add.u32 %r0, %d0, %r2;", "%d0 is a .b64, which a .u32 does not fit"),
        ("add.u32 %r0, %r1;", "takes 3 operands"),
        ("add.u32 7, %r1, %r1;", "destination must be a register"),
        ("setp.eq.u32 %r0, %r1, %r1;", "%r0 is a .b32, not a .pred"),
        ("mov.b32 %r0, nothing;", "nothing is not known in `k`"),
        ("bra nowhere;", "target of a branch must be a label"),
        ("ld.global.v2.b32 %r0, [%x];", "a vector of 2 operands"),
        ("call (%r0), %d0, (%r1);", "indirect"),
        ("st.param.b32 [x], 1;", "only parameters of calls"),
        ("bar.red.popc.pred %p0, 0, %p0;", "not known"),
    ],
)
def test_what_is_not_known_is_refused_with_its_line(body, match):
    text = module(f".reg .b64 %x; .reg .b32 %r<3>; .reg .b64 %d<2>; .reg .pred %p<2>;\n{body}\nret;", ".param .b64 x")
    with pytest.raises(PtxError, match=match) as error:
        Device().load(text).function("k")
    assert error.value.line == 8
    assert body in str(error.value)


def test_recursion_is_refused():
    text = ".func f() { call.uni f, (); ret; }"
    with pytest.raises(PtxError, match="calls itself"):
        Device().load(module("call.uni f, (); ret;", declarations=text)).function("k")
