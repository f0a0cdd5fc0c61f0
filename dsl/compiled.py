"""Compiled code of one request, ready to be called, and all that a runner must know of it.

`Compiled` is made of `meta`, a dictionary that goes through JSON and so through the cache on disk, and of the
loaded machine code. `encode` and `decode` take the result's type through JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, NoReturn

from lowering.abi import BAD_EXTENT, DISAGREEMENT, OUT_OF_MEMORY, file_and_line

from . import errors, types
from .kernel import Kernel
from .memory import adopt
from .request import Leaf, Request, is_continuous
from .syntax.loc import Loc


class Compiled:
    """One entry function. `call(address of the slots)` runs it; the rest says how its slots are laid out. `adopt` makes
    arrays of what it returns.
    """

    __slots__ = (
        "adopt",
        "call",
        "errors",
        "files",
        "loaded",
        "passed",
        "primal",
        "result",
        "returns",
        "strict_aliasing",
        "writebacks",
        "written",
    )

    def __init__(self, meta: dict[str, Any], result: types.Type, loaded: Any) -> None:
        self.loaded = loaded  # keeps the machine code
        self.passed: dict[int, Any] = {}  # runners without tests, by how many arguments are given
        self.call = loaded.function
        self.adopt = getattr(loaded, "adopt", adopt)
        self.result = result
        self.returns: str = meta["returns"]  # of each leaf of the result: const, active, duplicated
        self.primal: bool = meta["primal"]  # whether the value is among the results, wanted or not
        self.errors: list[dict[str, Any]] = meta["errors"]
        self.files: list[str] = meta["files"]  # those of which launches are
        self.writebacks: tuple[int, ...] = tuple(
            meta["writebacks"]
        )  # leaves of arguments with a new value among the results
        self.written: list[bool] = meta["written"]  # of each array of the entry, shadows included
        self.strict_aliasing: bool = meta["strict_aliasing"]

    def seeds(self, request: Request) -> list[Leaf]:
        """The fields that the kernel overwrites and whose shadows are therefore the seeds of the reverse sweep."""
        return seeds(request, self.writebacks)

    def result_leaves(self, request: Request) -> list[types.Type]:
        """The types of the entry's results."""
        leaves = request.leaves()
        overwritten = [leaves[index] for index in self.writebacks]
        own = types.leaves(self.result)
        found = [*own, *(leaf.type for leaf in overwritten)] if self.primal else []
        if request.mode is not None and request.mode.reverse:
            found += repeated([leaf.type for leaf in leaves if leaf.activity == "active"], request.width)
        elif request.mode is not None:
            if self.returns == "duplicated":
                found += repeated(filter(is_continuous, own), request.width)
            found += repeated([leaf.type for leaf in overwritten if leaf.shadowed], request.width)
        return found

    def fail(self, kernel: Kernel, code: int) -> NoReturn:
        """Raise the error that a call recorded: 1 + its place in `errors`, or minus the status of the entry."""
        if code == -OUT_OF_MEMORY:
            raise MemoryError(f"{kernel.name}: there is not enough memory for an array that it allocates")
        if code == -BAD_EXTENT:
            raise ValueError(f"{kernel.name}: an array that it allocates has a negative size, or one that is too large")
        if code < 0:
            raise RuntimeError(
                f"{kernel.name}: the threads of a block (or warp) go different ways where they have to wait for each "
                f"other{self._place(-code - DISAGREEMENT)}"
            )
        record = self.errors[code - 1]
        if record["exc"] == errors.CALLBACK:
            from .imported import raised

            raise raised()
        where = errors.excerpt(Loc(record["file"], record["line"], record["col"], record["line"], record["col"] + 1))
        message = f"{record['message']}\n{where}" if record["message"] else f"in {kernel.name}\n{where}"
        raise errors.python_exception(record["exc"])(message)

    def _place(self, number: int) -> str:
        """The place of an error, of which the entry tells no more than a number."""
        file, line = file_and_line(number, self.files)
        if file is None:
            return f" (line {line})" if number else ""
        text = errors.source_line(file, line)
        first = len(text) - len(text.lstrip()) + 1
        return "\n" + errors.excerpt(Loc(file, line, first, line, len(text) + 1))


def repeated(leaves: Iterable[types.Type], width: int) -> list[types.Type]:
    """Each of the leaves `width` times: those of its tangents or gradients."""
    return [leaf for leaf in leaves for _ in range(width)]


def seeds(request: Request, writebacks: tuple[int, ...]) -> list[Leaf]:
    """See `Compiled.seeds`."""
    if request.mode is None or not request.mode.reverse:
        return []
    leaves = request.leaves()
    return [leaves[index] for index in writebacks if leaves[index].activity == "active"]


# --- types through JSON -------------------------------------------------------------------------------------------


def encode(type_: types.Type, known: dict[tuple[str, str], type]) -> Any:
    """A result's type as JSON, or None where another process could not read it back: see `decode`."""
    if isinstance(type_, types.Scalar):
        return type_.name
    if isinstance(type_, types.ArrayType):
        return {"array": type_.dtype.name, "ndim": type_.ndim, "contiguous": type_.contiguous}
    if isinstance(type_, types.TupleType):
        elements = [encode(element, known) for element in type_.elements]
        return None if None in elements else {"tuple": elements}
    if isinstance(type_, types.StructType):
        name = (type_.cls.__module__, type_.cls.__qualname__)
        fields = [[field, encode(inner, known)] for field, inner in type_.fields]
        if _class(name, known) is not type_.cls or any(inner is None for _, inner in fields):
            return None
        return {"struct": name, "fields": fields}
    if isinstance(type_, types.NoneType_):
        return "None"
    return {"str": type_.value} if isinstance(type_, types.Literal) and isinstance(type_.value, str) else None


def decode(data: Any, known: dict[tuple[str, str], type]) -> types.Type | None:
    """The type back, or None where a class of it is not to be found. `known` has those of the arguments."""
    if data == "None":
        return types.none
    if isinstance(data, str):
        return types.BY_NAME[data]
    if "array" in data:
        return types.ArrayType(types.BY_NAME[data["array"]], data["ndim"], data["contiguous"])
    if "tuple" in data:
        elements = [decode(element, known) for element in data["tuple"]]
        return None if None in elements else types.TupleType(tuple(elements))  # type: ignore[arg-type]
    if "struct" in data:
        cls = _class(tuple(data["struct"]), known)
        fields = [(name, decode(inner, known)) for name, inner in data["fields"]]
        if cls is None or any(inner is None for _, inner in fields):
            return None
        return types.StructType(cls, tuple(fields))  # type: ignore[arg-type]
    return types.Literal(data["str"])


def classes(type_: types.Type, found: dict[tuple[str, str], type] | None = None) -> dict[tuple[str, str], type]:
    """The struct classes in a type, by module and qualified name."""
    found = {} if found is None else found
    if isinstance(type_, types.TupleType):
        for element in type_.elements:
            classes(element, found)
    elif isinstance(type_, types.StructType):
        found[type_.cls.__module__, type_.cls.__qualname__] = type_.cls
        for _, field in type_.fields:
            classes(field, found)
    return found


def _class(name: tuple[str, str], known: dict[tuple[str, str], type]) -> Any:
    if name in known:
        return known[name]
    found: Any = sys.modules.get(name[0])
    for part in name[1].split("."):
        found = getattr(found, part, None)
    return found
