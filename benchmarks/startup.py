"""How long the first gradient takes in a new process, and a call of a compiled one: `python -m benchmarks.startup`.

The whole process is timed, import and exit included, with an empty and with a filled cache; the least of several runs
counts. Limits are those that the project has set itself; the exit status says whether all are kept."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import keeping_bytecode

ROOT = Path(__file__).resolve().parents[1]
RUNS = 5

PROGRAM = """
import dsl
from dsl import Active, Const, Reverse, autodiff

@dsl.kernel
def f(x, c):
    s = 0.0
    for i in range(10):
        s += dsl.exp(-c * x * i) * x
    return s

gradient = autodiff(Reverse, f, Active, Active(0.5), Const(2.0))
"""

CALLS = (
    PROGRAM
    + """
import timeit
call = lambda: autodiff(Reverse, f, Active, Active(0.5), Const(2.0))
print(min(timeit.repeat(call, number=20000, repeat=5)) / 20000)
print(min(timeit.repeat(lambda: f(0.5, 2.0), number=20000, repeat=5)) / 20000)
"""
)

MODULES = PROGRAM + '\nimport sys\nprint(*[m for m in ("mlir", "lark", "llvmlite.binding") if m in sys.modules])\n'


def run(folder: Path, text: str, cache: Path) -> tuple[float, str]:
    """Seconds of a process that runs the text as a script, and what it printed."""
    script = folder / "script.py"
    script.write_text(text)
    environment = {**keeping_bytecode(), "PYTHONPATH": str(ROOT), "DSL_CACHE_DIR": str(cache)}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout


def main() -> int:
    measured: list[tuple[str, float, float, str]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = min(run(folder, "", folder / "none")[0] for _ in range(RUNS))
        numpy = min(run(folder, "import numpy", folder / "none")[0] for _ in range(RUNS))
        measured.append(("Python alone", bare, 0.0, "s"))
        measured.append(("import numpy", numpy, 0.0, "s"))
        cold = min(run(folder, PROGRAM, folder / f"cold{i}")[0] for i in range(RUNS))
        measured.append(("first gradient, empty cache", cold, 1.0, "s"))
        run(folder, PROGRAM, folder / "warm")
        warm = min(run(folder, PROGRAM, folder / "warm")[0] for _ in range(RUNS))
        measured.append(("first gradient, filled cache", warm, 0.35, "s"))
        calls = [float(line) * 1e6 for line in run(folder, CALLS, folder / "warm")[1].split()]
        measured.append(("call of a scalar gradient", calls[0], 15.0, "us"))
        measured.append(("call of a scalar kernel", calls[1], 15.0, "us"))
        loaded = run(folder, MODULES, folder / "warm")[1].split()
    table = Table("what", "measured", "limit", "")
    good = True
    for what, value, limit, unit in measured:
        kept = not limit or value <= limit
        good = good and kept
        verdict = "" if not limit else "kept" if kept else "MISSED"
        table.add_row(what, f"{value:.3g} {unit}", f"{limit:g} {unit}" if limit else "", verdict)
    console = Console()
    console.print(table)
    for module in loaded:
        if module != "llvmlite.binding":
            console.print(f"with a filled cache, {module} should not be imported")
            good = False
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
