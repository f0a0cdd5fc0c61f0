"""Random programs whose threads branch and loop differently, against one thread after the other in Python."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest

from .kernels import module
from .running import launch

REGISTERS = 5
MASK = 0xFFFFFFFF
State = list[int]
OPS: dict[str, Callable[[int, int], int]] = {
    "add.u32": lambda a, b: a + b,
    "sub.u32": lambda a, b: a - b,
    "mul.lo.u32": lambda a, b: a * b,
    "xor.b32": lambda a, b: a ^ b,
    "min.u32": min,
    "shr.u32": lambda a, b: a >> min(b, 32),
}


class Program:
    """A program as PTX text and, beside it, as a Python function of one thread's registers."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.labels = 0
        self.text, self.run = self.block(3)

    def block(self, depth: int) -> tuple[str, Callable[[State], bool]]:
        parts = [self.statement(depth) for _ in range(self.rng.randint(1, 4))]

        def run(s: State) -> bool:
            return all(part[1](s) for part in parts)

        return "\n".join(part[0] for part in parts), run

    def label(self) -> str:
        self.labels += 1
        return f"L{self.labels}"

    def statement(self, depth: int) -> tuple[str, Callable[[State], bool]]:
        """Text, and a function that says whether the thread goes on."""
        rng = self.rng
        kind = rng.choice(["op"] * 4 + (["if", "loop", "guarded", "leave", "call"] if depth else ["guarded"]))
        d, a, b, limit = (rng.randrange(REGISTERS) for _ in range(4))
        bound = rng.randrange(0, 9)
        test = f"and.b32 %t, %r{a}, 7; setp.lt.u32 %p, %t, {bound};"
        if kind in ("op", "guarded"):
            name = rng.choice(list(OPS))
            work = OPS[name]
            guard = kind == "guarded"

            def operate(s: State) -> bool:
                if not guard or s[a] & 7 < bound:
                    s[d] = work(s[a], s[b]) & MASK
                return True

            return (f"{test} @%p " if guard else "") + f"{name} %r{d}, %r{a}, %r{b};", operate
        if kind == "leave":

            def leave(s: State) -> bool:
                return s[a] & 127 != 77

            return f"and.b32 %t, %r{a}, 127; setp.eq.u32 %p, %t, 77; @%p bra END;", leave
        if kind == "call":

            def called(s: State) -> bool:
                s[d] = s[a] * 2 + 1 & MASK if s[a] & 1 else s[a] ^ 0x55
                return True

            return (
                f"{{ .param .b32 g; .param .b32 h; st.param.b32 [g], %r{a};\n"
                f"call (h), f, (g); ld.param.b32 %r{d}, [h]; }}",
                called,
            )
        inner, run_inner = self.block(depth - 1)
        if kind == "if":
            other, run_other = self.block(depth - 1)
            yes, end = self.label(), self.label()

            def branch(s: State) -> bool:
                return run_inner(s) if s[a] & 7 < bound else run_other(s)

            return f"{test} @%p bra {yes};\n{other}\nbra {end};\n{yes}:\n{inner}\n{end}:", branch
        start, end = self.label(), self.label()

        def loop(s: State) -> bool:
            for _ in range(s[limit] & 3):
                if not run_inner(s):
                    return False
            return True

        count = f"%c{self.labels}"
        return (
            f"{{ .reg .b32 {count}; and.b32 {count}, %r{limit}, 3;\n"
            f"{start}: setp.eq.u32 %p, {count}, 0; @%p bra {end};\n"
            f"sub.u32 {count}, {count}, 1;\n{inner}\nbra {start};\n{end}: }}",
            loop,
        )


CALLED = """
.func (.param .b32 out) f(.param .b32 in) {
  .reg .b32 %r<3>; .reg .pred %p;
  ld.param.b32 %r0, [in]; and.b32 %r1, %r0, 1; setp.eq.u32 %p, %r1, 0;
  @%p bra even;
  mad.lo.u32 %r2, %r0, 2, 1; st.param.b32 [out], %r2; ret;
even: xor.b32 %r2, %r0, 0x55; st.param.b32 [out], %r2; ret;
}
"""


@pytest.mark.parametrize("seed", range(40))
def test_random_program(seed):
    program = Program(seed)
    blocks, threads = random.Random(seed).choice([(1, 1), (1, 2), (3, 5), (2, 33), (2, 100)])
    n = blocks * threads
    stride = 4 * REGISTERS
    loads = "\n".join(f"ld.global.b32 %r{k}, [%a1+{4 * k}];" for k in range(REGISTERS))
    stores = "\n".join(f"st.global.b32 [%a1+{4 * k}], %r{k};" for k in range(REGISTERS))
    body = f"""
      .reg .b32 %r<{REGISTERS}>; .reg .b32 %t; .reg .pred %p; .reg .b64 %a<2>; .reg .b32 %i<3>;
      ld.param.b64 %a0, [x]; mov.u32 %i0, %ctaid.x; mov.u32 %i1, %tid.x; mad.lo.u32 %i2, %i0, {threads}, %i1;
      mad.wide.u32 %a1, %i2, {stride}, %a0;
      {loads}
      {program.text}
    END:
      {stores}
      ret;"""
    x = np.random.default_rng(seed).integers(0, 2**32, (n, REGISTERS), np.uint32)
    want = x.tolist()
    for state in want:
        program.run(state)
    launch(module(body, ".param .u64 x", CALLED), "k", blocks, threads, x)
    assert x.tolist() == want
