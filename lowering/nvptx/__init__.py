"""Grid kernels for CUDA devices: MLIR with gpu.launch in host functions to PTX and host code.

arrays.py      which arrays are on the device
nests.py       which iterations of loops of host code over such arrays can be done at once
spread.py      these loops become launches
threads.py     of the forms that are here
device.py      launches become kernels, and these PTX
parameters.py  the parameters of a kernel, plain pointers and numbers
libdevice.py   mathematical functions
host.py        what host code asks of the device becomes calls of one C function
tools.py       ptxas and nvdisasm, where they are installed

`compile` puts it together. Nothing here needs a GPU, or knows of a driver.
"""

from __future__ import annotations

from .options import CHIPS, DeviceOptions, check_chip
from .program import Program, Signature, compile

__all__ = ["CHIPS", "DeviceOptions", "Program", "Signature", "check_chip", "compile"]
