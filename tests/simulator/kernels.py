"""PTX for the tests: MLIR's own, from the bodies of GPU functions, and NVIDIA's assembler to judge PTX text."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

PIPELINE = (
    "builtin.module(gpu.module(convert-vector-to-scf,convert-scf-to-cf,expand-strided-metadata,lower-affine,"
    "convert-gpu-to-nvvm{{index-bitwidth=64 use-bare-ptr-memref-call-conv=1}},convert-math-to-llvm,canonicalize,cse,"
    "reconcile-unrealized-casts){lines},nvvm-attach-target{{chip={chip} O=3}},gpu-module-to-binary{{format=isa}})"
)
LINES = ",ensure-debug-info-scope-on-llvm-func{emission-kind=LineTablesOnly}"
_TEXT = re.compile(r'assembly = "((?:[^"\\]|\\.)*)"')


@cache
def ptx(functions: str, chip: str = "sm_80", lines: bool = False) -> str:
    """PTX of GPU functions in MLIR text. An array argument becomes one bare pointer."""
    from mlir.ir import Context, Location, Module
    from mlir.passmanager import PassManager

    text = f"module attributes {{gpu.container_module}} {{ gpu.module @k {{\n{functions}\n}} }}"
    with Context(), Location.unknown():
        module = Module.parse(text)
        PassManager.parse(PIPELINE.format(chip=chip, lines=LINES if lines else "")).run(module.operation)
        found = _TEXT.search(str(module))
    assert found is not None
    escapes = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}
    return re.sub(
        r"\\([0-9A-Fa-f]{2}|.)", lambda m: chr(int(m[1], 16)) if len(m[1]) == 2 else escapes[m[1]], found[1]
    ).rstrip("\0")


@cache
def ptxas() -> Path | None:
    """NVIDIA's assembler, from its package on PyPI; None where that is not installed."""
    found = importlib.util.find_spec("nvidia.cuda_nvcc")
    for place in (found.submodule_search_locations or []) if found else []:
        path = Path(place) / "bin" / "ptxas"
        if path.exists():
            return path
    return None


def assemble(text: str, chip: str) -> str:
    """What ptxas says of the text: empty if it takes it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "text.ptx"
        source.write_text(text)
        run = subprocess.run(
            [str(ptxas()), f"-arch={chip}", str(source), "-o", str(Path(folder) / "out.cubin")],
            capture_output=True,
            text=True,
            check=False,
        )
    return "" if run.returncode == 0 else run.stdout + run.stderr


def module(body: str, parameters: str = "", declarations: str = "", chip: str = "sm_90", version: str = "8.6") -> str:
    """A PTX module of one kernel `k` from the lines of its body."""
    return (
        f".version {version}\n.target {chip}\n.address_size 64\n{declarations}\n"
        f".visible .entry k({parameters})\n{{\n{body}\n}}\n"
    )
