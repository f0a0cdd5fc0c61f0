"""The corpus in all modes of differentiation, on the CPU and on the simulator.

On the simulator each mode of each kernel runs as PTX of one chip, sm_80 and sm_90 in turns. (Primal and reverse mode of
them are in test_corpus, test_device, test_derivatives and test_device_derivatives.) Each run takes some modes of each
kernel, thorough ones (`make test-all`) all.
"""

from __future__ import annotations

import pytest

import dsl
from dsl import simulator as sim

from .corpus import CASES
from .modes import MODES, Arrays, Modes, check

CHIPS = ("sm_80", "sm_90")
NAMES = [name for name, case in CASES.items() if case.active]
#: On devices reverse mode of a gradient is left out: host and PTX come from the same IR, and it is slow.
ON_DEVICES = [mode for mode in MODES if not mode.startswith("reverse_over")]

#: What has no derivative, and what the error says: the order of threads would matter, the winner of a cell cannot be
#: known yet, or how much goes on a tape is not known before the launch.
AGAIN = "how much a launch has to put on the tape depends on values that it changes itself"
ORDER, WINNER = "depends on the order in which threads come to a cell", "a thread cannot tell whether it wins"
OF_GRADIENTS = ("reverse", "deferred")
DEFERRED = ("deferred_forward", "forward_over_deferred", "reverse_over_deferred")
REFUSED = {
    ("extrema", "split_width"): "may be overwritten before the derivative reads it",
    **dict.fromkeys([("extrema", mode) for mode in DEFERRED], WINNER),
    **dict.fromkeys([("found_in_own_cells", mode) for mode in DEFERRED], ORDER),
    **dict.fromkeys([(n, f"reverse_over_{m}") for n in ("bitonic_sort", "mandelbrot") for m in OF_GRADIENTS], AGAIN),
}

_wanted: dict[tuple[str, object], Arrays] = {}


def wanted(name: str, mode: str) -> Arrays:
    reference = MODES[mode][1]
    if (name, reference) not in _wanted:
        _wanted[name, reference] = reference(Modes(CASES[name]))
    return _wanted[name, reference]


def run(m: Modes, name: str, mode: str) -> None:
    if (name, mode) not in REFUSED:
        check(m, mode, wanted(name, mode))
        return
    place = r"(.|\n)*--> .*\.py:\d+:\d+\n *\| +.*(.|\n)*help: "
    with pytest.raises(dsl.DslError, match=REFUSED[name, mode] + place):
        MODES[mode][0](m)


def chosen(modes, every):
    """Each kernel with each mode; every so many are taken in each run, other ones of each kernel."""
    left_out = pytest.mark.thorough
    return [
        pytest.param(name, mode, CHIPS[(j + k // every) % 2], marks=() if (j - k) % every == 0 else left_out)
        for k, name in enumerate(NAMES)
        for j, mode in enumerate(modes)
    ]


@pytest.mark.parametrize(("name", "mode", "_"), chosen(MODES, 3))
def test_on_the_cpu(name, mode, _):
    run(Modes(CASES[name]), name, mode)


@pytest.mark.parametrize(("name", "mode", "chip"), chosen(ON_DEVICES, 6))
def test_on_the_simulator(name, mode, chip):
    on = sim.Device(chip)
    run(Modes(CASES[name], lambda array: sim.asarray(array, on), lambda array: array.get()), name, mode)
