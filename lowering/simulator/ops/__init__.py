"""The opcodes: a module for each family, whose rows fill the table of `forms.py` when this package is imported."""

from . import (  # noqa: F401
    atomics,
    barrier,
    bits,
    compare,
    convert,
    floats,
    flow,
    integers,
    loads,
    moves,
    small,
    warp,
)
