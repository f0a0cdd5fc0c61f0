"""Arguments with arrays on a device, and the one device that all arrays of a call are on.

An array on a device is taken as a NumPy array at its address, whose elements nobody looks at: so all that is checked
and packed for arrays on the host is checked and packed for these, by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import types
from .annotations import Annotation, Ref
from .backends import Backend, backend_of
from .errors import ArgumentError
from .kernel import Kernel
from .structs import make_struct

if TYPE_CHECKING:
    from lowering.driver import Driver


def on_device(value: Any) -> bool:
    """Whether a value is an array on a device, or holds one."""
    return any(backend_of(type(leaf)) is not None for leaf in leaves(value))


def leaves(value: Any) -> Iterator[Any]:
    """What a value consists of: annotations, tuples, structs and Refs taken apart."""
    if isinstance(value, Annotation):
        yield from leaves(value.val)
        yield from leaves(getattr(value, "dval", None))
    elif isinstance(value, Ref):
        yield from leaves(value.value)
    elif isinstance(value, tuple):
        for part in value:
            yield from leaves(part)
    elif types.is_struct_class(type(value)):
        for name in types.field_names(type(value)):
            yield from leaves(getattr(value, name))
    else:
        yield value


class _At:
    """An array's place, as NumPy takes it."""

    __slots__ = ("__array_interface__",)

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def placed(value: Any) -> np.ndarray:
    """A NumPy array at the address of an array on a device. Its elements are not to be looked at."""
    backend = backend_of(type(value))
    assert backend is not None
    interface = backend.interface(value)
    if interface.get("mask") is not None:
        raise ArgumentError("an array with a mask cannot be passed to a kernel")
    dtype = getattr(value, "dtype", None)
    fields = {name: interface.get(name) for name in ("shape", "typestr", "data", "strides")}
    array = np.asarray(_At({**fields, "version": 3}))
    if isinstance(dtype, np.dtype) and dtype != array.dtype and dtype.itemsize == array.itemsize:
        array = array.view(dtype)  # bfloat16, which the interface cannot name
    return array


class Replaced:
    """Arguments with NumPy arrays in place of those on a device. `back` brings what a call has put into mutable structs
    and Refs to the user's own.
    """

    def __init__(self, args: tuple[Any, ...], leaf: Callable[[Any], np.ndarray] = placed) -> None:
        self._leaf = leaf
        self._made: dict[int, tuple[Any, Any]] = {}  # by id of the user's object: it, and what stands for it
        self.args = tuple(self._replaced(arg) for arg in args)

    def _replaced(self, value: Any) -> Any:
        """The same object for the same one: it matters to checks whether two arguments are one."""
        if id(value) in self._made:
            return self._made[id(value)][1]
        made = self._anew(value)
        if made is not value:
            self._made[id(value)] = (value, made)
        return made

    def _anew(self, value: Any) -> Any:
        if backend_of(type(value)) is not None:
            return self._leaf(value)
        if not on_device(value):
            return value
        if isinstance(value, Annotation):
            parts = [self._replaced(value.val)]
            if hasattr(value, "dval"):
                parts.append(self._replaced(value.dval))
            return type(value)(*parts)
        if isinstance(value, Ref):
            return Ref(self._replaced(value.value))
        if type(value) is tuple:
            return tuple(map(self._replaced, value))
        names = types.field_names(type(value))
        return make_struct(type(value), names, tuple(self._replaced(getattr(value, name)) for name in names))

    def back(self) -> None:
        own = {id(made): value for value, made in self._made.values()}
        for value, made in self._made.values():
            if isinstance(value, Ref):
                value.value = self._own(made.value, own)
            elif types.is_mutable_class(type(value)):
                for name in types.field_names(type(value)):
                    setattr(value, name, self._own(getattr(made, name), own))

    def _own(self, made: Any, own: dict[int, Any]) -> Any:
        """The user's value for one that a call has left: arrays are those that were given."""
        if id(made) in own:
            return own[id(made)]
        if type(made) is tuple:
            return tuple(self._own(part, own) for part in made)
        if types.is_struct_class(type(made)):
            names = types.field_names(type(made))
            return make_struct(type(made), names, tuple(self._own(getattr(made, name), own) for name in names))
        return made


# --- devices


class Home(NamedTuple):
    """Where the arrays of a call are: the device's driver, and the backend that makes arrays there."""

    driver: Driver
    backend: Backend


def home_of(kernel: Kernel, args: tuple[Any, ...]) -> Home:
    """The one device of all arrays of a call; arrays in several places are refused."""
    found: Home | None = None
    on_host = False
    for leaf in leaves(args):
        backend = backend_of(type(leaf))
        if backend is None:
            on_host = on_host or isinstance(leaf, np.ndarray)
            continue
        driver = backend.driver(leaf)
        if found is not None and found.driver is not driver:
            a, b = sorted((found.driver.name, driver.name))
            _mixed(kernel, f"arrays of two devices of the {a}" if a == b else f"arrays of the {a} and of the {b}")
        found = found or Home(driver, backend)
    assert found is not None
    if on_host:
        _mixed(kernel, f"arrays of the {found.driver.name} and of the host")
    return found


def _mixed(kernel: Kernel, what: str) -> None:
    raise ArgumentError(
        f"{what} are passed together, in a call of {kernel.name}", kernel.loc, "bring all arrays to one place"
    )
