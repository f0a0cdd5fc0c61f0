"""An LSTM language model whose weights are diagonal, with a log-softmax loss for each character (ADBench)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dsl
from benchmarks.case import Case, Compile, Objective, flat
from dsl import Active, Const, Duplicated, Reverse, autodiff


@dsl.kernel
def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


@dsl.kernel
def lstm(main, extra, state, sequence):
    """main[2L, 4b]: weights and biases in turn; extra[3, b]; state[2L, b]: hidden and cell in turn; sequence[c, b]."""
    layers, b = state.shape[0] // 2, state.shape[1]
    length = sequence.shape[0]
    now = dsl.zeros(state.shape)
    now[:, :] = state
    x, y = dsl.zeros(b), dsl.zeros(b)
    total = 0.0
    for t in range(length - 1):
        for j in range(b):
            x[j] = sequence[t, j] * extra[0, j]
        for k in range(layers):
            for j in range(b):
                h, cell = now[2 * k, j], now[2 * k + 1, j]
                forget = sigmoid(x[j] * main[2 * k, j] + main[2 * k + 1, j])
                ingate = sigmoid(h * main[2 * k, b + j] + main[2 * k + 1, b + j])
                outgate = sigmoid(x[j] * main[2 * k, 2 * b + j] + main[2 * k + 1, 2 * b + j])
                change = math.tanh(h * main[2 * k, 3 * b + j] + main[2 * k + 1, 3 * b + j])
                cell = cell * forget + ingate * change
                h = outgate * math.tanh(cell)
                now[2 * k, j], now[2 * k + 1, j] = h, cell
                x[j] = h
        norm = 2.0
        for j in range(b):
            y[j] = x[j] * extra[1, j] + extra[2, j]
            norm += math.exp(y[j])
        lognorm = math.log(norm)
        for j in range(b):
            total += sequence[t + 1, j] * (y[j] - lognorm)
    return -total / (b * (length - 1))


def inputs(layers: int, c: int, b: int = 14) -> dict[str, Any]:
    rng = np.random.default_rng(31337)
    return {
        "main_params": rng.uniform(size=(2 * layers, 4 * b)),
        "extra_params": rng.uniform(size=(3, b)),
        "state": rng.uniform(size=(2 * layers, b)),
        "sequence": rng.integers(0, 2, size=(c, b)).astype(float),
    }


def make(data: Mapping[str, Any], compile: Compile) -> Case:
    kernel = compile(lstm)
    main, extra, state, sequence = (
        np.asarray(data[name], dtype=np.float64) for name in ("main_params", "extra_params", "state", "sequence")
    )
    d_main, d_extra = np.zeros_like(main), np.zeros_like(extra)
    annotated = [Duplicated(main, d_main), Duplicated(extra, d_extra), Const(state), Const(sequence)]

    def derivative() -> np.ndarray:
        d_main.fill(0.0)
        d_extra.fill(0.0)
        autodiff(Reverse, kernel, Active, *annotated)
        return flat(d_main, d_extra)

    return Case(
        primal=lambda: kernel(main, extra, state, sequence),
        derivative=derivative,
        reference=lambda: reference(main, extra, state, sequence),
        data=data,
    )


def reference(main: np.ndarray, extra: np.ndarray, state: np.ndarray, sequence: np.ndarray) -> np.ndarray:
    """Backpropagation through time by hand, a vector of b elements an operation."""
    layers, b = state.shape[0] // 2, state.shape[1]
    weights, biases = main[0::2].reshape(layers, 4, b), main[1::2].reshape(layers, 4, b)
    squash = lambda v: 1.0 / (1.0 + np.exp(-v))  # noqa: E731
    hidden, cells = list(state[0::2]), list(state[1::2])
    tape, outputs = [], []
    for t in range(len(sequence) - 1):
        x, steps = sequence[t] * extra[0], []
        for k in range(layers):
            h, cell, w, v = hidden[k], cells[k], weights[k], biases[k]
            f, i, o = squash(x * w[0] + v[0]), squash(h * w[1] + v[1]), squash(x * w[2] + v[2])
            g = np.tanh(h * w[3] + v[3])
            cells[k] = cell * f + i * g
            squashed = np.tanh(cells[k])
            hidden[k] = o * squashed
            steps.append((x, h, cell, f, i, o, g, squashed))
            x = hidden[k]
        tape.append(steps)
        outputs.append(x)
    scale = -1.0 / (b * (len(sequence) - 1))
    d_weights, d_biases, d_extra = np.zeros_like(weights), np.zeros_like(biases), np.zeros_like(extra)
    d_hidden, d_cells = np.zeros((layers, b)), np.zeros((layers, b))
    for t in reversed(range(len(sequence) - 1)):
        y = outputs[t] * extra[1] + extra[2]
        d_y = scale * (sequence[t + 1] - sequence[t + 1].sum() * np.exp(y) / (2.0 + np.exp(y).sum()))
        d_extra[1] += d_y * outputs[t]
        d_extra[2] += d_y
        d_x = d_y * extra[1]
        for k in reversed(range(layers)):
            x, h, cell, f, i, o, g, squashed = tape[t][k]
            d_h = d_hidden[k] + d_x
            d_cell = d_cells[k] + d_h * o * (1.0 - squashed**2)
            inner = np.stack(
                [
                    d_cell * cell * f * (1.0 - f),
                    d_cell * g * i * (1.0 - i),
                    d_h * squashed * o * (1.0 - o),
                    d_cell * i * (1.0 - g**2),
                ]
            )
            d_biases[k] += inner
            d_weights[k] += inner * np.stack([x, h, x, h])
            w = weights[k]
            d_x = inner[0] * w[0] + inner[2] * w[2]
            d_hidden[k] = inner[1] * w[1] + inner[3] * w[3]
            d_cells[k] = d_cell * f
        d_extra[0] += d_x * sequence[t]
    d_main = np.zeros_like(main)
    d_main[0::2], d_main[1::2] = d_weights.reshape(layers, -1), d_biases.reshape(layers, -1)
    return flat(d_main, d_extra)


OBJECTIVE = Objective(
    name="lstm",
    what="LSTM with diagonal weights",
    derivative="gradient",
    inputs=inputs,
    make=make,
    sizes={"l2_c1024": {"layers": 2, "c": 1024}, "l4_c4096": {"layers": 4, "c": 4096}},
    small={"layers": 2, "c": 6, "b": 3},
)
