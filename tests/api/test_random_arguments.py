"""Random trees of tuples, structs, scalars and arrays as arguments: values, and derivatives in both modes.

The kernel of a tree is the sum over its leaves of a coefficient times the leaf's square, so that every derivative is
known. A leaf that is read from, or put into, another one's place shows at once.
"""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import Active, Const, Duplicated, ForwardWithPrimal, MixedDuplicated, Ref, ReverseWithPrimal, autodiff
from dsl.structs import part_of, parts
from dsl.types import ArrayType, Scalar, StructType, TupleType, typeof


@dataclass
class Drawn:
    """A tree, the text of its kernel's terms, and the paths of its leaves."""

    value: Any
    terms: list[str]


def draw(rng: np.random.Generator, depth: int, name: str, terms: list[str]) -> Any:
    """A random value; what it adds to the kernel goes to `terms`."""
    kind = rng.choice(
        ["float", "float32", "int", "array", "array2", "strided", *(["tuple", "struct", "frozen"] * (depth > 0))]
    )
    c = len(terms) + 2
    if kind == "float":
        terms.append(f"s += {c} * {name} * {name}")
        return float(rng.integers(1, 9))
    if kind == "float32":
        terms.append(f"s += {c} * {name} * {name}")
        return np.float32(rng.integers(1, 9))
    if kind == "int":
        terms.append(f"s += {c} * {name}")
        return int(rng.integers(1, 9))
    if kind in ("array", "strided"):
        terms.append(f"for i in range(len({name})):\n        s += {c} * (i + 1) * {name}[i] * {name}[i]")
        array = rng.integers(1, 9, 2 * rng.integers(0, 4)).astype(rng.choice([np.float64, np.float32]))
        return array[::2] if kind == "strided" else array
    if kind == "array2":
        terms.append(f"s += {c} * {name}[1, 0] * {name}[1, 0]")
        return rng.integers(1, 9, (3, 2)).astype(float)
    count = int(rng.integers(1, 4))
    if kind == "tuple":
        return tuple(draw(rng, depth - 1, f"{name}[{k}]", terms) for k in range(count))
    values = [draw(rng, depth - 1, f"{name}.f{k}", terms) for k in range(count)]
    cls = make_dataclass(f"{kind.title()}{len(terms)}", [f"f{k}" for k in range(count)], frozen=kind == "frozen")
    return cls(*values)


def zero(type_: Any, value: Any, fill: Any) -> Any:
    """A shadow of a value, with `fill(dtype, shape)` in its continuous leaves."""
    if isinstance(type_, Scalar):
        return fill(type(value), ()) if type_.kind == "f" else 0
    if isinstance(type_, ArrayType):
        return fill(value.dtype.type, value.shape)
    inside = [zero(inner, part_of(value, key), fill) for key, inner, _ in parts(type_)]
    return tuple(inside) if isinstance(type_, TupleType) else type_.cls(*inside)


def expected(type_: Any, value: Any, count: list[int]) -> Any:
    """The gradient of the kernel, in the form of the tree."""
    if isinstance(type_, (Scalar, ArrayType)):
        c = count[0] + 2
        count[0] += 1
        if isinstance(type_, Scalar):
            return 2 * c * value if type_.kind == "f" else 0
        if type_.ndim == 1:
            return 2 * c * (np.arange(len(value)) + 1) * value
        found = np.zeros_like(value)
        found[1, 0] = 2 * c * value[1, 0]
        return found
    inside = [expected(inner, part_of(value, key), count) for key, inner, _ in parts(type_)]
    return tuple(inside) if isinstance(type_, TupleType) else type_.cls(*inside)


def leaves(type_: Any, value: Any) -> list[Any]:
    if isinstance(type_, (TupleType, StructType)):
        return [leaf for key, inner, _ in parts(type_) for leaf in leaves(inner, part_of(value, key))]
    return [np.asarray(value, float)]


@pytest.mark.parametrize("seed", range(12))
def test_random_trees(seed):
    rng = np.random.default_rng(seed)
    terms: list[str] = []
    values = [draw(rng, 2, name, terms) for name in "ab"]
    text = "def f(a, b):\n    s = 0.0\n    " + "\n    ".join(terms) + "\n    return s\n"
    f = dsl.kernel(source=text)
    value = f.fn(*values)
    assert f(*values) == pytest.approx(value, rel=1e-6)

    count = [0]
    rng2 = np.random.default_rng(seed)
    slopes, annotated, refs, tangents = [], [], [], []
    for v in values:
        type_ = typeof(v)
        slopes.append(expected(type_, v, count))
        shadow = zero(type_, v, lambda t, shape: t(0) if shape == () else np.full(shape, 1, t))
        tangent = zero(type_, v, lambda t, shape: t(2) if shape == () else rng2.integers(0, 3, shape).astype(t))
        tangents.append(tangent)
        if isinstance(type_, Scalar):
            annotated.append(Active(v) if type_.kind == "f" else Const(v))
            refs.append(None)
        elif isinstance(type_, ArrayType):
            annotated.append(Duplicated(v, shadow))
            refs.append(shadow)
        else:
            ref = Ref(shadow)
            continuous = any((t.dtype if isinstance(t, ArrayType) else t).kind == "f" for t in dsl.types.leaves(type_))
            annotated.append(MixedDuplicated(v, ref) if continuous else Const(v))
            refs.append(ref if continuous else None)
    primal, gradients = autodiff(ReverseWithPrimal, f, Active, *annotated)
    assert primal == pytest.approx(value, rel=1e-6)
    for v, a, slope, ref, gradient in zip(values, annotated, slopes, refs, gradients):
        if isinstance(a, Active):
            assert gradient == pytest.approx(slope, rel=1e-6)
            continue
        assert gradient is None
        if ref is None:
            continue
        found = ref.value if isinstance(ref, Ref) else ref
        for got, want, kind in zip(leaves(typeof(v), found), leaves(typeof(v), slope), dsl.types.leaves(typeof(v))):
            start = 1.0 if isinstance(kind, ArrayType) else 0.0
            np.testing.assert_allclose(got, want + start, rtol=1e-6)

    def forward(v, t):
        continuous = any((k.dtype if isinstance(k, ArrayType) else k).kind == "f" for k in dsl.types.leaves(typeof(v)))
        return Duplicated(v, t) if continuous else Const(v)

    annotated = [forward(v, t) for v, t in zip(values, tangents)]
    result = autodiff(ForwardWithPrimal, f, *annotated)
    slope = sum(
        np.sum(g * d)
        for v, s, t in zip(values, slopes, tangents)
        for g, d in zip(leaves(typeof(v), s), leaves(typeof(v), t))
    )
    assert result == (pytest.approx(value, rel=1e-6), pytest.approx(slope, rel=1e-6))
