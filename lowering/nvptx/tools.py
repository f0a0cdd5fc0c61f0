"""NVIDIA's assembler and disassembler, where they are installed: what becomes of PTX on a chip."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from typing import NamedTuple

from ..errors import LoweringError

_WHERE = {
    "ptxas": "pip install nvidia-cuda-nvcc-cu12, or install NVIDIA's CUDA toolkit",
    "nvdisasm": "pip install nvidia-cuda-nvdisasm, or install NVIDIA's CUDA toolkit",
}


class Resources(NamedTuple):
    """What one kernel takes of a chip: registers of a thread, bytes that it spills and keeps on its stack, bytes of
    shared memory of a block.
    """

    kernel: str
    registers: int
    spill_stores: int
    spill_loads: int
    stack_bytes: int
    shared_bytes: int


def _installed(name: str) -> list[str]:
    """The paths of a tool: on PATH, of the toolkit that CUDA_HOME names, and of packages beside this Python's."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    places = [os.path.join(home, "bin")] if home else []
    for directory in sys.path:
        places += [os.path.join(directory, "nvidia", part, "bin") for part in ("cuda_nvcc", "cuda_nvdisasm", "cu13")]
    found = [shutil.which(name), *(shutil.which(name, path=place) for place in places)]
    return list(dict.fromkeys(path for path in found if path is not None))


def find(name: str) -> str | None:
    """The path of a tool, if it is installed."""
    return next(iter(_installed(name)), None)


def _run(name: str, *arguments: str) -> str:
    """What the tool prints. Where several are installed, the first that knows the chip is asked: new ones have given
    up old chips.
    """
    refused = ""
    for path in _installed(name):
        done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
        if not done.returncode:
            return done.stdout + done.stderr
        said = (done.stderr or done.stdout).strip()
        refused = refused or said
        if "gpu-name" not in said:
            refused = said
            break
    if not refused:
        raise LoweringError(f"{name} is not installed", None, _WHERE[name])
    raise LoweringError(f"{name} refused: {refused}")


def _assemble(ptx: str, chip: str, directory: str) -> tuple[str, str]:
    """The path of the binary, and what ptxas says of it. (With -c it would not miss functions that are not there.)"""
    source, binary = os.path.join(directory, "k.ptx"), os.path.join(directory, "k.cubin")
    with open(source, "w") as file:
        file.write(ptx)
    return binary, _run("ptxas", f"-arch={chip}", "-v", "-o", binary, source)


def resources(ptx: str, chip: str) -> list[Resources]:
    """What each kernel of a text takes, by ptxas; LoweringError where it is not installed or refuses the text."""
    with tempfile.TemporaryDirectory() as directory:
        _, report = _assemble(ptx, chip, directory)
    found = []
    for part in report.split("Compiling entry function '")[1:]:
        number = {
            key: int(m[1]) if (m := re.search(pattern, part)) else 0
            for key, pattern in {
                "registers": r"Used (\d+) registers",
                "spill_stores": r"(\d+) bytes spill stores",
                "spill_loads": r"(\d+) bytes spill loads",
                "stack_bytes": r"(\d+) bytes stack frame",
                "shared_bytes": r"(\d+) bytes smem",
            }.items()
        }
        found.append(Resources(part.partition("'")[0], **number))
    return found


@cache
def takes(chip: str) -> bool:
    """Whether the ptxas that is installed knows a chip."""
    try:
        resources(".version 6.3\n.target sm_70\n.address_size 64\n", chip)
    except LoweringError:
        return False
    return True


def sass(ptx: str, chip: str) -> str:
    """The machine code of a text, by ptxas and nvdisasm; LoweringError where one of them is not installed."""
    if find("nvdisasm") is None:
        raise LoweringError("nvdisasm is not installed", None, _WHERE["nvdisasm"])
    with tempfile.TemporaryDirectory() as directory:
        binary, _ = _assemble(ptx, chip, directory)
        return _run("nvdisasm", binary)
