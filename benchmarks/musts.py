"""What the project has set itself, as a table: each row judges what was measured.

A row's `judge(results, peer)` gives the text of what was measured and whether that is enough; None where something that
it needs was not measured. `peer` is ours, as it is or with fastmath. Numbers of Enzyme and of C++ that no pip installs
were taken elsewhere, on a processor with wider vectors (see docs/performance.md).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.results import Results

#: A text, and whether the must is met.
Verdict = tuple[str, bool | None]
NOT_MEASURED: Verdict = ("not measured", None)


class Must(NamedTuple):
    work: str
    must: str
    judge: Callable[[Results, str], Verdict]


def ms(seconds: float) -> str:
    """A time with three digits, in a unit that fits."""
    unit, size = next((row for row in (("s", 1.0), ("ms", 1e-3)) if seconds >= row[1]), ("µs", 1e-6))
    value = seconds / size
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def within(case: str, seconds: float | None = None, ratio: float | None = None, than: tuple[str, ...] = ()) -> Callable:
    """A derivative that takes at most so many seconds, so many times its primal, and less than these peers take."""

    def judge(results: Results, peer: str) -> Verdict:
        mine, times = results.median(case, peer), results.ratio(case, peer)
        if mine is None or times is None:
            return NOT_MEASURED
        parts, met, missing = [f"{ms(mine)}, {times:.1f}×"], True, False
        if seconds is not None:
            met = met and mine <= seconds
        if ratio is not None:
            met = met and times <= ratio
        for other in than:
            theirs = results.median(case, other)
            if theirs is None:
                parts.append(f"{other} not measured")
                missing = True
            else:
                parts.append(f"{other} {ms(theirs)}")
                met = met and mine < theirs
        return "; ".join(parts), None if met and missing else met

    return judge


def errors(results: Results, peer: str) -> Verdict:
    """All derivatives within their tolerance."""
    found = [(c["peers"].get(peer, {}), c["tolerance"], name) for name, c in results.cases.items()]
    found = [row for row in found if "error" in row[0] or "failed" in row[0]]
    if not found:
        return NOT_MEASURED
    wrong = [name for one, tolerance, name in found if not one.get("error", float("inf")) <= tolerance]
    worst = max((one["error"] / tolerance, one["error"], name) for one, tolerance, name in found if "error" in one)
    text = f"{len(found)} cases, nearest to its limit {worst[1]:.0e} ({worst[2]})"
    return (f"not right or failed: {', '.join(wrong)}" if wrong else text), not wrong


def waves(results: Results, peer: str) -> Verdict:
    """Against the faster of the two primals, which is vectorised."""
    case = "waves 1e6"
    primals = [p for p in (results.median(case, q, "primal") for q in ("dsl", "dsl fastmath")) if p]
    mine = results.median(case, peer)
    if not primals or mine is None:
        return NOT_MEASURED
    return f"{ms(mine)}, {mine / min(primals):.2f}× of {ms(min(primals))}", mine <= 1.5 * min(primals)


def lorenz(results: Results, peer: str) -> Verdict:
    text, met = within("lorenz 1e5", ratio=2.5)(results, peer)
    tape = results.parts.get("tape", {}).get("lorenz")
    if met is None or tape is None:
        return text, None if met else met
    return f"{text}; {tape:g} bytes", met and tape <= 24


def stencil(results: Results, peer: str) -> Verdict:
    text, met = within("stencil 100x20000", ratio=4.0)(results, peer)
    found = results.found("stencil 100x20000", peer)
    if met is None or not found or "faults" not in found:
        return text, None if met else met
    return f"{text}; {found['faults']} faults in a call", met and found["faults"] == 0


def start(which: str, seconds: float, than: tuple[str, ...]) -> Callable:
    def judge(results: Results, peer: str) -> Verdict:
        found = results.parts.get("startup", {})
        key = which + ("_cpu" if results.clock == "cpu" else "")
        mine = found.get(peer, {}).get(key)
        if mine is None:
            return NOT_MEASURED
        parts, met = [ms(mine)], mine < seconds
        for other in than:
            theirs = found.get(other, {}).get(key)
            parts.append(f"{other} {ms(theirs) if theirs else 'not measured'}")
            met = met and (theirs is None or mine < theirs)
        return "; ".join(parts), met

    return judge


def threads(results: Results, peer: str) -> Verdict:
    found = results.parts.get("threads", {}).get(peer)
    if not found:
        return NOT_MEASURED
    worst = min(found.values())
    return ", ".join(f"{name} {value:.2f}×" for name, value in found.items()), worst >= 1.7


def scaling(results: Results, peer: str) -> Verdict:
    """Time an element of the large size over that of the small one."""
    found = results.parts.get("scaling", {}).get(peer)
    if not found:
        return NOT_MEASURED
    growth = {name: row["large"] / row["small"] for name, row in found.items()}
    worst = max(growth, key=growth.__getitem__)
    middle = statistics.median(growth.values())
    return f"median {middle:.2f}×, most {growth[worst]:.2f}× ({worst})", growth[worst] <= 1.5


def compiling(results: Results, peer: str) -> Verdict:
    found = results.parts.get("compiling", {}).get(peer)
    if not found:
        return NOT_MEASURED
    return "; ".join(f"{name} {ms(value)}" for name, value in found.items()), max(found.values()) < 15.0


MUSTS = [
    Must("every objective, every derivative", "1e-8 of the reference's largest element (lse 1e-6)", errors),
    Must("gmm 10×25", "faster than JAX and torch.compile, ≤ 3.5× primal",
         within("gmm 10x25", ratio=3.5, than=("JAX", "torch.compile"))),
    Must("gmm 64×25", "faster than JAX, torch.compile and Tapenade's C (237 ms), ≤ 3.5× primal",
         within("gmm 64x25", 0.237, 3.5, ("JAX", "torch.compile"))),
    Must("ba, 204,472 observations", "< 76 ms (C++ by hand)", within("ba 204472", 0.076)),
    Must("ht, small", "≤ 2.25 ms (a quarter of Enzyme's 9)", within("ht small", 0.00225)),
    Must("ht, big", "≤ 48 ms (a quarter of Enzyme's 192)", within("ht big", 0.048)),
    Must("kmeans, k = 100", "< 5 ms (Enzyme 19)", within("kmeans k100", 0.005)),
    Must("lse, 1.28M", "≤ 2× primal", within("lse 1.28M", ratio=2.0)),
    Must("llsq, 4096×128", "≤ 2× primal", within("llsq 4096x128", ratio=2.0)),
    Must("lstm, l = 4, c = 4096", "< 25 ms (Enzyme 46)", within("lstm l4_c4096", 0.025)),
    Must("ode, strict", "≤ 4× primal", within("ode strict", ratio=4.0)),
    Must("ode, n = 10,000", "≤ 4× primal, < 11.3 ms (Enzyme)", within("ode 10000", 0.0113, 4.0)),
    Must("sum of sin(a)·exp(-a²), 1e6", "≤ 1.5× the vectorised primal", waves),
    Must("Lorenz, 1e5 steps", "≤ 2.5× primal, tape ≤ 24 bytes a step", lorenz),
    Must("stencil, 100 × 20,000", "≤ 4× primal, no page faults after the first call", stencil),
    Must("n-body, N = 1000", "≤ 2.6× primal", within("nbody 1000", ratio=2.6)),
    Must("in place, sin(x)·x ×10", "< 4.3 ms (Enzyme), faster than Dr.Jit",
         within("inplace 1e5", 0.0043, None, ("Dr.Jit",))),
    Must("Newton per element", "< 11.6 ms (Enzyme), faster than Dr.Jit",
         within("newton 1e5", 0.0116, None, ("Dr.Jit",))),
    Must("two threads against one", "≥ 1.7× in primal and gradient", threads),
    Must("cold first gradient of gmm", "< 1.2 s, less than JAX, Warp, Taichi",
         start("cold", 1.2, ("JAX", "Warp", "Taichi"))),
    Must("warm first gradient of gmm", "< 0.4 s", start("warm", 0.4, ())),
    Must("call of a gradient, two small arrays", "< 8 µs", within("call 4", 8e-6)),
    Must("2,000 lines; 10,000 operations without a loop", "compiled with their gradients in < 15 s", compiling),
    Must("cost an element, size ×100", "no more than caches explain (here: 1.5×)", scaling),
]  # fmt: skip
