"""Grid kernels that are wrong, and what the simulator says of them. No GPU is needed.

Each would run on a GPU, and give other numbers now and then, or the right ones until the wrong day.

    python examples/faulty_kernels.py
"""

import numpy as np

import dsl
from dsl import simulator as sim


@dsl.kernel
def reversed_blocks(x):
    """The threads do not wait for each other before they read what others wrote."""
    s = dsl.shared_array(64, dsl.float64)
    t = dsl.thread_idx.x
    s[t] = x[t]
    x[t] = s[63 - t]


@dsl.kernel
def total(x, out):
    """All threads add to one cell at once; dsl.atomic_add would do."""
    out[0] += x[dsl.grid(1)]


@dsl.kernel
def differences(x, y):
    """The last thread reads past the end."""
    i = dsl.grid(1)
    y[i] = x[i + 1] - x[i]


@dsl.kernel
def impatient(x):
    """Half of the threads wait for the other half, which never comes."""
    t = dsl.thread_idx.x
    if x[t] < 32.0:
        dsl.syncthreads()
    x[t] = t


def report(kernel, *args):
    """What a launch on the simulator is refused with."""
    try:
        kernel[1, 64](*[sim.asarray(a) for a in args])
    except RuntimeError as error:
        return str(error)
    return "nothing was found"


def main():
    x = np.arange(64.0)
    found = {
        "reversed_blocks": report(reversed_blocks, x),
        "total": report(total, x, np.zeros(1)),
        "differences": report(differences, x, x),
        "impatient": report(impatient, x),
    }
    for message in found.values():
        print(message, end="\n\n")
    return found


if __name__ == "__main__":
    main()
