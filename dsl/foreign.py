"""Functions that are not of the language: `dsl.extern` makes one of a C function.

A kernel calls it by a symbol, which gets its address when the code is loaded. So code in the cache on disk stays
valid when the address changes, as it does from process to process; its key has name and signature.
"""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import types
from .errors import ArgumentError
from .signature import Parameter, Signature, parse

if TYPE_CHECKING:
    from .rules import Rule
    from .syntax.loc import Loc

_C_TYPES: dict[str, Any] = {
    "bool": ctypes.c_bool, "int8": ctypes.c_int8, "int16": ctypes.c_int16, "int32": ctypes.c_int32,
    "int64": ctypes.c_int64, "uint8": ctypes.c_uint8, "uint16": ctypes.c_uint16, "uint32": ctypes.c_uint32,
    "uint64": ctypes.c_uint64, "float32": ctypes.c_float, "float64": ctypes.c_double,
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z_][\w.$]*")


class Foreign:
    """A function with a name, a signature and an address, which kernels call by `symbol`."""

    kind = ""  # the first part of the symbol

    def __init__(self, name: str, signature: Signature) -> None:
        self.name = self.__name__ = name
        self.signature = signature
        self.params = tuple(f"x{k}" for k in range(len(signature.parameters)))  # what its rules call the arguments
        self.rules: tuple[Rule, ...] = ()  # how it is differentiated; see dsl.rules
        self.loc: Loc | None = None

    @property
    def symbol(self) -> str:
        """The name under which compiled code refers to it."""
        return f"dsl.{self.kind}.{self.name}"

    def addresses(self) -> dict[str, int]:
        """The symbols of compiled code that this function stands for."""
        raise NotImplementedError

    def identity(self) -> str:
        """What stands for it in cache keys: everything that compiled code depends on, and so no address."""
        return f"{self.symbol} {self.signature}"

    def __call__(self, *args: Any) -> Any:
        raise NotImplementedError

    def _refuse_count(self, args: tuple[Any, ...]) -> None:
        if len(args) != len(self.signature.parameters):
            count = len(self.signature.parameters)
            self._refuse(f"takes {count} argument{'' if count == 1 else 's'}, {len(args)} given")

    def _refuse(self, what: str, hint: str = "") -> NoReturn:
        raise ArgumentError(f"{self.name}() {what}", None, hint or f"its signature is {self.signature}")


class Extern(Foreign):
    """A C function: see `extern`."""

    kind = "extern"

    def __init__(self, name: str, signature: Signature, address: int, owner: Any, library: str | None) -> None:
        super().__init__(name, signature)
        self.address = address
        self.owner = owner  # keeps the code at the address
        self.library = library  # its path or name, for pickling
        result = None if signature.result == types.none else _C_TYPES[str(signature.result)]
        self._function = ctypes.CFUNCTYPE(result, *map(_c_type, signature.parameters))(address)

    def addresses(self) -> dict[str, int]:
        return {self.symbol: self.address}

    def __call__(self, *args: Any) -> Any:
        """Call it from Python. Arrays are passed as they are: their dtype, rank and layout must be the signature's."""
        self._refuse_count(args)
        words = [self._word(k, p, arg) for k, (p, arg) in enumerate(zip(self.signature.parameters, args))]
        result = self._function(*words)
        return np.float32(result) if self.signature.result is types.float32 else result

    def _word(self, index: int, parameter: Parameter, arg: Any) -> Any:
        type_ = parameter.type
        if isinstance(type_, types.ArrayType):
            self._check_array(index, parameter, arg)
            return arg.ctypes.data
        if isinstance(arg, (bool, int, float, np.generic)) and np.ndim(arg) == 0:
            number = np.asarray(arg)
            if np.can_cast(number.dtype, type_.dtype, "same_kind") or (number.dtype.kind == "i" and type_.kind == "u"):
                converted = number.astype(type_.dtype)
                if type_.kind in "fb" or converted == number:
                    return converted.item()
        self._refuse(f"cannot take {arg!r} as argument {index}, which is {type_}")

    def _check_array(self, index: int, parameter: Parameter, arg: Any) -> None:
        type_ = parameter.type
        if not isinstance(arg, np.ndarray) or types.typeof(arg) != type_:
            found = str(types.typeof(arg)) if isinstance(arg, np.ndarray) else type(arg).__name__
            self._refuse(f"cannot take argument {index}: expected is {type_}, contiguous, found {found}")
        if not parameter.readonly and not arg.flags.writeable:
            self._refuse(f"may write to argument {index}, which is read-only", "say `const` where it does not")

    def __reduce__(self) -> tuple[Any, ...]:
        if self.library is None:
            raise TypeError(f"the external function {self.name} is an address in this process: it cannot be pickled")
        return extern, (self.name, self.library, str(self.signature))

    def __repr__(self) -> str:
        return f"<dsl.extern {self.name}{self.signature}>"


def extern(name: str, address_or_library: Any, signature: Any) -> Extern:
    """A C function, to be called by kernels and by Python alike.

    `address_or_library` is where it is: its address as an int; a ctypes function, or anything with an int `address`
    (a Numba `cfunc`); or a library that has a function of this `name`: a `ctypes.CDLL`, a path, a name such as "m", or
    None for what this process has loaded. `signature` gives its C types, see `docs/foreign.md`; numbers are passed by
    value, arrays, which must be contiguous, as a pointer to their first element. ArgumentError where there is no such
    library or function, or where the signature is none that C functions have.

        cosine = dsl.extern("cos", "m", "(float64) -> float64")
        cosine(0.0)                                                       # 1.0
        dsl.kernel(lambda x: 2 * cosine(x))(0.0)                          # 2.0

    The code at the address must be what the signature says: nothing can check that.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ArgumentError(f"the name of an external function is {name!r}", None, "give C's name, such as 'cos'")
    parsed = parse(signature, f"{name}()")
    for one in [p.type for p in parsed.parameters] + [parsed.result]:
        _check_passable(name, one)
    if isinstance(parsed.result, types.ArrayType):
        raise ArgumentError(
            f"the signature of {name}(): a C function cannot return an array",
            None,
            "pass the array that it fills, and say None for the result",
        )
    address, owner, library = _find(name, address_or_library)
    return Extern(name, parsed, address, owner, library)


def _check_passable(name: str, type_: types.Type) -> None:
    if isinstance(type_, types.Scalar) and type_.name not in _C_TYPES:
        raise ArgumentError(
            f"the signature of {name}(): a number of type {type_} cannot be passed or returned by value",
            None,
            "pass an array with one element",
        )


def _c_type(parameter: Parameter) -> Any:
    return ctypes.c_void_p if isinstance(parameter.type, types.ArrayType) else _C_TYPES[str(parameter.type)]


def _find(name: str, where: Any) -> tuple[int, Any, str | None]:
    """The address, what keeps it valid, and the library's name if that is how it was found."""
    if isinstance(where, ctypes._SimpleCData) and where.value is not None:  # a c_void_p
        where = where.value
    if isinstance(where, bool):
        where = type(where)
    if isinstance(where, int):
        if where <= 0:
            raise ArgumentError(f"the address of {name}() is {where}", None, "give the address of a function")
        return where, None, None
    if isinstance(where, ctypes._CFuncPtr):  # type: ignore[attr-defined]
        address = ctypes.cast(where, ctypes.c_void_p).value
        if not address:
            raise ArgumentError(f"the pointer to {name}() is NULL", None, "give the address of a function")
        return address, where, None
    if type(getattr(where, "address", None)) is int:
        return where.address, where, None
    path = None
    if isinstance(where, ctypes.CDLL):
        library = where
    elif where is None or isinstance(where, str) or hasattr(where, "__fspath__"):
        path = "" if where is None else str(where)
        library = _open(name, path)
    else:
        raise ArgumentError(
            f"{name}() is to be found in {where!r} ({type(where).__name__})",
            None,
            "give an address, a ctypes function, a ctypes.CDLL, or the path or name of a library",
        )
    try:
        function = library[name]
    except AttributeError:
        shown = "this process" if path == "" else path or str(library._name)
        raise ArgumentError(f"there is no function {name} in {shown}", None, "names are C's, not C++'s") from None
    return ctypes.cast(function, ctypes.c_void_p).value or 0, library, path


def _open(name: str, path: str) -> ctypes.CDLL:
    if not path:
        return ctypes.CDLL(None)
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        from ctypes.util import find_library

        found = find_library(path)
        if found is None:
            raise ArgumentError(
                f"the library {path!r}, which is to have {name}(), cannot be opened: {error}",
                None,
                "give its path, or a name such as 'm' for libm",
            ) from None
        return ctypes.CDLL(found)


def resolve(found: list[Foreign]) -> dict[str, int]:
    """The addresses for code that calls these functions."""
    addresses: dict[str, int] = {}
    for function in found:
        for symbol, address in function.addresses().items():
            if addresses.setdefault(symbol, address) != address:
                raise ArgumentError(
                    f"two foreign functions that a kernel calls have the name {function.name}",
                    None,
                    "give one of them another name: an address can have any",
                )
    return addresses
