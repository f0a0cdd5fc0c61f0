"""What is measured besides the cases: each part is a function that gives what the results file keeps under its name."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import first, scaling
from benchmarks.measure import ROOT, Plan, environment
from benchmarks.objectives import gmm
from benchmarks.peers import Peer


class Setting(NamedTuple):
    """What a run was asked for."""

    peers: list[Peer]
    plan: Plan
    folder: Path
    clock: str


def startup(setting: Setting) -> Any:
    """Seconds to the first gradient of gmm in a new process."""
    return first.measure(setting.peers, gmm.OBJECTIVE, "10x25", patience=setting.plan.patience)


def growth(setting: Setting) -> Any:
    """Seconds an element, at two sizes."""
    ours = [peer for peer in setting.peers if peer.module == "ours"]
    plan = replace(setting.plan, seconds=min(1.0, setting.plan.seconds), rounds=9)
    return scaling.measure_all(ours, plan, setting.folder, setting.clock)


TAPE = """
import json
from benchmarks.objectives.lorenz import OBJECTIVE, lorenz
from dsl import Active, Const, Reverse
data = OBJECTIVE.inputs(steps=1000)
unknowns = [*map(Active, data["start"]), *map(Active, data["parameters"])]
size = lorenz.tape_bytes(Reverse, Active, *unknowns, Const(1000), Const(data["dt"]))
print(json.dumps({"lorenz": size / 1000}))
"""


def tape(setting: Setting) -> Any:
    """Bytes that the reverse sweep keeps for each step."""
    return _program(TAPE, setting)


COMPILING = """
import json
from benchmarks import compile_time
compile_time.seconds(compile_time.SHAPES["straight"], 1)
rows = {"2,000 lines": ("mixed", 2000), "10,000 operations": ("straight", 2000)}
found = {name: compile_time.seconds(compile_time.SHAPES[shape], lines) for name, (shape, lines) in rows.items()}
print(json.dumps({"dsl": found}))
"""


def compiling(setting: Setting) -> Any:
    """Seconds of the processor to compile large kernels with their gradients, with an empty cache."""
    return _program(COMPILING, setting)


THREADS = """
import json
from benchmarks import threads
print(json.dumps(threads.measure()))
"""


def threads(setting: Setting) -> Any:
    """How much faster two threads are than one: `{peer: {work: ratio}}`."""
    return _program(THREADS, setting)


def _program(text: str, setting: Setting) -> Any:
    """What a program prints as its last line, in a process of its own with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        variables = {**environment(setting.plan.threads), "DSL_CACHE_DIR": cache}
        if text is THREADS:
            variables.pop("DSL_NUM_THREADS", None)
        done = subprocess.run(
            [sys.executable, "-c", text], env=variables, cwd=ROOT, capture_output=True, text=True,
            timeout=setting.plan.patience * 2, check=True,
        )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


PARTS: dict[str, Callable[[Setting], Any]] = {
    "startup": startup,
    "tape": tape,
    "threads": threads,
    "compiling": compiling,
    "scaling": growth,
}
