"""A simulator of NVIDIA's PTX on NumPy: runs the text that a GPU's driver would load, and checks what kernels do.

    parser.py    PTX text to a tree (grammar.lark, syntax.py)
    forms.py     the table of opcodes, whose rows are in ops/; strict: what no row knows is refused
    program.py   a kernel decoded to blocks of closures
    state.py     the machine: registers as arrays over all threads of a batch of blocks (threads.py); memory.py
    executor.py  the scheduler; barriers.py
    races.py     who accessed what last; checks.py: what is watched for; errors.py: what is raised
    device.py    the `lowering.driver.Driver`

Results here are results of a simulator: what approximates on hardware is exact here, and time means nothing.
"""

from .checks import ALL, NONE, Checks
from .device import Device, Function, Module

__all__ = ["ALL", "NONE", "Checks", "Device", "Function", "Module"]
