"""The tree of a PTX text."""

from __future__ import annotations

import pytest

from lowering.simulator.errors import PtxError
from lowering.simulator.parser import parse
from lowering.simulator.syntax import Address, Float, Int, Name, Not, Pair, Place, Vector

HEAD = ".version 8.6\n.target sm_90a, debug\n.address_size 64\n"


def body(text: str):  # type: ignore[no-untyped-def]
    return parse(f"{HEAD}.entry k() {{\n{text}\n}}").functions["k"]


def test_directives_of_a_module():
    unit = parse(
        HEAD
        + """
        .file 1 "a/b.py"  /* a comment
        over lines */
        .visible .global .align 8 .b8 bytes[4] = {1, 0x2, 03, 0b100};
        .extern .shared .align 16 .b8 dynamic[];
        .const .f32 numbers[2][2] = {{1.5, 0f40000000}, {-1, 2e3}};
        .global .attribute(.managed) .u64 place = generic(bytes)+4;
        .section .debug_str
        {
        .b8 1
        }
        """
    )
    assert (unit.version, unit.target) == ("8.6", "sm_90a")
    data, dynamic, numbers, place = (unit.variables[n] for n in ("bytes", "dynamic", "numbers", "place"))
    assert (data.space, data.size, data.align, [v.value for v in data.initial]) == ("global", 4, 8, [1, 2, 3, 4])
    assert (dynamic.external, dynamic.count, dynamic.align) == (True, 0, 16)
    assert (numbers.count, numbers.size, [v.value for v in numbers.initial]) == (4, 16, [1.5, 2.0, -1, 2000.0])
    assert place.initial == (Name("bytes", 4),)


def test_operands():
    function = body("""
      .reg .b32 %r<3>, %x; .reg .pred %p;
      @!%p fma.rn.f32 %r0, -1.5, 0fBF800000, 0d3FF0000000000000;
      ld.global.v2.b32 {%r1, _}, [%r2+-4];
      setp.eq.s32 %p|%p, !%p, -0x10;
      mov.u32 %r0, table+8;
      st.b32 [16], %tid.x;""")
    fma, load, compare, move, store = function.body
    assert list(function.registers) == ["%r0", "%r1", "%r2", "%x", "%p"]
    assert (fma.guard, fma.guard_negated, fma.line) == ("%p", True, 7)
    assert [o.value for o in fma.operands[1:]] == [-1.5, -1.0, 1.0]
    assert fma.operands[2] == Float(-1.0, 0xBF800000, 32)
    assert load.operands == (Vector((Name("%r1"), Name("_"))), Address("%r2", -4))
    assert compare.operands == (Pair("%p", "%p"), Not("%p"), Int(-16))
    assert move.operands[1] == Name("table", 8)
    assert store.operands == (Address(None, 16), Name("%tid.x"))
    assert store.text == "st.b32 [16], %tid.x;"


def test_lines_of_the_source():
    text = f"""{HEAD}.file 1 "user.py"
    .entry k() {{
      .loc 1 3 5
      bar.sync 0;
      .loc 1 4 7, function_name $L__info_string0, inlined_at 1 9 2
      bar.sync 0;
      .loc 1 0 0
      ret;
    }}"""
    first, second, third = parse(text).functions["k"].body
    assert first.place == Place("user.py", 3, 5)
    assert second.place == Place("user.py", 4, 7, Place("user.py", 9, 2))
    assert third.place is None


def test_names_of_inner_scopes_are_their_own():
    function = body("""
      .reg .b32 %a;
      { .reg .b32 %a; .reg .b64 %b; mov.b32 %a, 1; { .reg .b64 %a; mov.b64 %a, 2; } mov.b32 %a, 3; }
      mov.b32 %a, 4;""")
    names = [i.operands[0].name for i in function.body]
    assert len(set(names)) == 3 and names[0] == names[2] and names[3] == "%a"
    assert [function.registers[n] for n in names] == ["b32", "b64", "b32", "b32"]


def test_labels_and_tables():
    function = body("start: bar.sync 0;\nlist: .branchtargets start, end;\nbra start;\nend:\n")
    assert function.labels == {"start": 0, "list": 1, "end": 2}
    assert function.tables == {"list": ("start", "end")}


@pytest.mark.parametrize(
    "text, line",
    [("mov.b32 %r0 %r1;", 5), ("ld.b32 %r0, [%r1;", 5), (".reg .b128 %q;", 5), ("}", 6), ("@ ret;", 5)],
)
def test_errors_have_their_line(text, line):
    with pytest.raises(PtxError) as error:
        body(text)
    assert error.value.line == line
