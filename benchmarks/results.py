"""What was measured, as a file: `out/benchmarks/results.json`, from which the page can be made again.

    {"machine": {...}, "clock": "wall", "cases": {"gmm 10x25": {...}}, "startup": {...}, "calls": ..., ...}

Each case is as `measure.measure` gives it; parts that a later run measures again replace the older ones.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "out" / "benchmarks"


class Results:
    """The content of a results file, and questions to it. Times are in seconds."""

    def __init__(self, content: dict[str, Any] | None = None):
        self.content: dict[str, Any] = content or {"cases": {}, "parts": {}}

    @classmethod
    def read(cls, path: Path) -> Results:
        """What the file has; nothing where there is none, or it was not finished."""
        try:
            return cls(json.loads(path.read_text()))
        except (OSError, ValueError):
            return cls()

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self.content, indent=1))
        part.replace(path)

    @property
    def cases(self) -> dict[str, Any]:
        return self.content["cases"]  # type: ignore[no-any-return]

    @property
    def parts(self) -> dict[str, Any]:
        return self.content["parts"]  # type: ignore[no-any-return]

    @property
    def clock(self) -> str:
        return str(self.content.get("clock", "wall"))

    def found(self, case: str, peer: str) -> dict[str, Any] | None:
        """What a peer did in a case; None where it failed or took no part."""
        found = self.cases.get(case, {}).get("peers", {}).get(peer)
        return found if found and "failed" not in found else None

    def times(self, case: str, peer: str, what: str = "derivative") -> list[float]:
        found = self.found(case, peer)
        return found[what][self.clock] if found else []

    def median(self, case: str, peer: str, what: str = "derivative") -> float | None:
        times = self.times(case, peer, what)
        return statistics.median(times) if times else None

    def spread(self, case: str, peer: str, what: str = "derivative") -> float | None:
        """Half the distance between the quartiles, as a share of the median."""
        times = self.times(case, peer, what)
        if len(times) < 3:
            return None
        low, middle, high = statistics.quantiles(times, n=4)
        return (high - low) / 2 / middle if middle else None

    def ratio(self, case: str, peer: str) -> float | None:
        """The derivative's time over the primal's."""
        derivative, primal = self.median(case, peer), self.median(case, peer, "primal")
        return derivative / primal if derivative and primal else None

    def versions(self) -> Iterator[tuple[str, str]]:
        """The version of each peer that took part anywhere."""
        seen = set()
        for case in self.cases.values():
            for peer, found in case["peers"].items():
                if "version" in found and peer not in seen:
                    seen.add(peer)
                    yield peer, found["version"]

    def absent(self) -> list[str]:
        """Peers that were not installed."""
        rows = [row for case in self.cases.values() for row in case["peers"].items()]
        return sorted({peer for peer, found in rows if found.get("failed") == "not installed"})


def machine() -> dict[str, Any]:
    """This machine, now."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": _processor(), "cores": os.cpu_count(), "memory": _memory(),
        "system": platform.platform(terse=True), "python": platform.python_version(),
        "date": datetime.datetime.now().isoformat(timespec="minutes"),
        "load": load, "commit": commit(),
    }  # fmt: skip


def commit() -> str:
    """The commit that is measured, with a + where files were changed since."""
    describe = ["git", "-C", str(ROOT), "describe", "--always", "--exclude=*", "--dirty=+"]
    return subprocess.run(describe, capture_output=True, text=True).stdout.strip() or "unknown"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            text = file.read()
        name = next(line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name"))
        widest = next((w for w in ("avx512f", "avx2", "avx") if f" {w} " in text), "")
        return f"{name} ({widest})" if widest else name
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
