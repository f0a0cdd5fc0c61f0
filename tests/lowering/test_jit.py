"""Loading: several libraries at once, from several threads, with symbols of the host; and what a start costs."""

import ctypes
import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

from lowering import cpu, jit, stages
from lowering.errors import LoweringError
from lowering.options import CpuOptions
from tests.lowering.harness import compiled


def adds(number):
    return f"""func.func @f(%x: f64) -> f64 {{
      %c = arith.constant {float(number)} : f64
      %r = arith.addf %x, %c : f64
      return %r : f64
    }}"""


def test_equal_names_do_not_meet():
    functions = [compiled(adds(k), results=["f64"]) for k in range(5)]
    assert [f(1.0) for f in functions] == [1.0, 2.0, 3.0, 4.0, 5.0]
    again = jit.load(functions[2].object, "f")
    slots = np.array([np.float64(1.0).view(np.int64), 0])
    again.call(slots.ctypes.data)
    assert slots.view(np.float64)[1] == 3.0


def test_unloading_some_leaves_the_others():
    functions = [compiled(adds(k), results=["f64"]) for k in range(20)]
    kept = functions[7]
    del functions
    gc.collect()
    assert kept(1.0) == 8.0
    for k in range(50):
        assert compiled(adds(k % 3), results=["f64"])(1.0) == 1.0 + k % 3


def test_many_threads_compile_load_and_call():
    wrong = []

    def work(k):
        try:
            for j in range(4):
                f = compiled(adds(10 * k + j), results=["f64"])
                for _ in range(100):
                    if f(1.0) != 1.0 + 10 * k + j:
                        wrong.append((k, j))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_functions_of_the_host_by_address():
    calls = []

    @ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    def triple(x):
        calls.append(x)
        return 3 * x

    text = """func.func private @triple_of_host(f64) -> f64
    func.func @f(%x: f64) -> f64 {
      %r = func.call @triple_of_host(%x) : (f64) -> f64
      return %r : f64
    }"""
    address = ctypes.cast(triple, ctypes.c_void_p).value
    f = compiled(text, results=["f64"], extra_symbols={"triple_of_host": address})
    assert f(2.0) == 6.0 and f(5.0) == 15.0
    assert calls == [2.0, 5.0]  # an unknown function has effects: each call happens


def test_missing_functions_are_named():
    text = """func.func private @no_such_function(f64) -> f64
    func.func @f(%x: f64) -> f64 {
      %r = func.call @no_such_function(%x) : (f64) -> f64
      return %r : f64
    }"""
    with pytest.raises(LoweringError, match="no_such_function"):
        compiled(text, results=["f64"])


@pytest.mark.parametrize(
    "object", [b"", b"not an object", b"\x7fELF\x02\x01\x01" + bytes(100), b"\x7fELF\x02" + b"\xff" * 90]
)
def test_garbage_is_refused(object):
    with pytest.raises(LoweringError):
        jit.load(object, "f")


def test_another_entry_than_the_object_has():
    object = cpu.compile(adds(1), "f")
    with pytest.raises(LoweringError):
        jit.load(object, "g")


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_every_level_gives_the_same(level):
    assert compiled(adds(4), results=["f64"], options=CpuOptions(opt_level=level))(1.0) == 5.0


def test_source_lines_are_kept_when_asked():
    text = adds(1).replace("%x, %c : f64", '%x, %c : f64 loc("model.py":7:3)')
    assert "DILocation" not in stages.optimised(text, "f")
    assert "DILocation(line: 7" in stages.optimised(text, "f", CpuOptions(debug_info=True))
    assert "\t.loc\t" in stages.asm(text, "f", CpuOptions(debug_info=True))
    assert compiled(text, results=["f64"], options=CpuOptions(debug_info=True))(1.0) == 2.0


def test_a_warm_start_imports_neither_mlir_nor_llvmlite(tmp_path):
    path = tmp_path / "f.o"
    path.write_bytes(cpu.compile(adds(1), "f"))
    code = f"""
import sys, array
from lowering import cache, host, jit, options
cache.ObjectCache({str(tmp_path)!r}).get(host.fingerprint() + options.CpuOptions().key())
loaded = jit.load(open({str(path)!r}, "rb").read(), "f")
slots = array.array("d", [1.0, 0.0])
loaded.call(slots.buffer_info()[0])
heavy = [m for m in ("mlir", "llvmlite", "numpy", "dataclasses", "inspect", "hashlib") if m in sys.modules]
print(slots[1], heavy)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "2.0 []\n", done.stderr


def test_compiling_imports_no_more_than_it_needs(tmp_path):
    path = tmp_path / "f.mlir"
    path.write_text(adds(1).replace("%r = arith.addf %x, %c", "%s = math.sin %x : f64\n%r = arith.addf %s, %c"))
    code = f"""
import sys
from lowering import cpu
cpu.compile(open({str(path)!r}).read(), "f")
print([m for m in sys.modules if m.startswith("llvmlite") or m == "mlir.dialects.llvm"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
