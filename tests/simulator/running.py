"""Runs kernels in the simulator on NumPy arrays."""

from __future__ import annotations

import numpy as np

from lowering.simulator import ALL, Checks, Device


def launch(
    text: str,
    name: str,
    grid: int | tuple[int, int, int],
    block: int | tuple[int, int, int],
    *arguments: object,
    shared: int = 0,
    checks: Checks = ALL,
) -> None:
    """Run one kernel. Arrays are passed as addresses and changed in place; others are NumPy scalars or ints."""
    device = Device(checks=checks)
    function = device.load(text).function(name)
    given, held = [], []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            address = device.alloc(argument.nbytes)
            device.copy_to_device(address, np.ascontiguousarray(argument))
            held.append((argument, address))
            given.append(address)
        else:
            given.append(argument)
    grid, block = ((n, 1, 1) if isinstance(n, int) else n for n in (grid, block))
    device.launch(function, grid, block, given, shared)
    for array, address in held:
        back = np.empty(array.shape, array.dtype)
        device.copy_to_host(back, address)
        array[...] = back


def ulps(got: np.ndarray, want: np.ndarray) -> float:
    """The largest distance between results, in units in the last place of the wanted ones."""
    exact = want.astype(got.dtype)
    same = (got == exact) | (np.isnan(got) & np.isnan(exact))
    unit = np.spacing(np.maximum(np.abs(exact), np.finfo(got.dtype).tiny))
    return float(np.max(np.where(same, 0, np.abs(got - exact) / unit)))
