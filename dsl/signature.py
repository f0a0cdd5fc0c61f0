"""The types of a foreign function's parameters and result, as users write them.

    "(float64, const float64[:], int64) -> float64"        as text
    ((dsl.float64, dsl.float64[:], dsl.int64), dsl.float64)       as Python: the parameters, then the result

A scalar is named as in `dsl`; `[:]` and `[:, :]` behind it make an array of one and two dimensions; the result may be
`None`. `const` (in text) says of an array that the function does not write to it.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, NoReturn

from . import types
from .errors import ArgumentError

_TEXT = re.compile(r"\s*\((?P<parameters>.*)\)\s*->\s*(?P<result>\S.*?)\s*", re.S)
_ONE = re.compile(r"(?P<const>const\s+)?(?:dsl\.)?(?P<name>\w+)\s*(?P<axes>\[[\s:,]*\])?")
_AMBIGUOUS = {"float": "float64 or float32", "int": "int64 or int32", "double": "float64", "complex": "complex128"}
_EXAMPLE = 'write "(float64, const float64[:], int64) -> float64", or ((dsl.float64, dsl.float64[:]), dsl.float64)'


class Parameter(NamedTuple):
    """A parameter: its type, and whether the function leaves an array as it is."""

    type: types.Scalar | types.ArrayType
    readonly: bool = False

    def __str__(self) -> str:
        return f"{'const ' if self.readonly else ''}{spelled(self.type)}"


class Signature(NamedTuple):
    """A parsed signature; its text is canonical, and part of cache keys."""

    parameters: tuple[Parameter, ...]
    result: types.Type  # a Scalar, an ArrayType, or none

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.parameters))}) -> {spelled(self.result)}"


def spelled(type_: types.Type) -> str:
    """A type as it is written in a signature."""
    if isinstance(type_, types.ArrayType):
        return f"{type_.dtype}[{', '.join(':' * type_.ndim)}]"
    return str(type_)


def parse(given: Any, what: str) -> Signature:
    """The signature that a user gives for `what`; ArgumentError where it is none."""
    if isinstance(given, Signature):
        return given
    if isinstance(given, str):
        found = _TEXT.fullmatch(given)
        if found is None:
            _refuse(what, f"{given!r} is no signature")
        parameters = tuple(_parameter(text, what) for text in _split(found["parameters"]))
        result = types.none if found["result"] == "None" else _parameter(found["result"], what).type
        return Signature(parameters, result)
    if isinstance(given, (tuple, list)) and len(given) == 2 and isinstance(given[0], (tuple, list)):
        parameters = tuple(Parameter(_type(one, what)) for one in given[0])
        return Signature(parameters, types.none if given[1] is None else _type(given[1], what))
    _refuse(what, f"{given!r} is no signature")


def _split(text: str) -> list[str]:
    """At the commas outside of brackets."""
    parts = [part.strip() for part in re.split(r",(?![^\[]*\])", text)]
    if parts and not parts[-1]:
        parts.pop()  # one at the end, as in a tuple
    return parts


def _parameter(text: str, what: str) -> Parameter:
    found = _ONE.fullmatch(text)
    if found is None:
        _refuse(what, f"`{text}` is no type")
    name = found["name"]
    if name in _AMBIGUOUS:
        _refuse(what, f"`{name}` has another meaning in C than in Python", f"write {_AMBIGUOUS[name]}")
    scalar = types.BY_NAME.get("bool" if name == "bool_" else name)
    if scalar is None:
        _refuse(what, f"there is no type `{name}`", f"types are {', '.join(types.BY_NAME)}")
    if found["axes"] is None:
        if found["const"]:
            _refuse(what, f"`{text}`: a number is passed by value, so it is never written", f"write {name}")
        return Parameter(scalar)
    return Parameter(types.ArrayType(scalar, found["axes"].count(":")), bool(found["const"]))


def _type(given: Any, what: str) -> Any:
    if isinstance(given, types.ArrayType):
        return types.ArrayType(given.dtype, given.ndim)
    if isinstance(given, str):
        return _parameter(given, what).type
    try:
        return types.from_dtype(given)
    except TypeError:
        _refuse(what, f"{given!r} is no type")


def _refuse(what: str, message: str, hint: str = "") -> NoReturn:
    raise ArgumentError(f"the signature of {what}: {message}", None, hint or _EXAMPLE)
