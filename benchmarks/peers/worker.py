"""A peer as a process: `python -m benchmarks.peers.worker MODULE [VARIANT]` answers JSON lines, an object each.

    {"do": "prepare", "objective": "gmm", "data": "in.npz", "result": "out.npy"}
        imports the module, reads the input, computes the first derivative and writes it to `result`
    {"do": "run", "what": "derivative", "count": 3, "inner": 10}
        three timings, each of ten evaluations: seconds of the clock on the wall and of this process, for one evaluation
    {"do": "memory"}        bytes: most that were ever resident, and what was before the objective was prepared;
                            and the page faults of one more derivative
    {"do": "end"}

Each answer has "ok"; where that is false, "error" says why. What libraries print goes to the error stream.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.peers.exchange import Prepared, load


class Worker:
    def __init__(self, module: str, variant: str):
        self.module, self.variant = module, variant
        self.prepared: Prepared | None = None
        self.base = 0

    def prepare(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        begin = time.perf_counter()
        module = importlib.import_module(f"benchmarks.peers.{self.module}")
        imported = time.perf_counter()
        data = load(ask["data"])
        self.base = resident()
        start = time.perf_counter()
        self.prepared = module.prepare(ask["objective"], data, self.variant)
        result = self.prepared.derivative()
        end = time.perf_counter()
        if "result" in ask:
            np.save(ask["result"], self.prepared.flat(result))
        return {"import": imported - begin, "first": end - start, "version": module.VERSION}

    def run(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        if self.prepared is None:
            raise RuntimeError("nothing is prepared")
        call = getattr(self.prepared, ask["what"])
        if call is None:
            return {"wall": [], "cpu": []}
        for _ in range(ask.get("warm", 0)):
            call()
        wall, cpu = [], []
        for _ in range(ask.get("count", 1)):
            one_wall, one_cpu = timed(call, ask.get("inner", 1))
            wall.append(one_wall)
            cpu.append(one_cpu)
        return {"wall": wall, "cpu": cpu}

    def memory(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        found = {"peak": peak(), "base": self.base}
        if self.prepared is not None:
            before = faults()
            self.prepared.derivative()
            found["faults"] = faults() - before
        return found

    def answer(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        try:
            method = {"prepare": self.prepare, "run": self.run, "memory": self.memory}[ask["do"]]
            return {"ok": True, **method(ask)}
        except Exception as error:  # whatever a peer raises, the others go on
            return {"ok": False, "error": f"{type(error).__name__}: {error}"[:400]}


def timed(call: Callable[[], Any], inner: int) -> tuple[float, float]:
    """Seconds on the wall and of the processor for one of `inner` evaluations."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(inner):
        call()
    return (time.perf_counter() - wall) / inner, (time.process_time() - cpu) / inner


def resident() -> int:
    """Bytes of memory that this process has now."""
    return _status("VmRSS") or peak()


def peak() -> int:
    """The most bytes of memory that this process ever had."""
    if found := _status("VmHWM"):  # getrusage's number is inherited from the process that started this one
        return found
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def faults() -> int:
    """How many pages of memory this process was given so far."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _status(name: str) -> int:
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))
    except (OSError, StopIteration):
        return 0


def main(arguments: list[str]) -> None:
    # What libraries print must not come between the answers.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    gc.disable()
    worker = Worker(arguments[0], arguments[1] if len(arguments) > 1 else "")
    for line in sys.stdin:
        ask = json.loads(line)
        if ask["do"] == "end":
            break
        channel.write(json.dumps(worker.answer(ask)) + "\n")
        channel.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
