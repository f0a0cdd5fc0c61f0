"""Random expressions of the language. All are total on what the scope promises: no domain error, no wrong index.

Smooth functions are kept inside their domains by their arguments (`log(1.5 + e * e)`), and grow like polynomials, so
that programs stay well conditioned often enough. Text is generous with brackets; the program's maker normalises it."""

from __future__ import annotations

from tests.generator.scope import Scope, Var


def number(s: Scope) -> str:
    """A float constant, sometimes written as an int."""
    if s.chance(0.15):
        return str(s.random.randint(-2, 3))
    return repr(round(s.random.uniform(-2, 2), 2))


def index(s: Scope, n: int, depth: int = 1) -> str:
    """An int expression that is a valid index of an axis of length n (negative ones count from its end)."""
    choices = [str(s.random.randint(-n, n - 1))]
    for i in s.of("i"):
        if -n <= i.lo and i.hi < n:
            choices += [i.name] * 3
            if i.lo >= 0:
                choices += [f"-1 - {i.name}", f"{n - 1} - {i.name}"]
        if -n <= i.lo - 1 and i.hi - 1 < n:
            choices.append(f"{i.name} - 1")
        if i.hi + 1 < n and -n <= i.lo + 1:
            choices.append(f"{i.name} + 1")
        choices.append(f"({s.random.choice((1, 2, 3, -1))} * {i.name} + {s.random.randint(-2, 3)}) % {n}")
    if depth > 0 and s.of("f") and s.chance(0.2):
        f = s.random.choice(s.of("f")).name
        choices += [f"int(3.0 * {f}) % {n}", f"math.floor({f} * 2) % {n}"]
    for p in s.of("p"):
        if p.hi < n and depth > 0:
            choices.append(f"{p.name}[{index(s, p.size[0], depth - 1)}]")
    return s.random.choice(choices)


def integer(s: Scope) -> str:
    """A small int expression."""
    i = s.pick("i")
    if i is None or s.chance(0.3):
        return str(s.random.randint(-3, 4))
    return s.random.choice(
        [
            i.name,
            f"{i.name} + 1",
            f"{i.name} * 2 - 1",
            f"{i.name} // 2",
            f"-{i.name} % 3",
            f"{i.name} & 1",
            f"abs({i.name} - 1)",
        ]
    )


def element(s: Scope, writable: bool = False) -> str | None:
    """A float element of some array or list."""
    found: list[Var] = [v for kind in "vml" for v in s.of(kind, writable=writable)]
    if not found:
        return None
    a = s.random.choice(found)
    if a.kind == "m" and s.chance(0.25):
        return f"{a.name}[{index(s, a.size[0])}][{index(s, a.size[1])}]"
    return f"{a.name}[{', '.join(index(s, n) for n in a.size)}]"


def condition(s: Scope, depth: int = 1) -> str:
    """A bool expression."""
    roll = s.random.random()
    if depth > 0 and roll < 0.2:
        word = s.random.choice(("and", "or"))
        return f"({condition(s, depth - 1)} {word} {condition(s, depth - 1)})"
    if depth > 0 and roll < 0.27:
        return f"(not {condition(s, depth - 1)})"
    if roll < 0.4 and s.of("q"):
        q = s.random.choice(s.of("q"))
        return f"{q.name}[{index(s, q.size[0])}]"
    if roll < 0.5 and s.of("b"):
        return s.random.choice(s.of("b")).name
    if roll < 0.53 and s.of("v") and depth > 0:
        inner, loop = over(s)
        return f"{s.random.choice(('any', 'all'))}({condition(inner, 0)} {loop})"
    if roll < 0.67 and s.of("i"):
        return f"({integer(s)} {s.random.choice(('<', '>=', '==', '!='))} {integer(s)})"
    if roll < 0.73:
        return f"({number(s)} < {leaf(s)} <= {smooth(s, 1)})"
    return f"({smooth(s, 1)} {s.random.choice(('<', '>', '<=', '>='))} {smooth(s, 1)})"


def leaf(s: Scope) -> str:
    roll = s.random.random()
    if roll < 0.45 and s.of("f"):
        return s.random.choice(s.of("f")).name
    if roll < 0.8:
        found = element(s)
        if found:
            return found
    if roll < 0.9 and s.of("i"):
        return f"({integer(s)})" if s.chance(0.8) else f"float({integer(s)})"
    return number(s)


def smooth(s: Scope, depth: int) -> str:
    """A float expression."""
    if depth <= 0:
        return leaf(s)
    a, b = smooth(s, depth - 1), smooth(s, depth - 1)
    forms = [
        (4, lambda: f"({a} + {b})"),
        (3, lambda: f"({a} - {b})"),
        (4, lambda: f"({a} * {b})"),
        (1, lambda: f"(-{a})"),
        (2, lambda: f"({a} / (1.5 + {b} * {b}))"),
        (1, lambda: f"({a}) ** {s.random.choice((2, 2, 3, 0, 1))}"),
        (1, lambda: f"(1.1 + {leaf_squared(s)}) ** (0.5 * math.tanh({b}))"),
        (5, lambda: function(s, a)),
        (1, lambda: f"math.atan2({a}, 1.3 + {leaf_squared(s)})"),
        (1, lambda: f"math.hypot({a}, 1.2)"),
        (2, lambda: f"({a} if {condition(s)} else {b})"),
        (1, lambda: f"{s.random.choice(('min', 'max'))}({a}, {b})"),
        (1, lambda: f"abs({a})"),
        (1, lambda: f"({a}) % {s.random.choice(('1.5', '-0.75', '2'))}"),
        (0.5, lambda: f"{condition(s, 0)} * {a}"),
        (2, lambda: reduction(s)),
        (2, lambda: call(s, depth)),
    ]
    form = s.random.choices([f for _, f in forms], [w for w, _ in forms])[0]
    return form()


def leaf_squared(s: Scope) -> str:
    a = leaf(s)
    return f"{a} * {a}"


def function(s: Scope, a: str) -> str:
    """A function of the module math, of an argument brought into its domain."""
    return s.random.choice(
        [
            f"math.sin({a})",
            f"math.cos({a})",
            f"math.tanh({a})",
            f"math.atan({a})",
            f"math.erf({a})",
            f"math.asinh({a})",
            f"math.exp(math.sin({a}))",
            f"math.exp(-abs({a}))",
            f"math.expm1(0.5 * math.cos({a}))",
            f"math.log(1.5 + ({a}) * ({a}))",
            f"math.log1p(({a}) ** 2)",
            f"math.sqrt(1.0 + ({a}) * ({a}))",
            f"math.asin(0.9 * math.sin({a}))",
            f"math.acos(0.8 * math.cos({a}))",
            f"math.atanh(0.7 * math.tanh({a}))",
            f"math.acosh(1.5 + ({a}) ** 2)",
            f"math.sinh(math.tanh({a}))",
            f"math.cosh(math.sin({a}))",
            f"math.tan(0.7 * math.sin({a}))",
            f"math.lgamma(1.2 + abs({a}))",
            f"math.erfc(math.sin({a}))",
        ]
    )


def call(s: Scope, depth: int) -> str:
    """A call of one of the program's own functions that returns a float."""
    found = [h for h in s.helpers if h.returns == "f" and "v" not in h.params]
    if not found:
        return function(s, leaf(s))
    h = s.random.choice(found)
    return f"{h.name}({', '.join(smooth(s, min(depth - 1, 1)) for _ in h.params)})"


def reduction(s: Scope) -> str:
    """A float made of a whole array."""
    a = s.pick("v") or s.pick("m")
    if a is None:
        return leaf(s)
    if a.kind == "m":
        return f"dsl.sum({a.name}{s.random.choice(('', ' ** 2', ' * ' + number(s)))})"
    roll = s.random.random()
    if roll < 0.15:
        inner, loop = over(s)
        return f"sum({smooth(inner, 1)} {loop})"
    if roll < 0.3:
        return f"dsl.dot({vector(s, a.size[0], 0)}, {vector(s, a.size[0], 0)})"
    if roll < 0.45:
        return f"dsl.{s.random.choice(('max', 'min'))}({vector(s, a.size[0], 1)})"
    if roll < 0.6:
        return f"dsl.mean({vector(s, a.size[0], 1)})"
    return f"dsl.sum({vector(s, a.size[0], 1)})"


def over(s: Scope) -> tuple[Scope, str]:
    """The `for` of a comprehension and what its element may use."""
    a = s.random.choice(s.of("v"))
    name, position = s.fresh("f"), s.fresh("i")
    inner = s.inner()
    inner.add(Var(name, "f", fixed=True))
    loop = f"for {name} in {a.name}"
    if s.chance(0.3):
        inner.add(Var(position, "i", (), 0, a.size[0] - 1, fixed=True))
        loop = f"for {position}, {name} in enumerate({a.name})"
    if s.chance(0.3):
        loop += f" if {condition(inner, 0)}"
    return inner, loop


def views(s: Scope, n: int) -> list[str]:
    """All the 1-d views of length n that arrays in scope have."""
    found = []
    for a in s.of("v"):
        extra = a.size[0] - n
        if extra == 0:
            found += [a.name, a.name, f"{a.name}[::-1]"]
        elif extra == 1:
            found += [f"{a.name}[1:]", f"{a.name}[:-1]"]
        elif extra > 1:
            found += [f"{a.name}[{extra}:]", f"{a.name}[1:{n + 1}]", f"{a.name}[-{n}:]"]
        if a.size[0] >= 2 and (a.size[0] + 1) // 2 == n:
            found.append(f"{a.name}[::2]")
    for m in s.of("m"):
        if m.size[1] == n:
            found.append(f"{m.name}[{index(s, m.size[0])}]")
        if m.size[0] == n:
            found.append(f"{m.name}[:, {index(s, m.size[1])}]")
    return found


def vector(s: Scope, n: int, depth: int) -> str:
    """A 1-d array expression of length n; there is at least one array of that length in scope."""
    found = views(s, n)
    if depth <= 0:
        return s.random.choice(found)
    a, b = vector(s, n, depth - 1), vector(s, n, depth - 1)
    forms = [
        f"({a} + {b})",
        f"({a} - {b})",
        f"({a} * {b})",
        f"({a} * {leaf(s)})",
        f"({leaf(s)} - {a})",
        f"({a}) ** 2",
        f"(-{a})",
        f"({a} / (1.5 + {b} * {b}))",
        f"np.sin({a})",
        f"np.exp(np.sin({a}))",
        f"np.tanh({a})",
        f"np.sqrt(1.0 + ({a}) ** 2)",
        f"np.where({a} > {leaf(s)}, {a}, {b})",
        f"np.maximum({a}, {b})",
        f"np.abs({a})",
        f"np.roll({a}, {s.random.randint(-2, 3)})",
        f"np.flip({a})",
        f"({a})[::-1]",
        f"np.cumsum({a})",
        f"np.sort({a})",
        f"np.square({a})",
        a,
        a,
        a,
    ]
    if n > 1:
        k = s.random.randint(1, n - 1)
        forms.append(f"np.concatenate((({a})[:{k}], ({b})[{k - n}:]))")
        forms.append(f"np.concatenate(({a}, {b}))[::2]")
        forms.append(f"np.outer({a}, {b})[{s.random.randint(-n, n - 1)}]")
        forms.append(f"np.stack(({a}, {b}))[{s.random.randint(0, 1)}]")
        forms.append(f"np.concatenate((np.diff({a}), ({b})[:1]))")
    for p in s.of("p"):
        if p.size[0] == n and any(v.size[0] > p.hi for v in s.of("v")):
            base = s.random.choice([v for v in s.of("v") if v.size[0] > p.hi])
            forms += [f"{base.name}[{p.name}]"] * 2
    for m in s.of("m"):
        if m.size[0] == n and views(s, m.size[1]):
            forms += [f"{m.name} @ ({vector(s, m.size[1], 0)})"] * 2
        if m.size[1] == n and views(s, m.size[0]):
            forms.append(f"{vector(s, m.size[0], 0)} @ {m.name}")
        for axis in (0, 1):
            if m.size[1 - axis] == n:
                forms.append(
                    f"dsl.{s.random.choice(('sum', 'mean', 'max'))}({m.name}, axis={axis - 2 * s.chance(0.3)})"
                )
    return s.random.choice(forms)
