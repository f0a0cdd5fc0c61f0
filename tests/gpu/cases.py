"""What a case of the corpus is, and the table that all are in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import dsl


@dataclass(frozen=True)
class Case:
    """One kernel over one grid."""

    name: str
    kernel: dsl.Kernel
    blocks: Any
    threads: Any
    make: Callable[[np.random.Generator], tuple[Any, ...]]
    oracle: Callable[..., None]
    active: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    rtol: float = 1e-12
    kind: str = "other"  # "elementwise" and "stencil" kernels must not spill
    tags: frozenset[str] = field(default_factory=frozenset)

    def arguments(self) -> tuple[Any, ...]:
        return self.make(np.random.default_rng(sum(map(ord, self.name))))

    @property
    def grid(self) -> Any:
        return self.kernel[self.blocks, self.threads]


CASES: dict[str, Case] = {}


def case(
    blocks: Any,
    threads: Any,
    make: Any,
    oracle: Any,
    active: str = "",
    written: str = "",
    name: str = "",
    tags: str = "",
    **more: Any,
) -> Callable[[Any], Any]:
    """Register a kernel; the same one may stand for several cases."""

    def register(kernel: Any) -> Any:
        title = name or kernel.name
        assert title not in CASES, title
        found = (tuple(active.split()), tuple(written.split()))
        assert set(found[0] + found[1]) <= set(kernel.params), title
        CASES[title] = Case(title, kernel, blocks, threads, make, oracle, *found, tags=frozenset(tags.split()), **more)
        return kernel

    return register


F32, F64 = np.float32, np.float64


def normal(*shapes: Any, dtype: Any = F64) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    """Arrays of normal numbers; what is no shape (a tuple or an int) but an array or a float is passed as it is."""

    def make(rng: np.random.Generator) -> tuple[Any, ...]:
        return tuple(rng.standard_normal(s).astype(dtype) if isinstance(s, (int, tuple)) else s for s in shapes)

    return make
