"""A program for a device: the PTX of its kernels, how they are launched, and its host code as MLIR for the CPU."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import LoweringError, from_mlir
from .options import DeviceOptions, check_chip


class Program(NamedTuple):
    """What `compile` gives.

    `kernels` describe, in the order of their numbers in launches, name, parameters and shared memory, as plain
    dictionaries; a parameter is [kind, bytes, argument, type], `cells` numbers the arguments that are the host's error
    cell, and `sources` says of each argument which of the entry's it is. `host` is a module for `lowering.cpu`.
    """

    ptx: str
    kernels: list[dict[str, Any]]
    host: str


def compile(text: str, entry: str, options: DeviceOptions, cell: bool = False) -> Program:
    """The program of a module whose host code is entered at @`entry`. `cell`: its last argument is an error cell.

    Raises LoweringError, with the place in the user's source, for what cannot run on the device.
    """
    from mlir.ir import Location, Module

    from ..pipeline import context

    check_chip(options.chip)
    try:
        made = context()
        made.get_dialect_descriptor("gpu")  # loads it: `spread` makes operations of it where there were none
        with made, Location.unknown():
            return _compile(Module.parse(text), entry, options, cell)
    except LoweringError:
        raise
    except Exception as error:
        raise from_mlir(error, "lowering to the device failed") from None


def _compile(module: Any, entry: str, options: DeviceOptions, cell: bool) -> Program:
    from mlir.ir import Module

    from ..rewriting import functions, symbol_name
    from . import device, host
    from .arrays import Arrays
    from .spread import spread

    while True:
        arrays = Arrays(module, entry, cell)
        if not spread(arrays, options.distinct_arrays):
            break
    arrays.refuse()
    kernels = device.outline(module, options)
    arrays = Arrays(module, entry, cell)
    (function,) = [op for op in functions(module) if symbol_name(op) == entry]
    host.refuse_returned(arrays, function)
    ptx = ""
    if kernels:
        copy = Module.parse(module.operation.get_asm(enable_debug_info=True))
        ptx = device.ptx(copy, kernels, options)
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
    return Program(ptx, described, module.operation.get_asm(enable_debug_info=True))
