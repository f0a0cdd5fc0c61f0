"""A generated program as a file: the module that the compiled kernel is taken from, and, run by itself, a bug report.

Run, the file prints the value from Python and from the compiled kernel, and for each input the derivative by central
differences, by forward and by reverse mode."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tests.generator.dual import is_float
from tests.generator.layout import literal
from tests.generator.program import ENTRY, Program

HEAD = '''"""Generated, seed {seed}, point {point}.{note}"""

import math

import numpy as np

import dsl

'''

MAIN = '''

ARGUMENTS = {{
{arguments}
}}
ACTIVE = {active!r}
WEIGHTS = {weights}  # of each active array as it is at the end; a returned float's is 1


def outputs(kernel, arguments):
    """The weighted sum of all outputs, from the kernel or from its undecorated function."""
    values = [v.copy() if isinstance(v, np.ndarray) else v for v in arguments]
    returned = kernel(*values)
    total = returned if isinstance(returned, (int, float)) else 0.0
    for name, value in zip(ARGUMENTS, values):
        if name in WEIGHTS:
            total += float(np.sum(WEIGHTS[name] * value))
    return total


def central_differences(arguments, position):
    """The derivative of the outputs by one argument."""
    value = arguments[position]
    differences = np.empty(np.shape(value))
    for at in np.ndindex(np.shape(value)):
        step = np.zeros(np.shape(value))
        step[at] = 1e-4

        def along(t):
            moved = value + t * step
            moved = float(moved) if isinstance(value, float) else moved
            return outputs({entry}.fn, arguments[:position] + [moved] + arguments[position + 1 :])

        differences[at] = (8 * (along(1) - along(-1)) - (along(2) - along(-2))) / 12e-4
    return differences


def main():
    from dsl import Active, Const, Duplicated, Reverse, autodiff

    arguments = list(ARGUMENTS.values())
    print("python   ", outputs({entry}.fn, arguments))
    print("compiled ", outputs({entry}, arguments))
    active = [position for position, name in enumerate(ARGUMENTS) if name in ACTIVE]
    differences = {{position: central_differences(arguments, position) for position in active}}
    marked = [Const(value) for value in arguments]
    for position in active:
        value = arguments[position]
        name = list(ARGUMENTS)[position]
        marked[position] = Active(value) if isinstance(value, float) else Duplicated(value, WEIGHTS[name])
    result = autodiff(Reverse, {entry}, {returns}, *marked)
    for position in active:
        got = result[0][position] if isinstance(arguments[position], float) else marked[position].dval
        print(list(ARGUMENTS)[position], "differences", differences[position].tolist())
        print(list(ARGUMENTS)[position], "reverse    ", np.asarray(got).tolist())


if __name__ == "__main__":
    main()
'''


def module_text(program: Program, point: int, note: str = "") -> str:
    """The file: imports, the program with each function a kernel, and a main that shows what differs."""
    decorated = re.sub(r"^def ", "@dsl.kernel\ndef ", program.source, flags=re.MULTILINE)
    decorated = decorated.replace(f"@dsl.kernel\ndef {ENTRY}(", f"@dsl.kernel{program.options}\ndef {ENTRY}(")
    arguments = program.arguments(point)
    listed = "\n".join(
        f"    {p.name!r}: {literal(v) if isinstance(v, np.ndarray) else repr(v)},"
        for p, v in zip(program.params, arguments)
    )
    arrays = seeds(program, point)
    main = MAIN.format(
        arguments=listed,
        active=[p.name for p in program.params if p.active],
        weights="{" + ", ".join(f"{name!r}: {literal(v)}" for name, v in arrays.items()) + "}",
        entry=ENTRY,
        returns="Active" if program.returns == "f" else "Const",
    )
    head = HEAD.format(seed=program.seed, point=point, note="\n\n" + note if note else "")
    return head + decorated + main


def seeds(program: Program, point: int) -> dict[str, np.ndarray]:
    """The cotangents that reverse mode starts from, of each active array; a returned float's is 1."""
    rng = np.random.default_rng([program.seed, point, 7])
    active = [p for p in program.params if p.active and p.var.kind in "vm"]
    return {p.name: p.array(np.round(rng.uniform(-1, 1, p.var.size), 3)) for p in active}


def directions(program: Program, point: int, arguments: list[Any]) -> list[Any]:
    """The tangents that forward mode is tried along: like the arguments where they are active, else None."""
    rng = np.random.default_rng([program.seed, point, 8])
    out: list[Any] = []
    for p, v in zip(program.params, arguments):
        if not p.active or not is_float(v):
            out.append(None)
        elif isinstance(v, np.ndarray):
            out.append(p.array(np.round(rng.uniform(-1, 1, v.shape), 3)))
        else:
            out.append(float(np.round(rng.uniform(-1, 1), 3)))
    return out
