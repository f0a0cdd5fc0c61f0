"""Gradient descent on a loss of two structs: the parameters, and the data that stay fixed.

The gradient comes back in a struct of the parameters' own shape (`dparams`): what each of its leaves gets is the
derivative by the leaf of the same name. Run as `python examples/gradient_descent.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import dsl
from dsl import Const, Duplicated, ReverseWithPrimal, autodiff


@dataclass
class Parameters:
    w: np.ndarray
    b: np.ndarray


@dataclass
class Data:
    x: np.ndarray
    y: np.ndarray


@dsl.kernel
def loss(params, data):
    """Sum of the squared residuals of a linear model."""
    pred = data.x @ params.w + params.b
    return dsl.sum((pred - data.y) ** 2)


def descend(params: Parameters, data: Data, rate: float, steps: int, every: int = 50) -> list[float]:
    """Improve params in place; returns the losses on the way."""
    dparams = Parameters(w=np.zeros_like(params.w), b=np.zeros_like(params.b))
    losses = []
    for step in range(steps):
        # Shadows are added to, so that several calls can share one: it starts from zero here.
        dparams.w[:] = 0.0
        dparams.b[:] = 0.0
        value, _ = autodiff(ReverseWithPrimal, loss, Duplicated(params, dparams), Const(data))
        params.w -= rate * dparams.w
        params.b -= rate * dparams.b
        losses.append(value)
        if step % every == 0:
            print(f"step {step:4d}   loss {value:.6f}")
    return losses


def main() -> int:
    rng = np.random.default_rng(20)
    true_w, true_b = np.array([1.5, -2.0, 0.5]), 0.75
    x = rng.normal(size=(200, 3))
    data = Data(x=x, y=x @ true_w + true_b + 0.01 * rng.normal(size=200))
    params = Parameters(w=np.zeros(3), b=np.zeros(1))
    losses = descend(params, data, rate=1e-3, steps=201)
    print(f"w = {np.round(params.w, 3)} (the truth: {true_w}), b = {params.b[0]:.3f} (the truth: {true_b})")
    return 0 if losses[-1] < losses[0] and np.allclose(params.w, true_w, atol=0.01) else 1


if __name__ == "__main__":
    raise SystemExit(main())
