"""Checkpointed loops: the schedule, and that gradients are those without checkpoints, on random programs too."""

from __future__ import annotations

import random
import re
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlir.ir import InsertionPoint, Location

from dialects import pipeline
from dialects.builder import Builder, operations
from dialects.checkpoint import schedule
from dialects.errors import DerivativeError
from lowering import cpu

from .harness import MEMREF as M
from .harness import Compiled, differentiate, request
from .test_random_programs import check, program

# the schedule --------------------------------------------------------------------------------------------------------


@cache
def least(length: int, slots: int) -> int:
    """The least number of runs forward that reverse so many iterations, by dynamic programming."""
    if length <= 1:
        return 0
    if slots == 1:
        return length * (length - 1) // 2
    return min(m + least(length - m, slots - 1) + least(m, slots) for m in range(1, length))


def planned(length: int, slots: int) -> int:
    """The number that the schedule takes."""
    if length <= 1:
        return 0
    m = schedule.split(length, slots) if slots > 1 else length - 1
    assert 1 <= m < length
    return m + (planned(length - m, slots - 1) if slots > 1 else 0) + planned(m, slots)


@pytest.mark.parametrize("slots", range(1, 7))
def test_schedule_is_optimal(slots: int) -> None:
    for length in range(1, 40):
        assert planned(length, slots) == least(length, slots) == schedule.advances(length, slots)


def test_default() -> None:
    """No iteration is run forward more than three times, and most are twice."""
    for length in (1, 2, 10, 100, 5000):
        slots = schedule.default_slots(length)
        assert schedule.repetitions(length, slots) <= 2 and slots**2 <= max(1, 2 * length)
    assert schedule.advances(10**4, schedule.default_slots(10**4)) < 2 * 10**4


def test_schedule_in_mlir() -> None:
    module = pipeline.parse(
        """func.func @f(%l: index, %s: index) -> index { return %l : index }
        func.func @g(%w: index, %n: index) -> index { return %n : index }"""
    )
    with module.context, Location.unknown():
        for function, emit in zip(
            list(module.body.operations),
            (schedule.emit_split, lambda b, w, n: schedule.emit_slots(b, w, n)),
            strict=True,
        ):
            block = function.operation.regions[0].blocks[0]
            last = operations(block)[-1]
            last.operands[0] = emit(Builder(InsertionPoint(last), last.location), *block.arguments)
        text = str(module)
    split, slots = Compiled(text, "f", 1), Compiled(text, "g", 1)
    as_int = lambda result: int(np.float64(result[0]).view(np.int64))
    for length in [*range(2, 30), 1000, 10**6, 10**9 + 7]:
        for s in (1, 2, 3, 7, 20, min(length, 10**6)):
            assert (s == 1 and length > 1000) or as_int(split(length, s)) == schedule.split(length, s)
    for n in (0, 1, 5, 50, 10**6):
        assert as_int(slots(0, n)) == min(schedule.default_slots(n), max(n, 1))
        assert as_int(slots(7, n)) == max(1, min(7, n))


# programs ------------------------------------------------------------------------------------------------------------


def marked(text: str, source: random.Random) -> str:
    """The program with some of its loops checkpointed, by the op that the attribute becomes."""
    share, lines = source.choice([0.3, 0.6, 1.0]), []
    for line in text.splitlines():
        lines.append(line)
        if re.search(r"scf\.for .*\{$", line) and source.random() < share:
            lines.append(f'"autodiff.checkpoint"(%c{source.randrange(1, 4)}) : (index) -> ()')
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(24))
def test_random_programs(seed: int) -> None:
    """Loops of all kinds, one in the other: right, or refused for what is said to be refused."""
    try:
        check(marked(program(200 + seed, 8 + seed % 16), random.Random(seed)), "f", seed, 1e-6)
    except DerivativeError as error:
        assert seed in REFUSED and REFUSED[seed] in error.message


REFUSED = {13: "passes on an array that is written here", 15: "passes on an array that is written here"}
#: Without fused operations, of which the compiler may choose others where the code around is another.
EXACT = cpu.CpuOptions(opt_level=1, vector_math=False, contract=False)

BODY = """
    %k = arith.remui %i, %c3 : index
    %x = memref.load %A[%k] : memref<?xf64>
    %y = arith.mulf %a, %x : f64
    %s = math.sin %y : f64
    %z = arith.addf %s, %x : f64
    %w = arith.mulf %z, %b : f64
    memref.store %w, %A[%k] : memref<?xf64>
    %go = arith.cmpf olt, %z, %x : f64
    %m = arith.addi %c, %k : index
    %d = arith.select %go, %m, %c : index
    %b2 = math.cos %z : f64
"""
IN_PLACE = f"""
func.func @f(%x0: f64, %n: index, %A: {M}) -> f64 {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %slots = arith.constant SLOTS : index
  %half = arith.constant 0.7 : f64
  %r:3 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x0, %b = %half, %c = %c0) -> (f64, f64, index) {{
    MARK{BODY}
    scf.yield %z, %b2, %d : f64, f64, index
  }}
  %e = memref.load %A[%c1] : {M}
  %g = arith.mulf %r#0, %e : f64
  %i64 = arith.index_cast %r#2 : index to i64
  %fl = arith.sitofp %i64 : i64 to f64
  %o = arith.mulf %g, %fl : f64
  %q = arith.addf %o, %r#1 : f64
  return %q : f64
}}
"""


@cache
def in_place(slots: int | None) -> Compiled:
    mark = "" if slots is None else '"autodiff.checkpoint"(%slots) : (index) -> ()'
    text = IN_PLACE.replace("MARK", mark).replace("SLOTS", str(slots or 0))
    signature = f"(f64, index, {M}, {M}, f64) -> (f64, f64)"
    extra = ", autodiff.primal, autodiff.public"
    text += request("df", "reverse", "f", signature, ["active", "const", "duplicated"], ["active"], extra)
    return Compiled(differentiate(text), "df", 2, EXACT)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 60), st.sampled_from([1, 2, 3, 5, 9, 64]), st.integers(0, 2**32 - 1))
def test_bit_equal(trips: int, slots: int, seed: int) -> None:
    """Numbers that are carried and an array changed in place: as without checkpoints, to the last bit."""
    start = np.random.default_rng(seed).uniform(0.2, 1.2, 4)
    results = []
    for compiled in (in_place(None), in_place(slots)):
        array, shadow = start[1:].copy(), np.zeros(3)
        numbers = compiled(float(start[0]), trips, array, shadow, 1.0)
        results.append([*numbers, *array, *shadow])
    assert np.array(results[0]).tobytes() == np.array(results[1]).tobytes()


# what is refused -----------------------------------------------------------------------------------------------------

LOOP = """
func.func @f(%x: f64, %n: index, %u: memref<?xf64>) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            """%t = arith.constant true
            %r = scf.while (%a = %x) : (f64) -> f64 { scf.condition(%t) %a : f64 }
            do { ^bb0(%a: f64): scf.yield %a : f64 } attributes {autodiff.checkpoint = 3}
            return %r : f64 }""",
            "scf.while cannot be checkpointed",
        ),
        (
            """%r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> (f64) {
              scf.yield %a : f64 } {autodiff.checkpoint = 0}
            return %r : f64 }""",
            "a checkpointed loop with 0 snapshots",
        ),
        (
            """%r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> (f64) {
              scf.yield %a : f64 } {autodiff.checkpoint = "x"}
            return %r : f64 }""",
            "it must be an integer",
        ),
        (
            """%r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x) -> (f64) {
              %one = arith.addi %i, %c1 : index
              "autodiff.checkpoint"(%one) : (index) -> ()
              %s = math.sin %a : f64
              scf.yield %s : f64 }
            return %r : f64 }""",
            "computed in the loop itself",
        ),
        (
            """%r = scf.for %i = %c0 to %n step %c1 iter_args(%a = %u) -> (memref<?xf64>) {
              %m = arith.addi %i, %c1 : index
              %new = memref.alloc(%m) : memref<?xf64>
              scf.for %j = %c0 to %m step %c1 {
                %l = memref.load %a[%c0] : memref<?xf64>
                %s = math.sin %l : f64
                memref.store %s, %new[%j] : memref<?xf64> }
              scf.yield %new : memref<?xf64> } {autodiff.checkpoint}
            %v = memref.load %r[%c0] : memref<?xf64>
            return %v : f64 }""",
            "shape may change",
        ),
    ],
    ids=["while", "none", "text", "computed", "shape"],
)
def test_refused(body: str, message: str) -> None:
    kinds = ["active", "const", "duplicated"]
    text = LOOP + body + request("df", "reverse", "f", f"(f64, index, {M}, {M}, f64) -> f64", kinds, ["active"])
    with pytest.raises(DerivativeError, match=message):
        differentiate(text)
