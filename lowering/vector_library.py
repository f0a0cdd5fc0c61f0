"""The host's library of vector functions: all that is specific to glibc's libmvec and to x86 is in this file.

Elsewhere (macOS, musl, other processors) there is none: `library()` is None, and the calls stay scalar.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

NAME = "libmvec.so.1"


class Isa(NamedTuple):
    """One instruction set's vector functions: the letter in their names, bits of a register, needed CPU features."""

    letter: str
    bits: int
    features: tuple[str, ...]


# glibc >= 2.22 (sin cos exp log pow) or >= 2.35 (the others). The widest first; all that the host has are offered.
ISAS = (
    Isa("e", 512, ("avx512f",)),
    Isa("d", 256, ("avx2", "fma")),
    Isa("b", 128, ("sse4.1",)),
)


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The library, opened so that compiled code finds its symbols, or None."""
    if os.uname().machine not in ("x86_64", "AMD64"):
        return None
    try:
        return ctypes.CDLL(NAME, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return None


def isas(has_feature: Callable[[str], bool]) -> list[Isa]:
    """The instruction sets for which this host has functions and registers."""
    if library() is None:
        return []
    return [isa for isa in ISAS if all(map(has_feature, isa.features))]


def vector_name(isa: Isa, name: str, element: str, arity: int) -> tuple[str, int] | None:
    """The function that computes several of `name` at once and how many, if the library has it."""
    lanes = isa.bits // (64 if element == "f64" else 32)
    vector = f"_ZGV{isa.letter}N{lanes}{'v' * arity}_{name}"
    return (vector, lanes) if hasattr(library(), vector) else None


def fused_lanes(has_feature: Callable[[str], bool]) -> list[int]:
    """How many doubles the registers of each instruction set hold that has fused products and sums; most first."""
    return [isa.bits // 64 for isa in isas(has_feature) if isa.bits > 128]


def wide_features(has_feature: Callable[[str], bool]) -> list[str]:
    """CPU features to add: registers of 512 bits are used only if the tuning does not prefer halves of them."""
    return ["-prefer-256-bit"] if has_feature("avx512f") else []
