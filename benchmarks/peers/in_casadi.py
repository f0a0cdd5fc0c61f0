"""CasADi: matrix expressions, evaluated by its virtual machine; loops over time are folds of a step."""

from __future__ import annotations

from typing import Any

import casadi as ca
import numpy as np

from benchmarks.peers import arrays
from benchmarks.peers.exchange import Prepared, flat

VERSION = ca.__version__


def prepare(objective: str, data: dict[str, Any], variant: str = "") -> Prepared:
    expression, unknowns, values = globals()[objective](data)
    primal = ca.Function("primal", unknowns, [expression])
    derivative = ca.Function("derivative", unknowns, [ca.gradient(expression, u) for u in unknowns])
    values = [ca.DM(v) for v in values]
    return Prepared(lambda: primal.call(values), lambda: derivative.call(values), lambda result: flat(*result))


Program = tuple[Any, list[Any], list[Any]]


def waves(data: dict[str, Any]) -> Program:
    a = ca.MX.sym("a", len(data["a"]))
    return ca.sum1(ca.sin(a) * ca.exp(-a * a)), [a], [data["a"]]


def lse(data: dict[str, Any]) -> Program:
    x = ca.MX.sym("x", len(data["x"]))
    top = ca.mmax(x)
    return top + ca.log(ca.sum1(ca.exp(x - top))), [x], [data["x"]]


def llsq(data: dict[str, Any]) -> Program:
    x = ca.MX.sym("x", len(data["x"]))
    t = arrays.llsq_points(data)
    power, rest = ca.DM.ones(len(t)), ca.MX(ca.DM(np.sign(t)))
    for j in range(len(data["x"])):  # the powers are constants of the expression, computed once
        rest, power = rest - x[j] * power, power * ca.DM(t)
    return 0.5 * ca.sumsqr(rest), [x], [data["x"]]


def call(data: dict[str, Any]) -> Program:
    a, b = (ca.MX.sym(name, len(data[name])) for name in "ab")
    return ca.dot(a, b), [a, b], [data["a"], data["b"]]


def inplace(data: dict[str, Any]) -> Program:
    start = ca.MX.sym("start", len(data["start"]))
    x = start
    for _ in range(10):
        x = ca.sin(x) * x
    return ca.sum1(x), [start], [data["start"]]


def stencil(data: dict[str, Any]) -> Program:
    n = len(data["start"])
    u = ca.MX.sym("u", n)
    left, here, right = u[: n - 2], u[1 : n - 1], u[2:]
    new = here + 0.2 * (1.0 + 0.1 * here * here) * (left - 2.0 * here + right) - 0.05 * here * (right - left)
    step = ca.Function("step", [u], [ca.vertcat(u[0], new, u[n - 1])])
    start = ca.MX.sym("start", n)
    return ca.sumsqr(step.fold(data["steps"])(start)), [start], [data["start"]]


def lorenz(data: dict[str, Any]) -> Program:
    state, parameters = ca.SX.sym("state", 3), ca.SX.sym("parameters", 3)
    new = arrays.lorenz_step(ca.vertsplit(state), ca.vertsplit(parameters), data["dt"])
    # The parameters go along with the state: a fold passes on what it is given.
    both = ca.vertcat(state, parameters)
    step = ca.Function("step", [both], [ca.vertcat(*new, parameters)])
    start = ca.MX.sym("start", 6)
    end = step.fold(data["steps"])(start)
    return ca.sum1(end[:3]), [start], [np.concatenate([data["start"], data["parameters"]])]
