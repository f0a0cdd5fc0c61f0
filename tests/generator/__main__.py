"""`python -m tests.generator --seed N --count M`: generate programs, check them, shrink and write out those that fail.

Each program is checked in a process of its own, so that one that crashes is reported and shrunk like any other."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.generator.apart import check_apart, preload
from tests.generator.modes import Failure
from tests.generator.oracle import Unfair
from tests.generator.program import Program, make_program
from tests.generator.reproducer import module_text
from tests.generator.shrink import shrink

Check = Callable[[Program, int], "Failure | None"]
OUT = Path("out")


def shrunk(program: Program, point: int, failure: Failure, seconds: float, check: Check) -> tuple[Program, Failure]:
    """The smallest program found that fails in the same way, and its own failure."""
    last = failure

    def still_fails(source: str) -> bool:
        nonlocal last
        try:
            again = check(program.with_source(source), point)
        except (Unfair, AssertionError):
            return False
        if again is None or again.kind != failure.kind:
            return False
        last = again
        return True

    return program.with_source(shrink(program.source, still_fails, seconds)), last


def write(program: Program, point: int, failure: Failure) -> Path:
    """The program as a runnable file."""
    OUT.mkdir(exist_ok=True)
    file = OUT / f"failing_{program.seed}_{point}.py"
    note = f"{failure.kind}\n\n{failure.detail}".replace("\\", "/").replace('"""', "'''")
    file.write_text(module_text(program, point, note))
    return file


def run(seed: int, count: int, size: int, points: int, seconds: float, verbose: bool) -> int:
    """Check programs; the number of those that fail."""
    seen: Counter[str] = Counter()
    for number in range(seed, seed + count):
        program = make_program(number, size)
        for point in range(points):
            try:
                failure = check_apart(program, point)
            except Unfair as why:
                seen["left out"] += 1
                if verbose:
                    print(f"seed {number}: left out: {why}")
                continue
            if failure is None:
                seen["good"] += 1
                continue
            seen["bad"] += 1
            print(f"seed {number}: FAILED {failure.kind}", flush=True)
            if seconds > 0:
                program, failure = shrunk(program, point, failure, seconds, check_apart)
            print(f"{write(program, point, failure)}\n{program.source}{failure.detail}", flush=True)
            break
    print(f"checked seeds {seed} to {seed + count - 1}: {dict(seen)}")
    return seen["bad"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.generator", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first program's seed")
    parser.add_argument("--count", type=int, default=20, help="how many programs")
    parser.add_argument("--size", type=int, default=3, help="statements a block and depth of nesting")
    parser.add_argument("--points", type=int, default=1, help="points at which each is tried")
    parser.add_argument("--shrink", type=float, default=60.0, help="seconds spent on making a failing program smaller")
    parser.add_argument("--print", action="store_true", help="only print the programs")
    parser.add_argument("--verbose", action="store_true", help="also say what is left out, and why")
    options = parser.parse_args()
    if options.print:
        for seed in range(options.seed, options.seed + options.count):
            print(f"# seed {seed}\n{make_program(seed, options.size).source}")
        return 0
    with tempfile.TemporaryDirectory(prefix="dsl-generator-") as folder:
        os.environ["DSL_CACHE_DIR"] = folder  # what is tested is the compiler, not what an older one left on disk
        preload()
        bad = run(options.seed, options.count, options.size, options.points, options.shrink, options.verbose)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
