"""Random kernels as source text, with arguments to run them on.

`make_program(seed)` gives always the same program for a seed. It is ordinary Python: its functions run undecorated, on
floats and on dual numbers, and its text says all about it, so the shrinker and the reader work on the text alone."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np

from tests.generator import expressions as e
from tests.generator.layout import lay_out
from tests.generator.scope import Helper, Scope, Var
from tests.generator.statements import Lines, assign, block, damped, indent

ENTRY = "k"


@dataclass(frozen=True)
class Param:
    """One parameter of the kernel: its variable, whether it is differentiated by, an array's layout and type."""

    var: Var
    active: bool
    layout: str = ""
    dtype: str = "float64"

    @property
    def name(self) -> str:
        return self.var.name

    def array(self, values: np.ndarray) -> np.ndarray:
        """Values (also of a shadow) as an array such as this parameter takes."""
        return lay_out(values.astype(self.dtype) if self.var.kind in "vm" else values, self.layout)


@dataclass(frozen=True)
class Program:
    """A kernel as text (helpers first, then `k`), its parameters, what it returns (f v t, or n: nothing), and the
    options of its decorator as text."""

    seed: int
    source: str
    params: tuple[Param, ...]
    returns: str
    options: str = ""

    def with_source(self, source: str) -> Program:
        return replace(self, source=source)

    def arguments(self, point: int) -> list[Any]:
        """Values for the parameters; `point` numbers the places where the program is tried."""
        rng = np.random.default_rng([self.seed, point])
        values = [_value(p.var, rng) for p in self.params]
        return [p.array(v) if isinstance(v, np.ndarray) else v for p, v in zip(self.params, values)]

    @property
    def precision(self) -> float:
        """By how much the tolerances of double precision have to be multiplied."""
        return 1e5 if any(p.dtype == "float32" for p in self.params) else 1.0


def _value(v: Var, rng: np.random.Generator) -> Any:
    if v.kind == "f":
        return float(np.round(rng.uniform(-1.5, 1.5), 4))
    if v.kind in "vm":
        return np.round(rng.uniform(-1.5, 1.5, v.size), 4)
    if v.kind == "i":
        return int(rng.integers(v.lo, v.hi + 1))
    if v.kind == "p":
        return rng.integers(v.lo, v.hi + 1, v.size)
    if v.kind == "q":
        return rng.random(v.size) < 0.5
    raise ValueError(f"no argument of kind {v.kind}")


def make_program(seed: int, size: int = 3) -> Program:
    """The random program of this seed; `size` bounds its number of statements a block and its nesting."""
    random = Random(seed)
    length = random.choice((1, 2, 2, 3, 3, 4, 6))
    helpers: list[Helper] = []
    text: Lines = []
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        lines, helper = _helper(random, f"h{len(helpers)}", length, helpers)
        text += lines
        helpers.append(helper)

    params = _params(random, length)
    returns = random.choices("fvtn", (8, 1, 1, 2))[0]
    if returns == "n" and not any(p.var.kind in "vm" and not p.var.fixed for p in params):
        returns = "f"
    scope = Scope(random, {p.name: p.var for p in params}, helpers, returns=returns, length=length)
    body = [line for _ in range(random.randint(0, 3)) for line in assign(scope)]
    body += block(scope, size, random.randint(2, 2 * size))
    if returns != "n":
        body.append("return " + _result(scope, returns))
    text += [f"def {ENTRY}({', '.join(p.name for p in params)}):", *indent(body)]
    options = random.choices(("", "(boundscheck=True)"), (6, 1))[0]
    return Program(seed, normalise("\n".join(text)), tuple(params), returns, options)


def normalise(source: str) -> str:
    """The same program in the one form that `ast` writes, without superfluous brackets."""
    return ast.unparse(ast.parse(source)) + "\n"


def _params(random: Random, length: int) -> list[Param]:
    """One array at least; other arrays, scalars, index arrays, masks by chance. What is not active is not written."""
    params = [Param(Var("x", "v", (length,)), True)]
    if random.random() < 0.5:
        active = random.random() < 0.7
        params.append(Param(Var("y", "v", (length + random.choice((0, 0, 1)),), fixed=not active), active))
    if random.random() < 0.3:
        active = random.random() < 0.7
        params.append(Param(Var("A", "m", (random.randint(2, 3), length), fixed=not active), active))
    for name in ("a", "b"):
        if random.random() < 0.6:
            params.append(Param(Var(name, "f"), random.random() < 0.8))
    if random.random() < 0.3:
        params.append(Param(Var("n", "i", (), 0, 3, fixed=True), False))
    if random.random() < 0.25:
        params.append(Param(Var("p", "p", (random.randint(2, 4),), 0, length - 1, fixed=True), False))
    if random.random() < 0.25:
        params.append(Param(Var("q", "q", (random.randint(2, 4),), fixed=True), False))
    random.shuffle(params)
    layouts = random.choices(("", "spaced", "backward"), (10, 1, 1), k=len(params))
    dtypes = random.choices(("float64", "float32"), (1, 2) if random.random() < 0.15 else (1, 0), k=len(params))
    return [
        replace(p, layout=layout if p.var.size else "", dtype=dtype if p.var.kind in "vm" else "float64")
        for p, layout, dtype in zip(params, layouts, dtypes)
    ]


def _result(s: Scope, returns: str) -> str:
    """What is returned depends on as much as possible, so that little of the program is dead."""
    if returns == "v":
        return e.vector(s, s.length, 1) + " * 1.0"
    parts = [f"{s.random.choice(('', '2.0 * ', '-'))}{v.name}" for v in s.of("f")[-4:]]
    parts += [f"dsl.sum({v.name})" for v in (s.of("v") + s.of("m"))[-3:]]
    parts += [f"{v.name}[{e.index(s, v.size[0])}]" for v in s.of("l")]
    parts.append("1.0 * " + e.smooth(s, 2))
    s.random.shuffle(parts)
    if returns == "t":
        return f"{' + '.join(parts)}, {damped(s)} * 1.0"
    return " + ".join(parts)


def _helper(random: Random, name: str, length: int, earlier: list[Helper]) -> tuple[Lines, Helper]:
    """A function for the kernel to call: of floats, or of an array that it may change in place."""
    kinds = random.choice((("f",), ("f", "f"), ("v", "f"), ("f", "v")))
    if kinds == ("v", "f") and random.random() < 0.4:
        returns = "v"
    else:
        returns = "f" if "v" in kinds or random.random() < 0.6 else "t"
    variables = [
        Var(f"{'u' if kind == 'v' else 'z'}{j}", kind, (length,) if kind == "v" else ()) for j, kind in enumerate(kinds)
    ]
    scope = Scope(random, {v.name: v for v in variables}, list(earlier), returns=returns, length=length)
    body = block(scope, 1, random.randint(0, 2))
    if returns == "t":
        body.append(f"return {e.smooth(scope, 2)}, {e.smooth(scope, 1)}")
    elif returns == "v":
        body.append(f"return {e.vector(scope, length, 2)} * {e.leaf(scope)}")
    else:
        body.append(f"return {e.smooth(scope, 2)}")
    lines = [f"def {name}({', '.join(v.name for v in variables)}):", *indent(body), ""]
    return lines, Helper(name, kinds, length, returns)
