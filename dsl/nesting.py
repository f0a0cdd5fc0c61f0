"""Deep nesting: a block nests once for each statement that may leave it, and passes over blocks call themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from . import errors
from .kernel import Kernel

_LIMIT = 30_000  # calls; some ten for each level of blocks, in the walk that needs most


@contextmanager
def deep(kernel: Kernel) -> Iterator[None]:
    """Within this, Python's functions may call each other so deeply. What is deeper still is a CompileError."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _LIMIT))
    try:
        yield
    except errors.RecursionRefused:
        raise
    except RecursionError:
        what = f"{kernel.name} is nested too deeply to be compiled"
        raise errors.CompileError(what, kernel.loc, "split it") from None
    finally:
        sys.setrecursionlimit(limit)
