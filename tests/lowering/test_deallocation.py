"""Each buffer is freed once: same values, no growth over many calls, no complaint of the C library's checks."""

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest

from lowering import cpu
from lowering.options import CpuOptions
from tests.lowering.harness import compiled

# name: (text of @f, arguments, MLIR types of the results, the results' values)
PROGRAMS = {
    "local, in a loop": (
        """
func.func @f(%n: index, %m: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 1.5 : f64
  %a = memref.alloc(%n) : memref<?xf64>
  %r = scf.for %i = %c0 to %m step %c1 iter_args(%s = %z) -> (f64) {
    %t = memref.alloc(%n) : memref<?xf64>
    %u = memref.alloc() : memref<4xf64>
    scf.for %j = %c0 to %n step %c1 {
      memref.store %s, %t[%j] : memref<?xf64>
    }
    memref.store %s, %u[%c0] : memref<4xf64>
    memref.copy %t, %a : memref<?xf64> to memref<?xf64>
    %v = memref.load %a[%i] : memref<?xf64>
    %w = memref.load %u[%c0] : memref<4xf64>
    %x = arith.addf %v, %w : f64
    scf.yield %x : f64
  }
  return %r : f64
}""",
        (1000, 3),
        ("f64",),
        (12.0,),
    ),
    "chosen from, in a branch in a loop": (
        """
func.func @f(%n: index, %m: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 1.5 : f64
  %one = arith.constant 1.0 : f64
  %a = memref.alloc(%n) : memref<?xf64>
  memref.store %one, %a[%c1] : memref<?xf64>
  %r = scf.for %i = %c0 to %m step %c1 iter_args(%s = %z) -> (f64) {
    %p = arith.cmpi ugt, %i, %c0 : index
    %v = scf.if %p -> (f64) {
      %t = memref.alloc(%n) : memref<?xf64>
      memref.store %s, %t[%c1] : memref<?xf64>
      %q = arith.cmpi eq, %i, %c1 : index
      %c = arith.select %q, %t, %a : memref<?xf64>
      %view = memref.subview %c[1] [2] [1] : memref<?xf64> to memref<2xf64, strided<[1], offset: 1>>
      %x = memref.load %view[%c0] : memref<2xf64, strided<[1], offset: 1>>
      scf.yield %x : f64
    } else {
      scf.yield %s : f64
    }
    %w = arith.addf %s, %v : f64
    scf.yield %w : f64
  }
  return %r : f64
}""",
        (1000, 4),
        ("f64",),
        (8.0,),
    ),
    "carried by a loop and returned": (
        """
func.func @f(%n: index, %m: index) -> memref<?xf64> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1.0 : f64
  %a = memref.alloc(%n) : memref<?xf64>
  memref.store %one, %a[%c1] : memref<?xf64>
  memref.store %one, %a[%c0] : memref<?xf64>
  %r = scf.for %i = %c0 to %m step %c1 iter_args(%s = %a) -> (memref<?xf64>) {
    %t = memref.alloc(%n) : memref<?xf64>
    %x = memref.load %s[%c0] : memref<?xf64>
    %y = memref.load %s[%c1] : memref<?xf64>
    %z = arith.addf %x, %y : f64
    memref.store %y, %t[%c0] : memref<?xf64>
    memref.store %z, %t[%c1] : memref<?xf64>
    scf.yield %t : memref<?xf64>
  }
  return %r : memref<?xf64>
}""",
        (2, 5),
        ("memref<?xf64>",),
        (np.array([8.0, 13.0]),),
    ),
    "carried by a loop that does not run, and returned": (
        """
func.func @f(%n: index) -> memref<?xf64> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1.0 : f64
  %a = memref.alloc(%n) : memref<?xf64>
  memref.store %one, %a[%c0] : memref<?xf64>
  %r = scf.for %i = %c1 to %c0 step %c1 iter_args(%s = %a) -> (memref<?xf64>) {
    %t = memref.alloc(%n) : memref<?xf64>
    scf.yield %t : memref<?xf64>
  }
  return %r : memref<?xf64>
}""",
        (1,),
        ("memref<?xf64>",),
        (np.array([1.0]),),
    ),
    "two swapped by a loop": (
        """
func.func @f(%n: index, %m: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %one = arith.constant 1.0 : f64
  %a = memref.alloc(%n) : memref<?xf64>
  %b = memref.alloc(%n) : memref<?xf64>
  memref.store %one, %a[%c0] : memref<?xf64>
  %r:2 = scf.for %i = %c0 to %m step %c1 iter_args(%s = %a, %t = %b) -> (memref<?xf64>, memref<?xf64>) {
    %x = memref.load %s[%c0] : memref<?xf64>
    %y = arith.addf %x, %x : f64
    memref.store %y, %t[%c0] : memref<?xf64>
    scf.yield %t, %s : memref<?xf64>, memref<?xf64>
  }
  %v = memref.load %r#0[%c0] : memref<?xf64>
  return %v : f64
}""",
        (10, 7),
        ("f64",),
        (128.0,),
    ),
    "one of two, by a branch": (
        """
func.func @f(%n: index, %b: i1) -> (memref<?xf64>, f64) {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1.0 : f64
  %two = arith.constant 2.0 : f64
  %o = memref.alloc(%n) : memref<?xf64>
  memref.store %two, %o[%c0] : memref<?xf64>
  %r = scf.if %b -> (memref<?xf64>) {
    %t = memref.alloc(%n) : memref<?xf64>
    memref.store %one, %t[%c0] : memref<?xf64>
    scf.yield %t : memref<?xf64>
  } else {
    scf.yield %o : memref<?xf64>
  }
  %v = memref.load %o[%c0] : memref<?xf64>
  return %r, %v : memref<?xf64>, f64
}""",
        (1, False),
        ("memref<?xf64>", "f64"),
        (np.array([2.0]), 2.0),
    ),
    "returned by a function, a view of it used": (
        """
func.func private @g(%n: index) -> (memref<?xf64>, memref<?xf64>) {
  %c0 = arith.constant 0 : index
  %one = arith.constant 3.0 : f64
  %t = memref.alloc(%n) : memref<?xf64>
  %u = memref.alloc(%n) : memref<?xf64>
  %c2 = arith.constant 2 : index
  memref.store %one, %t[%c2] : memref<?xf64>
  memref.store %one, %u[%c2] : memref<?xf64>
  return %t, %u : memref<?xf64>, memref<?xf64>
}
func.func @f(%n: index) -> (f64, memref<?xf64>) {
  %c1 = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %r, %s = call @g(%n) : (index) -> (memref<?xf64>, memref<?xf64>)
  %view = memref.subview %r[2] [1] [1] : memref<?xf64> to memref<1xf64, strided<[1], offset: 2>>
  %v = memref.load %view[%c0] : memref<1xf64, strided<[1], offset: 2>>
  %t = memref.alloc(%c1) : memref<?xf64>
  %w = memref.cast %t : memref<?xf64> to memref<?xf64>
  memref.store %v, %t[%c0] : memref<?xf64>
  return %v, %w : f64, memref<?xf64>
}""",
        (3,),
        ("f64", "memref<?xf64>"),
        (3.0, np.array([3.0])),
    ),
    "kept in a buffer of buffers, freed by hand": (
        """
func.func @f(%n: index, %m: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 0.0 : f64
  %a = memref.alloc(%m) : memref<?xmemref<?xf64>>
  scf.for %i = %c0 to %m step %c1 {
    %t = memref.alloc(%n) {autodiff.keep} : memref<?xf64>
    %k = arith.index_cast %i : index to i64
    %x = arith.sitofp %k : i64 to f64
    memref.store %x, %t[%c0] : memref<?xf64>
    memref.store %t, %a[%i] : memref<?xmemref<?xf64>>
  }
  %first = memref.load %a[%c0] : memref<?xmemref<?xf64>>
  %r, %last = scf.for %i = %c0 to %m step %c1 iter_args(%s = %z, %p = %first) -> (f64, memref<?xf64>) {
    %t = memref.load %a[%i] : memref<?xmemref<?xf64>>
    %v = memref.load %t[%c0] : memref<?xf64>
    %x = arith.addf %v, %s : f64
    scf.yield %x, %t : f64, memref<?xf64>
  }
  %l = memref.load %last[%c0] : memref<?xf64>
  scf.for %i = %c0 to %m step %c1 {
    %t = memref.load %a[%i] : memref<?xmemref<?xf64>>
    memref.dealloc %t {autodiff.free} : memref<?xf64>
  }
  %sum = arith.addf %r, %l : f64
  return %sum : f64
}""",
        (50, 5),
        ("f64",),
        (14.0,),
    ),
    "kept and freed in the same block": (
        """
func.func @f(%n: index, %m: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 2.0 : f64
  %a = memref.alloc(%m) {autodiff.keep} : memref<?xmemref<?xf64>>
  %r = scf.for %i = %c0 to %m step %c1 iter_args(%s = %z) -> (f64) {
    %t = memref.alloc(%n) {autodiff.keep} : memref<?xf64>
    memref.store %s, %t[%c0] : memref<?xf64>
    memref.store %t, %a[%i] : memref<?xmemref<?xf64>>
    %u = memref.load %a[%i] : memref<?xmemref<?xf64>>
    %v = memref.load %u[%c0] : memref<?xf64>
    %w = arith.addf %v, %v : f64
    memref.dealloc %t {autodiff.free} : memref<?xf64>
    scf.yield %w : f64
  }
  memref.dealloc %a {autodiff.free} : memref<?xmemref<?xf64>>
  return %r : f64
}""",
        (50, 3),
        ("f64",),
        (16.0,),
    ),
    "put into memory without an attribute, of an extent that becomes constant": (
        """
func.func @f(%m: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %n = arith.constant 8 : index
  %z = arith.constant 1.0 : f64
  %cell = memref.alloc() : memref<memref<?xf64>>
  %first = memref.alloc(%n) : memref<?xf64>
  memref.store %first, %cell[] : memref<memref<?xf64>>
  memref.store %z, %first[%c0] : memref<?xf64>
  scf.for %i = %c0 to %m step %c1 {
    %old = memref.load %cell[] : memref<memref<?xf64>>
    %c2 = arith.constant 2 : index
    %r = arith.remui %i, %c2 : index
    %even = arith.cmpi eq, %r, %c0 : index
    %now = scf.if %even -> (memref<?xf64>) {
      %k = memref.dim %old, %c0 : memref<?xf64>
      %twice = arith.addi %k, %k : index
      %larger = func.call @make(%twice) : (index) -> memref<?xf64>
      %x = memref.load %old[%c0] : memref<?xf64>
      memref.store %x, %larger[%c0] : memref<?xf64>
      memref.dealloc %old {autodiff.free} : memref<?xf64>
      memref.store %larger, %cell[] : memref<memref<?xf64>>
      scf.yield %larger : memref<?xf64>
    } else {
      scf.yield %old : memref<?xf64>
    }
    %y = memref.load %now[%c0] : memref<?xf64>
    %s = arith.addf %y, %z : f64
    memref.store %s, %now[%c0] : memref<?xf64>
  }
  %last = memref.load %cell[] : memref<memref<?xf64>>
  %v = memref.load %last[%c0] : memref<?xf64>
  memref.dealloc %last {autodiff.free} : memref<?xf64>
  return %v : f64
}
func.func private @make(%n: index) -> memref<?xf64> {
  %t = memref.alloc(%n) : memref<?xf64>
  return %t : memref<?xf64>
}""",
        (6,),
        ("f64",),
        (7.0,),
    ),
    "what a branch yields is put into memory": (
        """
func.func @f(%n: index, %b: i1) -> f64 {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1.0 : f64
  %two = arith.constant 2.0 : f64
  %cell = memref.alloc() : memref<1xmemref<?xf64>>
  %r = scf.if %b -> (memref<?xf64>) {
    %t = memref.alloc(%n) : memref<?xf64>
    memref.store %one, %t[%c0] : memref<?xf64>
    scf.yield %t : memref<?xf64>
  } else {
    %t = memref.alloc(%n) : memref<?xf64>
    memref.store %two, %t[%c0] : memref<?xf64>
    scf.yield %t : memref<?xf64>
  }
  memref.store %r, %cell[%c0] : memref<1xmemref<?xf64>>
  %u = memref.load %cell[%c0] : memref<1xmemref<?xf64>>
  %v = memref.load %u[%c0] : memref<?xf64>
  memref.dealloc %u {autodiff.free} : memref<?xf64>
  return %v : f64
}""",
        (10, False),
        ("f64",),
        (2.0,),
    ),
    "carried by a while loop": (
        """
func.func @f(%n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1.0 : f64
  %big = arith.constant 100.0 : f64
  %a = memref.alloc(%n) : memref<?xf64>
  memref.store %one, %a[%c0] : memref<?xf64>
  %r = scf.while (%s = %a) : (memref<?xf64>) -> memref<?xf64> {
    %x = memref.load %s[%c0] : memref<?xf64>
    %go = arith.cmpf olt, %x, %big : f64
    scf.condition(%go) %s : memref<?xf64>
  } do {
  ^bb0(%s: memref<?xf64>):
    %t = memref.alloc(%n) : memref<?xf64>
    %x = memref.load %s[%c0] : memref<?xf64>
    %y = arith.addf %x, %x : f64
    memref.store %y, %t[%c0] : memref<?xf64>
    scf.yield %t : memref<?xf64>
  }
  %v = memref.load %r[%c0] : memref<?xf64>
  return %v : f64
}""",
        (10,),
        ("f64",),
        (128.0,),
    ),
    "an argument returned is copied": (
        """
func.func @f(%a: memref<?xf64>) -> memref<?xf64> {
  return %a : memref<?xf64>
}""",
        (np.array([1.0, 2.0]),),
        ("memref<?xf64>",),
        (np.array([1.0, 2.0]),),
    ),
    "branches between blocks": (
        """
func.func @f(%n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %z = arith.constant 0.5 : f64
  cf.br ^head(%c0, %z : index, f64)
^head(%i: index, %s: f64):
  %more = arith.cmpi slt, %i, %n : index
  cf.cond_br %more, ^body, ^done
^body:
  %t = memref.alloc(%n) : memref<?xf64>
  memref.store %s, %t[%i] : memref<?xf64>
  %v = memref.load %t[%i] : memref<?xf64>
  %x = arith.addf %v, %v : f64
  %next = arith.addi %i, %c1 : index
  cf.br ^head(%next, %x : index, f64)
^done:
  return %s : f64
}""",
        (4,),
        ("f64",),
        (8.0,),
    ),
    "given with deallocations of its own": (
        """
func.func @f(%n: index) -> f64 {
  %c0 = arith.constant 0 : index
  %one = arith.constant 1.0 : f64
  %a = memref.alloc(%n) : memref<?xf64>
  memref.store %one, %a[%c0] : memref<?xf64>
  %v = memref.load %a[%c0] : memref<?xf64>
  memref.dealloc %a : memref<?xf64>
  return %v : f64
}""",
        (1000,),
        ("f64",),
        (1.0,),
    ),
}


class Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
    ]


def bytes_in_use():
    mallinfo2 = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo2 is None:
        pytest.skip("the C library has no mallinfo2")
    mallinfo2.restype = Mallinfo
    info = mallinfo2()
    return info.uordblks + info.hblkhd


def check(name, opt_level=3):
    text, arguments, results, expected = PROGRAMS[name]
    f = compiled(text, results=results, options=CpuOptions(opt_level=opt_level))
    found = f(*arguments)
    for got, want in zip(found if len(results) > 1 else (found,), expected):
        np.testing.assert_array_equal(got, want)
    return f, arguments


# At level 0 each allocation of the program really happens; at 3 the optimiser removes some.
@pytest.mark.parametrize("opt_level", [0, 3])
@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_no_leak(name, opt_level):
    f, arguments = check(name, opt_level)
    growth = []
    for _ in range(4):
        before = bytes_in_use()
        for _ in range(1000):
            f(*arguments)
        growth.append(bytes_in_use() - before)
    # One lost buffer a call is at least 32,000 bytes, each time; Python itself takes some memory now and then.
    assert min(growth) < 15_000


def test_nothing_is_freed_twice_or_used_afterwards():
    """In a process of its own, where the C library overwrites what is freed and checks what it is given back."""
    code = "from tests.lowering import test_deallocation as t\nfor name in t.PROGRAMS:\n f, a = t.check(name, 0)\n"
    code += " for _ in range(20): f(*a)\n t.check(name)\nprint('all', len(t.PROGRAMS))"
    environment = {**os.environ, "MALLOC_PERTURB_": "165", "GLIBC_TUNABLES": "glibc.malloc.check=3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("all")


def test_local_arrays_are_freed_without_questions_and_outside_loops():
    ir = cpu.llvm_ir(PROGRAMS["local, in a loop"][0], "f")
    body = ir[ir.index("define internal double @f.body") :].split("\n}")[0]
    assert "dealloc_helper" not in ir
    first_loop = body.index(" phi ")
    assert body.count("@dsl.alloc") == 2 and body.rindex("@dsl.alloc") < first_loop
    assert body.count("@dsl.free") == 2
    assert body.count(" alloca ") == 1 and body.index(" alloca ") < first_loop
