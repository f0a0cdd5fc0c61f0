"""Windows of launches against a look at every thread; the order of chunks against their windows."""

from __future__ import annotations

import operator
import random

import numpy as np
import pytest
from mlir.ir import Context, InsertionPoint, Location, Module

from lowering.grid.chunks import library
from lowering.grid.emit import Emitter, plain, walk
from lowering.grid.windows import EVERYTHING, Host, Reach
from tests.lowering.harness import compiled

GRID, BLOCK = (5, 3, 2), (4, 2, 1)
index = np.int64


class Expression:
    """A random index: MLIR text, and its value for a thread's variables."""

    def __init__(self, seed: int):
        self.choice, self.lines, self.values = random.Random(seed), [], []
        for name, axis in (("b", 0), ("b", 1), ("t", 0), ("t", 1)):
            op = "block_id" if name == "b" else "thread_id"
            self.put(f"gpu.{op} {'xyz'[axis]}", lambda at, name=name, axis=axis: at[name][axis])
        self.put("arith.addi %n, %zero : index", lambda at: at["n"])
        for _ in range(self.choice.randrange(2, 9)):
            self.step()

    def put(self, text: str, value) -> int:
        self.values.append(value)
        self.lines.append(f"%v{len(self.values) - 1} = {text}")
        return len(self.values) - 1

    def constant(self, value: int) -> int:
        return self.put(f"arith.constant {value} : index", lambda at: value)

    def pick(self) -> int:
        if self.choice.random() < 0.3:
            return self.constant(self.choice.choice([-3, -1, 0, 1, 2, 4, 7]))
        return self.choice.randrange(len(self.values))

    def step(self) -> None:
        i, j = self.pick(), self.pick()
        a, b = self.values[i], self.values[j]
        kind = self.choice.choice(["addi", "subi", "muli", "minsi", "maxsi", "remsi", "divsi", "select", "shli"])
        if kind in ("remsi", "divsi"):
            by = self.choice.choice([2, 3, 5])
            j = self.constant(by)
            rules = {"divsi": lambda at: int(a(at) / by), "remsi": lambda at: a(at) - by * int(a(at) / by)}
            self.put(f"arith.{kind} %v{i}, %v{j} : index", rules[kind])
        elif kind == "shli":
            j = self.constant(2)
            self.put(f"arith.shli %v{i}, %v{j} : index", lambda at: a(at) * 4)
        elif kind == "select":
            name = self.choice.choice(["slt", "sle", "sgt", "sge", "eq", "ne"])
            test = getattr(operator, name[-2:])
            c, d = self.pick(), self.pick()
            x, y = self.values[c], self.values[d]
            self.lines.append(f"%c{len(self.values)} = arith.cmpi {name}, %v{c}, %v{d} : index")
            where = len(self.values)
            text = f"arith.select %c{where}, %v{i}, %v{j} : index"
            self.put(text, lambda at: a(at) if test(x(at), y(at)) else b(at))
        else:
            rule = {
                "addi": lambda at: a(at) + b(at), "subi": lambda at: a(at) - b(at), "muli": lambda at: a(at) * b(at),
                "minsi": lambda at: min(a(at), b(at)), "maxsi": lambda at: max(a(at), b(at)),
            }[kind]  # fmt: skip
            self.put(f"arith.{kind} %v{i}, %v{j} : index", rule)


def window_function(expression: Expression) -> str:
    """@f(first, last, n, out): the window of an expression for these blocks."""
    body = "\n        ".join(expression.lines)
    text = f"""
    func.func @f(%first: index, %last: index, %n: index, %out: memref<?xindex>) {{
      %zero = arith.constant 0 : index
      %one = arith.constant 1 : index
      %g0 = arith.constant {GRID[0]} : index
      %g1 = arith.constant {GRID[1]} : index
      %g2 = arith.constant {GRID[2]} : index
      %d0 = arith.constant {BLOCK[0]} : index
      %d1 = arith.constant {BLOCK[1]} : index
      gpu.launch blocks(%b0, %b1, %b2) in (%x0 = %g0, %x1 = %g1, %x2 = %g2)
                 threads(%t0, %t1, %t2) in (%y0 = %d0, %y1 = %d1, %y2 = %one) {{
        {body}
        memref.store %zero, %out[%v{len(expression.values) - 1}] : memref<?xindex>
        gpu.terminator
      }}
      return
    }}"""
    with Context(), Location.unknown():
        module = Module.parse(text)
        launch = next(op for op in walk(module.operation) if op.name == "gpu.launch")
        store = next(op for op in walk(launch) if op.name == "memref.store")
        reach, e = Reach(launch), Emitter(InsertionPoint(launch), launch.location)
        first, last, n, out = plain(launch.parent).regions[0].blocks[0].arguments
        constant = next(iter(store.operands))
        at = store.operands[2]
        assert reach.known(at)
        host = Host(e, reach, list(launch.operands), {v: v for v in (n, out, constant)}, first, last)
        for k, end in enumerate(host.window([at])):
            e.op("memref.store", [end, out, e.integer(k)])
        launch.erase()
        return str(module)


@pytest.mark.parametrize("seed", range(12))
def test_no_thread_is_outside_of_the_window(seed):
    expression = Expression(seed)
    window = compiled(window_function(expression))
    blocks = [(x, y, z) for z in range(GRID[2]) for y in range(GRID[1]) for x in range(GRID[0])]
    for first, last, n in ((0, 0, 3), (3, 7, 5), (5, 9, 1), (10, 29, 4), (0, 29, 2)):
        out = np.zeros(2, index)
        window(index(first), index(last), index(n), out)
        reached = [
            expression.values[-1]({"b": b, "t": (x, y), "n": n})
            for b in blocks[first : last + 1]
            for x in range(BLOCK[0])
            for y in range(BLOCK[1])
        ]
        assert out[0] <= min(reached) <= max(reached) <= out[1]
        if len(expression.lines) == 5:
            assert [*out] == [min(reached), max(reached)]


def test_what_overflows_may_be_anywhere():
    expression = Expression(0)
    for _ in range(3):
        at = len(expression.values) - 1
        expression.put(f"arith.muli %v4, %v{4 if not _ else at} : index", lambda at: 0)
    out = np.zeros(2, index)
    compiled(window_function(expression))(index(0), index(1), index(2**20), out)
    assert [*out] == [-EVERYTHING, EVERYTHING]


def test_chunks_of_a_phase_do_not_meet():
    with Context(), Location.unknown():
        text = str(library()).replace("func.func private @dsl.phases", "func.func @f")
    phases = compiled(text, results=("index", "index", "index"))
    rng = np.random.default_rng(3)
    for trial in range(30):
        count, arrays, axes = rng.integers(1, 12), rng.integers(1, 3), rng.integers(1, 3)
        least = np.sort(rng.integers(0, 40, (count, arrays, axes)), axis=0)
        windows = np.stack([least, least + rng.integers(0, 2 + trial, least.shape)], -1).astype(index)
        order = np.zeros(count, index)
        counts = phases(windows, order)
        assert sum(counts) == count and sorted(order) == list(range(count))
        for part in np.split(order, np.cumsum(counts)[:-1])[:2]:
            for c in part:
                for d in part[part != c]:
                    overlap = (windows[c, ..., 0] <= windows[d, ..., 1]) & (windows[d, ..., 0] <= windows[c, ..., 1])
                    assert not overlap.all(axis=-1).any()
