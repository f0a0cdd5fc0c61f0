"""The types: what values have them, how they promote (as NumPy's), how they join, and that they survive pickling."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import ml_dtypes
import numpy as np
import pytest

from dsl import types
from dsl.frontend.scope import join_scalars, join_types, representable

PLAIN = [t for t in types.SIZED if t.name != "bfloat16"]
WEAK = {types.pyint: 1, types.pyfloat: 1.0, types.pycomplex: 1j}


@dataclass
class Inner:
    a: float
    flag: bool = True
    count: ClassVar[int] = 3


@dataclass(frozen=True)
class Outer:
    inner: Inner
    data: np.ndarray = field(default_factory=lambda: np.zeros((2, 2)))


class Pair(NamedTuple):
    first: int
    second: np.ndarray


@pytest.mark.parametrize("left", PLAIN, ids=str)
def test_sized_types_promote_as_numpy(left):
    for right in PLAIN:
        assert types.promote(left, right).dtype == np.promote_types(left.dtype, right.dtype)


@pytest.mark.parametrize("sized", PLAIN, ids=str)
def test_weak_types_promote_as_numpy(sized):
    for weak, value in WEAK.items():
        expected = np.result_type(sized.dtype.type(1), value)
        if sized.kind == "b":
            expected = weak.dtype  # NumPy has no weak results
        assert types.promote(weak, sized).dtype == expected, weak
        assert types.promote(sized, weak) is types.promote(weak, sized)


def test_weak_with_weak():
    assert types.promote(types.pyint, types.pyfloat) is types.pyfloat
    assert types.promote(types.pyfloat, types.pycomplex) is types.pycomplex
    assert types.promote(types.pyint, types.pyint) is types.pyint


def test_bfloat16():
    assert types.from_dtype(ml_dtypes.bfloat16) is types.bfloat16
    assert types.promote(types.bfloat16, types.float32) is types.float32
    assert types.promote(types.bfloat16, types.pyfloat) is types.bfloat16
    assert types.typeof(ml_dtypes.bfloat16(1.5)) is types.bfloat16
    assert types.promote(types.bfloat16, types.float16) is types.float32


def test_typeof():
    assert types.typeof(3) is types.pyint
    assert types.typeof(True) is types.bool_
    assert types.typeof(np.float32(2)) is types.float32
    assert types.typeof(2j) is types.pycomplex
    assert types.typeof(None) == types.none
    assert types.typeof("abc") == types.Literal("abc")
    array = np.zeros((3, 4), np.int16)
    assert types.typeof(array) == types.ArrayType(types.int16, 2)
    assert types.typeof(array.T) == types.ArrayType(types.int16, 2, False)
    assert types.typeof((1, (2.0, array))) == types.TupleType(
        (types.pyint, types.TupleType((types.pyfloat, types.ArrayType(types.int16, 2))))
    )


def test_structs():
    type_ = types.typeof(Outer(Inner(1.0)))
    assert isinstance(type_, types.StructType)
    assert not type_.mutable
    inner = type_.field("inner")
    assert isinstance(inner, types.StructType)
    assert inner.mutable
    assert [name for name, _ in inner.fields] == ["a", "flag"]
    assert list(map(str, types.leaves(type_))) == ["float", "bool", "array(float64, 2d)"]
    assert types.leaves(types.typeof(Pair(1, np.zeros(2)))) == [types.pyint, types.ArrayType(types.float64, 1)]


@pytest.mark.parametrize(
    "value", [[1, 2], {"a": 1}, np.zeros(2, "M8[s]"), np.zeros(2, object), np.zeros(2, ">f8"), object()]
)
def test_refused(value):
    with pytest.raises(TypeError):
        types.typeof(value)


def test_mlir_spelling():
    assert types.ArrayType(types.float32, 2).mlir == "memref<?x?xf32>"
    assert types.ArrayType(types.bool_, 1, False).mlir == "memref<?xi8, strided<[?], offset: ?>>"
    assert types.ArrayType(types.float64, 0).mlir == "memref<f64>"
    assert types.bool_.mlir == "i1"
    assert types.complex64.mlir == "complex<f32>"


def test_identity():
    for scalar in [*types.SIZED, *WEAK]:
        assert pickle.loads(pickle.dumps(scalar)) is scalar
        assert scalar.strong in types.SIZED
    type_ = types.typeof(Outer(Inner(1.0)))
    assert pickle.loads(pickle.dumps(type_)) == type_
    assert len({type_, types.typeof(Outer(Inner(2.0))), types.typeof(Inner(1.0))}) == 2


def test_scalars_convert_in_plain_python():
    assert types.float32(0.1) == np.float32(0.1)
    assert types.int8(3.7) == 3
    assert np.zeros(3, types.float32).dtype == np.float32


def test_joins():
    assert join_scalars(types.int64, types.float64) is types.float64
    assert join_scalars(types.pyint, types.float32) is types.float64
    assert join_scalars(types.pyint, types.float32, 0) is types.float32
    assert join_scalars(types.pyfloat, types.float32, 0.1) is types.float64
    assert join_scalars(types.pyfloat, types.float32, 0.5) is types.float32
    assert join_scalars(types.pyint, types.int8, 300) is types.int64
    assert join_scalars(types.bool_, types.pyint) is types.pyint
    assert join_types(types.ArrayType(types.float64, 1), types.ArrayType(types.float64, 1, False)) == types.ArrayType(
        types.float64, 1, False
    )
    assert join_types(types.ArrayType(types.float64, 1), types.ArrayType(types.float64, 2)) is None
    assert join_types(types.ArrayType(types.float64, 1), types.float64) is None
    assert join_types(types.none, types.float64) is None


def test_representable():
    assert representable(float("nan"), types.float32)
    assert representable(float("inf"), types.float16)
    assert not representable(1e300, types.float32)
    assert not representable(1.5, types.int32)
    assert not representable(1j, types.float64)
    assert not representable(True, types.int8)
    assert representable(255, types.uint8)
    assert not representable(-1, types.uint8)
    assert representable(2**24, types.float32)
    assert not representable(2**24 + 1, types.float32)
