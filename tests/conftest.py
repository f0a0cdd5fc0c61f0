"""For all tests: compiled code is kept in a folder of this run alone, so what is tested is the compiler of today."""

from __future__ import annotations

import os
import shutil
import tempfile

# Set when pytest starts, before any test imports the package; processes that tests start inherit it.
_CACHE = tempfile.mkdtemp(prefix="dsl-test-cache-")
os.environ["DSL_CACHE_DIR"] = _CACHE


def pytest_unconfigure() -> None:
    shutil.rmtree(_CACHE, ignore_errors=True)
