"""`python -m tests.generator --seed N --count M`: generate programs, check them, shrink and write out those that fail.

Programs run in a process of their own, so that one that crashes it is reported like any other failure."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests.generator.check import check
from tests.generator.modes import Failure
from tests.generator.oracle import Unfair
from tests.generator.program import Program, make_program
from tests.generator.reproducer import module_text
from tests.generator.shrink import shrink

OUT = Path("out")


def shrunk(program: Program, point: int, failure: Failure, seconds: float) -> tuple[Program, Failure]:
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


def run_here(seed: int, count: int, size: int, points: int, seconds: float) -> int:
    """Check in this process; the number of failing programs."""
    seen: Counter[str] = Counter()
    bad = 0
    for number in range(seed, seed + count):
        print(f"seed {number}", flush=True)
        program = make_program(number, size)
        for point in range(points):
            try:
                failure = check(program, point)
            except Unfair as why:
                seen["unfair"] += 1
                print(f"  left out: {why}")
                continue
            if failure is None:
                seen["good"] += 1
                continue
            bad += 1
            seen["bad"] += 1
            print(f"  FAILED {failure.kind}", flush=True)
            small, failure = shrunk(program, point, failure, seconds)
            print(f"  {write(small, point, failure)}\n{small.source}{failure.detail}", flush=True)
            break
    print(f"checked: {dict(seen)}")
    return bad


def run_apart(options: argparse.Namespace) -> int:
    """Check in a process of its own, and go on behind a program that ends it."""
    bad, at, end = 0, options.seed, options.seed + options.count
    while at < end:
        command = [sys.executable, "-m", "tests.generator", "--here", "--seed", str(at), "--count", str(end - at)]
        command += ["--size", str(options.size), "--points", str(options.points), "--shrink", str(options.shrink)]
        last = at
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith("seed "):
                    last = int(line.split()[1])
                elif options.verbose or not line.startswith("  left out"):
                    print(f"[{last}] {line}", end="", flush=True)
                bad += line.startswith("  FAILED")
        if child.returncode in (0, 1):
            break
        bad += 1
        print(f"[{last}]   FAILED the process ended with {child.returncode}", flush=True)
        print(f"  {write(make_program(last, options.size), 0, Failure('crash', str(child.returncode)))}")
        at = last + 1
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.generator", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first program's seed")
    parser.add_argument("--count", type=int, default=20, help="how many programs")
    parser.add_argument("--size", type=int, default=3, help="statements a block and depth of nesting")
    parser.add_argument("--points", type=int, default=1, help="points at which each is tried")
    parser.add_argument("--shrink", type=float, default=60.0, help="seconds spent on making a failing program smaller")
    parser.add_argument("--print", action="store_true", help="only print the programs")
    parser.add_argument("--verbose", action="store_true", help="also say what is left out, and why")
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args()
    if options.print:
        for seed in range(options.seed, options.seed + options.count):
            print(f"# seed {seed}\n{make_program(seed, options.size).source}")
        return 0
    if options.here:
        return 1 if run_here(options.seed, options.count, options.size, options.points, options.shrink) else 0
    return run_apart(options)


if __name__ == "__main__":
    sys.exit(main())
