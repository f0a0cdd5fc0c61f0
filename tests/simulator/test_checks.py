"""Each check finds what it is for, with the thread, the address and the user's line, and lets correct kernels pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lowering.simulator import ALL, NONE
from lowering.simulator.errors import (
    DataRace,
    Deadlock,
    DivergentBarrier,
    Misaligned,
    OutOfBounds,
    ReadOnlyWrite,
    StepLimit,
    Trap,
    UninitialisedRead,
    WarpError,
)

from .kernels import module, ptx
from .running import launch

SH = "#gpu.address_space<workgroup>"


def f(name: str, arguments: str, body: str, attributes: str = "") -> str:
    return f"""
    gpu.func @{name}({arguments}) {attributes} kernel {{
      %i = gpu.global_id x
      %t = gpu.thread_id x
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c16 = arith.constant 16 : index
      {body}
      gpu.return
    }}"""


X = "%X: memref<64xf32>"
SHARED = f"workgroup(%s : memref<64xf32, {SH}>)"


def run(text: str, *arguments: object, grid: int = 1, block: int = 64, checks=ALL) -> None:
    launch(ptx(text, lines=True), "k", grid, block, *arguments, checks=checks)


def zeros(n: int = 64) -> np.ndarray:
    return np.zeros(n, np.float32)


# --- addresses


def test_out_of_bounds_names_the_thread_the_address_and_the_line():
    text = f("k", X, """
      %v = memref.load %X[%i] : memref<64xf32> loc("user.py":7:9)
      %w = arith.addf %v, %v : f32
      memref.store %w, %X[%i] : memref<64xf32>""")  # fmt: skip
    run(text, zeros(64))
    with pytest.raises(OutOfBounds) as error:
        run(text, zeros(40))
    fault = error.value
    assert fault.loc == ("user.py", 7, 9)
    assert (fault.site.kernel, fault.site.block, fault.site.thread) == ("k", (0, 0, 0), (40, 0, 0))
    assert (fault.count, fault.space) == (24, "global")
    assert "read of 4 bytes" in str(fault) and "0 bytes past the end of an allocation of 160 bytes" in str(fault)
    assert "ld.global.b32" in str(fault)


def test_the_line_itself_is_shown_where_it_can_be(tmp_path):
    source = tmp_path / "user.py"
    source.write_text("def k(x):\n    y = x[9]\n")
    body = ".reg .b32 %r; .loc 1 2 9\nld.global.b32 %r, [16]; ret;"
    with pytest.raises(OutOfBounds) as error:
        launch(module(body, declarations=f'.file 1 "{source}"'), "k", 1, 1)
    assert "user.py:2:9\n   |  y = x[9]\n   |      ^\n" in str(error.value)


def test_out_of_bounds_may_be_let_pass():
    text = f("k", X, """
      %v = memref.load %X[%i] : memref<64xf32>
      memref.store %v, %X[%i] : memref<64xf32>""")  # fmt: skip
    x = np.arange(40, dtype=np.float32)
    run(text, x, checks=replace(ALL, bounds=False))
    assert x.tolist() == list(range(40))


@pytest.mark.parametrize("grid, block", [((2, 3, 1), (8, 2, 2))])
def test_threads_of_grids_are_named_by_their_indices(grid, block):
    body = """
      .reg .b32 %r<3>; .reg .pred %p<3>; .reg .b64 %a;
      mov.u32 %r0, %ctaid.y; mov.u32 %r1, %tid.z; mov.u32 %r2, %tid.x;
      setp.eq.u32 %p0, %r0, 2; setp.eq.and.u32 %p1, %r1, 1, %p0; setp.eq.and.u32 %p2, %r2, 5, %p1;
      mov.b64 %a, 16;
      @%p2 st.global.b32 [%a], %r0;
      ret;"""
    with pytest.raises(OutOfBounds) as error:
        launch(module(body), "k", grid, block)
    assert (error.value.site.block, error.value.site.thread) == ((0, 2, 0), (5, 0, 1))
    assert error.value.count == 4


def test_a_step_past_the_end_of_a_shared_array_is_seen():
    text = f("k", X, f"""
      %j = arith.addi %t, %c1 : index
      %v = memref.load %X[%i] : memref<64xf32>
      memref.store %v, %s[%j] : memref<64xf32, {SH}> loc("user.py":3:1)
      gpu.barrier
      %w = memref.load %s[%c1] : memref<64xf32, {SH}>
      memref.store %w, %X[%i] : memref<64xf32>""", SHARED)  # fmt: skip
    with pytest.raises(OutOfBounds) as error:
        run(text, zeros())
    assert error.value.space == "shared"
    assert error.value.site.thread == (63, 0, 0)
    assert error.value.loc == ("user.py", 3, 1)


def test_a_local_array_has_bounds():
    body = """
      .local .align 4 .b8 depot[16]; .reg .b32 %r<2>; .reg .b64 %a<3>;
      mov.u32 %r0, %tid.x; mul.wide.u32 %a0, %r0, 4; mov.b64 %a1, depot; add.s64 %a2, %a0, %a1;
      st.local.b32 [%a2], %r0;
      ret;"""
    launch(module(body), "k", 1, 4)
    with pytest.raises(OutOfBounds) as error:
        launch(module(body), "k", 1, 5)
    assert (error.value.space, error.value.site.thread) == ("local", (4, 0, 0))


def test_a_branch_beyond_its_table():
    body = """
      .reg .b32 %r; mov.u32 %r, %tid.x;
      table: .branchtargets one, two;
      brx.idx %r, table;
      one: two: ret;"""
    launch(module(body), "k", 1, 2)
    with pytest.raises(OutOfBounds, match="entry 2 of a table of 2"):
        launch(module(body), "k", 1, 3)


def test_use_after_free_is_out_of_bounds():
    from lowering.simulator import Device

    device = Device()
    function = device.load(
        module(".reg .b64 %a; .reg .b32 %r; ld.param.b64 %a, [x]; ld.global.b32 %r, [%a]; ret;", ".param .u64 x")
    ).function("k")
    address = device.alloc(4)
    device.launch(function, (1, 1, 1), (1, 1, 1), [address])
    device.free(address)
    with pytest.raises(OutOfBounds):
        device.launch(function, (1, 1, 1), (1, 1, 1), [address])


def test_misaligned():
    body = """
      .reg .b64 %a; .reg .b32 %r<4>; .reg .b32 %s;
      ld.param.b64 %a, [x];
      ld.global.v2.b32 {%r0, %r1}, [%a+8];
      ld.global.v4.b32 {%r0, %r1, %r2, %r3}, [%a+8];
      ret;"""
    with pytest.raises(Misaligned, match="16 bytes are accessed"):
        launch(module(body, ".param .u64 x"), "k", 1, 32, zeros())
    launch(module(body, ".param .u64 x"), "k", 1, 32, zeros(), checks=NONE)


def test_uninitialised_shared_memory():
    some = f"""%few = arith.cmpi slt, %t, %c16 : index
      scf.if %few {{ memref.store %w, %s[%t] : memref<64xf32, {SH}> }}"""
    read = f'gpu.barrier\n %v = memref.load %s[%t] : memref<64xf32, {SH}> loc("user.py":5:2)'
    write = f"memref.store %w, %s[%t] : memref<64xf32, {SH}>"
    ends = "memref.store %v, %X[%i] : memref<64xf32>"
    first = "%w = memref.load %X[%i] : memref<64xf32>"
    run(f("k", X, "\n".join([first, write, read, ends]), SHARED), zeros())
    with pytest.raises(UninitialisedRead) as error:
        run(f("k", X, "\n".join([first, some, read, ends]), SHARED), zeros())
    assert error.value.loc == ("user.py", 5, 2)
    assert error.value.site.thread == (16, 0, 0)
    run(f("k", X, "\n".join([first, some, read, ends]), SHARED), zeros(), checks=replace(ALL, uninitialised=False))


def test_uninitialised_local_memory():
    body = """
      .local .align 4 .b8 depot[16]; .reg .b32 %r<2>; .reg .b16 %h;
      mov.u32 %r0, 5; cvt.u16.u32 %h, %r0;
      st.local.b16 [depot+4], %h;
      ld.local.b16 %h, [depot+4];
      ld.local.b32 %r1, [depot+4];
      ret;"""
    with pytest.raises(UninitialisedRead) as error:
        launch(module(body), "k", 1, 4)
    assert error.value.site.instruction.text == "ld.local.b32 %r1, [depot+4];"


def test_constant_memory_is_not_written():
    body = ".reg .b64 %a; mov.b64 %a, table; st.global.b32 [%a+4], 1; ret;"
    with pytest.raises(ReadOnlyWrite):
        launch(module(body, declarations=".const .align 4 .b32 table[2] = {1, 2};"), "k", 1, 1)
    launch(module(body, declarations=".global .align 4 .b32 table[2] = {1, 2};"), "k", 1, 1)


# --- races

NEIGHBOUR = f("k", X, """
      %j = arith.addi %i, %c1 : index
      %c63 = arith.constant 63 : index
      %in = arith.cmpi slt, %i, %c63 : index
      scf.if %in {
        %v = memref.load %X[%j] : memref<64xf32> loc("user.py":4:3)
        memref.store %v, %X[%i] : memref<64xf32> loc("user.py":5:3)
      }""")  # fmt: skip


def test_a_race_on_global_memory_names_both_sides():
    with pytest.raises(DataRace) as error:
        run(NEIGHBOUR, zeros())
    fault = error.value
    assert fault.loc == ("user.py", 5, 3)
    assert fault.other is not None and fault.other.place[:3] == ("user.py", 4, 3)
    assert fault.other.thread != fault.site.thread
    run(NEIGHBOUR, zeros(), checks=replace(ALL, races=False))


def shifted(barrier: str) -> str:
    return f("k", X, f"""
      %v = memref.load %X[%i] : memref<64xf32>
      memref.store %v, %s[%t] : memref<64xf32, {SH}> loc("user.py":2:1)
      {barrier}
      %c63 = arith.constant 63 : index
      %r = arith.subi %c63, %t : index
      %w = memref.load %s[%r] : memref<64xf32, {SH}> loc("user.py":9:1)
      memref.store %w, %X[%i] : memref<64xf32>""", SHARED)  # fmt: skip


def test_a_race_on_shared_memory():
    x = np.arange(64, dtype=np.float32)
    run(shifted("gpu.barrier"), x)
    assert x.tolist() == list(range(64))[::-1]
    with pytest.raises(DataRace) as error:
        run(shifted(""), x)
    assert error.value.space == "shared"
    assert error.value.loc == ("user.py", 9, 1)
    assert error.value.other is not None and error.value.other.place[:3] == ("user.py", 2, 1)


def test_blocks_have_no_barrier_between_them():
    text = f("k", X, """
      %v = memref.load %X[%i] : memref<64xf32>
      gpu.barrier
      %c63 = arith.constant 63 : index
      %r = arith.subi %c63, %i : index
      memref.store %v, %X[%r] : memref<64xf32>""")  # fmt: skip
    run(text, zeros(), grid=1, block=64)
    with pytest.raises(DataRace):
        run(text, zeros(), grid=2, block=32)


def test_writes_of_different_values_to_one_place():
    text = f("k", X, """
      %v = memref.load %X[%i] : memref<64xf32>
      memref.store %v, %X[%c0] : memref<64xf32>""")  # fmt: skip
    one = np.ones(64, np.float32)
    different = """
      .reg .b64 %a; .reg .b32 %r; ld.param.b64 %a, [x]; mov.u32 %r, %tid.x; st.global.b32 [%a], %r; ret;"""
    with pytest.raises(DataRace, match="different values"):
        launch(module(different, ".param .u64 x"), "k", 1, 4, one)
    launch(module(different.replace("%tid.x", "7"), ".param .u64 x"), "k", 1, 4, one)
    assert one.view(np.uint32)[0] == 7
    with pytest.raises(DataRace):  # every thread reads its cell, thread 0's is written by all
        run(text, one)


ATOMIC = """
      .reg .b64 %a; .reg .b32 %r<4>; .reg .pred %p;
      ld.param.b64 %a, [x];
      atom.global.add.u32 %r0, [%a], 1;
      {}
      ret;"""


def test_atomics_race_with_plain_accesses_only():
    count = np.zeros(1, np.uint32)
    launch(module(ATOMIC.format("atom.global.max.u32 %r1, [%a], 7;"), ".param .u64 x"), "k", 2, 64, count)
    assert count[0] >= 128
    for plain in ("ld.global.b32 %r1, [%a];", "st.global.b32 [%a], 9;"):
        with pytest.raises(DataRace, match="updated atomically"):
            launch(module(ATOMIC.format(plain), ".param .u64 x"), "k", 2, 64, count)
    relaxed = "ld.relaxed.gpu.global.b32 %r1, [%a];"
    launch(module(ATOMIC.format(relaxed), ".param .u64 x"), "k", 2, 64, count)


def test_the_last_block_may_read_what_fences_published():
    """The reduction over blocks that needs no second launch."""
    body = """
      .reg .b64 %a<4>; .reg .b32 %r<8>; .reg .pred %p<4>;
      .shared .align 4 .b32 last;
      ld.param.b64 %a0, [x];
      mov.u32 %r0, %tid.x; mov.u32 %r1, %ctaid.x; mov.u32 %r2, %nctaid.x;
      setp.ne.u32 %p0, %r0, 0;
      @%p0 bra wait;
      mad.wide.u32 %a1, %r1, 4, %a0;
      st.global.b32 [%a1+4], %r1;
      FENCE
      atom.global.add.u32 %r3, [%a0], 1;
      add.u32 %r4, %r3, 1;
      setp.eq.u32 %p1, %r4, %r2;
      selp.b32 %r5, 1, 0, %p1;
      st.shared.b32 [last], %r5;
    wait:
      bar.sync 0;
      ld.shared.b32 %r5, [last];
      setp.eq.u32 %p2, %r5, 0;
      @%p2 bra done;
      setp.ge.u32 %p3, %r0, %r2;
      @%p3 bra done;
      mad.wide.u32 %a2, %r0, 4, %a0;
      ld.global.b32 %r6, [%a2+4];
    done:
      ret;"""
    for fence in ("membar.gl;", "fence.acq_rel.gpu;"):
        x = np.zeros(9, np.uint32)
        launch(module(body.replace("FENCE", fence), ".param .u64 x"), "k", 8, 32, x)
        assert x.tolist() == [8, *range(8)]
    with pytest.raises(DataRace):
        launch(module(body.replace("FENCE", ""), ".param .u64 x"), "k", 8, 32, np.zeros(9, np.uint32))


WARP = """
      .reg .b32 %r<6>; .shared .align 4 .b32 s[64];
      mov.u32 %r0, %tid.x; shl.b32 %r1, %r0, 2; mov.u32 %r2, s; add.u32 %r3, %r2, %r1;
      st.shared.b32 [%r3], %r0;
      {}
      xor.b32 %r4, %r1, {}; add.u32 %r4, %r4, %r2;
      ld.shared.b32 %r5, [%r4];
      ret;"""


def test_a_warp_synchronisation_orders_a_warp_only():
    launch(module(WARP.format("bar.warp.sync 0xffffffff;", 4)), "k", 1, 64)
    with pytest.raises(DataRace):
        launch(module(WARP.format("bar.warp.sync 0xffffffff;", 128)), "k", 1, 64)
    with pytest.raises(DataRace):
        launch(module(WARP.format("", 4)), "k", 1, 64)


# --- waiting


def test_a_barrier_that_some_threads_never_reach():
    text = f("k", X, """
      %few = arith.cmpi slt, %t, %c16 : index
      scf.if %few {
        gpu.barrier loc("user.py":6:5)
      }""")  # fmt: skip
    with pytest.raises(DivergentBarrier) as error:
        run(text, zeros())
    assert error.value.loc == ("user.py", 6, 5)
    assert "48 others" in str(error.value)
    run(text, zeros(), checks=replace(ALL, early_exit=False))
    run(text, zeros(), block=16)  # all of the block


def test_different_barriers_in_one_block():
    body = """
      .reg .b32 %r; .reg .pred %p;
      mov.u32 %r, %tid.x; setp.lt.u32 %p, %r, 5;
      @%p bra other;
      bar.sync 0;
      bra.uni done;
    other:
      bar.sync 0;
    done:
      ret;"""
    with pytest.raises(DivergentBarrier, match="different barriers") as error:
        launch(module(body), "k", 1, 32)
    assert error.value.other is not None
    launch(module(body.replace("%tid.x", "%ctaid.x")), "k", 9, 32)  # each block agrees
    with pytest.raises(DivergentBarrier):  # with numbers of their own they wait forever
        launch(module(body.replace("bar.sync 0;", "bar.sync 1;", 1)), "k", 1, 32)


def test_barriers_in_loops_of_different_length():
    body = """
      .reg .b32 %r<3>; .reg .pred %p;
      mov.u32 %r0, %tid.x; mov.u32 %r1, 0;
    loop:
      bar.sync 0;
      add.u32 %r1, %r1, 1;
      setp.le.u32 %p, %r1, %r0;
      @%p bra loop;
      bar.sync 0;
      ret;"""
    with pytest.raises(DivergentBarrier):
        launch(module(body), "k", 1, 32)
    launch(module(body.replace("%tid.x", "%ctaid.x")), "k", 5, 32)


def test_a_barrier_for_a_part_of_the_block():
    body = """
      .reg .b32 %r; .reg .pred %p;
      mov.u32 %r, %tid.x; setp.ge.u32 %p, %r, 32;
      @%p bra done;
      bar.sync 1, {};
    done:
      ret;"""
    launch(module(body.format(32)), "k", 1, 96)
    with pytest.raises(Deadlock, match="never come"):
        launch(module(body.format(64)), "k", 1, 96)


def test_endless_loops_reach_the_step_limit():
    body = "loop: bra.uni loop;"
    with pytest.raises(StepLimit, match="1000 instructions"):
        launch(module(body), "k", 1, 32, checks=replace(ALL, steps=1000))


def test_a_lock_that_is_spun_on_is_let_go():
    """Lanes of one warp take a lock in turn: the one that has it must get to run."""
    body = """
      .reg .b64 %a; .reg .b32 %r<3>; .reg .pred %p;
      ld.param.b64 %a, [x];
    spin:
      atom.acquire.gpu.global.cas.b32 %r0, [%a], 0, 1;
      setp.ne.u32 %p, %r0, 0;
      @%p bra spin;
      ld.volatile.global.b32 %r1, [%a+4];
      add.u32 %r1, %r1, 1;
      st.volatile.global.b32 [%a+4], %r1;
      membar.gl;
      atom.release.gpu.global.exch.b32 %r2, [%a], 0;
      ret;"""
    x = np.zeros(2, np.uint32)
    launch(module(body, ".param .u64 x"), "k", 2, 8, x)
    assert x.tolist() == [0, 16]


def test_a_shuffle_whose_lanes_never_come():
    body = """
      .reg .b32 %r<3>; .reg .pred %p;
      mov.u32 %r0, %laneid; setp.lt.u32 %p, %r0, 4;
      @%p bra other;
      shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1;
      bra.uni done;
    other:
      bar.sync 0;
    done:
      ret;"""
    with pytest.raises((Deadlock, DivergentBarrier)):
        launch(module(body), "k", 1, 32)
    outside = ".reg .b32 %r<3>; mov.u32 %r0, 1; shfl.sync.bfly.b32 %r1, %r0, 1, 31, 0xffff; ret;"
    with pytest.raises(WarpError, match="lane 16"):
        launch(module(outside), "k", 1, 32)


def test_a_shuffle_from_a_lane_that_takes_no_part():
    body = """
      .reg .b32 %r<3>; .reg .pred %p;
      mov.u32 %r0, %laneid; setp.ge.u32 %p, %r0, 4;
      @%p ret;
      shfl.sync.down.b32 %r1, %r0, 1, 31, -1;
      ret;"""
    with pytest.raises(WarpError, match="lane 3 takes the value of lane 4, which does not take part"):
        launch(module(body), "k", 1, 32)
    launch(module(body), "k", 1, 4)  # the block has no such lane
    launch(module(body), "k", 1, 32, checks=replace(ALL, shuffles=False))


def test_faults_travel_between_processes():
    import pickle

    with pytest.raises(DataRace) as error:
        run(NEIGHBOUR, zeros())
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == str(error.value) and again.loc == error.value.loc and type(again) is DataRace


def test_traps():
    body = ".reg .b32 %r; .reg .pred %p; mov.u32 %r, %tid.x; setp.eq.u32 %p, %r, 9; @%p trap; ret;"
    with pytest.raises(Trap) as error:
        launch(module(body), "k", 1, 32)
    assert error.value.site.thread == (9, 0, 0)


def test_clean_kernels_pass_all_checks_with_exited_threads():
    """Threads past the end leave at once; the others go on."""
    text = f("k", X, """
      %c40 = arith.constant 40 : index
      %in = arith.cmpi slt, %i, %c40 : index
      scf.if %in {
        %v = memref.load %X[%i] : memref<64xf32>
        %w = arith.addf %v, %v : f32
        memref.store %w, %X[%i] : memref<64xf32>
      }""")  # fmt: skip
    x = np.ones(40, np.float32)
    run(text, x, grid=2, block=32)
    assert (x == 2).all()
