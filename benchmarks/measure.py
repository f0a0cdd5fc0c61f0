"""Measures one objective on one input with several peers, each a process, all in turn.

`measure(objective, size, peers, ...)` starts the peers' processes one after the other, has each compute the derivative,
compares it with the reference, and then lets those that are right take turns: one evaluation each, round after round.
What one peer does, crashing included, is written down and leaves the others alone.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.case import Objective
from benchmarks.peers import Peer
from benchmarks.peers.exchange import save

ROOT = Path(__file__).resolve().parents[1]
#: An evaluation shorter than this is repeated within one timing, so that the clock's grain does not count.
GRAIN = 2e-3
#: The size that tests take.
TEST = "test"


@dataclass(frozen=True)
class Plan:
    """How much to measure: `seconds` are shared by the peers of one case; each has at least `least` rounds."""

    seconds: float = 10.0
    rounds: int = 15
    least: int = 3
    threads: int = 1
    #: How long a peer may take to give its first derivative, and for one evaluation.
    patience: float = 90.0


class PeerError(Exception):
    """A peer's process ended, took too long, or answered that it failed."""


@dataclass
class Process:
    """A peer's process, and the questions to it."""

    peer: Peer
    plan: Plan
    log: Path
    lane: list[int] = field(default_factory=list)
    process: subprocess.Popen[str] = field(init=False)
    lines: queue.Queue[str | None] = field(init=False, default_factory=queue.Queue)

    def __post_init__(self) -> None:
        python = self.peer.python()
        if python is None:
            raise PeerError("not installed")
        command = [python, "-m", "benchmarks.peers.worker", self.peer.module, self.peer.variant]
        self.process = subprocess.Popen(
            pinned(command, self.lane or processors()[-self.plan.threads :]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open("w"), text=True, cwd=ROOT,
            env=environment(self.plan.threads),
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def move(self, lane: list[int]) -> None:
        """Bind all threads of the process to these processors."""
        for thread in Path(f"/proc/{self.process.pid}/task").glob("*"):
            with suppress(OSError, AttributeError):
                os.sched_setaffinity(int(thread.name), lane)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer; PeerError where there is none, or it says so."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
            line = self.lines.get(timeout=self.plan.patience)
        except queue.Empty:
            self.process.kill()
            raise PeerError(f"took longer than {self.plan.patience:g} s") from None
        except OSError:
            line = None
        if line is None:
            raise PeerError(self._death())
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise PeerError(f"answered {line[:100]!r}") from None
        if not answer["ok"]:
            raise PeerError(answer["error"])
        return answer

    def _death(self) -> str:
        status = self.process.wait()
        last = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()][-1:]
        how = f"crashed by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"{how}: {last[0][:200]}" if last else how

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def keeping_bytecode() -> dict[str, str]:
    """This process's variables; Python may keep the bytecode of what is imported, as it does of what pip installs."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def environment(threads: int, **more: str) -> dict[str, str]:
    """This process's variables, with those by which libraries are told how many threads to use."""
    count = str(threads)
    xla = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'} intra_op_parallelism_threads={count}"
    names = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "DSL", "VECLIB_MAXIMUM", "BENCHMARK")
    return {
        **keeping_bytecode(),
        **{f"{name}_NUM_THREADS": count for name in names},
        "XLA_FLAGS": xla, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "TI_LOG_LEVEL": "error",
        **more,
    }  # fmt: skip


def processors() -> list[int]:
    """Those that this process may use."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # no such thing on this system
        return list(range(os.cpu_count() or 1))


def pinned(command: list[str], lane: list[int]) -> list[str]:
    """The command, bound to these processors where the system can do that."""
    taskset = shutil.which("taskset")
    return [taskset, "-c", ",".join(map(str, lane)), *command] if taskset else command


@dataclass
class Turn:
    """One peer's part in a case: its process, what it has found, and how long it has taken."""

    process: Process
    found: dict[str, Any]
    spent: float = 0.0
    rounds: int = 0
    inner: dict[str, int] = field(default_factory=dict)

    def calibrate(self) -> None:
        """How many evaluations one timing takes."""
        try:
            for what in found_times(self.found):
                times = self.process.ask(do="run", what=what)["wall"]
                if times and times[0] < GRAIN:  # the first evaluation takes longer than the next
                    times = self.process.ask(do="run", what=what, inner=3)["wall"]
                self.inner[what] = min(10_000, max(1, round(GRAIN / max(times[0], 1e-7)))) if times else 0
        except PeerError as error:
            self.found["failed"] = str(error)
            self.process.close()


def measure(objective: Objective, size: str, peers: list[Peer], plan: Plan, folder: Path) -> dict[str, Any]:
    """One case: `{"objective", "size", "tolerance", "peers": {name: what was found}}`.

    A peer's part has `failed` (why nothing was measured), or `error` (of the derivative, relative), `primal` and
    `derivative` (lists of seconds, by the wall's clock and the processor's), `first` (seconds to the first derivative,
    compiling included), `import`, `peak` and `base` (bytes), `faults` (of pages, in a later call). What is wrong is not
    timed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = objective.inputs(**inputs_of(objective, size))
    case = objective.make(data, lambda kernel: kernel)
    expected = reference(objective, size, case.reference, folder)
    result: dict[str, Any] = {"objective": objective.name, "size": size, "tolerance": case.tolerance, "peers": {}}
    turns: list[Turn] = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "input.npz"
        save(path, data)
        try:
            turns = started(peers, result, plan, path, expected, folder)
            share = plan.seconds / max(1, len(turns))
            for _ in range(plan.rounds):
                for turn in turns:
                    # The slowest do not get all rounds that they should have: they would take the time of all others.
                    enough = share if turn.rounds >= plan.least else 3 * share
                    if "failed" not in turn.found and turn.spent < enough:
                        take(turn)
            for turn in turns:
                remember_memory(turn)
        finally:
            for turn in turns:
                turn.process.close()
    return result


def started(
    peers: list[Peer], result: dict[str, Any], plan: Plan, data: Path, expected: np.ndarray, folder: Path
) -> list[Turn]:
    """Start all peers, as many at a time as there are processors (nothing is timed yet but the first derivative); those
    that are to be timed, all on the last processors.
    """
    lanes: queue.Queue[list[int]] = queue.Queue()
    usable = processors()
    for lane in range(max(1, len(usable) // plan.threads)):
        lanes.put(usable[lane * plan.threads : (lane + 1) * plan.threads])
    last = usable[-plan.threads :]
    found = {peer.name: {} for peer in peers}

    def begin(peer: Peer) -> Turn | None:
        lane = lanes.get()
        try:
            name, size, tolerance = (result[key] for key in ("objective", "size", "tolerance"))
            return start(peer, name, size, plan, data, expected, tolerance, found[peer.name], folder, lane)
        finally:
            lanes.put(lane)

    with ThreadPoolExecutor(lanes.qsize()) as pool:
        turns = [turn for turn in pool.map(begin, peers) if turn is not None]
    result["peers"].update(found)
    for turn in turns:
        turn.process.move(last)
        turn.calibrate()
    return [turn for turn in turns if "failed" not in turn.found]


def inputs_of(objective: Objective, size: str) -> Mapping[str, int]:
    return objective.small if size == TEST else objective.sizes[size]


def reference(objective: Objective, size: str, compute: Any, folder: Path) -> np.ndarray:
    """The reference, kept for the next run of this size: some take longer than all that is measured."""
    source = importlib.import_module(objective.make.__module__).__file__ or ""
    text = Path(source).read_bytes() + repr(inputs_of(objective, size)).encode()
    path = folder / f"reference-{objective.name}-{size}-{hashlib.sha256(text).hexdigest()[:12]}.npy"
    if path.exists():
        return np.load(path)  # type: ignore[no-any-return]
    expected = np.asarray(compute(), dtype=np.float64)
    np.save(path, expected)
    return expected


def start(
    peer: Peer, objective: str, size: str, plan: Plan, data: Path, expected: np.ndarray, tolerance: float,
    found: dict[str, Any], folder: Path, lane: list[int],
) -> Turn | None:  # fmt: skip
    """Start a peer and compare its derivative; None where it takes no further part, with the reason in `found`."""
    for name in (objective, f"{objective} {size}"):
        if name in peer.refused:
            found["failed"] = peer.refused[name]
            return None
    if objective not in peer.objectives:
        found["failed"] = "not written"
        return None
    if peer.python() is None:
        found["failed"] = "not installed"
        return None
    result = data.parent / f"result-{lane[:1]}.npy"
    begin = time.perf_counter()
    log = folder / "logs" / f"{objective}-{peer.name.replace(' ', '_').replace('/', '_')}.log"
    log.parent.mkdir(exist_ok=True)
    process = Process(peer, plan, log, lane)
    try:
        answer = process.ask(do="prepare", objective=objective, data=str(data), result=str(result))
        if peer.module == "ours":
            # The process that is measured finds the code in the cache: its memory is not that of the compiler.
            process.close()
            process = Process(peer, plan, log, lane)
            process.ask(do="prepare", objective=objective, data=str(data), result=str(result))
        found.update({key: answer[key] for key in ("version", "first", "import")})
        found["start"] = time.perf_counter() - begin
        found["error"] = difference(np.load(result), expected)
        result.unlink()
        if not found["error"] <= tolerance:
            raise PeerError(f"wrong derivative: off by {found['error']:.1e}")
        found.update({what: {"wall": [], "cpu": []} for what in ("primal", "derivative")})
        return Turn(process, found)
    except (PeerError, OSError, ValueError, KeyError) as error:
        found["failed"] = str(error)
        process.close()
        return None


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest element expected; infinite where shapes differ."""
    if found.shape != expected.shape:
        return float("inf")
    worst = float(np.max(np.abs(found - expected), initial=0.0))
    worst = worst if np.all(np.isfinite(found)) else float("inf")
    return worst / (float(np.max(np.abs(expected), initial=0.0)) or 1.0)


def found_times(found: dict[str, Any]) -> list[str]:
    return [what for what in ("primal", "derivative") if what in found]


def take(turn: Turn) -> None:
    """One evaluation of the primal and one of the derivative, each after one that is not timed (the processor's caches
    were the other peers' in between) unless it is long.
    """
    begin = time.perf_counter()
    try:
        for what in found_times(turn.found):
            inner = turn.inner[what]
            known = turn.found[what]["wall"]
            warm = 1 if inner > 1 or not known or known[-1] < 0.05 else 0
            if inner:
                times = turn.process.ask(do="run", what=what, inner=inner, warm=warm)
                turn.found[what]["wall"] += times["wall"]
                turn.found[what]["cpu"] += times["cpu"]
    except PeerError as error:
        turn.found["failed"] = str(error)
        turn.process.close()
    turn.spent += time.perf_counter() - begin
    turn.rounds += 1


def remember_memory(turn: Turn) -> None:
    if "failed" in turn.found:
        return
    try:
        answer = turn.process.ask(do="memory")
        turn.found.update({key: answer[key] for key in ("peak", "base", "faults")})
    except PeerError as error:
        turn.found["failed"] = str(error)
