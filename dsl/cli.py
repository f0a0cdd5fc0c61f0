"""The command line: `dsl doctor` says what is installed and whether it works, `dsl cache` what is kept, and
`dsl verify` whether derivatives are right.

Takes what is installed and what the machine is, leaves a table and an exit status: 1 where something needed is missing.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import typer

from . import require
from .version import VERSION

app = typer.Typer(help="Differentiable kernels in Python.", no_args_is_help=True, add_completion=False)


class Finding(NamedTuple):
    """One line of the report; `fix` says what to do about it, and `needed` that nothing works without."""

    what: str
    found: str
    good: bool = True
    fix: str = ""
    needed: bool = False


# As in pyproject.toml: what everything needs, and what some things do.
_NEEDED = (
    *(requirement for *_, requirement in require._NEEDED),
    "numpy>=1.26,<3",
    "scipy>=1.11,<2",
    "platformdirs>=4,<5",
)
_USEFUL = ("ml_dtypes>=0.5,<1", "mlir-pygments>=1,<2")


@app.callback()
def main() -> None:
    """Differentiable kernels in Python."""


@app.command()
def doctor() -> None:
    """Say what this installation consists of, and whether it works."""
    bad = 0
    for section in (_versions, _processor, _cache, _devices, _trial):
        for finding in section():
            mark = "ok" if finding.good else "MISSING" if finding.needed else "-"
            typer.echo(f"{mark:8}{finding.what:28}{finding.found}")
            if finding.fix and not finding.good:
                typer.echo(f"{'':8}{'':28}help: {finding.fix}")
            bad += finding.needed and not finding.good
    verdict = f"{bad} of what is needed is missing or does not work" if bad else "everything that is needed is there"
    typer.echo(verdict)
    raise typer.Exit(1 if bad else 0)


@app.command()
def cache(clear: bool = typer.Option(False, "--clear", help="Remove all compiled code.")) -> None:
    """Say where compiled code is kept and how much of it there is."""
    from lowering.cache import ObjectCache

    kept = ObjectCache()
    if clear:
        typer.echo(f"{kept.clear()} entries removed from {kept.directory}")
        return
    count, size = kept.size()
    typer.echo(f"{kept.directory}: {count} entries, {size / 2**20:.1f} MiB")


@app.command()
def verify(
    seed: str = typer.Option("0x7f4a3c2b1d0e9a8f", help="Where all random points come from: an integer below 2**64."),
    log: str = typer.Option("", help="A file for the messages, as JSON."),
) -> None:
    """Check derivatives of all kinds against calculus, at random points."""
    from .testing import verify as run

    try:
        number = int(seed, 0)
        if not 0 <= number < 2**64:
            raise ValueError
    except ValueError:
        raise typer.BadParameter(f"{seed} is no integer from 0 to 2**64 - 1", param_hint="--seed") from None
    raise typer.Exit(0 if run(number, log or None) else 1)


def _versions() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    yield Finding("diffdsl", VERSION)
    yield Finding("Python", f"{platform.python_version()} ({platform.python_implementation()})")
    for requirement in (*_NEEDED, *_USEFUL):
        needed = requirement in _NEEDED
        name = requirement[: min(requirement.find(sign) for sign in "=<>" if sign in requirement)]
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, "not installed", False, f"pip install '{requirement}'", needed)
            continue
        good = _meets(found, requirement[len(name) :])
        text = found if good else f"{found}, but {requirement} is needed"
        yield Finding(name, text, good, f"pip install '{requirement}'", needed)


def _meets(version: str, requirement: str) -> bool:
    """Whether a version meets clauses of ==, >= and <; suffixes such as rc1 are not looked at."""

    def numbers(text: str) -> list[int]:
        parts = []
        for part in text.split("."):
            digits = part[: len(part) - len(part.lstrip("0123456789"))]
            if not digits:
                break
            parts.append(int(digits))
        return parts + [0] * (6 - len(parts))

    have = numbers(version)
    tests: dict[str, Callable[[list[int]], bool]] = {
        "==": lambda want: have == want,
        ">=": lambda want: have >= want,
        "<": lambda want: have < want,
    }
    for clause in requirement.split(","):
        sign = next(s for s in tests if clause.startswith(s))
        if not tests[sign](numbers(clause[len(sign) :])):
            return False
    return True


def _processor() -> Iterator[Finding]:
    yield Finding("system", f"{platform.system()} {platform.release()}, {platform.machine()}")
    try:
        import llvmlite.binding as llvm
    except ImportError:
        return  # the versions say so

    from lowering import cpu, vector_library

    wide = [name for name in ("avx2", "fma", "avx512f", "neon", "sve") if cpu.has_feature(name)]
    yield Finding("processor", f"{llvm.get_host_cpu_name()} ({' '.join(wide) or 'no wide registers known'})")
    if vector_library.library() is None:
        yield Finding("vector functions", "none: sin, exp, ... in loops are called one by one", False)
    else:
        widths = ", ".join(f"{isa.bits} bits" for isa in vector_library.isas(cpu.has_feature))
        yield Finding("vector functions", f"{vector_library.NAME} ({widths})")


def _cache() -> Iterator[Finding]:
    from lowering.cache import ObjectCache

    kept = ObjectCache()
    count, size = kept.size()
    text = f"{kept.directory} ({count} entries, {size / 2**20:.1f} MiB)"
    try:
        os.makedirs(kept.directory, exist_ok=True)
        with tempfile.TemporaryFile(dir=kept.directory):
            pass
        yield Finding("cache", text)
    except OSError as error:
        fix = "set DSL_CACHE_DIR to a folder that can be written to; without, each process compiles anew"
        yield Finding("cache", f"{text}: {error.strerror}", False, fix)


def _devices() -> Iterator[Finding]:
    from importlib.util import find_spec

    if find_spec("cupy") is None:
        yield Finding("CUDA", "no CuPy", False, "for NVIDIA GPUs: pip install 'diffdsl[cuda12]', or [cuda13]")
        return
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount()
        names = [cupy.cuda.runtime.getDeviceProperties(k)["name"].decode() for k in range(count)]
        yield Finding("CUDA", f"CuPy {cupy.__version__}, {', '.join(names) or 'no device'}", bool(names))
    except Exception as error:  # whatever a driver that is missing or too old makes of it
        yield Finding("CUDA", f"CuPy finds no device: {error}", False)


def _trial() -> Iterator[Finding]:
    """Compile and run something, in a cache of its own, so that it is really compiled."""
    from lowering.cache import ENVIRONMENT

    from .annotations import Active
    from .autodiff import autodiff
    from .kernel import kernel
    from .modes import Reverse

    before = os.environ.get(ENVIRONMENT)
    start = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as folder:
            os.environ[ENVIRONMENT] = folder
            trial = kernel(source="import math\ndef trial(x):\n    return math.sin(x) * x\n", name="trial")
            value, ((slope,),) = trial(2.0), autodiff(Reverse, trial, Active, Active(2.0))
    except Exception as error:  # that it is reported, whatever it is, is what this is for
        yield Finding("a kernel and its gradient", f"{type(error).__name__}: {error}", False, needed=True)
        return
    finally:
        if before is None:
            os.environ.pop(ENVIRONMENT, None)
        else:
            os.environ[ENVIRONMENT] = before
    good = math.isclose(value, 2 * math.sin(2.0)) and math.isclose(slope, math.sin(2.0) + 2 * math.cos(2.0))
    text = f"compiled and right, in {time.perf_counter() - start:.2f} s" if good else f"WRONG: {value}, {slope}"
    yield Finding("a kernel and its gradient", text, good, needed=True)


if __name__ == "__main__":
    sys.exit(app())
