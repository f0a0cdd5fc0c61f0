"""Random statements of the language: assignments, in-place arrays, nested loops and branches, ways out of them."""

from __future__ import annotations

from collections.abc import Callable

from tests.generator import expressions as e
from tests.generator.scope import Helper, Scope, Var

Lines = list[str]


def indent(lines: Lines) -> Lines:
    return ["    " + line for line in lines]


def damped(s: Scope, depth: int = 2) -> str:
    """A float expression; inside loops usually a bounded one, so that what is carried does not blow up."""
    text = e.smooth(s, depth)
    if s.in_loop and s.chance(0.7):
        return s.random.choice([f"math.tanh({text})", f"math.sin({text})", f"0.5 * math.atan({text})"])
    return text


def assign(s: Scope) -> Lines:
    """A float variable, new or old."""
    text = damped(s)
    old = s.pick("f", writable=True)
    if old and s.chance(0.6):
        return [f"{old.name} = {text}"]
    name = s.fresh("f")
    s.add(Var(name, "f"))
    if s.chance(0.1):
        return [f"{name}: float = {text}"]
    if s.chance(0.15):
        # An int that floats are added to later: the join of int and float.
        return [f"{name} = {s.random.randint(0, 2)}"]
    return [f"{name} = {text}"]


def augment(s: Scope) -> Lines:
    old = s.pick("f", writable=True)
    if old is None:
        return assign(s)
    op = s.random.choice(("+=", "+=", "-=", "*=", "/="))
    if op == "/=":
        return [f"{old.name} /= 1.5 + {e.leaf_squared(s)}"]
    return [f"{old.name} {op} {damped(s)}"]


def unpack(s: Scope) -> Lines:
    """A tuple assignment: a swap, a pair from a function, or new values that all see the old ones."""
    pair = [h for h in s.helpers if h.returns == "t"]
    olds = s.of("f", writable=True)
    if pair and s.chance(0.5):
        h = s.random.choice(pair)
        arguments = ", ".join(e.leaf(s) for _ in h.params)
        if len(olds) < 2:
            names = [s.add(Var(s.fresh("f"), "f")).name for _ in range(2)]
        else:
            names = [v.name for v in s.random.sample(olds, 2)]
        return [f"{names[0]}, {names[1]} = {h.name}({arguments})"]
    if len(olds) < 2:
        return assign(s)
    a, b = s.random.sample(olds, 2)
    if s.chance(0.1):
        return [f"{a.name} = {b.name} = {damped(s)}"]
    if s.chance(0.4):
        return [f"{a.name}, {b.name} = {b.name}, {a.name}"]
    return [f"{a.name}, {b.name} = {damped(s, 1)}, {damped(s, 1)}"]


def store(s: Scope) -> Lines:
    """An element written in place."""
    target = e.element(s, writable=True)
    if target is None:
        return assign(s)
    op = s.random.choice(("=", "=", "+=", "-=", "*="))
    return [f"{target} {op} {damped(s)}"]


def whole(s: Scope) -> Lines:
    """A slice or a whole array written in place."""
    a = s.pick("v", writable=True)
    if a is None:
        return store(s)
    n = a.size[0]
    forms = [
        f"{a.name}[:] = {bounded_vector(s, n)}",
        f"{a.name} += {bounded_vector(s, n)}",
        f"{a.name} *= {e.leaf(s)}",
        f"{a.name}[:] = {e.leaf(s)}",
    ]
    if n > 1:
        forms += [
            f"{a.name}[1:] = {bounded_vector(s, n - 1)}",
            f"{a.name}[:-1] += {bounded_vector(s, n - 1)}",
            f"{a.name}[1:] = {a.name}[:-1] * {e.leaf(s)}",
        ]
    others = [v for v in s.of("v", writable=True, size=a.size) if v.name != a.name]
    if others:
        other = s.random.choice(others)
        forms.append(f"{a.name}, {other.name} = {other.name}, {a.name}")
    m = s.pick("m", writable=True)
    if m:
        forms.append(f"{m.name}[{e.index(s, m.size[0])}] = {e.leaf(s)}")
        forms.append(f"{m.name}[:, {e.index(s, m.size[1])}] *= {e.leaf(s)}")
        forms.append(f"{m.name} {s.random.choice(('+=', '-='))} {e.leaf(s)}")
        forms.append(f"{m.name}[1:, :-1] = {e.leaf(s)} * {m.name}[:-1, 1:]")
        if e.views(s, m.size[1]):
            forms.append(f"{m.name}[{e.index(s, m.size[0])}, :] += {bounded_vector(s, m.size[1])}")
    return [s.random.choice(forms)]


def bounded_vector(s: Scope, n: int) -> str:
    text = e.vector(s, n, 1)
    return f"np.tanh({text})" if s.in_loop and s.chance(0.7) else text


def local(s: Scope) -> Lines:
    """A new local array, list, view or alias."""
    a = s.pick("v")
    roll = s.random.random()
    if roll < 0.2:
        name = s.fresh("l")
        size = s.random.randint(2, 3)
        text = f"{name} = [{', '.join(damped(s, 1) for _ in range(size))}]"
        s.add(Var(name, "l", (size,)))
        return [text]
    if a is not None and roll < 0.35 and not s.in_loop:
        # A view: writing to it writes to its base, so it is as fixed as that is.
        base = a
        name = s.fresh("w")
        if base.size[0] > 1 and s.chance(0.7):
            s.add(Var(name, "v", (base.size[0] - 1,), fixed=base.fixed))
            return [f"{name} = {base.name}[{s.random.choice(('1:', ':-1'))}]"]
        s.add(Var(name, "v", base.size, fixed=base.fixed))
        return [f"{name} = {base.name}"]
    if a is not None and roll < 0.6:
        name = s.fresh("v")
        text = f"{name} = {e.vector(s, a.size[0], 1)} * {e.number(s)}"
        s.add(Var(name, "v", a.size))
        return [text]
    if roll < 0.7:
        name = s.fresh("m")
        shape = (s.random.randint(2, 3), s.length)
        s.add(Var(name, "m", shape))
        return [
            f"{name} = dsl.zeros(({shape[0]}, {shape[1]}))",
            f"{name}[{e.index(s, shape[0])}, {e.index(s, shape[1])}] = {damped(s, 1)}",
        ]
    name = s.fresh("v")
    n = s.length
    text = s.random.choice(
        [f"{name} = dsl.zeros({n})", f"{name} = dsl.ones({n})", f"{name} = dsl.full({n}, 1.0 * {e.leaf(s)})"]
    )
    s.add(Var(name, "v", (n,)))
    return [text]


def small_int(s: Scope) -> Lines:
    """An int that is carried around, always within its range."""
    k = s.pick("i", writable=True)
    if k is None or s.chance(0.3):
        name = s.fresh("i")
        modulus = s.random.randint(2, 4)
        s.add(Var(name, "i", (), 0, modulus - 1))
        return [f"{name} = {s.random.randint(0, modulus - 1)}"]
    modulus = k.hi + 1
    return [
        s.random.choice(
            [
                f"{k.name} = ({k.name} + {s.random.randint(1, 3)}) % {modulus}",
                f"{k.name} = ({e.integer(s)}) % {modulus}",
                f"{k.name} = {modulus - 1} - {k.name}",
                f"{k.name} = min({k.name} + 1, {modulus - 1})",
            ]
        )
    ]


def flag(s: Scope) -> Lines:
    b = s.pick("b", writable=True)
    name = b.name if b and s.chance(0.5) else s.fresh("b")
    text = f"{name} = {e.condition(s)}"
    s.add(Var(name, "b"))
    return [text]


def helper_call(s: Scope) -> Lines:
    """A function that works on an array in place, called for its effect and its value."""
    found = [
        (h, a)
        for h in s.helpers
        if "v" in h.params and h.returns == "f"
        for a in s.of("v", writable=True, size=(h.length,))
    ]
    if not found:
        return store(s)
    h, a = s.random.choice(found)
    arguments = [a.name if p == "v" else e.leaf(s) for p in h.params]
    name = s.fresh("f")
    s.add(Var(name, "f"))
    return [f"{name} = {h.name}({', '.join(arguments)})"]


def branch(s: Scope, depth: int) -> Lines:
    """if, elif, else; sometimes both sides define the same new variable."""
    both = s.fresh("f") if s.chance(0.25) else None
    arms = s.random.choice((1, 2, 2, 3)) if both is None else s.random.choice((2, 3))
    lines: Lines = []
    for arm in range(arms):
        inner = s.inner()
        if arm == 0 and s.chance(0.15):
            name = s.fresh("f")
            lines.append(f"if ({name} := {damped(s)} * 1.0) > {e.leaf(s)}:")
            s.add(Var(name, "f"))
            inner.add(Var(name, "f"))
        elif arm == 0:
            lines.append(f"if {e.condition(s)}:")
        elif arm == arms - 1 and (both or arms == 2 or s.chance(0.5)):
            lines.append("else:")
        else:
            lines.append(f"elif {e.condition(s)}:")
        body = block(inner, depth - 1, s.random.randint(1, 2))
        if both:
            body.append(f"{both} = {e.smooth(inner, 1)}")
        lines += indent(body)
    if both and lines and any(line == "else:" for line in lines):
        s.add(Var(both, "f"))
    return lines


def counted(s: Scope, depth: int) -> Lines:
    """A for loop over a range of one of the usual forms, or over a tuple."""
    name = s.fresh("i")
    inner = s.inner(loop=True)
    roll = s.random.random()
    outer = [i for i in s.of("i") if i.lo >= 0 and i.hi <= 4]
    if roll < 0.12:
        item = s.fresh("f")
        inner.add(Var(item, "f"))
        head = f"for {item} in ({e.leaf(s)}, {e.number(s)}, {e.leaf(s)}):"
    elif roll < 0.22 and outer:
        o = s.random.choice(outer)
        inner.add(Var(name, "i", (), 0, max(o.hi, 0), fixed=True))
        head = f"for {name} in range({o.name}):" if s.chance(0.5) else f"for {name} in range({o.name} + 1):"
    elif roll < 0.5 and s.of("v"):
        a = s.random.choice(s.of("v"))
        inner.add(Var(name, "i", (), 0, a.size[0] - 1, fixed=True))
        head = f"for {name} in range({s.random.choice((f'len({a.name})', f'{a.name}.shape[0]', f'{a.name}.size'))}):"
    elif roll < 0.75:
        n = s.random.choice((0, 1, 2, 3, 3, 4, 5, 5, 37 if s.in_loop == 0 else 2))
        inner.add(Var(name, "i", (), 0, max(n - 1, 0), fixed=True))
        head = f"for {name} in range({n}):"
    else:
        start, stop, step = s.random.choice(
            ((0, 5, 2), (0, 10, 3), (4, -1, -1), (3, 0, -2), (1, 4, 1), (2, 2, 1), (5, 0, -3))
        )
        values = list(range(start, stop, step)) or [0]
        inner.add(Var(name, "i", (), min(values), max(values), fixed=True))
        head = f"for {name} in range({start}, {stop}{'' if step == 1 and s.chance(0.5) else f', {step}'}):"
    return [head, *indent(loop_body(inner, depth))]


def loop_body(inner: Scope, depth: int) -> Lines:
    head = inner.inner()
    body = block(inner, depth - 1, inner.random.randint(1, 3))
    if inner.chance(0.3):
        word = inner.random.choice(("break", "continue"))
        flat = all(not line.startswith(" ") for line in body)
        at = inner.random.randint(0, len(body)) if flat else 0
        # What the body defines is known only after it.
        text = e.condition(inner if at == len(body) else head)
        body[at:at] = [f"if {text}:", f"    {word}"]
    return body


def waiting(s: Scope, depth: int) -> Lines:
    """A while loop, by a counter, by a growing number, or without condition and left by break."""
    roll = s.random.random()
    if roll < 0.4:
        k = s.fresh("i")
        n = s.random.randint(1, 5)
        s.add(Var(k, "i", (), 0, n, fixed=True))
        inner = s.inner(loop=True)
        inner.variables[k] = Var(k, "i", (), 1, n, fixed=True)
        return [f"{k} = 0", f"while {k} < {n}:", *indent([f"{k} += 1", *loop_body(inner, depth)])]
    if roll < 0.75:
        g = s.fresh("g")
        start = f"1.0 + {e.leaf_squared(s)}"
        s.add(Var(g, "f", fixed=True))
        inner = s.inner(loop=True)
        more = f" and {e.condition(s)}" if s.chance(0.25) else ""
        growth = f"{g} = {g} * 1.4 + 0.3 * {e.leaf_squared(inner)}"
        if s.chance(0.25):
            head = f"while ({g} := {g} * 1.4 + 0.3 * {e.leaf_squared(s)}) < {s.random.randint(3, 12)}{more}:"
            return [f"{g} = {start}", head, *indent(loop_body(inner, depth))]
        return [
            f"{g} = {start}",
            f"while {g} < {s.random.randint(3, 12)}{more}:",
            *indent([growth, *loop_body(inner, depth)]),
        ]
    k = s.fresh("i")
    n = s.random.randint(2, 5)
    s.add(Var(k, "i", (), 0, n, fixed=True))
    inner = s.inner(loop=True)
    inner.variables[k] = Var(k, "i", (), 1, n, fixed=True)
    leave = [f"if {k} >= {n} or {e.condition(inner)}:", "    break"]
    return [f"{k} = 0", "while True:", *indent([f"{k} += 1", *leave, *block(inner, depth - 1, s.random.randint(1, 2))])]


def claim(s: Scope) -> Lines:
    """An assertion that always holds."""
    return [f"assert {e.leaf(s)} < 1e9" + s.random.choice(("", ", 'too large'"))]


def array_call(s: Scope) -> Lines:
    """A function that makes an array of an array."""
    found = [(h, a) for h in s.helpers if h.returns == "v" for a in s.of("v", size=(h.length,))]
    if not found:
        return local(s)
    h, a = s.random.choice(found)
    text = f"{h.name}({a.name}, {e.leaf(s)})"
    target = s.pick("v", writable=True, size=(h.length,))
    if target and s.chance(0.5):
        return [f"{target.name}{s.random.choice(('[:] =', ' +=', ' -='))} {text}"]
    name = s.fresh("v")
    s.add(Var(name, "v", (h.length,)))
    return [f"{name} = {text}"]


def listed(s: Scope) -> Lines:
    """An array of an element for each of another's."""
    a = s.pick("v")
    if a is None:
        return local(s)
    item, name = s.fresh("f"), s.fresh("v")
    inner = s.inner()
    inner.add(Var(item, "f", fixed=True))
    text = f"{name} = np.array([1.0 * {e.smooth(inner, 1)} for {item} in {a.name}])"
    s.add(Var(name, "v", a.size))
    return [text]


def function(s: Scope, depth: int) -> Lines:
    """A function of a float, in this place, which reads the variables around it as they are when it is called."""
    name, parameter = f"c{len(s.helpers)}", s.fresh("z")
    inner = s.function([Var(parameter, "f")])
    if s.chance(0.4):
        lines = [f"{name} = lambda {parameter}: {e.smooth(inner, 2)}"]
    else:
        body = block(inner, depth - 1, s.random.randint(0, 2))
        lines = [f"def {name}({parameter}):", *indent([*body, f"return {e.smooth(inner, 2)}"])]
    s.helpers.append(Helper(name, ("f",), s.length, "f"))
    call = f"{name}({e.leaf(s)})"
    result = s.add(Var(s.fresh("f"), "f"))
    return [*lines, f"{result.name} = {call}"]


def early_return(s: Scope) -> Lines:
    """A way out of the whole function, from wherever this is."""
    if s.returns == "v" and not e.views(s, s.length):
        return store(s)
    if s.returns == "f":
        value = " " + e.smooth(s, 1)
    elif s.returns == "t":
        value = f" {e.smooth(s, 1)}, {e.leaf(s)}"
    elif s.returns == "v":
        value = f" {e.vector(s, s.length, 1)} * 1.0"
    else:
        value = ""
    return [f"if {e.condition(s)}:", f"    return{value}"]


SIMPLE: list[tuple[float, Callable[[Scope], Lines]]] = [
    (5, assign),
    (4, augment),
    (2, unpack),
    (5, store),
    (3, whole),
    (3, local),
    (2, small_int),
    (1, flag),
    (2, helper_call),
    (1, early_return),
    (1, array_call),
    (1, listed),
    (0.5, claim),
]
COMPOUND: list[tuple[int, Callable[[Scope, int], Lines]]] = [(3, branch), (4, counted), (2, waiting), (1, function)]


def block(s: Scope, depth: int, count: int) -> Lines:
    """`count` statements, compound ones nested at most `depth` deep."""
    lines: Lines = []
    for _ in range(count):
        if depth > 0 and s.chance(0.45):
            make = s.random.choices([f for _, f in COMPOUND], [w for w, _ in COMPOUND])[0]
            lines += make(s, depth)
        else:
            simple = s.random.choices([f for _, f in SIMPLE], [w for w, _ in SIMPLE])[0]
            lines += simple(s)
    return lines or ["pass"]
