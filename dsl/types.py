"""The types of the language: what a value is, how it is laid out, and what two types become together.

Pure Python and NumPy: nothing here knows of MLIR beyond the spelling of a type. Types are compared with `==` and can be
dictionary keys. `repr` of a type is stable across processes, so that it can take part in a cache key.

Python's own numbers are *weak*, as in NumPy: `x * 2.0` with a float32 `x` is a float32. Inside a kernel the literals,
`len`, `range` and the results of `float()`/`int()` have the weak types `pyint`, `pyfloat` and `pycomplex`; they are
laid out like int64, float64 and complex128, which `.strong` gives.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Type:
    """Any type. `mlir` is the spelling of its one leaf; types with several leaves or none do not have it."""

    __slots__ = ()

    @property
    def mlir(self) -> str:
        raise TypeError(f"{self} is not laid out as one value")

    def __repr__(self) -> str:
        return str(self)


class Scalar(Type):
    """One number. A singleton of this module; calling it converts, in plain Python too: `dsl.float32(x)` is
    `np.float32(x)`.
    """

    __slots__ = ("bits", "kind", "mlir_name", "name", "weak")

    def __init__(self, name: str, kind: str, bits: int, mlir_name: str, weak: bool = False) -> None:
        self.name = name
        self.kind = kind  # b bool, i signed, u unsigned, f float, c complex
        self.bits = bits
        self.mlir_name = mlir_name
        self.weak = weak

    @property
    def mlir(self) -> str:
        return self.mlir_name

    @property
    def strong(self) -> Scalar:
        """The sized type that a weak one is laid out as; a sized type itself."""
        return {"i": int64, "f": float64, "c": complex128}[self.kind] if self.weak else self

    @property
    def dtype(self) -> np.dtype[Any]:
        if self.name == "bfloat16":
            import ml_dtypes  # only those who use it pay for it

            return np.dtype(ml_dtypes.bfloat16)
        return np.dtype(self.strong.name)

    @property
    def storage(self) -> str:
        """The MLIR element type in memory: a bool takes a byte, as NumPy's does."""
        return "i8" if self.kind == "b" else self.mlir_name

    @property
    def part(self) -> Scalar:
        """The type of the real part."""
        if self.kind != "c":
            return self
        return pyfloat if self.weak else (float32 if self.bits == 64 else float64)

    def __call__(self, value: Any = 0) -> Any:
        return self.dtype.type(value)

    def __getitem__(self, axes: slice | tuple[slice, ...]) -> ArrayType:
        """The type of arrays of these: `dsl.float64[:]` has one dimension, `dsl.float64[:, :]` two."""
        axes = axes if isinstance(axes, tuple) else (axes,)
        if not all(isinstance(axis, slice) and axis == slice(None) for axis in axes):
            raise TypeError(f"an array type is written {self}[:] or {self}[:, :], with a colon for each dimension")
        return ArrayType(self, len(axes))

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> str:
        return _GLOBAL_NAMES[self.name]


bool_ = Scalar("bool", "b", 8, "i1")
int8 = Scalar("int8", "i", 8, "i8")
int16 = Scalar("int16", "i", 16, "i16")
int32 = Scalar("int32", "i", 32, "i32")
int64 = Scalar("int64", "i", 64, "i64")
uint8 = Scalar("uint8", "u", 8, "i8")
uint16 = Scalar("uint16", "u", 16, "i16")
uint32 = Scalar("uint32", "u", 32, "i32")
uint64 = Scalar("uint64", "u", 64, "i64")
float16 = Scalar("float16", "f", 16, "f16")
bfloat16 = Scalar("bfloat16", "f", 16, "bf16")
float32 = Scalar("float32", "f", 32, "f32")
float64 = Scalar("float64", "f", 64, "f64")
complex64 = Scalar("complex64", "c", 64, "complex<f32>")
complex128 = Scalar("complex128", "c", 128, "complex<f64>")
pyint = Scalar("int", "i", 64, "i64", weak=True)
pyfloat = Scalar("float", "f", 64, "f64", weak=True)
pycomplex = Scalar("complex", "c", 128, "complex<f64>", weak=True)

SIZED: tuple[Scalar, ...] = (
    bool_,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
    float16,
    bfloat16,
    float32,
    float64,
    complex64,
    complex128,
)
BY_NAME: dict[str, Scalar] = {t.name: t for t in SIZED}
_GLOBAL_NAMES = {
    **{t.name: t.name for t in SIZED},
    "bool": "bool_",
    "int": "pyint",
    "float": "pyfloat",
    "complex": "pycomplex",
}


class ArrayType(Type):
    """An array of `ndim` dimensions. `contiguous` is C order without gaps and without an offset."""

    __slots__ = ("contiguous", "dtype", "ndim")

    def __init__(self, dtype: Scalar, ndim: int, contiguous: bool = True) -> None:
        self.dtype = dtype.strong
        self.ndim = ndim
        self.contiguous = contiguous

    @property
    def mlir(self) -> str:
        shape = "?x" * self.ndim
        if self.contiguous:
            return f"memref<{shape}{self.dtype.storage}>"
        strides = ", ".join("?" * self.ndim)
        return f"memref<{shape}{self.dtype.storage}, strided<[{strides}], offset: ?>>"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ArrayType)
            and self.dtype is other.dtype
            and self.ndim == other.ndim
            and self.contiguous == other.contiguous
        )

    def __hash__(self) -> int:
        return hash((self.dtype.name, self.ndim, self.contiguous))

    def __str__(self) -> str:
        return f"array({self.dtype}, {self.ndim}d{'' if self.contiguous else ', strided'})"


class TupleType(Type):
    """A tuple: its length and the type of each element are known when compiling."""

    __slots__ = ("elements",)

    def __init__(self, elements: tuple[Type, ...]) -> None:
        self.elements = tuple(elements)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TupleType) and self.elements == other.elements

    def __hash__(self) -> int:
        return hash(("tuple", self.elements))

    def __str__(self) -> str:
        inner = ", ".join(map(str, self.elements))
        return f"({inner},)" if len(self.elements) == 1 else f"({inner})"


class StructType(Type):
    """A dataclass or NamedTuple: the class, and each field with its type."""

    __slots__ = ("cls", "fields")

    def __init__(self, cls: type, fields: tuple[tuple[str, Type], ...]) -> None:
        self.cls = cls
        self.fields = tuple(fields)

    @property
    def mutable(self) -> bool:
        return is_mutable_class(self.cls)

    def field(self, name: str) -> Type | None:
        """The type of a field, None where there is no such field."""
        for field, type_ in self.fields:
            if field == name:
                return type_
        return None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StructType) and self.cls is other.cls and self.fields == other.fields

    def __hash__(self) -> int:
        return hash((self.cls, self.fields))

    def __str__(self) -> str:
        inner = ", ".join(f"{name}: {type_}" for name, type_ in self.fields)
        return f"{self.cls.__module__}.{self.cls.__qualname__}({inner})"


class NoneType_(Type):
    """The type of None; it has no leaves."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoneType_)

    def __hash__(self) -> int:
        return hash("NoneType")

    def __str__(self) -> str:
        return "None"


none = NoneType_()


class Literal(Type):
    """The type of a compile-time value that has no run-time form: a string, a dtype, a kernel, a class, a module."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and (
            self.value is other.value or (type(self.value) is str and self.value == other.value)
        )

    def __hash__(self) -> int:
        return hash(self.value) if type(self.value) is str else id(self.value)

    def __str__(self) -> str:
        if isinstance(self.value, str):
            return f"str {self.value!r}"
        name = (
            getattr(self.value, "__qualname__", None)
            or getattr(self.value, "__name__", None)
            or getattr(self.value, "name", None)
        )
        return f"{type(self.value).__name__} {name or self.value!r}"


def is_struct_class(cls: object) -> bool:
    """Whether a class is one that kernels take apart: a dataclass or a NamedTuple."""
    if not isinstance(cls, type):
        return False
    return hasattr(cls, "__dataclass_fields__") or (issubclass(cls, tuple) and hasattr(cls, "_fields"))


def is_mutable_class(cls: type) -> bool:
    """Whether the fields of its instances may be assigned to."""
    parameters = getattr(cls, "__dataclass_params__", None)
    return parameters is not None and not parameters.frozen


def field_names(cls: type) -> tuple[str, ...]:
    """The fields of a struct class in the order of its constructor."""
    named = getattr(cls, "_fields", None)
    if named is not None and issubclass(cls, tuple):
        return tuple(named)
    fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
    # class variables and init-only ones are in there too
    return tuple(name for name, field in fields.items() if field._field_type.name == "_FIELD")


_BY_DTYPE: dict[np.dtype[Any], Scalar] = {np.dtype(t.name): t for t in SIZED if t.name != "bfloat16"}


def from_dtype(dtype: Any) -> Scalar:
    """The scalar type of a NumPy dtype, or of anything that NumPy takes for one; TypeError where there is none."""
    if isinstance(dtype, Scalar):
        return dtype.strong
    dtype = np.dtype(dtype)
    found = _BY_DTYPE.get(dtype)
    if found is not None:
        return found
    if dtype.name == "bfloat16":
        _BY_DTYPE[dtype] = bfloat16
        return bfloat16
    if not dtype.isnative:
        raise TypeError(f"arrays of dtype {dtype} have swapped bytes; convert with a.astype(a.dtype.newbyteorder('='))")
    supported = ", ".join(t.name for t in SIZED)
    raise TypeError(f"dtype {dtype} is not one that kernels know ({supported})")


def typeof(value: Any) -> Type:
    """The type of a Python or NumPy value as an argument; TypeError where kernels do not take such a value.

    Python numbers are weak, as in NumPy: laid out in 64 bits, they take the type of the sized number they meet.
    """
    cls = type(value)
    simple = _PYTHON_TYPES.get(cls)
    if simple is not None:
        return simple
    if cls is np.ndarray or isinstance(value, np.ndarray):
        return ArrayType(from_dtype(value.dtype), value.ndim, value.flags.c_contiguous)
    if value is None:
        return none
    if cls is str:
        return Literal(value)
    if isinstance(value, np.generic):
        return from_dtype(value.dtype)
    if is_struct_class(cls):
        return StructType(cls, tuple((name, typeof(getattr(value, name))) for name in field_names(cls)))
    if isinstance(value, tuple):
        return TupleType(tuple(map(typeof, value)))
    if isinstance(value, Scalar) or callable(value):
        return Literal(value)  # dtypes, functions, kernels, classes
    if cls.__name__ == "bfloat16":
        return bfloat16
    if isinstance(value, list):
        raise TypeError("a list is not an argument that kernels take; make it an array with np.array, or a tuple")
    raise TypeError(f"a value of type {cls.__module__}.{cls.__qualname__} is not an argument that kernels take")


_PYTHON_TYPES: dict[type, Type] = {bool: bool_, int: pyint, float: pyfloat, complex: pycomplex}


def leaves(type_: Type) -> list[Type]:
    """The scalars and arrays that a value of this type consists of, depth first; None and literals have none."""
    if isinstance(type_, (Scalar, ArrayType)):
        return [type_]
    if isinstance(type_, TupleType):
        return [leaf for element in type_.elements for leaf in leaves(element)]
    if isinstance(type_, StructType):
        return [leaf for _, field in type_.fields for leaf in leaves(field)]
    return []


def strong(type_: Type) -> Type:
    """The type with each weak number in it as the sized one that it is laid out as."""
    if isinstance(type_, Scalar):
        return type_.strong
    if isinstance(type_, TupleType):
        return TupleType(tuple(map(strong, type_.elements)))
    if isinstance(type_, StructType):
        return StructType(type_.cls, tuple((name, strong(field)) for name, field in type_.fields))
    return type_


_WEAK = {"i": pyint, "f": pyfloat, "c": pycomplex}
_WEAK_ORDER = "bifc"


def promote(left: Scalar, right: Scalar) -> Scalar:
    """The type in which NumPy computes with a value of each: weak types give way to sized ones of their kind or
    above.
    """
    if left is right:
        return left
    if left.weak and right.weak:
        return _WEAK[max(left.kind, right.kind, key=_WEAK_ORDER.index)]
    if left.weak or right.weak:
        weak, sized = (left, right) if left.weak else (right, left)
        rank = {"u": 1}.get(sized.kind, _WEAK_ORDER.find(sized.kind))
        if _WEAK_ORDER.index(weak.kind) <= rank:
            return sized
        if sized.kind == "b":
            return weak
        if sized.kind == "f":  # with a Python complex number
            return complex64 if sized.bits <= 32 else complex128
        return weak.strong  # an integer with a Python float or complex
    if bfloat16 in (left, right):  # not NumPy's own: with a small integer it stays, else it is as float16 is
        other = right if left is bfloat16 else left
        if other.kind in "biu" and other.bits <= 8:
            return bfloat16
        return float32 if other is float16 else promote(float32, other)
    return _BY_DTYPE[np.promote_types(left.dtype, right.dtype)]
