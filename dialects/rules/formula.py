"""Expressions as readable formulas, for the documentation.

Takes trees; leaves infix text. Parts used more than once get a letter, as in `a / (1 + a * a); with a = abs(x0)`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from dialects.rules.expr import Expr

_INFIX = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "div": ("/", 2)}
_COMPARISON = {"eq": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_LOOSE, _SUM, _PRODUCT = 0, 1, 2  # how tightly the surroundings bind


def formulas(expressions: Sequence[Expr]) -> tuple[list[str], list[str]]:
    """The text of each expression, and the definitions of the letters in them, in the order of need."""
    writer = _Writer(expressions)
    texts = [writer.text(e, _LOOSE) for e in expressions]
    return texts, writer.definitions


class _Writer:
    def __init__(self, expressions: Sequence[Expr]) -> None:
        self.uses = Counter(id(e) for e in expressions)
        every = {id(node): node for e in expressions for node in e.nodes()}
        self.uses.update(id(arg) for node in every.values() for arg in node.args)
        self.letters: dict[int, str] = {}
        self.definitions: list[str] = []

    def text(self, e: Expr, level: int) -> str:
        """The text of a node, in parentheses if its surroundings bind more tightly; its letter if it has one."""
        if self.uses[id(e)] < 2 or not e.args:
            return self._spelt(e, level)
        if id(e) not in self.letters:
            spelt = self._spelt(e, _LOOSE)  # what it needs is defined first
            self.letters[id(e)] = "abcdefgh"[len(self.letters)]
            self.definitions.append(f"{self.letters[id(e)]} = {spelt}")
        return self.letters[id(e)]

    def _spelt(self, e: Expr, level: int) -> str:
        if e.op in ("x", "r"):
            return f"{e.op}{e.value}"
        if e.op == "const":
            return f"{e.value:.17g}"
        if e.op == "sitofp":
            return self.text(e.args[0], level)
        if e.op == "neg":
            return _wrap(f"-{self.text(e.args[0], _PRODUCT)}", level >= _PRODUCT)
        if e.op in _INFIX:
            sign, own = _INFIX[e.op]
            return _wrap(f"{self.text(e.args[0], own)} {sign} {self.text(e.args[1], own + 1)}", level > own)
        if e.op == "cmp":
            return self._comparison(e, level)
        if e.op in ("and", "or"):
            return _wrap(f" {e.op} ".join(self.text(arg, _SUM) for arg in e.args), level > _LOOSE)
        if e.op == "select":
            condition, a, b = (self.text(arg, _LOOSE) for arg in e.args)
            return _wrap(f"{a} if {condition} else {b}", level > _LOOSE)
        if e.op == "int_minus_one":
            return _wrap(f"{self.text(e.args[0], _SUM)} - 1", level > _SUM)
        if e.op == "int_is_zero":
            return _wrap(f"{self.text(e.args[0], _SUM)} == 0", level > _LOOSE)
        name = {"powi": "pow", "call": str(e.value).removeprefix("__dsl_")}.get(e.op, e.op)
        return f"{name}({', '.join(self.text(arg, _LOOSE) for arg in e.args)})"

    def _comparison(self, e: Expr, level: int) -> str:
        a, b = (self.text(arg, _SUM) for arg in e.args)
        predicate = str(e.value)
        if predicate == "uno":
            return f"isnan({a if e.args[0] is e.args[1] else f'{a}, {b}'})"
        return _wrap(f"{a} {_COMPARISON[predicate[1:]]} {b}", level > _LOOSE)


def _wrap(text: str, needed: bool) -> str:
    return f"({text})" if needed else text
