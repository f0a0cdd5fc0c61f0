"""The parser against Python's own: the same tree, the same places, on snippets and on random programs."""

from __future__ import annotations

import ast
import random
import threading
from pathlib import Path

import pytest

from dsl import errors
from dsl.syntax.nodes import dump
from dsl.syntax.parser import parse

from .oracle import expected

EXPRESSIONS = r"""
x
(x)
((x) + (y)) * (z)
x + y - z * 2 // 3 % 4 / 5 @ m
x ** y ** z
-x ** -y
- - + ~ x
2 ** -1
x | y ^ z & w << 1 >> 2
not x and y or not not z
x if y else z if w else v
(x if y else z) if w else v
x < y <= z != w
x in y
x not in y
x is None
x is not None
not x == y
not x in y
a < (b < c)
f()
f(x)
f(x, y,)
f(x, y=1, z=2,)
f(x)(y)[z].w.v(u=1)
math.sin(x) + np.linalg.norm(y)
x[0]
x[-1]
x[i, j]
x[i,]
x[:]
x[1:]
x[:1]
x[::2]
x[1:2:3]
x[::-1]
x[:, 0]
x[..., None, 1:n - 1, ::k]
x[(1, 2)]
x[i][j]
x[f(y)[0]]
()
(x,)
(x, y)
(x, (y, z),)
[]
[x]
[x, y,]
[[1, 2], [3, 4]]
[x[0] ** 2 + x[1], x[0] * x[1]]
0
00
1_000
0xFF + 0o17 + 0b101 + 0X_ff
1.5 + 1. + .5 + 1e3 + 1E-3 + 1.5e+10 + 1_0.0_1 + 0e0 + 0123.5
1j + 1.5J + 1e3j + .5j
1 .real
1.0.real
True
False
None
...
"s" + 's' 'tt' "uu"
'''a
b'''
r"\d" + u"u" + "\n\t\x41\u00e9\N{BULLET}" + 'it''s' + "say \"x\"" + ""
"" + ''
"(" + ")[" + "# not a comment"
(x +
    y   # comment ( with bracket
  + z)
f(x,

  y)
x \
  + y
x_1 + _ + __ + αβ + naïve + ifx + not_y + inx + lambda_ + None_ + classy
é + "é" + z
ﬁ + x
(((((((((((x)))))))))))
x if(y)else(z)
print
match + case + type
"""


def expressions() -> list[str]:
    """The lines above, joined where a bracket, a quote or a backslash leaves one open."""
    found: list[str] = []
    part = ""
    for line in EXPRESSIONS.strip("\n").splitlines():
        part = f"{part}\n{line}" if part else line
        try:
            ast.parse(part)
        except SyntaxError:
            continue
        found.append(part)
        part = ""
    assert not part
    return found


STATEMENTS = [
    "x = 1",
    "x = y = z",
    "x, y = y, x",
    "(x, y), z = a",
    "[x, y] = a",
    "x, = a",
    "x[0] = x.y = 1",
    "x = 1,",
    "x = ()",
    "x += 1",
    "x[i, j] -= 1",
    "x.y *= 2, 3",
    *(f"x {op}= y" for op in ("+", "-", "*", "/", "//", "%", "@", "&", "|", "^", "<<", ">>", "**")),
    "x: int = 1",
    "x: dsl.float32",
    "x.y: int = 1, 2",
    "return",
    "return x",
    "return x, y",
    "return (x, y)",
    "assert x",
    "assert x < y, 'message'",
    "pass",
    "f(x)",
    "x, y",
    "'docstring'",
    "x = 1; y = 2",
    "x = 1; y = 2;",
    "if x: pass",
    "if x: y = 1; z = 2",
    "if x:\n    y\nelse:\n    z",
    "if x:\n    y\nelif z:\n    w\nelif v:\n    u\nelse:\n    t",
    "if x:\n    if y:\n        z\n    else:\n        w",
    "if x: y\nelse: z",
    "for i in range(10): pass",
    "for i in range(n):\n    if i: break\n    continue",
    "for i, (j, k) in x:\n    pass",
    "for i, in x: pass",
    "for (i) in x: pass",
    "for x[0] in 1, 2: pass",
    "while x < 1:\n    x += 1\n    while y: break",
    "while True:\n    # comment\n\n    x\n  # odd comment\n    y\n# at the margin\n    z",
    "if x:\n\ty = 1\n\tif y:\n\t\tz\n\tw",
    "if x:\n        y = 1\n        if y:\n            z\n        w",
    "if x:   # trailing\n    y = (1,   # inner\n\n  2)\n\n\n    z",
    "x = 1  \\\n  + 2",
    "x = '''\nif y:\n  z'''\ny = 1",
]

FUNCTIONS = [
    "def f(): pass",
    "def f(x): return x",
    "def f(x, y=1, z=g(2),): return x",
    "def f(x: dsl.float64, y: int = 1) -> float:\n    return x",
    "def f(x, /, y, *, z=1, w): return x",
    "def f(*, z): return z",
    "def f(x, /): return x",
    "def f(\n    x,  # first\n    y,\n) -> (\n    float\n):\n    '''doc'''\n    return x",
    "def f(x):\n\n    # first\n    return x\n\n# after\n",
    "def f(x):\n    return x\n    # trailing comment",
    "def f(x):\r\n    y = 1\r\n    return x\r\n",
    "def f(x):\n  if x:\n   return 1\n  return 2",
    "def f(x):\n    return x  ",
    "def f (x) : return(x)",
    "def  f(x):\n    y = 1 ;  z = 2 ; \n    return y",
    "lambda: 1",
    "lambda x: x",
    "lambda x, y=2, *, z=3: x + y",
    "lambda x, /, y: (x, y)",
    "lambda x: x if x > 0 else -x",
    "lambda x: [x, x]",
]


def check(text: str, prefix: str = "") -> None:
    assert dump(parse(text, "f"), positions=True) == dump(expected(text, "f", prefix), positions=True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", expressions())
def test_expression(text: str) -> None:
    check(f"def f(x):\n    return {text}\n")
    check(f"lambda x: {text}")


@pytest.mark.parametrize("text", STATEMENTS)
def test_statement(text: str) -> None:
    check("def f(x):\n" + "".join(f"    {line}\n" for line in text.split("\n")) + "    return x\n")
    check("def f(x):\n\t" + text.replace("\n", "\n\t"))


@pytest.mark.parametrize("text", FUNCTIONS)
def test_function(text: str) -> None:
    check(text)
    if not text.startswith("lambda") and "'''" not in text:
        check("".join(f"    {line}\n" for line in text.split("\n")), prefix="if 1:\n")
        check("".join(f"\t{line}\n" for line in text.split("\n")), prefix="if 1:\n")


def test_lambda_over_lines() -> None:
    """Within a call a lambda may spread over lines without brackets of its own."""
    tree = parse("lambda x:\n        x  # one\n        + 1", "f", 10, 5)
    ret = tree.body[0]
    assert ret.loc == ("f", 11, 9, 12, 12)
    assert tree.loc == ("f", 10, 5, 12, 12)


def test_places_count_from_the_given_start() -> None:
    tree = parse("def f(x):\n        return x", "file.py", 7, 5)
    assert str(tree.loc) == "file.py:7:5"
    assert str(tree.params[0].loc) == "file.py:7:11"
    assert str(tree.body[0].loc) == "file.py:8:9"


def test_long_chains_are_not_deep_for_the_parser() -> None:
    text = "def f(x):\n    return " + " + ".join(["x"] * 3000)
    assert parse(text, "f").body


def test_several_threads() -> None:
    text = "def f(x):\n    if x:\n        y = (1,\n  2)\n    return x\n"
    want = dump(parse(text, "f"), positions=True)
    got: list[str] = []
    threads = [
        threading.Thread(target=lambda: got.extend(dump(parse(text, "f"), positions=True) for _ in range(20)))
        for _ in range(4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == [want] * 80


# --- programs at random -------------------------------------------------------------------------------------------


class Writer:
    """Random programs of the language as text, with odd spacing, brackets and comments."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def space(self) -> str:
        return self.pick("", " ", " ", "  ")

    def expression(self, depth: int) -> str:
        r, s, e = self.random, self.space, self.expression
        if depth <= 0:
            return self.pick("x", "yy", "i", "1", "2.5", "'s'", "None", "True", "3j", "...", "é")
        d = depth - 1
        kind = r.randrange(16)
        if kind < 4:
            op = self.pick("+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^", "<<", ">>")
            return f"{e(d)}{s()}{op}{s()}{e(d)}"
        if kind == 4:
            return self.pick("-", "+", "~", "not ") + e(d)
        if kind == 5:
            return f"{e(d)} {self.pick('and', 'or')} {e(d)}"
        if kind == 6:
            return f"{e(d)} {self.pick('<', '<=', '==', '!=', 'in', 'not in', 'is', 'is  not')} {e(d)}"
        if kind == 7:
            return f"{e(d)} if {e(d)} else {e(d)}"
        if kind == 8:
            args = [e(d) for _ in range(r.randrange(3))]
            args += [f"{k}{s()}={s()}{e(d)}" for k in r.sample(["a", "b"], r.randrange(3))]
            return f"g({s()}{','.join(args)}{',' if args and r.random() < 0.3 else ''})"
        if kind == 9:
            return f"x.{self.pick('T', 'shape', 'a')}"
        if kind == 10:
            return f"x[{s()}{','.join(self.index(d) for _ in range(r.randrange(1, 3)))}{s()}]"
        if kind == 11:
            return f"({e(d)},{e(d)})"
        if kind == 12:
            return f"[{','.join(e(d) for _ in range(r.randrange(3)))}]"
        if kind == 13:
            return f"({s()}{e(d)}{self.pick('', ' # note (', '')}\n {s()})"
        return f"({e(d)})"

    def index(self, depth: int) -> str:
        if self.random.random() < 0.5:
            return self.expression(depth)
        part = lambda: self.expression(depth) if self.random.random() < 0.5 else ""
        return f"{part()}:{part()}" + (f":{part()}" if self.random.random() < 0.5 else "")

    def block(self, depth: int, indent: str, loop: bool) -> str:
        inner = indent + self.pick(" ", "    ", "\t")
        lines = [self.statement(depth, inner, loop) for _ in range(self.random.randrange(1, 4))]
        return "".join(lines)

    def statement(self, depth: int, indent: str, loop: bool) -> str:
        e = self.expression
        kind = self.random.randrange(12 if depth > 0 else 8)
        note = self.pick("", "", "  # note", "\n", "\n   # note at another level\n")
        if kind < 3:
            simple = f"{self.pick('x', 'x, y', 'x[0]', 'x.a', '(x, y)', 'z = x')} = {e(2)}"
        elif kind == 3:
            simple = f"x {self.pick('+', '-', '*', '//', '**', '<<')}= {e(2)}"
        elif kind == 4:
            simple = f"y: {self.pick('int', 'dsl.f')} = {e(1)}"
        elif kind == 5:
            simple = f"return {e(2)}"
        elif kind == 6:
            simple = f"assert {e(1)}" + self.pick("", ", 'message'")
        elif kind == 7:
            simple = self.pick("break", "continue", "pass") if loop else "pass; x; "
        elif kind < 10:
            text = f"{indent}if {e(1)}:\n{self.block(depth - 1, indent, loop)}"
            for _ in range(self.random.randrange(2)):
                text += f"{indent}elif {e(1)}:{note}\n{self.block(depth - 1, indent, loop)}"
            if self.random.random() < 0.5:
                text += f"{indent}else:\n{self.block(depth - 1, indent, loop)}"
            return text
        elif kind == 10:
            head = f"for {self.pick('i', 'i, j', '(i, j)')} in {e(1)}"
            return f"{indent}{head}:\n{self.block(depth - 1, indent, True)}{self.loop_else(depth, indent, loop)}"
        else:
            body = self.block(depth - 1, indent, True)
            return f"{indent}while {e(1)}:\n{body}{self.loop_else(depth, indent, loop)}"
        return f"{indent}{simple}{note}\n"

    def loop_else(self, depth: int, indent: str, loop: bool) -> str:
        return f"{indent}else:\n{self.block(depth - 1, indent, loop)}" if self.random.random() < 0.3 else ""

    def function(self) -> str:
        return f"def f(x, y{self.space()}={self.space()}{self.expression(1)}):\n{self.block(3, '', False)}"


@pytest.mark.filterwarnings("ignore")  # Python's own, of odd but legal programs
@pytest.mark.parametrize("seed", range(150))
def test_random_program(seed: int) -> None:
    text = Writer(seed).function()
    try:
        ast.parse(text)
    except SyntaxError:  # a few are none, such as `not` after an operator: then ours must refuse, too
        with pytest.raises((errors.KernelSyntaxError, errors.UnsupportedSyntax)):
            parse(text, "f")
        return
    check(text)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(200))
def test_what_python_refuses_is_refused(seed: int) -> None:
    """Programs with one character removed, doubled or exchanged: never accepted where Python does not."""
    rng = random.Random(seed)
    text = Writer(seed).function()
    i = rng.randrange(4, len(text))
    text = text[:i] + rng.choice(["", text[i] * 2, rng.choice("()[]:=,.\n +*x1'\"#@!$\\")]) + text[i + 1 :]
    try:
        compile(text, "f", "exec")
    except (SyntaxError, ValueError):
        python_accepts = False
    else:
        python_accepts = len(ast.parse(text).body) == 1
    try:
        tree = parse(text, "f")
    except (errors.KernelSyntaxError, errors.UnsupportedSyntax) as e:
        assert isinstance(e, errors.UnsupportedSyntax) or not python_accepts, str(e)
        assert e.loc is not None and 1 <= e.loc.line <= text.count("\n") + 2
    else:
        assert python_accepts
        assert dump(tree, positions=True) == dump(expected(text), positions=True)


def test_tables_are_current() -> None:
    """tables.bin was made from this grammar: else each start would compute it anew."""
    import pickle

    from dsl.syntax import tables

    stamp = pickle.loads(tables.TABLES.read_bytes())["stamp"]
    assert stamp == tables.stamp(tables.GRAMMAR.read_text(encoding="utf-8")), "run: python -m dsl.syntax.tables"


def test_without_tables_the_grammar_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsl.syntax import tables

    broken = tmp_path / "tables.bin"
    broken.write_bytes(tables.TABLES.read_bytes()[:1000])
    for path in (broken, tmp_path / "absent.bin"):
        monkeypatch.setattr(tables, "TABLES", path)
        assert tables.load().parse("def f(x): return x\n", start="function").data == "function"
