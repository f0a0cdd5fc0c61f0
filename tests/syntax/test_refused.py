"""What the language lacks: each construct is named, pointed at, and answered with what to do instead."""

from __future__ import annotations

import itertools
import re

import pytest

from dsl import errors
from dsl.syntax.parser import parse

# statement of the kernel's body; what the message names; the text that the caret marks (its first line)
REFUSED = [
    ("with x: pass", "`with`", "with x: pass"),
    ("try:\n        x\n    except E:\n        pass", "`try`", "try:"),
    ("raise ValueError(x) from y", "`raise` with a cause", "raise ValueError(x) from y"),
    ("raise", "`raise` without an exception", "raise"),
    ("def g(*y): return y", "`*y`", "y"),
    ("async def g(y): return y", "an async function", "async def g(y): return y"),
    ("class A: pass", "a class inside a kernel", "class A: pass"),
    ("import math", "`import`", "import math"),
    ("from math import sin", "`import`", "from math import sin"),
    ("global y", "`global`", "global y"),
    ("del x", "`del`", "del x"),
    ("match x:\n        case 1: pass", "`match`", "match x:"),
    ("y = lambda *z: z", "`*z`", "z"),
    ("nonlocal y", "`nonlocal`", "nonlocal y"),
    ("y = {i for i in x}", "a set comprehension", "{i for i in x}"),
    ("y = {i: i for i in x}", "a dict comprehension", "{i: i for i in x}"),
    ("y = {1: x}", "a dict", "{1: x}"),
    ("y = {1, x}", "a set", "{1, x}"),
    ("y = b'x'", "a bytes literal", "b'x'"),
    ("y = x[*z]", "unpacking with `*`", "*z"),
    ("g(**x)", "unpacking with `**`", "**x"),
    ("yield x", "`yield`", "yield x"),
    ("y = yield from x", "`yield from`", "yield from x"),
    ("é = {i for i in x}", "a set comprehension", "{i for i in x}"),
]


@pytest.mark.parametrize(("statement", "names", "marks"), REFUSED)
@pytest.mark.parametrize("indent", ["", "    "])
def test_construct(statement: str, names: str, marks: str, indent: str) -> None:
    text = f"def f(x):\n    y = 0\n    {statement}\n    return x\n"
    text = "".join(f"{indent}{line}\n" for line in text.splitlines())
    file = f"<refused {indent!r} {statement!r}>"
    errors.register_source(file, text)
    with pytest.raises(errors.UnsupportedSyntax) as caught:
        parse(text, file)
    assert names in caught.value.message
    assert caught.value.hint
    assert marked(str(caught.value)) == marks


@pytest.mark.parametrize(
    ("text", "names", "marks"),
    [
        ("def f(*args): return 1", "`*args`", "args"),
        ("def f(**kw): return 1", "`**kw`", "kw"),
        ("async def f(x): return x", "an async function", "async def f(x): return x"),
        ("lambda *x: x", "`*x`", "x"),
        ("lambda x: {i\n    for i in x}", "a set comprehension", "{i"),
    ],
)
def test_function(text: str, names: str, marks: str) -> None:
    file = f"<refused {text!r}>"
    errors.register_source(file, text)
    with pytest.raises(errors.UnsupportedSyntax) as caught:
        parse(text, file)
    assert names in caught.value.message
    assert marked(str(caught.value)) == marks


@pytest.mark.parametrize(
    ("text", "line", "col"),
    [
        ("def f(x):\n    y = = 1\n", 2, 9),
        ("def f(x):\n    return (x\n", 2, 12),
        ("def f(x):\n    return x)\n", 2, 13),
        ("def f(x):\nreturn x\n", 2, 1),
        ("def f(x):\n        y = 1\n    return y\n", 3, None),
        ("def f(x):\n    if x\n        y = 1\n", 2, 9),
        ("def f(x):\n    y = 'abc\n", 2, 9),
        ("def f(x):\n    y = 1 $ 2\n", 2, None),
        ("def f(x):\n    012\n", 2, None),
        ("def f(x):\n    f(x) = 1\n", 2, 5),
        ("def f(x):\n    x + 1 += 1\n", 2, 5),
        ("def f(x):\n    x, y += 1\n", 2, 5),
        ("def f(x):\n    1 = x\n", 2, 5),
        ("def f(x):\n    None = x\n", 2, 5),
        ("def f(x):\n    for f() in x: pass\n", 2, 9),
        ("def f(x):\n    break\n", 2, 5),
        ("def f(x):\n    if x:\n        continue\n", 3, 9),
        ("def f(x, x): return x\n", 1, 10),
        ("def f(x=1, y): return x\n", 1, 12),
        ("def f(x, *): return x\n", 1, None),
        ("def f(/, x): return x\n", 1, 7),
        ("def f(x):\n    g(y=1, 2)\n", 2, None),
        ("def f(x):\n    g(y=1, y=2)\n", 2, 12),
        ("def f(x): return x\ndef g(x): return x\n", 2, 1),
        ("x = 1\n", 1, 1),
        ("", 1, 1),
        ("lambda x: x +", 1, None),
        ("lambda x: x, 1", 1, None),
        ("def f(x): return x\0", 1, None),
    ],
)
def test_not_python(text: str, line: int, col: int | None) -> None:
    with pytest.raises(SyntaxError) as caught:
        parse(text, "f", 1, 1)
    assert isinstance(caught.value, errors.KernelSyntaxError)
    assert caught.value.loc is not None
    assert caught.value.loc.line == line
    assert col is None or caught.value.loc.col == col


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    for text in ("(" * 5000 + "x" + ")" * 5000, "-" * 100_000 + "x", "x" + "[0]" * 20_000):
        try:
            parse(f"def f(x):\n    return {text}\n", "f")
        except errors.CompileError as e:
            assert e.loc is not None


def test_lambda_places_with_an_offset() -> None:
    with pytest.raises(errors.UnsupportedSyntax) as caught:
        parse("lambda x: {x}", "f", 20, 11)
    assert caught.value.loc == ("f", 20, 21, 20, 24)


def test_def_places_with_an_offset() -> None:
    with pytest.raises(errors.UnsupportedSyntax) as caught:
        parse("def f(x):\n        return {x}", "f", 20, 5)
    assert caught.value.loc == ("f", 21, 16, 21, 19)


def marked(message: str) -> str:
    """What the caret line marks in the line above it."""
    lines = message.split("\n")
    for above, below in itertools.pairwise(lines):
        carets = re.fullmatch(r"   \|  ([ \t]*)(\^+)", below)
        if carets:
            start = 6 + len(carets[1])
            return above[start : start + len(carets[2])]
    return ""
