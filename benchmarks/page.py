"""`docs/performance.md` and its plot, from what a run has left: `write(results)`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.case import Objective
from benchmarks.musts import MUSTS, ms
from benchmarks.peers import PEERS
from benchmarks.results import ROOT, Results

PAGE = ROOT / "docs" / "performance.md"
PLOT = "performance.png"
#: What a person has to say of musts that are not met: it stands below their table.
REMARKS = Path(__file__).with_name("remarks.md")
OURS = ("dsl", "dsl fastmath")

HEAD = """\
# Performance

What `make bench` measured last; the page is its output (`python -m benchmarks page` writes it again from what the last
run left in `out/benchmarks/`). Each objective is one file of [`benchmarks/objectives`](../benchmarks/objectives),
written as a user would; what other systems compute it with is in [`benchmarks/peers`](../benchmarks/peers).

How it is measured: each system is a process of its own, in its own environment. Each first computes the derivative,
which is compared with a reference made without our language; what is wrong is shown as wrong, and not timed. Then the
systems take turns, one evaluation each, round after round, so that all see the same machine. Times are medians of one
evaluation (after one that is not timed, since the other systems were in the caches), with half the distance between the
quartiles. All is in float64, inputs are in memory in the form that the system likes best, and results are waited for.
"""

NOTES = """\
- *ratio*: the derivative's time over the primal's, both of the same system. A slow primal flatters it.
- *memory*: the most that the process ever had, less what it had when it had imported everything and read the input:
  results, tapes, and what compiling took. (Ours is compiled by a process before, as in every start but the first.)
- *first*: seconds until the first derivative, from the input in memory: tracing and compiling, where a system does
  that, while another system did so on the next processor. Machine code of an earlier run may have been found by ours,
  Warp, Taichi, Dr.Jit and torch.compile.
- Numbers of Enzyme, Tapenade and C++ among the musts were measured on another machine, whose processor has vectors of
  512 bits; they are the project's yardsticks, not measured here. *Enzyme (enzyme-ad)* is what pip installs under that
  name: C++ called from JAX, which pays for copies of its inputs, and cannot use wider vectors than SSE's.
"""


def write(results: Results, page: Path = PAGE) -> None:
    """Write the page, and the plot beside it where matplotlib is installed."""
    picture = ""
    try:
        from benchmarks.plot import draw
    except ImportError:
        pass
    else:
        if draw(results, page.with_name(PLOT)):
            picture = f"\n![time of each derivative, as a multiple of ours]({PLOT})\n"
    parts = [HEAD, "\n".join(_machine(results)), "\n".join(_musts(results)), picture, "\n".join(_cases(results))]
    parts += ["\n".join(_parts(results)), "## Notes\n\n" + NOTES]
    if REMARKS.exists():
        parts.insert(3, REMARKS.read_text())
    page.write_text("\n".join(part.strip("\n") + "\n" for part in parts if part))


def _machine(results: Results) -> Iterator[str]:
    machine = results.content.get("machine", {})
    threads = results.content.get("threads", 1)
    yield (
        f"Machine: {machine.get('processor')}, {machine.get('cores')} cores, "
        f"{machine.get('memory', 0) / 2**30:.0f} GiB; {machine.get('system')}; Python {machine.get('python')}. "
        f"{machine.get('date')}, commit `{machine.get('commit')}`. "
        f"Threads: {threads}, each process bound to as many cores."
    )
    loads = [case["load"] for case in results.cases.values() if case.get("load") is not None]
    if results.clock == "cpu":
        yield "**Times are processor time, not the wall's clock**: other work ran on the machine."
    if loads and max(loads) > 1.5:
        yield f"The machine was not quiet: its load was {min(loads):.1f} to {max(loads):.1f} while this ran."
    yield ""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions())
    yield f"Versions: {versions}."
    if results.absent():
        yield f"Not installed: {', '.join(results.absent())}."


def _musts(results: Results) -> Iterator[str]:
    yield "## What must hold\n"
    yield "| work | must | plain | | fastmath | |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for must in MUSTS:
        cells = []
        for peer in OURS:
            text, met = must.judge(results, peer)
            cells.append(f"{text} | {'' if met is None else 'met' if met else '**not met**'}")
        yield f"| {must.work} | {must.must} | {' | '.join(cells)} |"
    yield ""


def _cases(results: Results) -> Iterator[str]:
    yield "## Each objective\n"
    for name in sorted(results.cases, key=_order):
        case = results.cases[name]
        objective = _objective(case["objective"])
        size = ", ".join(f"{k} = {v:,}" for k, v in objective.sizes.get(case["size"], {}).items())
        yield f"### {name}: {objective.what}, {objective.derivative}{f' ({size})' if size else ''}\n"
        yield "| system | error | primal | derivative | ± | ratio | memory MB | first s |"
        yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
        refused = []
        for peer, found in sorted(case["peers"].items(), key=lambda row: _rank(results, name, row[0])):
            if "failed" in found:
                if found["failed"] not in ("not written", "not installed"):
                    refused.append(f"{peer}: {found['failed']}")
                continue
            yield _row(results, name, peer, found)
        yield ""
        if refused:
            yield "; ".join(refused).replace("|", "\\|").replace("\n", " ") + ".\n"


def _row(results: Results, case: str, peer: str, found: dict[str, Any]) -> str:
    primal, derivative = results.median(case, peer, "primal"), results.median(case, peer)
    spread, ratio = results.spread(case, peer), results.ratio(case, peer)
    memory = f"{(found['peak'] - found['base']) / 2**20:.0f}" if "peak" in found else ""
    cells = [
        f"**{peer}**" if peer in OURS else peer,
        f"{found['error']:.0e}",
        ms(primal) if primal else "",
        ms(derivative) if derivative else "",
        f"{spread:.0%}" if spread is not None else "",
        f"{ratio:.1f}" if ratio else "",
        memory,
        f"{found['first']:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def _parts(results: Results) -> Iterator[str]:
    startup = results.parts.get("startup", {})
    if startup:
        suffix = "_cpu" if results.clock == "cpu" else ""
        yield "## First gradient of gmm 10×25 in a new process\n"
        yield "Import, compilation and exit included; with empty caches (cold), and once more (warm).\n"
        yield "| system | cold | warm |"
        yield "| --- | --- | --- |"
        for peer, found in sorted(startup.items(), key=lambda row: row[1].get("cold", float("inf"))):
            if "failed" in found:
                yield f"| {peer} | {' '.join(found['failed'].split())} | |"
            else:
                yield f"| {peer} | {ms(found['cold' + suffix])} | {ms(found['warm' + suffix])} |"
        yield ""
    scaling = results.parts.get("scaling", {})
    if scaling:
        from benchmarks.scaling import SIZES

        yield "## As the size grows\n"
        yield "The derivative's time for one element (a point, a pair, a step, a cell in a step).\n"
        yield "| objective | from | to | plain | | fastmath | |"
        yield "| --- | --- | --- | --- | --- | --- | --- |"
        for name, (small, large, _, _) in SIZES.items():
            cells = []
            for peer in OURS:
                row = scaling.get(peer, {}).get(name)
                cells.append(
                    f"{row['small'] * 1e9:.3g} → {row['large'] * 1e9:.3g} ns | {row['large'] / row['small']:.2f}×"
                    if row else " | "
                )  # fmt: skip
            sizes = [", ".join(f"{k} {v:,}" for k, v in size.items()) for size in (small, large)]
            yield f"| {name} | {' | '.join(sizes)} | {' | '.join(cells)} |"
        yield ""


def _objective(name: str) -> Objective:
    return importlib.import_module(f"benchmarks.objectives.{name}").OBJECTIVE  # type: ignore[no-any-return]


def _order(name: str) -> int:
    """Where a case stands among those of a whole run."""
    from benchmarks.__main__ import CASES

    return CASES.index(name) if name in CASES else len(CASES)


def _rank(results: Results, case: str, peer: str) -> tuple[int, float]:
    """Ours first, then from fast to slow."""
    if peer in OURS:
        return OURS.index(peer), 0.0
    return len(OURS), results.median(case, peer) or float(list(PEERS).index(peer) if peer in PEERS else 0)
