"""`python -m benchmarks run | page | profile | peers`: measure; write the page; see where the time goes; peers."""

from __future__ import annotations

import importlib
import os
import subprocess
import time
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import page as pages
from benchmarks import peers as peer_table
from benchmarks.case import Objective
from benchmarks.measure import Plan, measure
from benchmarks.musts import MUSTS, ms
from benchmarks.parts import PARTS, Setting
from benchmarks.results import FOLDER, Results, commit, machine

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
console = Console()

#: What a whole run measures, first what most is asked of.
CASES = [
    "gmm 10x25", "gmm 64x25", "lse 1.28M", "waves 1e6", "llsq 4096x128", "lstm l4_c4096", "kmeans k100", "ode strict",
    "ode 10000", "lorenz 1e5", "stencil 100x20000", "nbody 1000", "inplace 1e5", "newton 1e5", "ba 204472", "ht small",
    "ht big", "call 4",
]  # fmt: skip
WHOLE = [*CASES[:2], "startup", "tape", "threads", "compiling", *CASES[2:], "scaling"]


@app.command()
def run(
    only: Annotated[str, typer.Option(help="objectives (gmm,lse) or parts (startup,scaling,...); all if empty")] = "",
    size: Annotated[str, typer.Option(help="sizes of those objectives; those of a whole run if empty")] = "",
    peers: Annotated[str, typer.Option(help="systems beside ours (jax,torch,floor,...); all if empty")] = "",
    threads: Annotated[int, typer.Option(help="threads, and processors, of each process")] = 1,
    fastmath: Annotated[str, typer.Option(help="ours: off, on or both")] = "both",
    seconds: Annotated[float, typer.Option(help="evaluations of one case, all systems together")] = 6.0,
    limit: Annotated[float, typer.Option(help="seconds for the whole; what is left over is not measured")] = 690.0,
    clock: Annotated[str, typer.Option(help="wall, or cpu where other work runs on the machine")] = "wall",
    patience: Annotated[float, typer.Option(help="seconds that a system may take to its first derivative")] = 40.0,
    resume: Annotated[bool, typer.Option(help="leave out what was measured at this commit")] = False,
    write: Annotated[bool, typer.Option(help="write docs/performance.md afterwards")] = True,
) -> None:
    """Measure, show, and write the page. What was measured before and not now stays in the page."""
    if fastmath not in ("off", "on", "both") or clock not in ("wall", "cpu"):
        raise typer.BadParameter("--fastmath is off, on or both, --clock is wall or cpu")
    chosen = [p for p in _chosen(peers) if not _left_out(p, fastmath)]
    path = FOLDER / "results.json"
    results = Results.read(path)
    now = machine()
    setting = Setting(chosen, Plan(seconds=seconds, threads=threads, patience=patience), FOLDER, clock)
    results.content.update(machine=now, clock=clock, threads=threads)
    begin = time.perf_counter()
    for name in _asked(only, size):
        if resume and _known(results, name, now["commit"]):
            continue
        if time.perf_counter() - begin > limit:
            console.print(f"[yellow]not measured, the time is over: {name}")
            continue
        started = time.perf_counter()
        try:
            _measure(name, setting, results, now["commit"])
        except (Exception, KeyboardInterrupt) as error:  # what was measured so far is not lost
            console.print(f"[red]{name}: {type(error).__name__}: {error}")
            if isinstance(error, KeyboardInterrupt):
                break
        results.write(path)
        console.print(f"[dim]{name}: {time.perf_counter() - started:.0f} s, {time.perf_counter() - begin:.0f} in all")
    _verdicts(results)
    if write:
        pages.write(results)
        console.print(f"written: {pages.PAGE}")


@app.command()
def page() -> None:
    """Write docs/performance.md again from the last results."""
    pages.write(Results.read(FOLDER / "results.json"))


@app.command()
def peers(
    action: Annotated[str, typer.Argument(help="install, or nothing to see what is there")] = "",
    names: Annotated[list[str] | None, typer.Argument(help="environments to install; all if none")] = None,
) -> None:
    """The systems to compare with; `peers install jax torch` installs them, each into an environment of its own."""
    if action == "install":
        for name in names or list(peer_table.PACKAGES):
            if name not in peer_table.PACKAGES:
                raise typer.BadParameter(f"there is no environment {name}; known are {', '.join(peer_table.PACKAGES)}")
            console.print(f"installing {', '.join(peer_table.PACKAGES[name])} into {peer_table.folder() / name}")
            try:
                peer_table.install(name)
            except subprocess.CalledProcessError as error:
                console.print(f"[red]{name} was not installed: {error}")
    elif action:
        raise typer.BadParameter(f"{action} is unknown: say install, or nothing")
    table = Table("system", "environment", "", "objectives")
    for peer in peer_table.PEERS.values():
        state = "there" if peer.python() else "not installed"
        ordered = [name for name in peer_table.ALL if name in peer.objectives]
        table.add_row(peer.name, peer.environment or "this one", state, " ".join(ordered))
    console.print(table)


@app.command()
def profile(
    name: Annotated[str, typer.Argument(help="an objective, with its size: gmm, or 'gmm 64x25'")],
    fastmath: Annotated[bool, typer.Option(help="as compiled with fastmath")] = False,
    primal: Annotated[bool, typer.Option(help="of the kernel itself, not of its derivative")] = False,
    instructions: Annotated[bool, typer.Option(help="count them with valgrind, which takes a minute")] = True,
) -> None:
    """Where the time goes: loops not vectorised, cycles and instructions of each of your lines."""
    from benchmarks.profile import show

    objective, size = _parse(name)
    try:
        show(objective, size, fastmath, primal, instructions, console)
    except RuntimeError as error:
        console.print(f"[red]{error}")
        raise typer.Exit(1) from None


def _chosen(names: str) -> list[peer_table.Peer]:
    try:
        return peer_table.chosen(names)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _left_out(peer: peer_table.Peer, fastmath: str) -> bool:
    return peer.module == "ours" and fastmath == ("off" if peer.variant == "fastmath" else "on")


def _parse(name: str) -> tuple[Objective, str]:
    """An objective and one of its sizes, of "gmm 64x25" or "gmm"."""
    first, _, size = name.partition(" ")
    if first not in peer_table.ALL:
        raise typer.BadParameter(f"there is no objective {first!r}; known are {', '.join(peer_table.ALL)}")
    objective: Objective = importlib.import_module(f"benchmarks.objectives.{first}").OBJECTIVE
    if size and size not in objective.sizes:
        raise typer.BadParameter(f"{first} has the sizes {', '.join(objective.sizes)}")
    return objective, size or next(iter(objective.sizes))


def _asked(only: str, size: str) -> list[str]:
    """Names of cases and parts, in order."""
    if not only:
        return WHOLE
    found = []
    for name in (n.strip() for n in only.split(",")):
        if name in PARTS:
            found.append(name)
        elif size:
            found += [f"{name} {s}" for s in size.split(",") if _parse(f"{name} {s}")]
        else:
            whole = [case for case in CASES if case.split()[0] == name]
            found += whole or [f"{name} {_parse(name)[1]}"]
    return found


def _known(results: Results, name: str, at: str) -> bool:
    """Whether this was measured at this commit, with no changes since."""
    stamp = results.content.get("commits", {}).get(name)
    return stamp == at == commit() and not at.endswith("+")


def _measure(name: str, setting: Setting, results: Results, at: str) -> None:
    if name in PARTS:
        results.parts[name] = PARTS[name](setting)
    else:
        objective, size = _parse(name)
        found = measure(objective, size, setting.peers, setting.plan, setting.folder)
        found["load"] = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        results.cases[name] = found
        console.print(_table(results, name))
    results.content.setdefault("commits", {})[name] = at


def _table(results: Results, name: str) -> Table:
    table = Table("system", "error", "primal", "derivative", "±", "ratio", "first", title=name, title_justify="left")
    for peer, found in results.cases[name]["peers"].items():
        if "failed" in found:
            if found["failed"] != "not written":
                table.add_row(peer, found["failed"], style="dim")
            continue
        primal, derivative = results.median(name, peer, "primal"), results.median(name, peer)
        spread, ratio = results.spread(name, peer), results.ratio(name, peer)
        table.add_row(
            peer, f"{found['error']:.0e}", ms(primal) if primal else "", ms(derivative) if derivative else "",
            f"{spread:.0%}" if spread is not None else "", f"{ratio:.1f}" if ratio else "", f"{found['first']:.1f} s",
        )  # fmt: skip
    return table


def _verdicts(results: Results) -> None:
    table = Table("work", "must", "plain", "fastmath", title="what must hold", title_justify="left")
    colours = {True: "green", False: "red", None: "dim"}
    for must in MUSTS:
        judged = [must.judge(results, peer) for peer in pages.OURS]
        table.add_row(must.work, must.must, *(f"[{colours[met]}]{text}" for text, met in judged))
    console.print(table)


if __name__ == "__main__":
    app()
