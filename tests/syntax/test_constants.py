"""Closure constants: what a kernel may refer to, and that its fingerprint follows them."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import dsl
from dsl import constants, errors
from dsl.constants import fingerprint
from dsl.syntax.loc import Loc

ROOT = Path(__file__).parents[2]
LOC = Loc(__file__, 1, 1, 1, 4)


class Pair(NamedTuple):
    a: float = 1.0
    b: float = 2.0


@dataclass(frozen=True)
class Frozen:
    a: float
    b: tuple[int, ...] = (1, 2)


@dataclass
class Mutable:
    a: float


class Config:
    N = 3


class Color(IntEnum):
    RED = 1


def helper(x):
    return x + OFFSET


OFFSET = 1
G: Any = 0


@dsl.kernel
def uses_g(x):
    return x * G


GOOD = [
    1, 2.5, 3j, True, "text", None, ..., (1, (2.0, "x")), np.float32(1.5), np.int8(3), np.bool_(True), dsl.float32,
    float, np.float64, np.dtype("f4"), math, np, math.sin, np.sin, len, helper, uses_g, Pair, Pair(1, 2), Mutable,
    Frozen, Frozen(1.0), Color.RED, dsl.Reverse,
]  # fmt: skip
BAD = [[1], {1: 2}, {1}, np.zeros(3), np.array(1.0), Mutable(1.0), (1, [2]), Pair(1, [2]), Frozen([1]), bytearray(b"x")]


@pytest.mark.parametrize("value", GOOD, ids=lambda value: re.sub(r" at 0x\w+", "", repr(value)))
def test_admitted(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "G", value)
    assert constants.resolve(uses_g, "G", LOC) is value


@pytest.mark.parametrize("value", BAD, ids=lambda value: re.sub(r" at 0x\w+", "", repr(value)))
def test_refused(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "G", value)
    with pytest.raises(errors.ClosureConstantError, match="closure constant: `G`") as caught:
        constants.resolve(uses_g, "G", LOC)
    assert isinstance(caught.value, TypeError) and "as an argument" in caught.value.hint
    fingerprint(uses_g)  # named, but perhaps not used: no error here


def test_closure_before_globals_before_builtins() -> None:
    G = 5
    k = dsl.kernel(lambda x: x + G)
    assert k.resolve("G") == 5
    assert uses_g.resolve("G") == 0
    assert uses_g.resolve("len") is len
    with pytest.raises(NameError, match="`nothing` is not defined"):
        uses_g.resolve("nothing", LOC)


def test_a_closure_variable_without_a_value() -> None:
    def outer():
        k = dsl.kernel(lambda x: x + later)
        with pytest.raises(errors.KernelNameError):
            k.resolve("later")
        first = fingerprint(k)
        later = 3
        assert k.resolve("later") == 3 and fingerprint(k) != first

    outer()


def test_attribute() -> None:
    assert constants.attribute(math, "pi", "math") == math.pi
    with pytest.raises(AttributeError, match=r"`math`.*`tau2`"):
        constants.attribute(math, "tau2", "math", LOC)
    module = types.ModuleType("settings")
    module.table = [1]  # type: ignore[attr-defined]
    with pytest.raises(errors.ClosureConstantError, match=r"`settings\.table`"):
        constants.attribute(module, "table", "settings", LOC)


# --- fingerprints -------------------------------------------------------------------------------------------------


def test_it_is_kept_and_cheap() -> None:
    first = fingerprint(uses_g)
    assert fingerprint(uses_g) is first
    best = min(timed(lambda: fingerprint(uses_g)) for _ in range(20))
    assert best < 20e-6
    again = min(timed(lambda: (setattr(uses_g, "watch", None), fingerprint(uses_g))) for _ in range(20))
    assert again < 2e-3


def timed(f: Any) -> float:
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


@pytest.mark.parametrize("value", GOOD[1:], ids=lambda value: re.sub(r" at 0x\w+", "", repr(value)))
def test_it_follows_a_global(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint(uses_g)
    monkeypatch.setattr(sys.modules[__name__], "G", value)
    second = fingerprint(uses_g)
    assert second != first
    monkeypatch.setattr(sys.modules[__name__], "G", 0)
    assert fingerprint(uses_g) == first


def test_equal_is_not_enough() -> None:
    """1, 1.0 and True are equal and mean different kernels; so do 0.0 and -0.0."""
    made = [dsl.kernel((lambda G: lambda x: x * G)(v)) for v in (1, 1.0, True, 1 + 0j, np.float32(1), 0.0, -0.0, "1")]
    assert len({fingerprint(k) for k in made}) == len(made)


def test_it_follows_what_its_functions_refer_to(monkeypatch: pytest.MonkeyPatch) -> None:
    k = dsl.kernel(lambda x: outer_helper(x))
    first = fingerprint(k)
    monkeypatch.setattr(sys.modules[__name__], "OFFSET", 2)
    second = fingerprint(k)
    assert second != first
    monkeypatch.setattr(sys.modules[__name__], "helper", lambda x: x)
    assert fingerprint(k) not in (first, second)


def outer_helper(x):
    return helper(x)


def test_it_follows_modules_and_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = types.ModuleType("settings")
    settings.N, settings.M = 3, 4  # type: ignore[attr-defined]
    k = dsl.kernel(lambda x: x * settings.N + Config.N)
    first = fingerprint(k)
    settings.M = 5  # type: ignore[attr-defined]
    assert fingerprint(k) == first
    settings.N = 4  # type: ignore[attr-defined]
    second = fingerprint(k)
    assert second != first
    monkeypatch.setattr(Config, "N", 4)
    assert fingerprint(k) not in (first, second)


def test_a_name_in_an_annotation_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint(annotated)
    monkeypatch.setattr(sys.modules[__name__], "T", dsl.float64)
    assert fingerprint(annotated) != first


T = dsl.float32


@dsl.kernel
def annotated(x):
    y: T = x
    return y


def test_a_builtin_that_is_shadowed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    k = dsl.kernel(lambda x: abs(x))
    first = fingerprint(k)
    monkeypatch.setitem(globals(), "abs", helper)
    assert fingerprint(k) != first


def test_options_text_and_defaults_count() -> None:
    def f(x, y=1):
        return x

    first = fingerprint(dsl.kernel(f))
    assert fingerprint(dsl.kernel(f, boundscheck=True)) != first
    f.__defaults__ = (2,)
    assert fingerprint(dsl.kernel(f)) != first
    assert fingerprint(dsl.kernel(source="def f(x): return x")) != fingerprint(dsl.kernel(source="def f(x): return +x"))


@dataclass
class Scaler:
    by: float = 2.0

    def apply(self, x):
        return x * self.by + OFFSET

    @staticmethod
    def shift(x):
        return x + 1


def test_methods_of_a_struct_count(monkeypatch: pytest.MonkeyPatch) -> None:
    k = dsl.kernel(lambda x: make_scaler(x).apply(x))
    seen = [fingerprint(k)]
    monkeypatch.setattr(sys.modules[__name__], "OFFSET", 7)
    seen.append(fingerprint(k))
    monkeypatch.setattr(Scaler, "shift", staticmethod(lambda x: x + 2))
    seen.append(fingerprint(k))
    assert len(set(seen)) == 3


def make_scaler(x):
    return Scaler(x)


def test_what_a_call_brings_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function or a struct as an argument: its code counts, and is watched with the kernel from then on."""
    k = dsl.kernel(lambda f, s, x: f(s.apply(x)))
    fingerprint(k)
    brought = [helper, Scaler]
    first = constants.also_watch(k, brought)
    assert constants.also_watch(k, brought) == first
    assert k.watch is not None and k.watch.unchanged()
    monkeypatch.setattr(sys.modules[__name__], "OFFSET", 9)
    assert not k.watch.unchanged()
    assert constants.also_watch(k, brought) != first
    assert constants.also_watch(k, [make_scaler, Scaler]) != constants.also_watch(k, [make_scaler])


def test_it_is_the_same_in_every_process() -> None:
    program = """
import math, numpy as np, dsl
from dataclasses import dataclass
from dsl.constants import fingerprint
@dataclass
class Point:
    x: float
    y: "float" = 2.0
def helper(x, z=(1, "a")): return Point(x, z)
k = dsl.kernel(source='''
def f(x):
    y: T = np.sin(x) + math.pi
    for i in range(len(x)): y += helper(x) + scale * Point.y
    return dsl.zeros(3, one)
''', constants=dict(T=dsl.float32, scale=np.float32(2), one={"a", "b", "c"}))
print(fingerprint(k))
"""
    found = set()
    for seed in ("0", "1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1 and len(found.pop()) == 65
