"""The same random kernels with `math` functions that are kernels with rules of their own, of all kinds: in loops of all
kinds, branches, and whatever else a program may put around them.
"""

from __future__ import annotations

import math
import os
from types import ModuleType

import numpy as np
import pytest

import dsl
from dsl import AugmentedReturn, Const, Duplicated
from tests.generator import check as checking
from tests.generator.oracle import Unfair
from tests.generator.program import Program, make_program

FIRST = int(os.environ.get("DSL_GENERATOR_SEED", "100"))
COUNT = int(os.environ.get("DSL_GENERATOR_COUNT", "4"))

ruled = ModuleType("ruled_math")
ruled.__dict__.update({name: getattr(math, name) for name in dir(math) if not name.startswith("_")})


@dsl.kernel
def sin(x):
    return math.sin(x)


@dsl.rules.easy(sin)
def sin_partial(x):
    return math.cos(x)


@dsl.kernel
def exp(x):
    return math.exp(x)


@dsl.rules.easy(exp)
def exp_partial(x, result):
    return result


@dsl.kernel
def cos(x):
    return math.cos(x)


@dsl.rules.forward(cos)
def cos_forward(config, func, RT, x):
    tangent = -math.sin(x.val) * x.dval
    return Duplicated(func.val(x.val), tangent) if config.needs_primal else tangent


@dsl.rules.augmented_primal(cos)
def cos_augmented(config, func, RT, x):
    pair = np.zeros(2)  # a tape in memory, of which one element matters
    pair[1] = math.sin(x.val)
    return AugmentedReturn(func.val(x.val), None, (pair, x.val > 0.0))


@dsl.rules.reverse(cos)
def cos_reverse(config, func, dret, tape, x):
    pair, positive = tape
    sine = pair[1] if positive else pair[0] + pair[1]
    return (-dret.val * sine,)


@dsl.kernel
def tanh(x):
    return math.tanh(x)


@dsl.rules.forward(tanh)
def tanh_forward(config, func, RT, x):
    value = func.val(x.val)
    return value, (1.0 - value * value) * x.dval


@dsl.rules.reverse(tanh)
def tanh_reverse(config, func, dret, tape, x):
    value = func.val(x.val)
    return ((1.0 - value * value) * dret.val,)


@dsl.kernel
def hypot(x, y):
    return math.hypot(x, y)


@dsl.rules.forward(hypot)
def hypot_forward(config, func, RT, x, y):
    length = func.val(x.val, y.val)
    tangent = 0.0
    if not isinstance(x, Const):
        tangent += x.val / length * x.dval
    if not isinstance(y, Const):
        tangent += y.val / length * y.dval
    return length, tangent


@dsl.rules.augmented_primal(hypot)
def hypot_augmented(config, func, RT, x, y):
    length = func.val(x.val, y.val)
    return AugmentedReturn(length, None, length)


@dsl.rules.reverse(hypot)
def hypot_reverse(config, func, dret, tape, x, y):
    return x.val / tape * dret.val, y.val / tape * dret.val


ruled.__dict__.update(sin=sin, exp=exp, cos=cos, tanh=tanh, hypot=hypot)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_generated_with_rules(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(program: Program, point: int) -> ModuleType:
        module = original(program, point)
        module.__dict__["math"] = ruled
        return module

    original = checking.load
    monkeypatch.setattr(checking, "load", load)
    program = make_program(seed, size=3 if seed % 4 == 0 else 2)
    for point in range(4):
        try:
            failure = checking.check(program, point)
        except Unfair:
            continue
        if failure is not None:
            pytest.fail(f"seed {seed}: {failure.kind}\n{program.source}\n{failure.detail}", pytrace=False)
        return
