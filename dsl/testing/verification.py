"""`verify`: the system checks itself, from one seed, in three parts that exchange messages.

A seed provider starts each case with a seed of its own. A kernel provider draws the point, hands kernel and point on,
and knows the derivative as calculus has it. A differentiator does not, and answers with what the system computes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import NotYetSupported
from ..random import SplitMix64
from . import devices
from .catalogue import AREAS, CASES, Case
from .protocol import Log, plain

SEED = 0x7F4A3C2B1D0E9A8F
SEEDS, KERNELS, DIFFERENTIATOR = "seed provider", "kernel provider", "differentiator"
# Relative to the largest entry: a hundred units in the last place or so, and some steps of Newton's method.
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Verdict:
    """How one case went: "passed", "failed" with the error, or "not available" with the reason."""

    case: str
    area: str
    outcome: str
    shown: str = ""
    error: str = ""


@dataclass(frozen=True)
class Verification:
    """What `verify` found. True where nothing failed; `log` is the JSON text of all messages."""

    seed: int
    verdicts: tuple[Verdict, ...]
    places: tuple[tuple[str, str], ...]
    log: str

    @property
    def passed(self) -> bool:
        return not any(v.outcome == "failed" for v in self.verdicts)

    def __bool__(self) -> bool:
        return self.passed

    def matrix(self) -> dict[str, tuple[str, str, str]]:
        """For each area: where it ran, the outcome, and the first error."""
        rows = {}
        for area, place in self.places:
            mine = [v for v in self.verdicts if v.area == area]
            failed = [v for v in mine if v.outcome == "failed"]
            if failed:
                rows[area] = place, "failed", f"{failed[0].case}: {failed[0].error}"
            elif any(v.outcome == "passed" for v in mine):
                rows[area] = place, "passed", ""
            else:
                rows[area] = place, "not available", mine[0].error if mine else ""
        return rows

    def __rich__(self) -> Any:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        styles = {"passed": "green", "failed": "bold red", "not available": "dim"}
        matrix = Table(title=f"seed 0x{self.seed:016x}", title_justify="left", box=box.SIMPLE)
        for column in ("", "where", "outcome", "error"):
            matrix.add_column(column, no_wrap=column != "error")
        for area, (place, outcome, error) in self.matrix().items():
            matrix.add_row(area, place, Text(outcome, styles[outcome]), Text(error))
        cases = Table(box=box.SIMPLE)
        for column in ("case", "got", "outcome"):
            cases.add_column(column)
        for v in self.verdicts:
            cases.add_row(Text(v.case), Text(v.shown), Text(v.outcome, styles[v.outcome]))
        return Group(matrix, cases)

    def __str__(self) -> str:
        from .activities import shown

        return shown(self, width=120)


def verify(seed: int = SEED, log: str | os.PathLike[str] | None = None, quiet: bool = False) -> Verification:
    """Check derivatives of all kinds against calculus at points drawn from `seed`, an integer below 2**64.

    Prints the matrix of Scalar AD, Array AD, GPU kernel, Batched and Custom rules, each passed, failed with its error,
    or not available with the reason, and every case with what was got. `log` is a file to which the messages are
    written as JSON. Two runs with one seed give the same log, byte by byte. Returns a `Verification`, true where
    nothing failed.

    >>> import dsl
    >>> bool(dsl.testing.verify(0x7f4a3c2b1d0e9a8f, quiet=True))
    True
    """
    if not 0 <= seed < 2**64:
        raise ValueError(f"the seed is {seed}; it must be from 0 to 2**64 - 1")
    record = Log()
    stream = SplitMix64(seed)
    verdicts = [_run(case, stream.split(number).key, record) for number, case in enumerate(CASES)]
    places = tuple((area, _place(area)) for area in AREAS)
    found = Verification(seed, tuple(verdicts), places, record.json())
    if log is not None:
        with open(log, "w", encoding="utf-8", newline="\n") as file:
            file.write(found.log)
    if not quiet:
        import sys

        from rich.console import Console

        Console(file=sys.stdout).print(found)
    return found


def _place(area: str) -> str:
    return devices.find().name if area == "GPU kernel" else "CPU"


def _run(case: Case, seed: int, log: Log) -> Verdict:
    log.send(SEEDS, KERNELS, seed, case=case.name, area=case.area, place=_place(case.area))
    arguments = case.draw(SplitMix64(seed))
    log.send(KERNELS, DIFFERENTIATOR, seed, case=case.name, kernel=case.kernel.source.text, arguments=arguments)
    try:
        answer = case.derive(*_copies(arguments))
    except NotYetSupported as raised:
        log.send(DIFFERENTIATOR, KERNELS, seed, case=case.name, outcome="not available", reason=raised.message)
        return Verdict(case.name, case.area, "not available", error=raised.message)
    except Exception as raised:  # whatever goes wrong belongs into the matrix
        message = f"{type(raised).__name__}: {next(iter(str(raised).splitlines()), '')}"
        log.send(DIFFERENTIATOR, KERNELS, seed, case=case.name, error=message)
        log.send(KERNELS, SEEDS, seed, case=case.name, outcome="failed", error=message)
        return Verdict(case.name, case.area, "failed", error=message)
    log.send(DIFFERENTIATOR, KERNELS, seed, case=case.name, answer=answer)
    expected = case.expect(*arguments)
    error = next((e for e in (_compare(k, answer.get(k), expected[k]) for k in expected) if e), "")
    outcome = "failed" if error else "passed"
    log.send(KERNELS, SEEDS, seed, case=case.name, outcome=outcome, expected=expected, error=error)
    return Verdict(case.name, case.area, outcome, ", ".join(f"{k} {_short(v)}" for k, v in answer.items()), error)


def _copies(arguments: tuple[Any, ...]) -> list[Any]:
    return [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]


def _compare(what: str, got: Any, expected: Any) -> str:
    """What is wrong, or nothing."""
    a, b = np.asarray(got, float), np.asarray(expected, float)
    if a.shape != b.shape:
        return f"{what}: expected {plain(expected)}, got {plain(got)}"
    bound = _TOLERANCE * max(1.0, float(np.max(np.abs(b), initial=0.0)))
    good = np.abs(a - b) <= bound
    if np.all(good):
        return ""
    at = np.unravel_index(int(np.argmin(good)), a.shape)
    where = f"[{', '.join(map(str, at))}]" if at else ""
    return f"{what}{where}: expected {b[at]}, got {a[at]}"


def _short(value: Any) -> str:
    """A number, or the first ones of an array."""
    if np.ndim(value) == 0:
        return f"{float(value):.12g}"
    flat = np.ravel(value)
    rest = ", ..." if flat.size > 2 else ""
    return f"[{', '.join(f'{v:.4g}' for v in flat[:2])}{rest}]"
