"""A kernel gives the same code in each process: results are the same to the last bit because of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_KERNEL = '''
def f(x, n):
    s = 0.0
    for i in range(n):
        u = math.sin(x[i]) * math.exp(-x[i] * x[i])
        s += u / (1.0 + x[i]) * math.sqrt(2.0 + u * s) ** x[i]
    return s
'''
_PROGRAM = f"""
import math
import numpy as np
import dsl
from dsl import Active, Const, Duplicated, Reverse
f = dsl.kernel(source={_KERNEL!r})
print(f.ir("autodiff", Reverse, Active, Duplicated(np.ones(3), np.zeros(3)), Const(3)))
"""


def _printed(seed: int) -> str:
    """The derivative as a process prints it whose sets of strings are in an order by `seed`."""
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONHASHSEED": str(seed)}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout


def test_code_does_not_depend_on_the_order_of_sets():
    first, *others = [_printed(seed) for seed in range(4)]
    assert "math.exp" in first
    assert all(other == first for other in others)
