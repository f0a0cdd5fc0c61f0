"""Random grid kernels without races, whose derivatives exist, as cases to be differentiated.

Roles: `x` and `w` are read anywhere; `y` belongs to the threads, each has its cells; `out` gets atomic sums; `s` is
memory of the block, in which each thread writes its own cell, and reads any between barriers. Branches and trip counts
depend on `p`, whole numbers that are no argument of the derivative.

    python -m tests.gpu.random_kernels 100 200     # kernels number 100 to 199
"""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np

import dsl

from .corpus import Case

BLOCKS, THREADS = 2, 32
SIZE = BLOCKS * THREADS


class Writer:
    """Writes one kernel; all that it chooses comes from `choice`."""

    def __init__(self, seed: int):
        self.choice = random.Random(seed)
        self.lines: list[str] = []
        self.names = ["a", "b"]
        self.count = 0

    def add(self, depth: int, text: str) -> None:
        self.lines.append("    " * (depth + 1) + text)

    def index(self) -> str:
        """Any place in `x` or `w`."""
        k = self.choice.randrange(1, 9)
        return self.choice.choice(["i", "i", f"(i + {k}) % {SIZE}", f"{k}", "p[i]", f"(i * {k}) % {SIZE}"])

    def value(self, depth: int = 0) -> str:
        c = self.choice
        kind = c.randrange(9 if depth < 3 else 4)
        if kind < 2:
            return c.choice(self.names)
        if kind == 2:
            return f"{c.choice('xw')}[{self.index()}]"
        if kind == 3:
            return c.choice(["y[i]", "c", f"{c.uniform(-1, 1):.2f}"])
        if kind < 6:
            return f"({self.value(depth + 1)} {c.choice(['+', '-', '*'])} {self.value(depth + 1)})"
        if kind == 6:
            return f"np.sin({self.value(depth + 1)})"
        if kind == 7:
            return f"np.cos({self.value(depth + 1)} * {self.value(depth + 1)})"
        return f"({self.value(depth + 1)} / (2.0 + np.cos({self.value(depth + 1)})))"

    def small(self) -> str:
        return f"np.sin({self.value()})"

    def statements(self, depth: int, count: int, together: bool) -> None:
        """`together`: all threads of the block are here, and may meet."""
        for _ in range(count):
            self.statement(depth, together)

    def statement(self, depth: int, together: bool) -> None:
        c = self.choice
        kind = c.choice(
            ["name", "name", "y", "x local", "atomic"]
            + ["if", "loop", "while"] * (depth < 3)
            + ["shared", "shared", "shuffle", "uniform loop", "uniform if"] * (together and depth < 3)
        )
        getattr(self, kind.replace(" ", "_"))(depth, together)

    def name(self, depth: int, together: bool) -> None:
        self.add(depth, f"{self.choice.choice('ab')} = {self.small()}")

    def y(self, depth: int, together: bool) -> None:
        self.add(depth, f"y[i] {self.choice.choice(['=', '+=', '*='])} {self.small()}")

    def x_local(self, depth: int, together: bool) -> None:
        k = self.choice.randrange(3)
        self.add(depth, f"m[{k}] = {self.small()}")
        self.add(depth, f"{self.choice.choice('ab')} = m[{self.choice.choice(['0', '1', '2', 'p[i] % 3'])}]")

    def atomic(self, depth: int, together: bool) -> None:
        where = self.choice.choice(["0", "p[i] % 5", "t % 5"])
        self.add(depth, f"dsl.atomic_add(out, {where}, {self.small()})")

    def if_(self, depth: int, together: bool, condition: str = "") -> None:
        condition = condition or self.choice.choice(["p[i] > 30", "t < 7", "i % 3 == 0", f"p[{self.index()}] % 2 == 1"])
        uniform = condition.startswith("n")
        self.add(depth, f"if {condition}:")
        self.statements(depth + 1, self.choice.randrange(1, 3), together and uniform)
        if self.choice.random() < 0.5:
            self.add(depth, "else:")
            self.statements(depth + 1, self.choice.randrange(1, 3), together and uniform)

    def uniform_if(self, depth: int, together: bool) -> None:
        self.if_(depth, together, self.choice.choice(["n > 2", "n == 0", "n < 5"]))

    def loop(self, depth: int, together: bool, trips: str = "") -> None:
        self.count += 1
        trips = trips or self.choice.choice(["3", "n", "p[i] % 4", "t % 3"])
        self.add(depth, f"for k{self.count} in range({trips}):")
        self.statements(depth + 1, self.choice.randrange(1, 4), together and trips in ("2", "n"))

    def uniform_loop_(self, depth: int, together: bool) -> None:
        self.loop(depth, together, self.choice.choice(["2", "n"]))

    def while_(self, depth: int, together: bool) -> None:
        self.count += 1
        q = f"q{self.count}"
        self.add(depth, f"{q} = p[i] % 5")
        self.add(depth, f"while {q} > 0:")
        self.statements(depth + 1, self.choice.randrange(1, 3), False)
        self.add(depth + 1, f"{q} -= {self.choice.choice(['1', '2'])}")

    def shared(self, depth: int, together: bool) -> None:
        self.add(depth, f"s[t] {self.choice.choice(['=', '='])} {self.small()}")
        self.add(depth, "dsl.syncthreads()")
        k = self.choice.randrange(1, 31)
        where = self.choice.choice([f"(t + {k}) % {THREADS}", f"{THREADS - 1} - t", f"{k}", f"p[i] % {THREADS}"])
        self.add(depth, f"{self.choice.choice('ab')} = s[{where}] * {self.value()}")
        self.add(depth, "dsl.syncthreads()")

    def shuffle(self, depth: int, together: bool) -> None:
        mode = self.choice.choice(["down", "up", "xor", "sync"])
        lane = self.choice.choice(["1", "5", "16"]) if mode != "sync" else self.choice.choice(["0", "p[i] % 32"])
        self.add(depth, f"{self.choice.choice('ab')} = dsl.shfl_{mode}({self.small()}, {lane})")


for _name in ("if", "while", "uniform_loop"):
    setattr(Writer, _name, getattr(Writer, _name + "_"))


def source(seed: int) -> str:
    """The text of kernel number `seed`."""
    writer = Writer(seed)
    writer.statements(0, writer.choice.randrange(3, 8), True)
    head = [
        "def kernel(x, w, y, out, c, p, n):",
        "    i = dsl.grid(1)",
        "    t = dsl.thread_idx.x",
        f"    s = dsl.shared_array({THREADS}, dsl.float64)",
        "    m = dsl.local_array(3, dsl.float64)",
        "    a = x[i]",
        "    b = w[i]",
        "    m[0] = a",
        "    m[1] = b",
        "    m[2] = a * b",
        "    s[t] = 0.0",
    ]
    return "\n".join([*head, *writer.lines, "    y[i] += a * b + m[1]"]) + "\n"


def arguments(rng: np.random.Generator) -> tuple[Any, ...]:
    x, w, y = rng.normal(size=(3, SIZE))
    return x, w, y, rng.normal(size=5), 0.7, rng.integers(0, SIZE, size=SIZE), int(rng.integers(1, 4))


def case(seed: int) -> Case:
    kernel = dsl.kernel(source=source(seed), constants={"dsl": dsl, "np": np})
    return Case(
        f"random{seed}", kernel, BLOCKS, THREADS, arguments, lambda *a: None, tuple("xwy") + ("out", "c"), ("y", "out")
    )


if __name__ == "__main__":
    from .differentiate import check

    for number in range(*map(int, sys.argv[1:3])):
        try:
            check(case(number))
        except Exception as error:
            print(f"--- {number}: {type(error).__name__}: {str(error)[:500]}\n{source(number)}", flush=True)
