"""What a host has and a device has not: C functions, Python functions with imported rules, much memory of a thread."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dsl
from dsl import Const, Duplicated, Forward, Reverse, autodiff
from dsl import simulator as sim

X = np.linspace(0.1, 2.0, 70)
cosine = dsl.extern("cos", "m", "(float64) -> float64")


def sine_rule(f, x):
    return f(x), lambda dy: (None, dy * math.cos(x))


def fails_above_one(x):
    if x > 1:
        raise TimeoutError("no result")
    return x


sine = dsl.rules.import_rrule(math.sin, "(float64) -> float64", sine_rule)
failing = dsl.rules.import_rrule(fails_above_one, "(float64) -> float64", sine_rule)


@dsl.kernel
def cosines(x, y):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = cosine(x[i]) * x[i]


@dsl.kernel
def sines(x, y):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = sine(x[i]) * x[i]


@dsl.kernel
def failures(x, y):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = failing(x[i])


@pytest.mark.parametrize(("kernel", "function"), [(cosines, np.cos), (sines, np.sin)])
def test_on_the_host(kernel, function):
    y = np.zeros(70)
    kernel[3, 32](X, y)
    np.testing.assert_array_equal(y, function(X) * X)


def test_what_a_callback_raises():
    with pytest.raises(TimeoutError, match="no result"):
        failures[3, 32](X, np.zeros(70))


def test_forward_mode_of_an_imported_rule():
    dy = np.zeros(70)
    autodiff(Forward, sines[3, 32], Const, Duplicated(X, np.ones(70)), Duplicated(np.zeros(70), dy))
    np.testing.assert_allclose(dy, np.sin(X) + X * np.cos(X), 1e-14)


PLACE = r"(.|\n)*--> .*:\d+:\d+\n *\| +.*(.|\n)*help: "


def test_reverse_mode_is_refused():
    with pytest.raises(dsl.DslError, match=rf"cannot be run again{PLACE}call the function in a loop of host code"):
        autodiff(Reverse, sines[3, 32], Const, Duplicated(X, X.copy()), Duplicated(X.copy(), X.copy()))


@pytest.mark.parametrize(("kernel", "name"), [(cosines, "C function cos"), (sines, "Python function sin")])
def test_devices_do_not_have_them(kernel, name):
    with pytest.raises(dsl.DslError, match=rf"the {name} is not to be had on the device{PLACE}write it as"):
        kernel[3, 32](sim.asarray(X), sim.zeros(70))


@dsl.kernel
def large_local_array(x):
    a = dsl.local_array(3_000_000, dsl.float64)
    i = dsl.grid(1)
    a[i] = x[i]
    x[i] = a[i] * 2


@dsl.kernel
def large_shared_array(x):
    a = dsl.shared_array(10_000, dsl.float64)
    i = dsl.grid(1)
    a[i] = x[i]
    x[i] = a[i] * 2


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (large_local_array, r"local arrays of \d+ bytes: a thread has 524288"),
        (large_shared_array, "shared arrays of 80000 bytes: a block has 49152"),
    ],
)
def test_more_memory_than_a_device_has(kernel, message):
    with pytest.raises(dsl.DslError, match=rf"{message}(.|\n)*_array\((.|\n)*help: make them smaller"):
        kernel[1, 32](sim.asarray(np.zeros(32)))
