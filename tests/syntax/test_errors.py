"""The one form of all errors, and that each can be caught as Python's own, pickled and printed by Python."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from dsl import errors
from dsl.syntax.loc import Loc

FILE = "<errors>"
errors.register_source(FILE, "def f(x):\n\tif x:  \n\t\ty = x +\tz\n    return (1 +\n  2)\n")
CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.DslError)]


def test_form() -> None:
    notes = [("the other one is here", Loc(FILE, 1, 7, 1, 8)), ("of course", None)]
    error = errors.KernelTypeError("no such sum", Loc(FILE, 3, 7, 3, 12), "convert it", notes)
    assert str(error).split("\n") == [
        "no such sum",
        "  --> <errors>:3:7",
        "   |  y = x +\tz",
        "   |      ^^^^^",
        "  note: the other one is here",
        "  --> <errors>:1:7",
        "   |  def f(x):",
        "   |        ^",
        "  note: of course",
        "  help: convert it",
    ]


@pytest.mark.parametrize(
    ("loc", "caret"),
    [
        (Loc(FILE, 3, 11, 3, 12), "       \t^"),  # behind a tab the caret goes as far as the text
        (Loc(FILE, 4, 12, 5, 5), "       ^^^^"),  # over lines: to the end of the first
        (Loc(FILE, 3, 7, 3, 7), "    ^"),  # empty: one caret
        (Loc(FILE, 3, 7, 3, 700), "    ^^^^^"),  # never beyond the text
        (Loc(FILE, 2, 2, 2, 9), "^^^^^"),
    ],
)
def test_caret(loc: Loc, caret: str) -> None:
    assert errors.excerpt(loc).split("\n")[2] == f"   |  {caret}"


def test_without_a_line_there_is_the_place_alone() -> None:
    assert errors.excerpt(Loc("/no/such/file", 3, 1, 3, 2)) == "  --> /no/such/file:3:1"
    assert errors.excerpt(Loc(FILE, 300, 1, 300, 2)) == f"  --> {FILE}:300:1"
    assert str(errors.CompileError("nothing more")) == "nothing more"


def test_parts_of_a_file_are_registered_side_by_side() -> None:
    errors.register_source("<parts>", "b\n", 2)
    errors.register_source("<parts>", "d\ne\n", 4)
    assert [errors.source_line("<parts>", n) for n in range(0, 7)] == ["", "", "b", "", "d", "e", ""]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_pickled(cls: type[errors.DslError]) -> None:
    error = cls("message", Loc(FILE, 1, 5, 1, 6), "help", [("note", None)])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls and str(again) == str(error)
    assert (again.message, again.loc, again.hint, again.notes) == ("message", error.loc, "help", [("note", None)])


@pytest.mark.parametrize(
    ("cls", "bases"),
    [
        (errors.KernelSyntaxError, SyntaxError),
        (errors.UnsupportedSyntax, NotImplementedError),
        (errors.JoinError, TypeError),
        (errors.KernelNameError, NameError),
        (errors.KernelAttributeError, AttributeError),
        (errors.KernelValueError, ValueError),
        (errors.KernelIndexError, IndexError),
        (errors.RecursionRefused, RecursionError),
        (errors.SourceError, OSError),
        (errors.ArgumentError, TypeError),
        (errors.ArgumentError, ValueError),
        (errors.ActivityError, ValueError),
        (errors.MissingDependency, ImportError),
        (errors.NotYetSupported, NotImplementedError),
    ],
)
def test_caught_as_pythons_own(cls: type[errors.DslError], bases: type[Exception]) -> None:
    with pytest.raises(bases):
        raise cls("message")


@pytest.mark.parametrize("cls", ["KernelSyntaxError", "KernelTypeError", "SourceError"])
def test_pythons_traceback_shows_the_message(cls: str) -> None:
    program = (
        f"from dsl import errors; from dsl.syntax.loc import Loc; raise errors.{cls}('bad', Loc('f', 2, 3, 2, 4), 'do')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False
    )
    assert f"errors.{cls}: bad\n  --> f:2:3\n  help: do" in done.stderr
