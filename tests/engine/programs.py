"""Random MLIR programs over scf, memref, arith and math: what the derivative engine is tried on besides our own
front-end.

`Program(choose)` writes the text of one function `@f(%a: f64, %b: f64, %x: memref<?xf64>, %y: memref<?xf64>, %m:
index) -> f64`, where `choose(n)` gives a number in range(n): from a seeded generator, or from hypothesis, which then
shrinks the program. Values stay in the range where every function used is smooth and well conditioned; branches
compare against thresholds that the tests keep away from.
"""

from __future__ import annotations

from collections.abc import Callable

HEAD = """func.func @f(%a: f64, %b: f64, %x: memref<?xf64>, %y: memref<?xf64>, %m: index) -> f64 {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c3 = arith.constant 3 : index
  %n = memref.dim %x, %c0 : memref<?xf64>
  %half = arith.constant 0.5 : f64
  %tenth = arith.constant 0.1 : f64
  %zero = arith.constant 0.0 : f64
"""
M = "memref<?xf64>"


class Program:
    """One random function; `text` is its MLIR."""

    def __init__(self, choose: Callable[[int], int], size: int = 12):
        self.choose = choose
        self.lines: list[str] = []
        self.count = 0
        self.depth = 0
        self.budget = size
        scalars, indices = ["%a", "%b"], ["%c0", "%c1"]
        self.memrefs = ["%x", "%y"]
        self.block(scalars, indices, ["%x", "%y"])
        value = self.pick(scalars)
        total = self.name()
        # Everything that memory holds at the end counts.
        self.line(f"{total} = scf.for %iz = %c0 to %n step %c1 iter_args(%tz = {value}) -> (f64) {{")
        self.line("  %xz = memref.load %x[%iz] : memref<?xf64>")
        self.line("  %yz = memref.load %y[%iz] : memref<?xf64>")
        self.line("  %wz = arith.mulf %xz, %yz : f64")
        self.line("  %sz = arith.addf %tz, %wz : f64")
        self.line("  scf.yield %sz : f64")
        self.line("}")
        self.line(f"return {total} : f64")
        self.text = HEAD + "\n".join("  " + line for line in self.lines) + "\n}\n"

    def name(self) -> str:
        self.count += 1
        return f"%v{self.count}"

    def line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    def pick(self, options: list[str]) -> str:
        # Late values first, so that chains come about.
        return options[-1 - min(self.choose(len(options)), self.choose(len(options)))]

    def block(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        for _ in range(2 + self.choose(4)):
            if self.budget <= 0:
                break
            self.budget -= 1
            kinds = [self.unary, self.binary, self.binary, self.load, self.load, self.store, self.store, self.copy]
            if self.depth < 3:
                kinds += [self.for_sum, self.for_memory, self.branch, self.while_loop, self.local, self.swap, self.view]
                kinds += [self.triangle, self.for_sum, self.for_memory]
            kinds[self.choose(len(kinds))](scalars, indices, memrefs)

    # straight-line code --------------------------------------------------------------------------------------------
    def bounded(self, value: str) -> str:
        """Keeps values in a moderate range: 1 + sin(v) / 2, so in (0.5, 1.5)."""
        s, h, one, r = self.name(), self.name(), self.name(), self.name()
        self.line(f"{s} = math.sin {value} : f64")
        self.line(f"{h} = arith.mulf {s}, %half : f64")
        self.line(f"{one} = arith.constant 1.0 : f64")
        self.line(f"{r} = arith.addf {h}, {one} : f64")
        return r

    def unary(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        functions = ["math.exp", "math.log", "math.sqrt", "math.tanh", "math.cos", "arith.negf", "math.atan"]
        source, result = self.bounded(self.pick(scalars)), self.name()
        self.line(f"{result} = {functions[self.choose(len(functions))]} {source} : f64")
        scalars.append(result)

    def binary(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        left, right = self.pick(scalars), self.pick(scalars)
        op = ["addf", "subf", "mulf", "divf"][self.choose(4)]
        if op in ("mulf", "divf"):
            right = self.bounded(right)
        result = self.name()
        self.line(f"{result} = arith.{op} {left}, {right} : f64")
        scalars.append(result)

    def index(self, indices: list[str]) -> str:
        """An index that is in range: (i * k + c) mod n, or one of the plain ones where it is known to be less than
        n.
        """
        i = self.pick(indices)
        if self.choose(2):
            return i
        k, c, q, r = self.name(), self.name(), self.name(), self.name()
        self.line(f"{k} = arith.muli {i}, %c{1 + self.choose(3)} : index")
        self.line(f"{c} = arith.addi {k}, %c{self.choose(4)} : index")
        self.line(f"{q} = arith.remui {c}, %n : index")
        self.line(f"{r} = arith.addi {q}, %c0 : index")
        return r

    def load(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        memref, i, result = self.pick(memrefs), self.index(indices), self.name()
        self.line(f"{result} = memref.load {memref}[{i}] : {M}")
        scalars.append(result)

    def store(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        value = self.bounded(self.pick(scalars)) if self.choose(4) else "%half"
        self.line(f"memref.store {value}, {self.pick(memrefs)}[{self.index(indices)}] : {M}")

    def copy(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        source, target = self.pick(memrefs), self.pick(memrefs)
        if source != target:
            self.line(f"memref.copy {source}, {target} : {M} to {M}")

    # structure -----------------------------------------------------------------------------------------------------
    def nested(
        self, scalars: list[str], indices: list[str], memrefs: list[str]
    ) -> tuple[list[str], list[str], list[str]]:
        inner = (list(scalars), list(indices), list(memrefs))
        self.depth += 1
        self.block(*inner)
        self.depth -= 1
        return inner

    def for_sum(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        """A loop with a carried scalar, bounded so that it stays in range."""
        result, i, carried = self.name(), self.name(), self.name()
        lower, upper, step = [("%c0", "%n", "%c1"), ("%c1", "%n", "%c2"), ("%c0", "%m", "%c1")][self.choose(3)]
        init = self.pick(scalars)
        head = f"{result} = scf.for {i} = {lower} to {upper} step {step} iter_args({carried} = {init}) -> (f64) {{"
        self.line(head)
        inner = self.nested([*scalars, carried], [*indices, *([i] if upper == "%n" else [])], memrefs)
        self.depth += 1
        end = self.bounded(self.pick(inner[0]))
        self.line(f"scf.yield {end} : f64")
        self.depth -= 1
        self.line("}")
        scalars.append(result)

    def for_memory(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        i = self.name()
        self.line(f"scf.for {i} = %c0 to %n step %c1 {{")
        self.depth += 1
        inner = ([*scalars], [*indices, i], list(memrefs))
        self.load(*inner)
        self.block(*inner)
        self.store(*inner)
        self.depth -= 1
        self.line("}")

    def triangle(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        """A loop whose trip count is another's counter: the tape cannot be sized beforehand."""
        i, j, outer, inner_result, c, d = (self.name() for _ in range(6))
        self.line(f"{outer} = scf.for {i} = %c0 to %n step %c1 iter_args({c} = {self.pick(scalars)}) -> (f64) {{")
        self.depth += 1
        self.line(f"{inner_result} = scf.for {j} = %c0 to {i} step %c1 iter_args({d} = {c}) -> (f64) {{")
        inner = self.nested([*scalars, c, d], [*indices, i, j], memrefs)
        self.depth += 1
        self.line(f"scf.yield {self.bounded(self.pick(inner[0]))} : f64")
        self.depth -= 1
        self.line("}")
        self.line(f"scf.yield {inner_result} : f64")
        self.depth -= 1
        self.line("}")
        scalars.append(outer)

    def branch(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        left, limit, condition, result = self.bounded(self.pick(scalars)), self.name(), self.name(), self.name()
        self.line(f"{limit} = arith.constant {0.7 + 0.2 * self.choose(4)} : f64")
        self.line(f"{condition} = arith.cmpf olt, {left}, {limit} : f64")
        self.line(f"{result} = scf.if {condition} -> (f64) {{")
        for last in (False, True):
            inner = self.nested(scalars, indices, memrefs)
            self.depth += 1
            self.line(f"scf.yield {self.pick(inner[0])} : f64")
            self.depth -= 1
            self.line("}" if last else "} else {")
        # A jump in value where the branch switches is allowed: the tests stay away from it.
        scalars.append(result)

    def while_loop(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        """Runs until the carried value has grown past a limit that depends on the data."""
        names = [self.name() for _ in range(10)]
        r, c, k, limit, go, few, both, c2, k2, one = names
        start = self.bounded(self.pick(scalars))
        self.line(f"{limit} = arith.constant {2.0 + self.choose(3)} : f64")
        self.line(f"{r}:2 = scf.while ({c} = {start}, {k} = %c0) : (f64, index) -> (f64, index) {{")
        self.line(f"  {go} = arith.cmpf olt, {c}, {limit} : f64")
        self.line(f"  {few} = arith.cmpi ult, {k}, %n : index")
        self.line(f"  {both} = arith.andi {go}, {few} : i1")
        self.line(f"  scf.condition({both}) {c}, {k} : f64, index")
        self.line("} do {")
        self.line(f"^bb0({c2}: f64, {k2}: index):")
        inner = self.nested([*scalars, c2], [*indices, k2], memrefs)
        self.depth += 1
        grown, factor = self.name(), self.bounded(self.pick(inner[0]))
        self.line(f"{grown} = arith.addf {c2}, {factor} : f64")
        self.line(f"{one} = arith.addi {k2}, %c1 : index")
        self.line(f"scf.yield {grown}, {one} : f64, index")
        self.depth -= 1
        self.line("}")
        scalars.append(f"{r}#0")

    # memory --------------------------------------------------------------------------------------------------------
    def local(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        """A local array, filled."""
        buffer, i, v, w = self.name(), self.name(), self.name(), self.name()
        value = self.pick(scalars)
        self.line(f"{buffer} = memref.alloc(%n) : {M}")
        self.line(f"scf.for {i} = %c0 to %n step %c1 {{")
        self.line(f"  {v} = memref.load {self.pick(memrefs)}[{i}] : {M}")
        self.line(f"  {w} = arith.mulf {v}, {value} : f64")
        self.line(f"  memref.store {w}, {buffer}[{i}] : {M}")
        self.line("}")
        memrefs.append(buffer)

    def swap(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        """Two buffers that a loop carries and swaps; sometimes a new one is allocated in each iteration."""
        u, v, r, t, p, q, i, a, s, w = (self.name() for _ in range(10))
        self.line(f"{u} = memref.alloc(%n) : {M}")
        self.line(f"{v} = memref.alloc(%n) : {M}")
        self.line(f"memref.copy {self.pick(memrefs)}, {u} : {M} to {M}")
        self.line(f"memref.copy {self.pick(memrefs)}, {v} : {M} to {M}")
        self.line(f"{r}:2 = scf.for {t} = %c0 to %c3 step %c1 iter_args({p} = {u}, {q} = {v}) -> ({M}, {M}) {{")
        self.depth += 1
        target = q
        if self.choose(2):
            target = self.name()
            self.line(f"{target} = memref.alloc(%n) : {M}")
        value = self.pick(scalars)
        self.line(f"scf.for {i} = %c0 to %n step %c1 {{")
        self.line(f"  {a} = memref.load {p}[{i}] : {M}")
        self.line(f"  {s} = math.sin {a} : f64")
        self.line(f"  {w} = arith.addf {s}, {value} : f64")
        self.line(f"  memref.store {w}, {target}[{i}] : {M}")
        self.line("}")
        self.line(f"scf.yield {target}, {p} : {M}, {M}")
        self.depth -= 1
        self.line("}")
        memrefs.append(f"{r}#0")

    def view(self, scalars: list[str], indices: list[str], memrefs: list[str]) -> None:
        """A shifted view of an array, written through."""
        size, tail, i, v, w, l = (self.name() for _ in range(6))
        strided = "memref<?xf64, strided<[1], offset: 1>>"
        source = self.pick(memrefs)
        self.line(f"{size} = arith.subi %n, %c1 : index")
        self.line(f"{tail} = memref.subview {source}[1] [{size}] [1] : {M} to {strided}")
        self.line(f"scf.for {i} = %c0 to {size} step %c1 {{")
        self.line(f"  {v} = memref.load {tail}[{i}] : {strided}")
        self.line(f"  {l} = memref.load {source}[{i}] : {M}")
        self.line(f"  {w} = arith.mulf {v}, {l} : f64")
        self.line(f"  memref.store {w}, {tail}[{i}] : {strided}")
        self.line("}")
