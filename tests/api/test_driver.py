"""From call to code: what is compiled anew and what is not, in one process, in the next, and in several threads."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import threading
import timeit
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, Forward, Reverse, autodiff

ROOT = Path(__file__).resolve().parents[2]
GAIN = 2.0


@dsl.kernel
def gain(x):
    return GAIN * x


def test_a_global_that_is_rebound_is_followed():
    global GAIN
    try:
        for GAIN in (2.0, 3.0, 5, 2.0):
            assert gain(1.5) == GAIN * 1.5
            assert autodiff(Reverse, gain, Active, Active(1.5)) == ((GAIN,),)
            assert autodiff(Forward, gain, Duplicated(1.5, 1.0)) == (GAIN,)
    finally:
        GAIN = 2.0


def test_a_closure_variable_that_is_rebound_is_followed():
    power = 2

    def f(x):
        return x**power

    assert autodiff(Reverse, f, Active, Active(3.0)) == ((6.0,),)
    power = 3
    assert autodiff(Reverse, f, Active, Active(3.0)) == ((27.0,),)


def test_options_that_change_are_followed():
    @dsl.kernel
    def pick(a, i):
        return a[i]

    a = np.arange(3.0)
    assert pick(a, 1) == 1.0
    before = dsl.options.boundscheck
    try:
        dsl.options.boundscheck = True
        with pytest.raises(IndexError):
            pick(a, 3)
    finally:
        dsl.options.boundscheck = before
    assert pick(a, 1) == 1.0


def test_options_are_checked():
    with pytest.raises(TypeError, match="there is no option 'fastmth'"):
        dsl.kernel(fastmth=True)
    with pytest.raises(AttributeError, match="there is no option 'fastmth'"):
        dsl.options.fastmth
    with pytest.raises(TypeError, match="options are True or False"):
        dsl.options.fastmath = "yes"


def test_what_is_compiled_can_be_printed(capsys):
    @dsl.kernel(print_ir=True, print_activity=True)
    def cube(x):
        return x * x * x

    assert cube(2.0) == 8.0
    assert "arith.mulf" in capsys.readouterr().out
    assert autodiff(Reverse, cube, Active, Active(2.0)) == ((12.0,),)
    assert capsys.readouterr().out.count("func.func") > 1
    cube(3.0)
    assert not capsys.readouterr().out


def test_calls_that_only_look_like_overlaps_are_made():
    @dsl.kernel
    def copy(a, b):
        for i in range(len(a)):
            a[i] = b[i]

    x = np.arange(20.0)
    for _ in range(12):
        copy(x[::2], x[1::2])
        copy(x[3:3], x[2:6])
    np.testing.assert_array_equal(x[::2], x[1::2])


def test_a_new_lambda_at_each_call():
    @dsl.kernel
    def apply(g, x):
        return g(x)

    for k in range(20):
        assert apply(lambda x: x + 1.0, float(k)) == k + 1.0


def test_many_kinds_of_call_of_one_kernel():
    @dsl.kernel
    def total(a, k):
        s = 0 * a[0]
        for i in range(len(a)):
            s += k * a[i]
        return s

    types = [np.float64, np.float32, np.int64, np.int32, np.int16, np.uint8, np.complex128]
    for _ in range(2):
        for type_ in types:
            for k in (2, 2.0, np.float32(2.0)):
                if np.dtype(type_).kind != "f" and k != 2:
                    continue
                assert total(np.arange(5).astype(type_), type_(k)) == 20


def test_a_kernel_that_was_pickled_runs():
    other = pickle.loads(pickle.dumps(dsl.kernel(source="def cube(x):\n    return x * x * x")))
    assert other(2.0) == 8.0
    assert autodiff(Reverse, other, Active, Active(2.0)) == ((12.0,),)


def test_keywords_and_defaults():
    @dsl.kernel
    def f(x, c=3.0, *, n=2):
        return c * x**n

    assert f(2.0) == 12.0 and f(2.0, n=3) == 24.0 and f(c=1.0, x=2.0) == 4.0
    with pytest.raises(TypeError, match="no parameter `m`"):
        f(2.0, m=1)
    with pytest.raises(TypeError, match="misses 1 argument: x"):
        f()
    with pytest.raises(TypeError, match="takes 2 positional arguments, 4 given"):
        f(1.0, 2.0, 3.0, 4.0)


# --- threads ------------------------------------------------------------------------------------------------------


@dsl.kernel
def work(a, c):
    s = 0.0
    for k in range(50):
        for i in range(len(a)):
            s += a[i] * c
    return s


def in_threads(count, task):
    """Run task(k) in so many threads at once; raise what one of them raised."""
    errors = []
    start = threading.Barrier(count)

    def body(k):
        try:
            start.wait()
            task(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_call_at_once():
    def task(k):
        a, da = np.full(1000, float(k)), np.zeros(1000)
        for n in range(20):
            da[:] = 0.0
            assert autodiff(Reverse, work, Active, Duplicated(a, da), Active(2.0)) == ((None, 50_000.0 * k),)
            assert (da == 100.0).all()
            assert work(a, float(n)) == 50_000.0 * k * n

    in_threads(4, task)


def test_errors_stay_in_their_thread():
    @dsl.kernel(boundscheck=True)
    def pick(a, i):
        s = 0.0
        for k in range(len(a)):
            s += a[i]
        return s

    def task(k):
        a = np.ones(100)
        for i in range(200):
            if k % 2:
                with pytest.raises(IndexError):
                    pick(a, 100 + i)
            else:
                assert pick(a, i % 100) == 100.0

    in_threads(4, task)


# --- other processes ----------------------------------------------------------------------------------------------

PROGRAM = """
    import sys
    from dataclasses import dataclass
    import numpy as np
    import dsl
    from dsl import *

    @dataclass
    class P:
        w: np.ndarray
        b: float

    @dataclass
    class R:
        a: float
        c: np.ndarray

    @dsl.kernel(boundscheck=True)
    def f(p, x, i):
        s = p.b * x
        for k in range(len(p.w)):
            s += np.sin(p.w[k]) * x
        return s + p.w[i]

    @dsl.kernel
    def g(x, a):
        return R(x, a * x)

    p, dp = P(np.ones(4), 2.0), P(np.zeros(4), 0.0)
    print(f(p, 3.0, 0))
    print(autodiff(Reverse, f, Active, Duplicated(p, dp), Active(3.0), Const(1)), dp)
    print(autodiff(ForwardWithPrimal, f, Duplicated(p, dp), Const(3.0), Const(1)))
    print(g(2.0, np.ones(2)))
    print(autodiff(Forward, g, Duplicated(2.0, 1.0), Const(np.ones(2))))
    try:
        f(p, 3.0, 4)
    except IndexError as error:
        print(error)
    loaded = sorted({name.split(".")[0] for name in sys.modules} & {"mlir", "lark", "llvmlite", "scipy"})
    print("loaded", *loaded)
"""


def run(folder, program=PROGRAM, **environment):
    """The program's output, with a cache of its own."""
    file = folder / "program.py"
    if not file.exists():
        file.write_text(textwrap.dedent(program))
    env = os.environ | {"PYTHONPATH": str(ROOT), "DSL_CACHE_DIR": str(folder / "cache")} | environment
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_next_process_compiles_nothing(tmp_path):
    cold = run(tmp_path)
    files = {file: file.stat().st_size for file in (tmp_path / "cache").iterdir()}
    assert "mlir" in cold[-1] and len(files) == 5
    warm = run(tmp_path)
    assert warm[-1] == "loaded"
    assert warm[:-1] == cold[:-1]
    for file in files:  # damaged entries are made anew
        file.write_bytes(file.read_bytes()[:-20] + bytes(20))
    again = run(tmp_path)
    assert again == cold


def test_a_changed_program_is_compiled_anew(tmp_path):
    program = "import dsl\n@dsl.kernel\ndef f(x):\n    return C * x\nC = 2.0\nprint(f(3.0))\n"
    assert run(tmp_path, program) == ["6.0"]
    (tmp_path / "program.py").write_text(program.replace("2.0", "5.0"))
    assert run(tmp_path) == ["15.0"]
    (tmp_path / "program.py").write_text(program.replace("C * x", "C * x * x"))
    assert run(tmp_path) == ["18.0"]


def test_a_class_that_only_this_process_has():
    @dataclass(frozen=True)
    class Local:
        a: float

    @dsl.kernel
    def f(x):
        return Local(x)

    @dsl.kernel
    def g(p):
        return Local(2.0 * p.a)

    assert f(2.0) == Local(2.0)
    assert g(Local(2.0)) == Local(4.0)


# --- time ---------------------------------------------------------------------------------------------------------


def test_a_compiled_derivative_of_scalars_costs_little():
    @dsl.kernel
    def f(x, c):
        return c * x * x

    def call():
        return autodiff(Reverse, f, Active, Active(3.0), Const(2.0))

    assert call() == ((12.0, None),)
    assert min(timeit.repeat(call, number=2000, repeat=10)) / 2000 < 15e-6
