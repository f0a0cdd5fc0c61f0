"""Random programs over arrays, run as kernels and as Python: the same results, the same writes, the same exceptions.

Slices overlap, names alias, shapes clash and indices run out of range; what the compiler refuses is not counted.
"""

from __future__ import annotations

import linecache
import random
import warnings

import numpy as np
import pytest

import dsl
from dsl import errors


class Programs:
    """A source of random programs; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def slice(self) -> str:
        def bound() -> str:
            return self.pick("", "", "", "", str(self.random.randint(-5, 5)), "n", "m", "-n")

        return f"{bound()}:{bound()}" + self.pick("", "", "", "", ":-1", ":2", ":-2", ":s")

    def index(self) -> str:
        return self.pick(self.slice(), self.slice(), self.slice(), "0", "-1", "n", "1", "-3")

    def array(self, depth: int) -> str:
        p = self.pick
        if depth <= 0:
            return p("a", "b", "c", "A", "B", "w")
        one, two, number = self.array(depth - 1), self.array(depth - 1), self.number(depth - 1)
        operator = p("+", "-", "*", "/", "//", "%", "<", "==", "**")
        return p(
            f"a[{self.slice()}]",
            f"A[{self.index()}, {self.index()}]",
            f"A[{self.index()}]",
            f"b[{self.slice()}][{self.slice()}]",
            f"({one} {operator} {two})",
            f"({one} {operator} {number})",
            f"np.where({one} > {number}, {two}, {one})",
            f"np.{p('sin', 'abs', 'square', 'negative', 'sqrt', 'floor')}({one})",
            f"{p('A', 'B', '(A * 2)')}.T",
            f"{p('A', 'B')}.{p('sum', 'mean', 'max', 'argmax', 'prod')}(axis={p('0', '1', '-1')})",
            f"a[{p('None, :', ':, None')}]",
            f"({p('A', 'B', 'A.T')} @ {p('a', 'b', 'A', 'B.T')})",
        )

    def number(self, depth: int) -> str:
        p = self.pick
        if depth <= 0:
            return p("2", "-1", "0.5", "x", "n", "1.5")
        return p(
            f"a[{p('0', '-1', 'n', '2')}]",
            f"np.{p('sum', 'mean', 'max', 'min')}({self.array(depth - 1)})",
            f"A[{p('0', '-1')}, {p('n', '1')}]",
            f"({self.number(depth - 1)} {p('+', '-', '*')} {self.number(depth - 1)})",
        )

    def statement(self) -> str:
        p = self.pick
        value = p(self.array(2), self.array(1), self.number(1))
        return p(
            f"w = {self.array(2)}",
            f"x = {self.number(2)}",
            f"{p('a', 'b')}[{self.slice()}] {p('=', '+=', '*=')} {value}",
            f"{p('a', 'b')}[{self.slice()}] {p('=', '=', '-=')} {value}",
            f"{p('A', 'B')}[{self.index()}] {p('=', '+=', '*=')} {value}",
            f"A[{self.index()}, {self.index()}] {p('=', '+=')} {value}",
            f"{p('a', 'b', 'A', 'c')} {p('+=', '-=', '*=')} {value}",
            f"b = {p('a[::-1]', 'a', 'A[0]', 'A[:, 1]', 'a[1:]', 'b[::2]')}",
            f"A = {p('B', 'A.T', 'A[::-1]', 'A * 1')}",
        )

    def program(self) -> str:
        body = [self.statement() for _ in range(self.random.randint(1, 5))]
        if self.random.random() < 0.3:
            place = self.random.randrange(len(body))
            body[place:place] = ["for i in range(3):", "    a[i] = a[i] * 2 + i"]
            body[place + 2] = "    " + body[place + 2]
        lines = ["def k(a, b, c, A, B, x, n, m, s):", "    w = a", *("    " + line for line in body)]
        return "\n".join([*lines, "    return a, b, A, w, x", ""])


def arguments(seed: int) -> list:
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(3), rng.standard_normal(3), np.arange(1, 4)]
    arrays += [rng.standard_normal((3, 3)), rng.standard_normal((3, 3))]
    return [*arrays, 0.75, int(rng.integers(0, 3)), int(rng.integers(1, 4)), int(rng.choice([1, 2, -1, -2]))]


def outcome(function, args):
    """The result, or the exception."""
    try:
        return function(*args), None
    except errors.CompileError as error:
        return None, error
    except Exception as error:
        return None, error


@pytest.mark.parametrize("seed", range(8))
def test_kernels_do_what_python_does(seed):
    programs = Programs(seed)
    compared = 0
    for number in range(8):
        text = programs.program()
        name = f"<random program {seed}.{number}>"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        space = {"np": np}
        exec(compile(text, name, "exec"), space)
        of_python, of_kernel = arguments(number), arguments(number)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            expected, failure = outcome(space["k"], of_python)
            actual, error = outcome(dsl.kernel(space["k"], boundscheck=True), of_kernel)
        if isinstance(error, errors.CompileError):
            continue
        if failure is not None:
            assert type(error).__name__ == type(failure).__name__, (text, failure, error)
            continue
        if isinstance(error, ZeroDivisionError):
            continue  # where NumPy warns, and gives 0
        assert error is None, (text, error)
        for one, other in zip((*expected, *of_python), (*actual, *of_kernel)):
            assert np.shape(one) == np.shape(other), text
            np.testing.assert_allclose(other, one, rtol=1e-9, equal_nan=True, err_msg=text)
        compared += 1
    assert compared
