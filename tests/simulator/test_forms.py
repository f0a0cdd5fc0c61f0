"""The table of opcodes: complete, tested row by row, and agreed to by NVIDIA's own assembler."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lowering.simulator import forms

from . import (
    kernels,
    opcodes,
    test_atomics,
    test_compare,
    test_convert,
    test_floats,
    test_integers,
    test_memory,
    test_small,
    test_warp,
)

TABLES = (test_integers, test_floats, test_small, test_compare, test_convert, test_memory)

# What kernels that MLIR writes were found to use, as `opcode: modifiers`.
CENSUS = """
abs: .f32 .f64 .s16 .s32 .s64
add: .cc.u32 .rn.bf16 .rn.f16 .rn.f32 .rn.f64 .rz.f32 .s16 .s32 .s64 .u64
addc: .cc.u32 .u32
and: .b16 .b32 .b64 .pred
atom: .acq_rel.sys.global.cas.b32 .global.add.f32 .global.add.f64 .global.add.u32 .global.add.u64 .global.exch.b32 .global.max.s32 .global.min.u32 .global.or.b32
bar: .sync
bfe: .u32
bra: . .uni
brx: .idx
call: .uni
clz: .b32 .b64
copysign: .f32 .f64
cos: .approx.f32
cvt: .f32.bf16 .f32.f16 .f64.f32 .rmi.f32.f32 .rmi.f64.f64 .rn.bf16.f32 .rn.f16.f32 .rn.f32.f64 .rn.f32.s16 .rn.f32.s32 .rn.f32.s64 .rn.f32.u32 .rn.f32.u64 .rn.f64.s32 .rn.f64.s64 .rni.f32.f32 .rni.f64.f64 .rni.s32.f32 .rni.s32.f64 .rzi.f32.f32 .rzi.f64.f64 .rzi.s32.f32 .rzi.s64.f64 .rzi.u32.f32 .s16.s8 .s32.s16 .s64.s32 .sat.f32.f32 .u16.u32 .u32.u16 .u32.u64 .u64.u32
cvta: .global.u64 .local.u64 .to.global.u64
div: .approx.f32 .rn.f32 .rn.f64 .s16 .s32 .s64 .u16 .u32 .u64
ex2: .approx.f32 .approx.ftz.f32
fma: .rm.f32 .rn.bf16 .rn.f32 .rn.f64
ld: .global.b16 .global.b32 .global.b64 .global.b8 .global.nc.b32 .global.nc.b64 .global.nc.v2.b64 .global.s8 .global.v2.b64 .global.v4.b32 .local.b32 .local.b64 .param.b32 .param.b64 .shared.b32 .shared.b64 .shared.v4.b32
lg2: .approx.f32 .approx.ftz.f32
mad: .lo.cc.u32 .lo.s32 .lo.s64
madc: .hi.cc.u32 .hi.u32 .lo.cc.u32
max: .NaN.f32 .f32 .f64 .s16 .s32 .s64
min: .NaN.f32 .f32 .f64 .s32 .u16 .u32 .u64
mov: .b16 .b32 .b64 .u32
mul: .hi.s16 .hi.s32 .hi.s64 .hi.u16 .hi.u32 .hi.u64 .lo.s16 .lo.s32 .lo.s64 .lo.u32 .rn.bf16 .rn.f16 .rn.f32 .rn.f64 .wide.s16 .wide.s32 .wide.u32
neg: .f32 .f64 .s32 .s64
not: .b16 .b32 .b64
or: .b16 .b32 .b64 .pred
popc: .b32 .b64
rcp: .approx.ftz.f32 .approx.ftz.f64 .rn.f32
rem: .u32
ret: .
rsqrt: .approx.f32 .approx.f64
selp: .b16 .b32 .b64 .f32 .f64
setp: .eq.b16 .eq.b32 .eq.b64 .eq.f32 .eq.f64 .ge.f32 .ge.f64 .ge.s32 .ge.s64 .geu.f32 .gt.f32 .gt.f64 .gt.s32 .gt.s64 .gt.u32 .le.s64 .le.u64 .leu.f32 .leu.f64 .lt.f32 .lt.f64 .lt.s16 .lt.s32 .lt.s64 .lt.u32 .lt.u64 .ltu.f32 .ltu.f64 .nan.f32 .nan.f64 .ne.b16 .ne.b32 .ne.b64 .neu.f32 .neu.f64 .num.f32 .num.f64
shf: .l.wrap.b32
shfl: .sync.bfly.b32 .sync.down.b32 .sync.idx.b32 .sync.up.b32
shl: .b16 .b32 .b64
shr: .s16 .s32 .s64 .u16 .u32 .u64
sin: .approx.f32
sqrt: .approx.f32 .rn.f64
st: .global.b16 .global.b32 .global.b64 .global.b8 .global.v4.b32 .local.b32 .local.b64 .param.b32 .param.b64 .shared.b32 .shared.b64
sub: .cc.u32 .rn.f32 .rn.f64 .s16 .s32 .s64
subc: .cc.u32 .u32
xor: .b16 .b32 .b64
"""  # noqa: E501


@pytest.mark.parametrize("line", CENSUS.split("\n")[1:-1], ids=lambda line: line.split(":")[0])
def test_what_kernels_use_is_known(line):
    name, modifiers = line.split(": ")
    for modifier in modifiers.split():
        assert forms.find((name + modifier).rstrip(".")) is not None, name + modifier


@pytest.mark.parametrize(
    "opcode", ["add.rn.s32", "add", "ld.global", "fma.f32", "mul.s32", "wgmma.fence", "shfl.up.b32"]
)
def test_forms_that_do_not_exist_are_not_known(opcode):
    assert forms.find(opcode) is None


def test_every_row_has_a_test():
    """Each row matches an opcode that stands in a test's table or text."""
    said = {
        c.opcode
        for table in TABLES
        for c in [*table.CASES, *getattr(table, "NEWEST", []), *getattr(table, "OTHERS", [])]
    }
    for file in Path(__file__).parent.glob("test_*.py"):
        said |= set(re.findall(r"(?<![\w.])[a-z][a-z0-9_]*(?:\.[A-Za-z0-9_]+(?:::\w+)?)*", file.read_text()))
    said |= {f"atom.global.{op}.{type}" for op, type in test_atomics.WHOLE}
    said |= {"atom.global.add.f32", "atom.global.add.noftz.f16", "barrier.red.and.pred"}
    said |= {f"{w}.sync.{m}.b32" for w in ("shfl",) for m in ("up",)} | {"vote.sync.all.pred", "redux.sync.add.u32"}
    said |= {"redux.sync.and.b32"}
    rows = forms._ROWS
    forms.find("ret")
    missing = [
        pattern
        for name, listed in rows.items()
        for regex, _, pattern in listed
        if not any(regex.fullmatch(word) for word in said if word.split(".")[0] == name)
    ]
    assert not missing, "\n".join(missing)


@pytest.mark.skipif(kernels.ptxas() is None, reason="ptxas is not installed: no judge of PTX texts")
@pytest.mark.parametrize(
    "chip, cases",
    [
        ("sm_90", [c for table in TABLES for c in table.CASES]),
        ("sm_100", [c for table in TABLES for c in getattr(table, "NEWEST", [])]),
    ],
    ids=["sm_90", "sm_100"],
)
def test_the_assembler_takes_what_we_test(chip, cases):
    head = f".version 8.8\n.target {chip}\n.address_size 64\n"
    texts = [opcodes.text(c, f"k{number}").split(".address_size 64\n")[1] for number, c in enumerate(cases)]
    assert kernels.assemble(head + "\n".join(texts), chip) == ""


@pytest.mark.skipif(kernels.ptxas() is None, reason="ptxas is not installed: no judge of PTX texts")
def test_the_assembler_takes_the_programs():
    for name, (body, _) in test_memory.PROGRAMS.items():
        chip = "sm_100" if name == "the widest vectors" else "sm_90"
        text = test_memory.program(body).replace("sm_90", chip).replace(".version 8.6", ".version 8.8")
        assert kernels.assemble(text, chip) == ""
    assert kernels.assemble(kernels.module(test_memory.CALLER, ".param .u64 x", test_memory.CALL), "sm_90") == ""
    assert test_warp.HEAD
