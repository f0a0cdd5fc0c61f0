"""Grid kernels for tests of the engine: a kernel's MLIR with its launch, differentiated, run on the CPU and checked.

Forward mode is checked against central differences, reverse mode against forward mode by the dot-product identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tests.engine.harness import Compiled, differentiate, request

SHARED = "#gpu.address_space<workgroup>"
PRELUDE = """
      %t = gpu.thread_id x
      %b = gpu.block_id x
      %d = gpu.block_dim x
      %first = arith.muli %b, %d : index
      %i = arith.addi %first, %t : index
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      %zero = arith.constant 0.0 : f64
"""


@dataclass
class Grid:
    """A kernel and how it is launched.

    `arguments` are (name, type, active); `host` is the function's body with `LAUNCH` in it for the launch, where that
    is not all. `block` are the block's extents: a number, or "%bx" for an extent that is known at run time only.
    """

    arguments: list[tuple[str, str, bool]]
    body: str
    host: str = "LAUNCH"
    grid: tuple[object, ...] = ("%gx", 1, 1)
    block: tuple[object, ...] = ("%bx", 1, 1)
    width: int = 1
    prelude: str = PRELUDE
    extra: str = ""
    _made: dict[str, str] = field(default_factory=dict)

    def primal(self) -> str:
        names = ", ".join(f"%{name}" for name, _, _ in self.arguments)
        types = ", ".join(type for _, type, _ in self.arguments)
        arguments = ", ".join(f"%{name}: {type}" for name, type, _ in self.arguments)
        sizes = [s if isinstance(s, str) else f"%n{s}" for s in (*self.grid, *self.block)]
        numbers = "".join(
            f"%n{n} = arith.constant {n} : index\n"
            for n in {s for s in (*self.grid, *self.block) if isinstance(s, int)}
        )
        launch = f"""
        gpu.launch blocks(%b0, %b1, %b2) in (%g0 = {sizes[0]}, %g1 = {sizes[1]}, %g2 = {sizes[2]})
                   threads(%t0, %t1, %t2) in (%d0 = {sizes[3]}, %d1 = {sizes[4]}, %d2 = {sizes[5]}) {{
          func.call @k({names}) : ({types}) -> ()
          gpu.terminator
        }}"""
        return f"""
    func.func private @k({arguments}) {{
      {self.prelude}
      {self.body}
      return
    }}
    func.func @f(%gx: index, %bx: index, {arguments}) {{
      {numbers}
      {self.host.replace("LAUNCH", launch)}
      return
    }}
    {self.extra}"""

    def request(self, mode: str, extra: str = "") -> str:
        inputs, activity, outputs = ["index", "index"], ["const", "const"], []
        width = self.width
        moving = "f64" if width == 1 else f"vector<{width}xf64>"
        for _, type, active in self.arguments:
            inputs.append(type)
            if not active:
                activity.append("const")
            elif type.startswith("memref"):
                activity.append("duplicated")
                inputs += [type] * width
            elif mode == "forward":
                activity.append("duplicated")
                inputs.append(moving)
            else:
                activity.append("active")
                outputs.append(moving)
        signature = f"({', '.join(inputs)}) -> ({', '.join(outputs)})"
        more = f", autodiff.width = {width} : i64" if width > 1 else ""
        return request("df", mode, "f", signature, activity, [], f"{more}{extra}, autodiff.public")

    def derivative(self, mode: str) -> str:
        if mode not in self._made:
            self._made[mode] = differentiate(self.primal() + self.request(mode))
        return self._made[mode]

    def check(
        self, blocks: int, threads: int, values: list[object], seed: int = 0, step: float = 1e-3, tol: float = 1e-7
    ) -> None:
        """All of it, at `values` (one an argument)."""
        rng = np.random.default_rng(seed)
        active = [active for _, _, active in self.arguments]
        primal = Compiled(self.primal(), "f", 0)
        copy = lambda vs: [v.copy() if isinstance(v, np.ndarray) else v for v in vs]
        direction = [rng.normal(size=np.shape(v)) if a else None for v, a in zip(values, active)]

        def at(t):
            moved = [
                v + t * d if a else (v.copy() if isinstance(v, np.ndarray) else v)
                for v, d, a in zip(values, direction, active)
            ]
            primal(blocks, threads, *moved)
            return [m for m, a in zip(moved, active) if a and isinstance(m, np.ndarray)]

        points = [at(k * step) for k in (1, -1, 2, -2)]
        expected = [(8 * (a - b) - (c - d)) / (12 * step) for a, b, c, d in zip(*points)]

        forward = Compiled(self.derivative("forward"), "df", 0)
        tangents = copy(direction)
        arguments: list[object] = []
        for v, t, a in zip(copy(values), tangents, active):
            arguments += [v, t if isinstance(t, np.ndarray) and t.ndim else float(t)] if a else [v]
        forward(blocks, threads, *arguments)
        results = [t for t, v, a in zip(tangents, values, active) if a and isinstance(v, np.ndarray)]
        for found, wanted in zip(results, expected, strict=True):
            assert np.allclose(found, wanted, rtol=tol, atol=tol * max(1, np.abs(wanted).max())), np.abs(
                found - wanted
            ).max()

        scalars = [k for k, (v, a) in enumerate(zip(values, active)) if a and not isinstance(v, np.ndarray)]
        reverse = Compiled(self.derivative("reverse"), "df", len(scalars))
        seeds = [rng.normal(size=r.shape) for r in results]
        shadows = copy(seeds)
        rest = iter(shadows)
        arguments = []
        for v, a in zip(copy(values), active):
            arguments += [v, next(rest)] if a and isinstance(v, np.ndarray) else [v]
        gradients = reverse(blocks, threads, *arguments)
        left = sum(float(np.sum(s * r)) for s, r in zip(seeds, results, strict=True))
        moving = [d for d, v, a in zip(direction, values, active) if a and isinstance(v, np.ndarray)]
        right = sum(float(np.sum(s * d)) for s, d in zip(shadows, moving, strict=True))
        right += sum(g * float(direction[k]) for g, k in zip(gradients, scalars, strict=True))
        assert np.isclose(left, right, rtol=1e-9, atol=1e-9), (left, right)
