"""How long a new process takes to its first gradient of gmm, import and exit included: with empty caches, and again.

Everything that a system may keep between processes goes to folders of the run's own: its home, and what it is told by
environment variables.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.case import Objective
from benchmarks.measure import ROOT, environment, pinned, processors
from benchmarks.peers import Peer, by_hand
from benchmarks.peers.exchange import save

#: Where systems keep compiled code, if not in the home; `{}` is the run's folder.
CACHES = {
    "HOME": "{}/home", "XDG_CACHE_HOME": "{}/home/.cache", "DSL_CACHE_DIR": "{}/dsl",
    "JAX_COMPILATION_CACHE_DIR": "{}/jax", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1", "TORCHINDUCTOR_CACHE_DIR": "{}/inductor",
    "TRITON_CACHE_DIR": "{}/triton", "WARP_CACHE_PATH": "{}/warp", "TI_OFFLINE_CACHE_FILE_PATH": "{}/taichi",
}  # fmt: skip


def measure(
    peers: list[Peer], objective: Objective, size: str, runs: int = 3, patience: float = 90.0
) -> dict[str, dict[str, Any]]:
    """`{peer: {"cold": s, "warm": s, "cold_cpu": s, "warm_cpu": s}}`, the least of some runs; or `{"failed": why}`.

    Our own are run `runs` times, others once: they take longer, and have less to lose by it.
    """
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        data = Path(name) / "input.npz"
        save(data, objective.inputs(**objective.sizes[size]))
        for peer in peers:
            if objective.name in peer.objectives and peer.python() and not by_hand(peer):
                times = runs if peer.module == "ours" else 1
                found[peer.name] = _peer(peer, objective.name, data, times, patience)
    return found


def _peer(peer: Peer, objective: str, data: Path, times: int, patience: float) -> dict[str, Any]:
    pairs = []
    try:
        for _ in range(times):
            with tempfile.TemporaryDirectory() as folder:
                pairs.append([_run(peer, objective, data, folder, patience) for _ in range(2)])
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {patience:g} s"}
    except RuntimeError as error:
        return {"failed": str(error)[:200]}
    result = {}
    for which, state in enumerate(("cold", "warm")):
        result[state] = min(pair[which][0] for pair in pairs)
        result[f"{state}_cpu"] = min(pair[which][1] for pair in pairs)
    return result


def _run(peer: Peer, objective: str, data: Path, folder: str, patience: float) -> tuple[float, float]:
    """Seconds on the wall and of the processor, of a whole process."""
    os.makedirs(f"{folder}/home/.cache", exist_ok=True)
    variables = environment(1, **{name: value.format(folder) for name, value in CACHES.items()})
    command = [str(peer.python()), "-m", "benchmarks.peers.worker", peer.module, peer.variant]
    questions = [{"do": "prepare", "objective": objective, "data": str(data)}, {"do": "end"}]
    before, begin = os.times(), time.perf_counter()
    done = subprocess.run(
        pinned(command, processors()[-1:]), env=variables, cwd=ROOT, capture_output=True, text=True, timeout=patience,
        input="".join(json.dumps(q) + "\n" for q in questions),
    )  # fmt: skip
    wall, after = time.perf_counter() - begin, os.times()
    if done.returncode or not done.stdout or not json.loads(done.stdout)["ok"]:
        raise RuntimeError((done.stdout or done.stderr)[-200:])
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu
