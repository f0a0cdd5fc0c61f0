"""How the time for one element grows with the number of them, up to a hundred times as many."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measure import Plan, measure
from benchmarks.peers import Peer
from benchmarks.results import Results

#: Objective: sizes, and how many elements they have. What the sizes have in their arrays is said in the page.
SIZES: dict[str, tuple[dict[str, int], dict[str, int], int, int]] = {
    "waves": ({"n": 10_000}, {"n": 1_000_000}, 10_000, 1_000_000),
    "lse": ({"n": 12_800}, {"n": 1_280_000}, 12_800, 1_280_000),
    "inplace": ({"n": 1_000}, {"n": 100_000}, 1_000, 100_000),
    "stencil": ({"n": 200, "steps": 100}, {"n": 20_000, "steps": 100}, 20_000, 2_000_000),
    "nbody": ({"n": 100}, {"n": 1_000}, 4_950, 499_500),
    "lorenz": ({"steps": 1_000}, {"steps": 100_000}, 1_000, 100_000),
    "kmeans": ({"k": 100, "n": 200, "d": 16}, {"k": 100, "n": 20_000, "d": 16}, 20_000, 2_000_000),
    "gmm": ({"d": 10, "k": 25, "n": 100}, {"d": 10, "k": 25, "n": 10_000}, 2_500, 250_000),
}


def measure_all(peers: list[Peer], plan: Plan, folder: Path, clock: str) -> dict[str, dict[str, Any]]:
    """`{peer: {objective: {"small": s, "large": s}}}`, the derivative's seconds an element."""
    found: dict[str, dict[str, Any]] = {peer.name: {} for peer in peers}
    for name, (small, large, few, many) in SIZES.items():
        objective = importlib.import_module(f"benchmarks.objectives.{name}").OBJECTIVE
        objective = replace(objective, sizes={"scale-small": small, "scale-large": large})
        results = Results()
        results.content["clock"] = clock
        for size in objective.sizes:
            results.cases[size] = measure(objective, size, peers, plan, folder)
        for peer in peers:
            times = [results.median(size, peer.name) for size in objective.sizes]
            if None not in times:
                found[peer.name][name] = {"small": times[0] / few, "large": times[1] / many}  # type: ignore[operator]
    return found
