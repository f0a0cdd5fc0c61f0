"""Where the time of an objective goes, on the lines of its source: `show(objective, size, ...)`.

Three sources, each left out with a word where its tool is missing: remarks of the vectoriser; samples of perf (cycles,
or the clock where the machine counts no cycles), mapped to lines by binutils; instructions counted by valgrind.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.case import Objective
from benchmarks.measure import ROOT, environment, pinned, processors

REMARK = re.compile(r"remark: (?P<file>.*?):(?P<line>\d+):\d+: (?P<text>.*)")
#: A place in the source: file (its last part) and line.
Place = tuple[str, int]


def show(objective: Objective, size: str, fastmath: bool, primal: bool, instructions: bool, console: Console) -> None:
    """Print what is found for the derivative, or with `primal` for the kernel."""
    source = Path(importlib.import_module(objective.make.__module__).__file__ or "")
    flags = [flag for flag, given in (("--fastmath", fastmath), ("--primal", primal)) if given]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "benchmarks.profiled", name, objective.name, size, *flags]
        remarks, samples, outside = watched(command, folder, source, console)
        lines = listing(source, remarks, samples)
        console.print(lines)
        if outside:
            console.print("outside of your lines: " + ", ".join(f"{what} {share:.0%}" for what, share in outside))
        if instructions:
            console.print(counted(command, folder))


def watched(
    command: list[str], folder: Path, source: Path, console: Console
) -> tuple[dict[Place, Counter[str]], dict[Place, float], list[tuple[str, float]]]:
    """Remarks of each line; each line's share of the samples; and the shares of what is not from the source."""
    log = folder / "remarks.txt"
    variables = environment(1, DSL_CACHE_DIR=str(folder / "empty"))
    with log.open("w") as errors:
        process = subprocess.Popen(
            pinned([*command, "--remarks"], processors()[-1:]), cwd=ROOT, env=variables, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        try:
            assert process.stdout is not None and process.stdin is not None
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError(f"the objective does not run: {log.read_text()[-500:]}")
            sampled = sample(process.pid, folder, console)
        finally:
            process.kill()
            process.wait()
    samples, outside = by_lines(sampled, folder, source) if sampled else ({}, [])
    return remarks_of(log.read_text(errors="replace"), source), samples, outside


def remarks_of(text: str, source: Path) -> dict[Place, Counter[str]]:
    """What the vectoriser said of each line. A file that it does not know is that of the objective."""
    found: dict[Place, Counter[str]] = defaultdict(Counter)
    for match in REMARK.finditer(text):
        line = int(match["line"])
        said = match["text"].removeprefix("loop not vectorized: ")
        if line and "interleaving" not in said:
            name = source.name if match["file"] == "<unknown>" else Path(match["file"]).name
            found[name, line][said] += 1
    return found


def sample(pid: int, folder: Path, console: Console) -> list[tuple[int, str]]:
    """Addresses at which the process was seen, and the library of each; empty where perf does not work."""
    perf = shutil.which("perf")
    if perf is None:
        console.print("[dim]perf is not installed: no samples")
        return []
    data = str(folder / "perf.data")
    record = [perf, "record", "-q", "-e", "cycles", "-p", str(pid), "-o", data, "--", "sleep", "3"]
    done = subprocess.run(record, capture_output=True, text=True)
    script = subprocess.run([perf, "script", "-i", data, "-F", "ip,dso"], capture_output=True, text=True)
    if done.returncode or script.returncode:
        console.print(f"[dim]perf does not work here: {escape((done.stderr or script.stderr).strip()[:200])}")
        return []
    pattern = re.compile(r"^\s*([0-9a-f]+)\s+\((.*)\)", re.MULTILINE)
    return [(int(m[1], 16), m[2]) for m in pattern.finditer(script.stdout)]


def by_lines(
    sampled: list[tuple[int, str]], folder: Path, source: Path
) -> tuple[dict[Place, float], list[tuple[str, float]]]:
    """Shares of the source's lines, and of the libraries that are not ours."""
    pieces = list(_pieces(folder))
    lines: Counter[Place] = Counter()
    libraries: Counter[str] = Counter()
    offsets: dict[Path, Counter[int]] = defaultdict(Counter)
    for address, library in sampled:
        piece = next(((path, address - base) for path, base, size in pieces if 0 <= address - base < size), None)
        if piece is not None:
            offsets[piece[0]][piece[1]] += 1
        else:
            libraries["Linux (page faults)" if "kernel" in library else Path(library).name.strip("[]")] += 1
    for path, counts in offsets.items():
        for offset, place in zip(counts, _places(path, list(counts), source)):
            if place is None:
                libraries["code without lines"] += counts[offset]
            else:
                lines[place] += counts[offset]
    whole = len(sampled)
    outside = [(what, n / whole) for what, n in libraries.most_common(6) if n / whole >= 0.005]
    return {place: n / whole for place, n in lines.items()}, outside


def _pieces(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """Each piece of loaded code: its object file, where its section of code begins, and how long it is."""
    try:
        loaded = json.loads((folder / "loaded.json").read_text())
    except OSError:
        return
    for row in loaded:
        path = folder / row["object"]
        symbols = _output(["nm", "--defined-only", str(path)])
        sections = _output(["objdump", "-h", str(path)])
        entry = re.search(r"^([0-9a-f]+) T .*\b\w*" + re.escape(row["entry"]) + r"$", symbols, re.MULTILINE)
        text = re.search(r"\.text\s+([0-9a-f]+)", sections)
        if entry and text:
            yield path, row["address"] - int(entry[1], 16), int(text[1], 16)


def _places(path: Path, offsets: list[int], source: Path) -> list[Place | None]:
    """The line of each offset into the code."""
    text = _output(["addr2line", "-j", ".text", "-e", str(path), *(f"{o:x}" for o in offsets)])
    found: list[Place | None] = []
    for line in text.splitlines():
        match = re.match(r"(.*):(\d+)", line)
        known = match is not None and int(match[2]) > 0
        name = Path(match[1]).name if match else ""
        found.append((source.name if "unknown" in name else name, int(match[2])) if match and known else None)
    return found + [None] * (len(offsets) - len(found))


def _output(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True).stdout


def listing(source: Path, remarks: dict[Place, Counter[str]], samples: dict[Place, float]) -> Table:
    """Every line of which something is known, beside what is known."""
    table = Table("line", "source", "time", "vectoriser", title=source.name, title_justify="left")
    for name, number in sorted({*remarks, *samples}):
        path = source.with_name(name)
        rows = path.read_text().splitlines() if path.exists() else []
        text = rows[number - 1] if number <= len(rows) else "(not of this file)"
        share = samples.get((name, number), 0.0)
        said = [f"{text}{f' ({n}×)' if n > 1 else ''}" for text, n in remarks.get((name, number), Counter()).items()]
        where = str(number) if name == source.name else f"{name}:{number}"
        if said or share >= 0.005:
            table.add_row(where, escape(text), f"{share:.0%}" if share >= 0.005 else "", escape("; ".join(said)))
    return table


def counted(command: list[str], folder: Path) -> str:
    """How many instructions one evaluation takes: the difference between runs of one and of three."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed: no instructions counted"
    variables: dict[str, Any] = {**os.environ, **environment(1)}
    counts = []
    for evaluations in ("1", "3"):
        run = [*command, "--count", evaluations]
        subprocess.run(run, cwd=ROOT, env=variables, capture_output=True)  # compiled, and in the cache
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'callgrind.out'}", *run]
        done = subprocess.run(tool, cwd=ROOT, env=variables, capture_output=True, text=True)
        match = re.search(r"Collected\s*:\s*(\d+)", done.stderr)
        if done.returncode or match is None:
            return f"valgrind does not run this here: {done.stderr.strip()[-200:]}"
        counts.append(int(match[1]))
    return f"{(counts[1] - counts[0]) / 2:,.0f} instructions an evaluation (callgrind)"
