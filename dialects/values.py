"""Arguments of functions from words of the command line, and results as text."""

from __future__ import annotations

import ast
from typing import Any

import numpy as np

from .execution import ArgumentError, Function


def parse(word: str) -> Any:
    """A number, a truth value or nested lists of them; None for _ (to be chosen)."""
    word = word.strip()
    if word == "_":
        return None
    text = word.replace("true", "True").replace("false", "False")
    try:
        if not text.startswith("["):
            return {"True": True, "False": False}[text] if text in ("True", "False") else _number(text)
        value = np.array(ast.literal_eval(text))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ArgumentError(f"cannot read the argument {word!r}: write 1.5, 1+2j, true or [[1,2],[3,4]]") from None
    if value.dtype.kind not in "bifc":
        raise ArgumentError(f"the argument {word!r} is no array of numbers")
    return value


def arguments(function: Function, words: list[str]) -> list[Any]:
    """The words as arguments of `function`."""
    if len(words) != len(function.inputs):
        types = ", ".join(kind.text for kind in function.inputs) or "nothing"
        raise ArgumentError(
            f"@{function.name} takes {len(function.inputs)} arguments ({types}), {len(words)} are given"
        )
    return [fit(kind, parse(word), i) for i, (kind, word) in enumerate(zip(function.inputs, words, strict=True))]


def fit(kind: Any, value: Any, i: int) -> Any:
    """The value as argument `i`, checked against its type."""
    array = np.asarray(value)
    if value is None or (kind.shape is None) != (array.ndim == 0 and not isinstance(value, np.ndarray)):
        what = "a number" if kind.shape is None else "an array such as [1,2,3]"
        raise ArgumentError(f"argument {i} has type {kind.text}: give {what}")
    order = "bifc"
    wanted = "f" if kind.dtype.kind == "V" else kind.dtype.kind
    if array.size and order.index(array.dtype.kind) > order.index(wanted):
        raise ArgumentError(f"argument {i} has type {kind.text}, which cannot hold {show(array)}")
    made = array.astype(kind.dtype)
    if wanted == "i" and array.size and not np.array_equal(made, array):
        raise ArgumentError(f"argument {i} has type {kind.text}, which cannot hold {show(array)}")
    return made if kind.shape is None else kind.array(made)


def show(value: Any) -> str:
    """A number or an array as it could be given."""
    array = np.asarray(value)
    if array.ndim:
        return "[" + ", ".join(show(v) for v in array) + "]"
    item = array.item() if array.dtype.kind != "V" else float(array)
    if isinstance(item, bool):
        return "true" if item else "false"
    return str(item).strip("()")


def _number(text: str) -> Any:
    for kind in (int, float, complex):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ValueError(text)
