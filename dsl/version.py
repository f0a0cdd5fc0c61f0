"""The version of this package, and of the compiler in it as its files say: part of every key of the cache on disk."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache

VERSION = "0.1.0"
_PACKAGES = ("dsl", "dialects", "lowering")


@lru_cache(maxsize=1)
def toolchain() -> str:
    """Changes when a file of the compiler does, without reading them: by their sizes and times. About a millisecond."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found: list[str] = [VERSION]
    for package in _PACKAGES:
        _files(os.path.join(root, package), package, found)
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()


def _files(folder: str, name: str, found: list[str]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__":
                    _files(entry.path, f"{name}/{entry.name}", found)
            elif entry.name.endswith((".py", ".lark", ".mlir")):
                stat = entry.stat()
                found.append(f"{name}/{entry.name} {stat.st_size} {stat.st_mtime_ns}")
