"""What must not be taped: by the IR, by the bytes that a call allocates, and by the numbers, which must be right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsl import Active, Const, Duplicated, Reverse, ReverseWithPrimal
from tests.derivatives import check_derivatives

from . import objectives
from .checks import allocations_in_loops, filecheck

OBJECTIVES = [objectives.points, objectives.mixture, objectives.kmeans, objectives.bundle, objectives.lorenz]


def annotated(kernel: Any, size: int) -> list[Any]:
    values, constant = objectives.arguments(kernel, size)
    returns = Const if kernel is objectives.bundle else Active
    marked = [
        Const(v) if i in constant else Duplicated(v, np.zeros_like(v)) if isinstance(v, np.ndarray) else Active(v)
        for i, v in enumerate(values)
    ]
    return [returns, *marked]


def by_name(kernels: list[Any]) -> Any:
    return pytest.mark.parametrize("kernel", kernels, ids=[k.name for k in kernels])


@by_name(OBJECTIVES)
def test_numbers(kernel: Any) -> None:
    values, constant = objectives.arguments(kernel, 4)
    check_derivatives(kernel, *values, const=constant)


@by_name(OBJECTIVES[:4])
@pytest.mark.parametrize("mode", [Reverse, ReverseWithPrimal], ids=str)
def test_no_tape_grows_with_the_points(kernel: Any, mode: Any) -> None:
    for size in (1, 4, 50):
        assert kernel.tape_bytes(mode, *annotated(kernel, size)) == 0


def test_only_the_carried_state_of_a_time_loop() -> None:
    for steps in (0, 1, 100):
        assert objectives.lorenz.tape_bytes(Reverse, *annotated(objectives.lorenz, steps)) == 24 * steps


@by_name(OBJECTIVES)
def test_no_allocation_in_a_loop(kernel: Any) -> None:
    for mode in (Reverse, ReverseWithPrimal):
        assert not allocations_in_loops(kernel.ir("autodiff", mode, *annotated(kernel, 4)).plain)


def test_sum_over_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One loop, the reverse one; with the primal there are two."""
    marked = annotated(objectives.points, 4)
    once = objectives.points.ir("autodiff", Reverse, *marked).plain
    patterns = """
    : @derivative(
    -NOT: memref.alloc
    : scf.for
    : math.exp
    -NOT: scf.for
    -NOT: memref.alloc
    : return
    """
    filecheck(once, patterns, tmp_path, monkeypatch)
    both = objectives.points.ir("autodiff", ReverseWithPrimal, *marked).plain
    assert once.count("scf.for") == 1 and both.count("scf.for") == 2 and "memref.alloc" not in both


@by_name([objectives.mixture, objectives.kmeans])
def test_one_loop_over_the_points(kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward and reverse of a point stand in one iteration: no other loop is outermost."""
    text = kernel.ir("autodiff", Reverse, *annotated(kernel, 4)).plain
    patterns = r"""
    : @derivative(
    : {{^    (%[^ ]+ = )?scf\.for}}
    -NOT: {{^    (%[^ ]+ = )?scf\.for}}
    : {{^    return}}
    """
    filecheck(text, patterns, tmp_path, monkeypatch)


def test_time_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three buffers before the loop, a store of each carried value, and their loads in the reverse loop."""
    text = objectives.lorenz.ir("autodiff", Reverse, *annotated(objectives.lorenz, 4)).plain
    patterns = """
    -COUNT-3: memref.alloc({{.*}}) {autodiff.tape} : memref<?xf64>
    -NOT: memref.alloc
    : scf.for
    -COUNT-3: memref.store
    -NOT: memref.store
    : scf.for
    -COUNT-3: memref.load
    -NOT: memref.load
    : return
    """
    filecheck(text, patterns, tmp_path, monkeypatch)
