"""Derivative rules of one's own for a kernel: in the language, compiled in, in place of the derivative of its body.

    @dsl.kernel
    def f(x):
        return math.sin(x)

    @dsl.rules.forward(f)
    def f_forward(config, func, RT, x):
        return Duplicated(func.val(x.val), math.cos(x.val) * x.dval)

    @dsl.rules.augmented_primal(f)
    def f_augmented(config, func, RT, x):
        return AugmentedReturn(func.val(x.val), None, math.cos(x.val))

    @dsl.rules.reverse(f)
    def f_reverse(config, func, dret, tape, x):
        return (tape * dret.val,)

The arguments of the kernel arrive as annotations (`x.val`, `x.dval`), `func` as `Const(f)`; `config` and `RT` (the
annotation that the result has) are known when compiling, and so is `isinstance(x, Const)`. A parameter's annotation
(`x: Duplicated`) limits a rule to calls in which the argument is one; of several rules the first that fits is taken.
External functions (`dsl.extern`) have rules in the same way. See docs/custom_rules.md.

`easy` makes both modes of partial derivatives, `inactive` says that a kernel has derivative zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from .errors import ArgumentError
from .foreign import Foreign
from .imported import import_frule, import_rrule
from .kernel import Kernel, as_kernel

__all__ = [
    "AugmentedReturn", "Config", "Rule", "augmented_primal", "easy", "forward", "import_frule", "import_rrule",
    "inactive", "reverse",
]  # fmt: skip

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Config(NamedTuple):
    """What a rule is compiled for; all of it is known when compiling, so that `if config.needs_primal:` costs nothing.

    needs_primal: whether the value of the call is used; where it is not, None may be returned for it.
    needs_shadow: whether its tangent, or the shadow of an array that it returns, is used.
    width: how many shadows there are at once: 1, but for rules made with `batched=True`.
    overwritten: for the function and each argument, whether an array in it may change before the reverse rule runs.
    In the reverse rule `x.val` holds in any case what it held when the augmented primal returned, for which a copy is
    kept if need be.
    runtime_activity: False: what is active is known when compiling.
    strong_zero: whether 0 times infinity is to be 0.
    """

    needs_primal: bool
    needs_shadow: bool
    width: int
    overwritten: tuple[bool, ...]
    runtime_activity: bool
    strong_zero: bool


class AugmentedReturn(NamedTuple):
    """What an augmented primal returns: the value, the shadow of an array in it (else None), and what the reverse rule
    will need: numbers, arrays, tuples or structs, or None.
    """

    primal: Any
    shadow: Any
    tape: Any


class Rule(NamedTuple):
    """One rule of a kernel: `part` is forward, augment, reverse, easy or inactive."""

    part: str
    kernel: Kernel | None
    batched: bool = False


_NAMES = {"forward": "forward", "augment": "augmented_primal", "reverse": "reverse", "easy": "easy"}
#: What a rule takes before the arguments of its kernel.
_LEADING = {"forward": "config func RT", "augment": "config func RT", "reverse": "config func dret tape", "easy": ""}


def forward(f: Any, *, batched: bool = False) -> Callable[[_Function], _Function]:
    """The rule of kernel `f` in forward mode: `(config, func, RT, *args)`.

    It returns `Duplicated(value, tangent)` or `(value, tangent)`; where `config.needs_primal` is False the tangent
    alone will do, and where `config.needs_shadow` is (`RT` is Const) the value alone. Arrays that `f` writes are
    written together with their shadows. `batched=True`: it is called once for all tangents, which come as tuples
    (BatchDuplicated); else once for each.
    """
    return _maker("forward", f, batched)


def augmented_primal(f: Any, *, batched: bool = False) -> Callable[[_Function], _Function]:
    """The rule of kernel `f` for the forward sweep of reverse mode: `(config, func, RT, *args)` to AugmentedReturn.

    It does what `f` does. Without such a rule `f` itself is called there, and the tape is None.
    """
    return _maker("augment", f, batched)


def reverse(f: Any, *, batched: bool = False) -> Callable[[_Function], _Function]:
    """The rule of kernel `f` for the reverse sweep: `(config, func, dret, tape, *args)` to a tuple.

    It returns for each argument the gradient if it is Active, else None. `dret` is Active, and `dret.val` the cotangent
    of the result; Const, and zero, if the result does not matter; Duplicated(value, shadow) for arrays that `f`
    returns. To the shadows of arrays it adds, `x.dval[i] += ...`; of arrays that `f` overwrites it takes the shadow as
    the cotangent and leaves zero there.
    """
    return _maker("reverse", f, batched)


def easy(f: Any) -> Callable[[_Function], _Function]:
    """Both modes of a kernel `f` of numbers from its partial derivatives.

    The function takes what `f` takes, and returns the tuple of the partial derivatives by each argument (None: zero);
    where `f` returns several numbers, a tuple of such tuples. What it computes before is shared. A last parameter named
    `result` gets the value of `f`.

        @dsl.rules.easy(f)
        def f_partials(x, y, result):
            return result * y, result * x
    """
    return _maker("easy", f, True)


def inactive(f: Any) -> Any:
    """Declare that kernel `f` has derivative zero: it is called and not looked into. Returns `f`: also a decorator."""
    _add(f, Rule("inactive", None))
    return f


def _maker(part: str, f: Any, batched: bool) -> Callable[[_Function], _Function]:
    kernel = _target(f)

    def make(function: _Function) -> _Function:
        rule = as_kernel(function)
        _check_count(part, kernel, rule)
        _add(kernel, Rule(part, rule, batched))
        return function

    return make


def _target(f: Any) -> Kernel | Foreign:
    """What gets the rules: a kernel, that of a plain function, or an external function."""
    if isinstance(f, Foreign):
        return f
    kernel = as_kernel(f)
    if not isinstance(f, Kernel) and getattr(f, "__dsl_kernel__", None) is not kernel:
        raise ArgumentError(f"{f!r} is made anew each time", None, "give the function a name, by `def`")
    return kernel


def _check_count(part: str, kernel: Kernel | Foreign, rule: Kernel) -> None:
    leading = _LEADING[part].split()
    expected = [*leading, *kernel.params]
    found = list(rule.params)
    if part == "easy" and found[-1:] == ["result"] and len(found) == len(expected) + 1:
        return
    if len(found) != len(expected):
        raise ArgumentError(
            f"rules.{_NAMES[part]} of {kernel.name} takes {len(expected)} parameters: ({', '.join(expected)}); "
            f"{rule.name} has {len(found)}: ({', '.join(found)})",
            rule.loc,
            "the arguments of the kernel come last, each as an annotation" if leading else "as the kernel itself",
        )


def _add(f: Any, rule: Rule) -> None:
    kernel = _target(f)
    for other in kernel.rules:
        if (other.part == "inactive") != (rule.part == "inactive") or (other.part == "easy") != (rule.part == "easy"):
            raise ArgumentError(
                f"{kernel.name} has a rule of another kind ({_NAMES.get(other.part, other.part)}) already",
                rule.kernel.loc if rule.kernel is not None else kernel.loc,
            )
    kernel.rules = (*kernel.rules, rule)
