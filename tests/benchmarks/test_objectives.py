"""Every objective at a small size: its derivative against a reference made without the language."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from benchmarks import objectives
from benchmarks.case import fast, plain

NAMES = [m.name for m in pkgutil.iter_modules(objectives.__path__) if m.name != "descent"]


@pytest.mark.parametrize("name", NAMES)
def test_derivative(name):
    objective = importlib.import_module(f"benchmarks.objectives.{name}").OBJECTIVE
    data = objective.inputs(**objective.small)
    case = objective.make(data, plain)
    assert case.error() <= case.tolerance
    assert case.error() <= case.tolerance  # the second call finds buffers as the first left them


@pytest.mark.parametrize("name", ["gmm", "kmeans", "lse"])
def test_fastmath(name):
    objective = importlib.import_module(f"benchmarks.objectives.{name}").OBJECTIVE
    case = objective.make(objective.inputs(**objective.small), fast)
    assert case.error() <= case.tolerance


@pytest.mark.parametrize("complicated", [False, True])
def test_both_kinds_of_hand(complicated):
    ht = importlib.import_module("benchmarks.objectives.ht").OBJECTIVE
    case = ht.make(ht.inputs(vertices=20, n=10, complicated=complicated), plain)
    assert case.error() <= case.tolerance


@pytest.mark.parametrize("name", ["saddle", "particle"])
@pytest.mark.parametrize("modes", ["ff", "fr", "rf", "rr"])
def test_nested_modes(name, modes):
    objective = importlib.import_module(f"benchmarks.objectives.{name}").OBJECTIVE
    case = objective.make({**objective.inputs(), "modes": modes}, plain)
    assert case.error() <= case.tolerance
