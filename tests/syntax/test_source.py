"""The text and place of functions and lambdas, wherever they stand."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dsl
from dsl import errors
from dsl.syntax.source import Source, source_of

if True:
    from math import pi

HERE = __file__

# The layout of what follows is what is tested.
# fmt: off


def plain(x, y=1):  # a comment (with a bracket
    """A docstring
def not_me():
    """
    return (x +
y)  # back at the margin, within brackets

    # the end


def one_line(x): return x * 2
AFTER = 1


def decorated_many(a: Any = None, b: Any = None) -> Callable[[Any], Any]:
    return lambda f: f


@decorated_many(
    a=lambda x: (x),
    b="def wrong(x): return",
)
@decorated_many(a={"def": 1})
def decorated(x):
    return x


class Outer:
    class Inner:
        @staticmethod
        def method(x):
            if x:
                return 1
            return 2

        x = 5

    @dsl.kernel
    def kernel(self, x):
        return x


def text_of(fn: Any) -> str:
    source = source_of(fn)
    check_place(source)
    return source.text


def check_place(source: Source) -> None:
    """Whether the text stands where its source says."""
    lines = Path(source.file).read_text(encoding="utf-8").split("\n")
    found = "\n".join([lines[source.line - 1][source.col - 1 :], *lines[source.line :]])
    assert found.startswith(source.text.rstrip("\n"))


def test_def() -> None:
    text = text_of(plain)
    assert text.startswith("def plain(x, y=1):") and text.endswith("y)  # back at the margin, within brackets\n")
    assert text_of(one_line) == "def one_line(x): return x * 2\n"


def test_decorators_are_left_out() -> None:
    assert text_of(decorated) == "def decorated(x):\n    return x\n"


def test_methods_keep_their_indentation() -> None:
    text = text_of(Outer.Inner.method)
    assert text.startswith("        def method(x):") and text.endswith("            return 2\n")
    assert Outer.kernel.loc[1:3] == (Outer.kernel.fn.__code__.co_firstlineno + 1, 5)


def test_nested() -> None:
    def inner(x):
        def innermost(y):
            return y
        # a comment

        return x

    assert text_of(inner).endswith("        return x\n")

    if True:
        def deeper(x):
            return x
    else:
        pass
    assert text_of(deeper) == "        def deeper(x):\n            return x\n"


def test_async_is_seen_by_the_parser() -> None:
    async def later(x):
        return x

    from dsl.syntax.parser import parse

    source = source_of(later)
    with pytest.raises(errors.UnsupportedSyntax, match="async"):
        parse(source.text, source.file, source.line, source.col)


def test_lambda() -> None:
    f = lambda x: x * 2
    assert text_of(f) == "lambda x: x * 2"


def call(*functions: Any, **named: Any) -> tuple[Any, ...]:
    return (*functions, *named.values())


def test_lambda_with_methods_of_modules_and_values() -> None:
    """Python compiles `m.f()` in two ways, by whether this file imports m."""
    m, value = math, 1.5
    fs = call(lambda x: math.sin(x), lambda x: m.sin(x), lambda x: np.linalg.norm(x),
              lambda: value.hex(), lambda: pi.hex())
    texts = [text_of(f).partition(": ")[2] for f in fs]
    assert texts == ["math.sin(x)", "m.sin(x)", "np.linalg.norm(x)", "value.hex()", "pi.hex()"]


def test_lambdas_on_one_line() -> None:
    f, g, h = call(lambda x: x * 2, lambda x: x * 3, k=lambda y: y * 2)
    assert [text_of(f), text_of(g), text_of(h)] == ["lambda x: x * 2", "lambda x: x * 3", "lambda y: y * 2"]


def test_equal_lambdas_on_one_line() -> None:
    é, (f, g) = 1, call(lambda x: x + 1, lambda x: x + 1)
    assert text_of(f) == text_of(g) == "lambda x: x + 1"
    if sys.version_info >= (3, 11):
        assert source_of(f).col < source_of(g).col


def test_lambda_within_lambda() -> None:
    f = lambda x: (lambda y: x + y)
    g = f(1)
    assert text_of(f) == "lambda x: (lambda y: x + y)"
    assert text_of(g) == "lambda y: x + y"


def test_lambdas_that_differ_in_constants_or_names_only() -> None:
    a = b = 1
    fs = call(lambda x: x + 1, lambda x: x + 1.0, lambda x: x + True, lambda x: x + a, lambda x: x + b)
    assert [text_of(f)[10:] for f in fs] == ["x + 1", "x + 1.0", "x + True", "x + a", "x + b"]


def test_lambda_over_lines() -> None:
    f, g = call(
        lambda x, y=(
            1
        ): x  # one
        + y,
        lambda x:
            x[
                0
            ],
    )
    assert text_of(f) == "lambda x, y=(\n            1\n        ): x  # one\n        + y"
    assert text_of(g).startswith("lambda x:\n            x[\n")


def test_lambda_with_defaults() -> None:
    fs = [lambda x, a=i: x * a for i in range(3)]
    assert {text_of(f) for f in fs} == {"lambda x, a=i: x * a"}


def test_no_text() -> None:
    namespace: dict[str, Any] = {}
    exec("def f(x): return x\ng = lambda x: x", namespace)
    for name in "fg":
        with pytest.raises(errors.SourceError, match=r"dsl.kernel\(source=") as caught:
            source_of(namespace[name])
        assert isinstance(caught.value, OSError)


def write(path: Path, text: str) -> Any:
    path.write_text(textwrap.dedent(text))
    namespace: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return namespace


def test_a_changed_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "changed.py"
    made = write(path, "def f(x):\n    return x\n\ng = lambda x: x + 1\n\ndef h(x):\n    y = x\n    return y\n")
    path.write_text("def other(x):\n    return x\n\ng = lambda x: x + 2\n\ndef h(x):\n    return x\n")
    for name in "fgh":
        with pytest.raises(errors.SourceError, match="changed"):
            source_of(made[name])


def test_a_changed_body_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "changed.py"
    text = """\
import math
def outer(a):
    def f(x: int, y=a):
        return math.floor(x * a) + 1
    return f
"""
    f = write(path, text)["outer"](3)
    assert source_of(f).line == 3
    f = write(path, text)["outer"](3)
    path.write_text(text.replace("+ 1", "+ 2"))
    with pytest.raises(errors.SourceError, match="changed"):
        source_of(f)


def test_tabs_form_feeds_and_carriage_returns(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    path.write_bytes(b"class A:\r\n\tdef f(x):\r\n\t\tif x:\r\n\t\t\treturn 1\r\n\t\treturn 2\r\n\x0c\r\n\tz = 1\r\n")
    namespace: dict[str, Any] = {}
    exec(compile(path.read_bytes(), str(path), "exec"), namespace)
    source = source_of(namespace["A"].f)
    assert source.text.split() == "def f(x): if x: return 1 return 2".split()


# fmt: on
# --- text given ---------------------------------------------------------------------------------------------------

FACTOR = 3.0


def test_source_text() -> None:
    k = dsl.kernel(source="def f(x, y=2):\n    return x * FACTOR + y\n")
    assert k.name == "f" and k.fn(1.0) == 5.0 and k.bind((1.0,), {}) == (1.0, 2)
    assert k.source.text == "def f(x, y=2):\n    return x * FACTOR + y\n"
    assert errors.source_line(k.source.file, 2) == "    return x * FACTOR + y"


def test_source_text_lambda() -> None:
    k = dsl.kernel(source="lambda x: x * FACTOR", name="triple")
    assert k.name == "triple" and k.fn(2) == 6.0 and k.source.text == "lambda x: x * FACTOR"


def test_source_text_sees_locals_and_constants() -> None:
    local = 10
    assert dsl.kernel(source="lambda x: x + local").fn(1) == 11
    assert dsl.kernel(source="lambda x: x + local", constants={"local": 20}).fn(1) == 21


def test_source_text_indented_and_decorated() -> None:
    k = dsl.kernel(
        source="""
            import math

            @dsl.kernel(boundscheck=True)
            def f(x):
                return math.floor(x) + g(x)

            def g(x):
                return x
        """,
        name="f",
        fastmath=True,
    )
    assert k.options == {"boundscheck": True, "fastmath": True}
    assert k.fn(1.5) == 2.5
    assert k.source.line == 5 and k.source.text.startswith("def f(x):")


def test_source_text_refused() -> None:
    with pytest.raises(errors.SourceError, match=r"2 functions \(f, g\)"):
        dsl.kernel(source="def f(x): return x\ndef g(x): return x")
    with pytest.raises(errors.SourceError, match="no function"):
        dsl.kernel(source="x = 1")
    with pytest.raises(errors.SourceError, match="no function `h`"):
        dsl.kernel(source="def f(x): return x", name="h")
    with pytest.raises(errors.KernelSyntaxError, match="not Python") as caught:
        dsl.kernel(source="def f(x):\n    return x +\n")
    assert caught.value.loc is not None and caught.value.loc.line == 2
    assert "return x +\n" in str(caught.value)
    with pytest.raises(errors.ArgumentError, match="not both"):
        dsl.kernel(plain, source="def f(x): return x")
    with pytest.raises(errors.ArgumentError, match="a text or a pathlib"):
        dsl.kernel(source=3)


def test_source_file(tmp_path: Path) -> None:
    path = tmp_path / "kernel.txt"
    path.write_text("def f(x):\n    return x\n")
    k = dsl.kernel(source=path)
    assert k.loc[:3] == (str(path), 1, 1)


def test_tracebacks_of_the_python_function_show_its_lines() -> None:
    import traceback

    k = dsl.kernel(source="def f(x):\n    return x / 0\n")
    try:
        k.fn(1)
    except ZeroDivisionError:
        assert "return x / 0" in traceback.format_exc()


def test_without_a_file(tmp_path: Path) -> None:
    """From `python -c` and standard input there is no text before Python 3.13: the error says what to do."""
    program = "import dsl\n@dsl.kernel\ndef f(x): return x\nprint(f.source.text)\n"
    for arguments in (["-c", program], ["-"]):
        done = subprocess.run(
            [sys.executable, *arguments], input=program, capture_output=True, text=True, cwd=Path(HERE).parents[2]
        )
        assert "def f(x): return x" in done.stdout or "dsl.kernel(source=" in done.stderr


@functools.wraps(plain)
def wrapped(*args: Any) -> Any:
    return plain(*args)


def test_a_wrapper_is_not_its_function() -> None:
    made = dsl.as_kernel(plain)
    assert dsl.as_kernel(wrapped) is not made and dsl.as_kernel(plain) is made
    assert "def wrapped" in dsl.as_kernel(wrapped).source.text
