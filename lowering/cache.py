"""Compiled code on disk: an entry is a text of facts (`meta`) and an object's bytes, under a key.

Each entry is one file, written under another name and renamed, so that readers in other processes see it whole or not
at all; a checksum finds what was damaged later, and a damaged entry is dropped and compiled anew. The directory is the
user's cache directory (`DSL_CACHE_DIR` overrides it). If it can't be written to, everything works, uncached, with one
warning. Its size is bounded: the entries not used for the longest time go first.

A key must name everything that the code depends on; `host.fingerprint()` is the machine's and the compilers' part.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import warnings
from typing import Any

from .host import digest

ENVIRONMENT = "DSL_CACHE_DIR"
LIMIT = 512 << 20
_MAGIC = b"DSLOBJ1\n"
_SUFFIX = ".o"
# How often an entry is written between two looks at the size of the whole directory.
_EVERY = 64
# An entry's time is set when it is used, but not more often than this, in seconds.
_TOUCH = 3600.0


def default_directory() -> str:
    """Where the user's compiled code lies."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return chosen
    from platformdirs import user_cache_dir

    return os.path.join(user_cache_dir("diffdsl", appauthor=False), "objects")


class ObjectCache:
    """Entries in one directory; any number of processes may use it at the same time."""

    def __init__(self, directory: str | os.PathLike[str] | None = None, limit: int = LIMIT):
        self.directory = os.fspath(directory) if directory is not None else default_directory()
        self.limit = limit
        self.writable = True
        self._writes = 0

    def path(self, key: str) -> str:
        """The file of a key, whether there is one or not."""
        return os.path.join(self.directory, digest(key.encode()).hex()[:40] + _SUFFIX)

    def get(self, key: str) -> tuple[dict[str, Any], bytes] | None:
        """The facts and the object stored under the key, or None."""
        path = self.path(key)
        try:
            with open(path, "rb") as file:
                content = file.read()
                age = os.fstat(file.fileno()).st_mtime
        except OSError:
            return None
        found = _decode(content, key)
        if found is None:
            self._drop(path)
            return None
        self._touch(path, age)
        return found

    def put(self, key: str, meta: dict[str, Any], object: bytes) -> None:
        """Store an entry, in place of an older one. What can't be stored is not, with a warning the first time."""
        if not self.writable:
            return
        try:
            os.makedirs(self.directory, exist_ok=True)
            temporary = f"{self.path(key)}.{os.getpid()}.{threading.get_ident()}.tmp"
            try:
                with open(temporary, "wb") as file:
                    file.write(_encode(key, meta, object))
                os.replace(temporary, self.path(key))
            except BaseException:
                self._drop(temporary)
                raise
        except OSError as error:
            self.writable = False
            reason = error.strerror or error
            warnings.warn(
                f"compiled kernels are not cached: {self.directory}: {reason} (set {ENVIRONMENT} to another directory)",
                RuntimeWarning,
                stacklevel=2,
            )
            return
        self._writes += 1
        if self._writes % _EVERY == 1:
            self.shrink()

    def clear(self) -> int:
        """Remove all entries; returns how many."""
        paths = [path for path, _, _ in self._entries()]
        for path in paths:
            self._drop(path)
        return len(paths)

    def size(self) -> tuple[int, int]:
        """How many entries there are, and their bytes together."""
        sizes = [size for _, size, _ in self._entries()]
        return len(sizes), sum(sizes)

    def shrink(self) -> None:
        """Remove entries, the longest unused first, until the rest is within the limit."""
        entries = sorted(self._entries(), key=lambda entry: entry[2])
        total = sum(size for _, size, _ in entries)
        for path, size, _ in entries:
            if total <= self.limit:
                break
            self._drop(path)
            total -= size

    def _entries(self) -> list[tuple[str, int, float]]:
        """Path, size and time of each entry, and of what an interrupted process may have left."""
        found = []
        try:
            with os.scandir(self.directory) as files:
                for file in files:
                    if file.name.endswith((_SUFFIX, ".tmp")):
                        try:
                            status = file.stat()
                        except OSError:
                            continue  # another process has just removed it
                        found.append((file.path, status.st_size, status.st_mtime))
        except OSError:
            pass
        return found

    @staticmethod
    def _touch(path: str, age: float) -> None:
        if time.time() - age > _TOUCH:
            with contextlib.suppress(OSError):  # a directory that may only be read: its entries are still good
                os.utime(path)

    @staticmethod
    def _drop(path: str) -> None:
        with contextlib.suppress(OSError):  # gone already, or not ours to remove
            os.unlink(path)


def _encode(key: str, meta: dict[str, Any], object: bytes) -> bytes:
    head = json.dumps({"key": key, "meta": meta}, separators=(",", ":")).encode()
    body = len(head).to_bytes(8, "little") + head + object
    return _MAGIC + digest(body) + body


def _decode(content: bytes, key: str) -> tuple[dict[str, Any], bytes] | None:
    """The entry, or None if it is damaged, of another format, or another key's."""
    start = len(_MAGIC) + 32
    body = content[start:]
    if content[: len(_MAGIC)] != _MAGIC or digest(body) != content[len(_MAGIC) : start]:
        return None
    end = 8 + int.from_bytes(body[:8], "little")
    head = json.loads(body[8:end])
    return (head["meta"], body[end:]) if head["key"] == key else None
