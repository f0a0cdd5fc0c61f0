"""The parts below the calls: annotations, modes, options, memory, and which arguments a function writes."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

import dsl
from dsl import Active, BatchDuplicated, Const, Duplicated, MixedDuplicated, Ref
from dsl.errors import ActivityError
from dsl.memory import _direct, _official, address_of, extent, overlaps_itself
from dsl.modes import Mode
from dsl.runner import overlapping

MODES = [
    "Forward",
    "ForwardWithPrimal",
    "Reverse",
    "ReverseWithPrimal",
    "ReverseSplitNoPrimal",
    "ReverseSplitWithPrimal",
    "ReverseHolomorphic",
    "ReverseHolomorphicWithPrimal",
]


@pytest.mark.parametrize("name", MODES)
def test_modes_are_single_immutable_and_say_their_name(name):
    mode = getattr(dsl, name)
    assert repr(mode) == name and pickle.loads(pickle.dumps(mode)) is mode
    strong = mode.with_strong_zero()
    assert strong is not mode and strong is mode.with_strong_zero() and strong.with_strong_zero(False) is mode
    assert repr(strong) == f"{name}.with_strong_zero()" and strong.strong_zero
    with pytest.raises(AttributeError):
        mode.primal = True
    assert mode.with_primal().primal and not mode.with_primal().without_primal().primal


def test_split_modes_have_widths_and_know_what_is_overwritten():
    wide = dsl.ReverseSplitWidth(dsl.ReverseSplitWithPrimal, 4)
    assert wide.width == 4 and wide.split and wide.primal
    assert dsl.ReverseSplitModified(wide, [False, True]).overwritten == (False, True)
    assert len({m.key() for m in Mode._made.values()}) == len(Mode._made)
    for width in (0, -1, 1.5):
        with pytest.raises(ActivityError, match="width"):
            dsl.ReverseSplitWidth(dsl.ReverseSplitNoPrimal, width)
    with pytest.raises(ActivityError, match="ReverseSplitWidth of Reverse"):
        dsl.ReverseSplitWidth(dsl.Reverse, 2)


def test_annotations_show_what_they_hold():
    assert repr(Active(3.0)) == "Active(3.0)"
    assert repr(Duplicated(3.0, 1.0)) == "Duplicated(3.0, 1.0)"
    assert repr(MixedDuplicated((1.0,), Ref((0.0,)))) == "MixedDuplicated((1.0,), Ref((0.0,)))"
    assert repr(Duplicated[np.ndarray]) == "Duplicated[ndarray]" and repr(Const[dsl.float32]) == "Const[float32]"
    assert BatchDuplicated(3.0, [1.0, 2.0]).width == 2 and Active(3.0).width == 1
    assert not hasattr(Active(3.0), "__dict__")


def test_a_star_import_leaves_pythons_own_functions():
    """`max` of dsl is NumPy's, whose second argument is an axis."""
    space: dict[str, object] = {}
    exec("from dsl import *", space)
    assert "autodiff" in space and not {"abs", "all", "any", "max", "min", "sum"} & set(space)


def test_importing_is_light():
    program = (
        "import sys; from dsl import *; import dsl; dsl.autodiff, dsl.Reverse, dsl.Active, dsl.kernel, dsl.options\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} & {'mlir', 'lark', 'llvmlite', 'scipy', 'typer', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- memory -------------------------------------------------------------------------------------------------------


def test_addresses():
    base = np.arange(24.0).reshape(4, 6)
    for array in (base, base[1:, ::2], base[::-1], base.T, base[:0], np.ones(()), np.float32(2) * np.ones((1, 1))):
        assert address_of(array) == _official(array)
        if address_of is _direct:
            assert _direct(array) == _official(array)


@pytest.mark.parametrize("view", [np.s_[:], np.s_[1:3, ::2], np.s_[::-1, ::-2], np.s_[:, 3], np.s_[:0], np.s_[2, 2]])
def test_extents(view):
    array = np.asarray(np.arange(24.0).reshape(4, 6)[view])
    low, high = extent(address_of(array), array.shape, array.strides, 8)
    bounds = np.lib.array_utils.byte_bounds if hasattr(np.lib, "array_utils") else np.byte_bounds
    if array.size:
        assert (low, high) == bounds(array)
    else:
        assert low == high


def test_arrays_that_overlap_themselves():
    base = np.zeros((4, 6))
    windows = np.lib.stride_tricks.sliding_window_view(np.zeros(9), 3)
    for array in (base, base.T, base[::-1, ::2], base[:, :1], base[:0], np.zeros(()), np.broadcast_to(base, (1, 4, 6))):
        assert not overlaps_itself(array.shape, array.strides, 8)
    for array in (np.broadcast_to(base, (2, 4, 6)), windows, np.broadcast_to(np.zeros(1), (3,))):
        assert overlaps_itself(array.shape, array.strides, 8)


def test_ranges_that_overlap():
    assert not overlapping([(0, 4, True), (4, 8, True), (10, 12, False), (11, 13, False)])
    assert overlapping([(0, 4, True), (3, 8, False)])
    assert overlapping([(0, 4, False), (3, 8, True)])
    assert overlapping([(0, 100, False), (1, 2, False), (50, 51, True)])
    assert overlapping([(5, 6, False), (5, 6, True)])


# --- what is written ----------------------------------------------------------------------------------------------

WRITTEN = {
    "only read": (
        "%v = memref.load %a[%i] : memref<?xf64>\n memref.store %v, %b[%i] : memref<?xf64>",
        [False, True],
    ),
    "a view": (
        """%s = memref.subview %a[1] [2] [1] : memref<?xf64> to memref<2xf64, strided<[1], offset: 1>>
           memref.store %x, %s[%i] : memref<2xf64, strided<[1], offset: 1>>""",
        [True, False],
    ),
    "a copy": ("memref.copy %a, %b : memref<?xf64> to memref<?xf64>", [False, True]),
    "one of two": (
        "%s = arith.select %c, %a, %b : memref<?xf64>\n memref.store %x, %s[%i] : memref<?xf64>",
        [True, True],
    ),
    "swapped in a loop": (
        """%r:2 = scf.for %k = %i to %i step %i iter_args(%p = %a, %q = %b) -> (memref<?xf64>, memref<?xf64>) {
             memref.store %x, %p[%k] : memref<?xf64>
             scf.yield %q, %p : memref<?xf64>, memref<?xf64>
           }""",
        [True, True],
    ),
    "carried, not swapped": (
        """%r:2 = scf.for %k = %i to %i step %i iter_args(%p = %a, %q = %b) -> (memref<?xf64>, memref<?xf64>) {
             memref.store %x, %p[%k] : memref<?xf64>
             scf.yield %p, %q : memref<?xf64>, memref<?xf64>
           }""",
        [True, False],
    ),
    "out of a branch": (
        """%r = scf.if %c -> (memref<?xf64>) { scf.yield %a : memref<?xf64> } else { scf.yield %b : memref<?xf64> }
           memref.store %x, %r[%i] : memref<?xf64>""",
        [True, True],
    ),
    "through memory": (
        """%m = memref.alloc() : memref<1xmemref<?xf64>>
           memref.store %a, %m[%i] : memref<1xmemref<?xf64>>
           %s = memref.load %m[%i] : memref<1xmemref<?xf64>>
           memref.store %x, %s[%i] : memref<?xf64>""",
        [True, False],
    ),
    "by a function": ("func.call @second(%a, %b) : (memref<?xf64>, memref<?xf64>) -> ()", [False, True]),
    "by who knows whom": ("func.call @unknown(%a) : (memref<?xf64>) -> ()", [True, False]),
    "by an op unheard of": ('"other.op"(%b) : (memref<?xf64>) -> ()', [False, True]),
    "not at all": ("%d = memref.dim %a, %i : memref<?xf64>", [False, False]),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_written_arguments(name):
    from mlir import ir

    from dsl.written import written_arguments

    body, expected = WRITTEN[name]
    with ir.Context() as context, ir.Location.unknown():
        context.allow_unregistered_dialects = True
        module = ir.Module.parse(f"""
            func.func private @unknown(memref<?xf64>)
            func.func private @second(%a: memref<?xf64>, %b: memref<?xf64>) {{
              %i = arith.constant 0 : index
              %v = memref.load %a[%i] : memref<?xf64>
              memref.store %v, %b[%i] : memref<?xf64>
              return
            }}
            func.func @entry(%a: memref<?xf64>, %x: f64, %b: memref<?xf64>, %i: index, %c: i1) {{
              {body}
              return
            }}""")
        assert written_arguments(module, "entry") == expected
