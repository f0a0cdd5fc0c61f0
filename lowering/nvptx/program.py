"""A program for a device: the PTX of its kernels, how they are launched, and its host code as MLIR for the CPU."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..errors import LoweringError, from_mlir
from .options import DeviceOptions, check_chip


class Signature(NamedTuple):
    """What is known of the entry: whether its last argument is an `error` cell, which stays the host's; how many of its
    first results go to the user, who gets arrays on the device (`returned`, None: all); and where its last arrays are
    (`arguments`, as `Arrays.place` says it; those before are on the device).
    """

    error: bool = False
    returned: int | None = None
    arguments: tuple[str, ...] = ()


class Program(NamedTuple):
    """What `compile` gives.

    `kernels` describe, in the order of their numbers in launches, name, parameters and shared memory, as plain
    dictionaries; a parameter is [kind, bytes, argument, type], `cells` numbers the arguments that are the host's error
    cell, and `sources` says of each argument which of the entry's it is. `host` is a module for `lowering.cpu`; of the
    arrays that its entry returns `places` says where they are (see `Arrays.place`).
    """

    ptx: str
    kernels: list[dict[str, Any]]
    host: str
    places: list[str]


def compile(text: str, entry: str, options: DeviceOptions, signature: Signature | None = None) -> Program:
    """The program of a module whose host code is entered at @`entry`, of which `signature` says what is known.

    Raises LoweringError, with the place in the user's source, for what cannot run on the device.
    """
    from mlir.ir import Location, Module

    from ..pipeline import context

    check_chip(options.chip)
    try:
        made = context()
        made.get_dialect_descriptor("gpu")  # loads it: `spread` makes operations of it where there were none
        with made, Location.unknown():
            return _compile(Module.parse(text), entry, options, signature or Signature())
    except LoweringError:
        raise
    except Exception as error:
        raise from_mlir(error, "lowering to the device failed") from None


_CALL = re.compile(r"callsite\((#loc\d*) at #loc\d*\)")


def _places_of_callees(text: str) -> str:
    """A module's text with the place in the callee for that of a call and the callee: the pass that writes line tables
    ends the process at calls in a kernel.
    """
    while _CALL.search(text):
        text = _CALL.sub(r"\1", text)
    return text


def _compile(module: Any, entry: str, options: DeviceOptions, signature: Signature) -> Program:
    from mlir.ir import Module

    from . import device, host
    from .arrays import Arrays
    from .spread import prepare, spread
    from .swaps import alike

    prepare(module)
    while True:
        arrays = Arrays(module, entry, signature)
        if not spread(arrays, options.distinct_arrays):
            break
    arrays.refuse()
    kernels = device.outline(module, options)
    arrays = Arrays(module, entry, signature)
    ptx = ""
    if kernels:
        copy = Module.parse(_places_of_callees(module.operation.get_asm(enable_debug_info=True)))
        ptx = device.ptx(copy, kernels, options, alike(arrays, options.distinct_arrays))
    places = host.return_words(arrays, entry)
    cells = host.call_device(module, arrays, kernels)
    described = [
        {
            "name": kernel.name,
            "parameters": [list(p) for p in kernel.parameters],
            "shared_bytes": kernel.shared_bytes,
            "sources": list(kernel.sources),
            "cells": cell_arguments,
        }
        for kernel, cell_arguments in zip(kernels.values(), cells, strict=True)
    ]
    return Program(ptx, described, module.operation.get_asm(enable_debug_info=True), places)
