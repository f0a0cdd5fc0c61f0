"""Ahead of time: a grid kernel for given types and a chip as PTX, with what another host has to know to launch it.

Nothing here needs a GPU. `ptx`, `resources` and `sass` are what `Kernel`'s methods of these names give.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from . import checks, require, types
from .errors import ArgumentError, CompileError
from .grids import FORALL_THREADS, MOST_THREADS, host_of

if TYPE_CHECKING:
    from lowering.nvptx.tools import Resources

    from .kernel import Kernel
    from .request import Request

DEFAULT_CHIP = "sm_80"


class Package:
    """A grid kernel compiled for one chip.

    `ptx` is the text and `launch` describes how to launch it: see `save`.
    """

    def __init__(self, ptx: str, launch: dict[str, Any]) -> None:
        self.ptx = ptx
        self.launch = launch

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write PATH with the PTX, and beside it PATH with the ending .json, with what a host needs for a launch.

        The JSON has `kernel` (the entry's name), `chip`, `shared_bytes` (declared by the kernel itself: pass none),
        `max_threads_per_block`, `block` (a good size for kernels in one dimension), `arguments` (name and type of the
        Python kernel's) and `parameters`, the entry's in order: each with the argument's leaf that it belongs to, its
        `bytes`, and its `kind`:

            pointer   address of the first element
            size      the extent along `axis`, 64 bits
            stride    the stride along `axis` in elements, 64 bits
            number    the number itself, of `type`
            error     address of 8 bytes of zeros that are the number of the failure if a thread fails, in `errors`
        """
        path = os.fspath(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.ptx)
        with open(os.path.splitext(path)[0] + ".json", "w", encoding="utf-8") as file:
            json.dump(self.launch, file, indent=1)
            file.write("\n")

    def __repr__(self) -> str:
        return f"<{self.launch['kernel']} for {self.launch['chip']}>"


def compile(kernel: Kernel, arg_types: tuple[Any, ...], target: str = "nvptx", chip: str = DEFAULT_CHIP) -> Package:
    """The package of a grid kernel for arguments of these types."""
    if target != "nvptx":
        raise ArgumentError(f"the target is {target!r}", kernel.loc, 'the one that is there is "nvptx"')
    request, program, meta = _program(kernel, arg_types, chip)
    described = program.kernels[0]
    launch = {
        "kernel": described["name"],
        "chip": chip,
        "shared_bytes": described["shared_bytes"],
        "max_threads_per_block": MOST_THREADS,
        "block": [FORALL_THREADS, 1, 1],
        "arguments": [{"name": a.name, "type": str(a.type)} for a in request.arguments[:-6]],
        "parameters": _parameters(request, described),
        "errors": meta["errors"],
    }
    return Package(program.ptx, launch)


def _parameters(request: Request, described: dict[str, Any]) -> list[dict[str, Any]]:
    leaves = request.leaves()
    found: list[dict[str, Any]] = []
    axes: dict[tuple[int, str], int] = {}
    for kind, nbytes, argument, _ in described["parameters"]:
        entry: dict[str, Any] = {"kind": kind, "bytes": nbytes}
        source = described["sources"][argument]
        if argument in described["cells"]:
            entry["kind"] = "error"
        elif source is None or source >= len(leaves):
            raise CompileError(f"{request.kernel.name} takes a value that its host code computes")
        else:
            entry["argument"] = leaves[source].path
            if kind in ("size", "stride"):
                entry["axis"] = axes[argument, kind] = axes.get((argument, kind), -1) + 1
            else:
                entry["type"] = str(_element(leaves[source].type))
        found.append(entry)
    return found


def _element(leaf: types.Scalar | types.ArrayType) -> types.Scalar:
    return leaf.dtype if isinstance(leaf, types.ArrayType) else leaf


def _program(kernel: Kernel, arg_types: tuple[Any, ...], chip: str) -> tuple[Request, Any, dict[str, Any]]:
    from . import driver
    from .device import lowered
    from .inspect_ir import _example

    require.compiler()
    host = host_of(kernel)
    values = kernel.bind(tuple(_example(kernel, given) for given in arg_types), {})
    request = checks.call_request(host, (*values, 1, 1, 1, 1, 1, 1))
    program, _, _, meta = lowered(driver.state_of(host), request, chip)
    return request, program, meta


def ptx(kernel: Kernel, arg_types: tuple[Any, ...], chip: str = DEFAULT_CHIP) -> str:
    """The PTX of a grid kernel."""
    from .listing import IRText

    return IRText(_program(kernel, arg_types, chip)[1].ptx, "text")


def resources(kernel: Kernel, arg_types: tuple[Any, ...], chip: str = DEFAULT_CHIP) -> Resources:
    """What it takes of the chip, as ptxas says."""
    from lowering.nvptx import tools

    found: Resources = _tool(lambda text: tools.resources(text, chip)[0], kernel, arg_types, chip)
    return found


def sass(kernel: Kernel, arg_types: tuple[Any, ...], chip: str = DEFAULT_CHIP) -> str:
    """Its machine code."""
    from lowering.nvptx import tools

    from .listing import IRText

    return IRText(_tool(lambda text: tools.sass(text, chip), kernel, arg_types, chip), "text")


def _tool(work: Any, kernel: Kernel, arg_types: tuple[Any, ...], chip: str) -> Any:
    from lowering.errors import LoweringError

    from .driver import _as_ours

    try:
        return work(ptx(kernel, arg_types, chip))
    except LoweringError as error:
        raise _as_ours(error, CompileError) from None
