"""The determinant of a small matrix by expansion along its rows, all n! products of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective
from dsl import Active, Duplicated, Reverse, autodiff


@dsl.kernel
def det(a):
    """a[n, n]. A walk over all ways to choose columns: choice[r] is row r's, product[r] that of the rows before."""
    n = a.shape[0]
    choice, taken = dsl.full(n, -1), dsl.zeros(n, dtype=dsl.bool_)
    product = dsl.ones(n + 1)
    total = 0.0
    row = 0
    while row >= 0:
        if choice[row] >= 0:
            taken[choice[row]] = False
        column = choice[row] + 1
        while column < n and taken[column]:
            column += 1
        if column == n:
            choice[row] = -1
            row -= 1
        else:
            choice[row] = column
            taken[column] = True
            sign = 1.0
            for c in range(column):
                if not taken[c]:
                    sign = -sign
            product[row + 1] = sign * product[row] * a[row, column]
            if row == n - 1:
                total += product[n]
            else:
                row += 1
    return total


def inputs(ell: int) -> dict[str, Any]:
    np.random.seed(31337)  # the generator that the eval uses
    return {"A": np.random.rand(ell * ell), "ell": ell}


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    a = np.asarray(data["A"], dtype=np.float64).reshape(data["ell"], data["ell"])
    kernel, shadow = compile(det), np.zeros_like(a)

    def derivative() -> np.ndarray:
        shadow.fill(0.0)
        autodiff(Reverse, kernel, Active, Duplicated(a, shadow))
        return shadow.reshape(-1)

    def reference() -> np.ndarray:
        """The cofactors, det(A) A⁻ᵀ."""
        return (np.linalg.det(a) * np.linalg.inv(a).T).reshape(-1)

    return Case(lambda: kernel(a), derivative, reference, data)


OBJECTIVE = Objective("det", "determinant by minors", "gradient", inputs, make, {"8": {"ell": 8}}, {"ell": 4})
