"""`check_gradients`: a function with all activities of its arguments, as a table."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..annotations import Active, Annotation, BatchDuplicated, BatchMixedDuplicated, Const, Duplicated, MixedDuplicated
from ..checks import the_kernel
from ..errors import ActivityError, DifferentiationError, NotYetSupported
from ..modes import Forward, Reverse
from ..request import is_continuous
from ..shadows import guess_activity, typeof
from ..types import Scalar, leaves
from .forward import test_forward
from .reverse import test_reverse
from .values import clone

# With more arguments that can be active, each alone, none and all are tested instead of all combinations.
_ALL = 4
_BATCHES = {Duplicated: BatchDuplicated, MixedDuplicated: BatchMixedDuplicated, Active: Active, Const: Const}


@dataclass(frozen=True)
class Row:
    """One combination: the mode's name, annotations of result and arguments, and how it went.

    `outcome` is "passed", "failed", or "refused", where the combination has no derivative and an error says so;
    `message` is what failed, or the refusal.
    """

    mode: str
    returns: str
    annotations: tuple[str, ...]
    outcome: str
    message: str = ""


@dataclass
class GradientCheck:
    """What `check_gradients` found. True where nothing failed."""

    kernel: str
    params: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)

    @property
    def failures(self) -> list[Row]:
        return [row for row in self.rows if row.outcome == "failed"]

    @property
    def passed(self) -> bool:
        """Whether nothing failed, and something passed."""
        return not self.failures and any(row.outcome == "passed" for row in self.rows)

    def __bool__(self) -> bool:
        return self.passed

    def __rich__(self) -> Any:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        notes: dict[str, int] = {}  # what failed or was refused, each once, below the table
        table = Table(title=f"Derivatives of {self.kernel}", title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
        for name in ("mode", "result", *self.params, "outcome"):
            table.add_column(name, no_wrap=True)
        styles = {"passed": "green", "failed": "bold red", "refused": "dim"}
        for row in self.rows:
            note = f" ({notes.setdefault(row.message, len(notes) + 1)})" if row.message else ""
            outcome = Text(row.outcome + note, styles[row.outcome])
            table.add_row(row.mode, row.returns, *row.annotations, outcome)
        lines = [Text(f"({number}) {message}") for message, number in notes.items()]
        return Group(table, *lines)

    def __str__(self) -> str:
        return shown(self, width=200)

    def raise_failures(self) -> None:
        """AssertionError with the messages of all that failed, if anything did."""
        if self.failures:
            lines = [f"{r.mode}, {r.returns}, {', '.join(r.annotations)}: {r.message}" for r in self.failures]
            raise AssertionError("\n\n".join(lines))


def shown(renderable: Any, width: int | None = None, color: bool = False) -> str:
    """What rich prints, as text."""
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), width=width, force_terminal=color, no_color=not color, legacy_windows=False)
    console.print(renderable)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.rstrip("\n")


def check_gradients(
    f: Any,
    *args: Any,
    widths: Sequence[int] = (1, 2),
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
    quiet: bool = False,
) -> GradientCheck:
    """Test the derivatives of f at a point in both modes, for all activities of its arguments, and print a table.

    `args` are plain values; `Const(c)` stays constant throughout. Those that hold floats are constant and
    differentiated in turn, in all combinations (of five and more: each alone, all, and none), for each of the `widths`,
    and the result is Const and not. Each combination is a `test_forward` or `test_reverse`, which see for what is
    tested and for `rtol` and `atol`. A combination that the system refuses, because a derivative would be lost in it,
    is shown as refused.

    Returns a `GradientCheck`, which is true where nothing failed; `.rows`, `.failures`, `.raise_failures()`.

    >>> import dsl
    >>> bool(dsl.testing.check_gradients(lambda x, y: x * x * y, 2.0, 3.0, quiet=True))
    True
    """
    kernel = the_kernel(f)
    result = kernel(*(clone(_value(a)) for a in args))
    check = GradientCheck(kernel.name, kernel.params[: len(args)])
    continuous = any(map(is_continuous, leaves(typeof(result))))
    scalar = isinstance(typeof(result), Scalar)
    for mode, test, returns in (
        ("Forward", test_forward, (Duplicated, Const) if continuous else (Const,)),
        ("Reverse", test_reverse, (Active if scalar else Duplicated, Const) if continuous else (Const,)),
    ):
        for wanted, width, chosen in itertools.product(returns, widths, _choices(mode, args)):
            given = [_annotated(a, c, width) for a, c in zip(args, chosen)]
            batched = width > 1 and any(c not in (Const, Active) for c in chosen)
            if width > 1 and not batched:
                continue  # the same as width 1
            result_annotation = BatchDuplicated if batched and wanted is Duplicated else wanted
            outcome, message = "passed", ""
            try:
                test(kernel, result_annotation, *given, width=width, rtol=rtol, atol=atol, seed=seed)
            except (ActivityError, DifferentiationError, NotYetSupported) as error:
                outcome, message = "refused", str(error)
            except Exception as error:  # whatever goes wrong is what is looked for
                outcome, message = "failed", str(error) if isinstance(error, AssertionError) else repr(error)
            names = tuple(map(_name, given))
            check.rows.append(Row(mode, result_annotation.__name__, names, outcome, message))
    if not quiet:
        import sys

        from rich.console import Console

        Console(file=sys.stdout).print(check)
    return check


def _value(given: Any) -> Any:
    return given.val if isinstance(given, Const) else given


def _name(given: Any) -> str:
    return (given[1] if isinstance(given, tuple) else type(given)).__name__


def _choices(mode: str, args: Sequence[Any]) -> list[tuple[type[Annotation], ...]]:
    """The annotations of all arguments, in all combinations."""
    own: list[type[Annotation]] = []
    for given in args:
        guessed = guess_activity(_value(given), Forward if mode == "Forward" else Reverse)
        own.append(Const if isinstance(given, Const) else guessed)
    free = [k for k, annotation in enumerate(own) if annotation is not Const]
    if len(free) <= _ALL:
        subsets = [set(s) for n in range(len(free), -1, -1) for s in itertools.combinations(free, n)]
    else:
        subsets = [set(free), *({k} for k in free), set()]
    return [tuple(a if k in subset else Const for k, a in enumerate(own)) for subset in subsets]


def _annotated(given: Any, annotation: type[Annotation], width: int) -> Any:
    value = _value(given)
    if annotation is Const:
        return Const(value)
    return (value, _BATCHES[annotation] if width > 1 else annotation)
