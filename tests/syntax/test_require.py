"""A missing compiler, or one of another version, is answered with the line to type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dsl import errors, require

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fresh():
    require.compiler.cache_clear()
    yield
    require.compiler.cache_clear()


def test_here_it_is_all_there(fresh) -> None:
    require.compiler()


def test_missing(fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = (("no_such_module", "no-such-package", "1.0", "no-such-package==1.0"), *require._NEEDED)
    monkeypatch.setattr(require, "_NEEDED", needed)
    with pytest.raises(
        ImportError, match="no-such-package is not installed; pip install 'no-such-package==1"
    ) as caught:
        require.compiler()
    assert isinstance(caught.value, errors.MissingDependency) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("installed", "good"), [("22.1.8.4", True), ("22.1.8.40", False), ("21.0", False), (None, True)]
)
def test_version(fresh, monkeypatch: pytest.MonkeyPatch, installed: str | None, good: bool) -> None:
    monkeypatch.setattr(require, "_version", lambda folder, name: installed)
    monkeypatch.setattr(require, "_NEEDED", require._NEEDED[:1])
    if good:
        require.compiler()
    else:
        with pytest.raises(errors.MissingDependency, match=f"is {installed} instead of 22.1.8.4; pip install"):
            require.compiler()


def test_a_call_without_mlir() -> None:
    program = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "mlir": raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
import importlib.util
find = importlib.util.find_spec
def hidden(name, package=None):
    return None if name == "mlir" else find(name, package)
importlib.util.find_spec = hidden
import dsl
print(dsl.kernel(source="lambda x: x + 41").fn(1))
try: dsl.kernel(source="lambda x: x + 12345.678")(1.0)
except ImportError as e: print(e)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == "42" and second.startswith("kernels cannot be compiled: xtc-mlir-python-bindings is not installed")
