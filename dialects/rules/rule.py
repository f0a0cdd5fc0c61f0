"""What a rule is: the partial derivatives of each result of an op by each operand, or code that does their work.

Takes expression trees (`row`, `rows`) or a pair of functions (`CodeRule`); leaves objects with one interface for the
engine. `forward` gives the tangent of each result, `reverse` the cotangent that each operand receives. `None` stands
for a tangent or cotangent that is identically zero, and for the partial of an operand that has no influence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from mlir import ir

from dialects.rules.emission import Emitter, LeafValue, zero_where_zero
from dialects.rules.expr import Expr, Leaf, Number, as_expr
from dialects.rules.formula import formulas

MaybeValue: TypeAlias = ir.Value | None
Partial = Expr | None


class Rule:
    """A row of a table: `partials[result][operand]`.

    `holomorphic` marks rows over complex numbers, whose reverse uses the conjugates of the partials.
    `note` says what the row means where the function has a kink, and whatever else its users should know.
    """

    def __init__(self, partials: Sequence[Sequence[Partial]], *, note: str = "", holomorphic: bool = False) -> None:
        self.partials: tuple[tuple[Partial, ...], ...] = tuple(tuple(of_result) for of_result in partials)
        self.note = note
        self.holomorphic = holomorphic

    def partial(self, result: int, operand: int) -> Partial:
        """The partial derivative, None where it is identically zero."""
        of_result = self.partials[result]
        return of_result[operand] if operand < len(of_result) else None

    def active(self, operand: int) -> bool:
        """Whether a derivative flows through this operand at all."""
        return any(self.partial(result, operand) is not None for result in range(len(self.partials)))

    def needs(self, result: int, operand: int) -> set[Leaf]:
        """The operands ("x", i) and results ("r", i) whose primal values this partial reads."""
        partial = self.partial(result, operand)
        return set(partial.leaves()) if partial is not None else set()

    def linear_in(self, operand: int) -> bool:
        """Whether every result is linear in this operand: no partial by it depends on it or on a result."""
        needed = {leaf for result in range(len(self.partials)) for leaf in self.needs(result, operand)}
        return ("x", operand) not in needed and all(kind != "r" for kind, _ in needed)

    def forward(
        self,
        leaf: LeafValue,
        tangents: Sequence[MaybeValue],
        result_types: Sequence[ir.Type],
        loc: ir.Location,
        strong_zero: bool = False,
    ) -> list[MaybeValue]:
        """The tangent of each result from the tangent of each operand."""
        out: list[MaybeValue] = []
        for result, type in enumerate(result_types):
            emitter = Emitter(leaf, type, loc, strong_zero=strong_zero)
            pairs = [(self.partial(result, i), t) for i, t in enumerate(tangents)]
            terms = [emitter.term(p, t) for p, t in pairs if p is not None and t is not None]
            out.append(emitter.total(terms) if terms else None)
        return out

    def reverse(
        self,
        leaf: LeafValue,
        cotangents: Sequence[MaybeValue],
        operand_types: Sequence[ir.Type],
        wanted: Sequence[bool],
        loc: ir.Location,
        strong_zero: bool = False,
    ) -> list[MaybeValue]:
        """What each wanted operand's cotangent grows by, from the cotangent of each result."""
        emitters: dict[ir.Type, Emitter] = {}  # one a type: what rows share is emitted once
        out: list[MaybeValue] = []
        for operand, type in enumerate(operand_types):
            pairs = [(self.partial(r, operand), t) for r, t in enumerate(cotangents)] if wanted[operand] else []
            pairs = [(p, t) for p, t in pairs if p is not None and t is not None]
            if not pairs:
                out.append(None)
                continue
            if type not in emitters:
                emitters[type] = Emitter(leaf, type, loc, strong_zero=strong_zero, conjugate=True)
            emitter = emitters[type]
            out.append(emitter.total([emitter.term(p, t) for p, t in pairs if p is not None and t is not None]))
        return out

    def text(self) -> str:
        """The formulas, for the documentation: one a pair of result and operand, separated by semicolons."""
        several = len(self.partials) > 1
        names, partials = [], []
        for result, of_result in enumerate(self.partials):
            for operand, partial in enumerate(of_result):
                if partial is not None:
                    names.append(f"r{result} by x{operand}" if several else f"by x{operand}")
                    partials.append(partial)
        texts, definitions = formulas(partials)
        parts = [f"{name}: {text}" for name, text in zip(names, texts)]
        return "; ".join(parts) + (f"; with {', '.join(definitions)}" if definitions else "")


ForwardCode = Callable[[LeafValue, Sequence[MaybeValue], Sequence[ir.Type], ir.Location], list[MaybeValue]]
ReverseCode = Callable[[LeafValue, Sequence[MaybeValue], Sequence[ir.Type], ir.Location], list[MaybeValue]]


class CodeRule(Rule):
    """A rule for an op whose derivative is linear over the reals but no multiplication by a partial.

    `forward(leaf, tangents, result_types, loc)` and `reverse(leaf, cotangents, operand_types, loc)` emit it;
    `reads` names the leaves that they use and `formula` says for the reader what they compute; the codes must call
    `leaf` for nothing else. Rules of one operand that multiply by something possibly infinite say so by `multiplies`.
    """

    def __init__(
        self,
        forward: ForwardCode,
        reverse: ReverseCode,
        *,
        operands: int,
        reads: Sequence[Leaf] = (),
        multiplies: bool = False,
        formula: str,
        note: str = "",
    ) -> None:
        super().__init__([[None] * operands], note=note)
        self._forward = forward
        self._reverse = reverse
        self._operands = operands
        self._reads = frozenset(reads)
        self._multiplies = multiplies
        self._formula = formula

    def partial(self, result: int, operand: int) -> Partial:
        raise TypeError("a rule in code has no partial derivatives to read; use its forward and reverse")

    def active(self, operand: int) -> bool:
        return operand < self._operands

    def needs(self, result: int, operand: int) -> set[Leaf]:
        return set(self._reads)

    def linear_in(self, operand: int) -> bool:
        return not self._reads

    def forward(
        self,
        leaf: LeafValue,
        tangents: Sequence[MaybeValue],
        result_types: Sequence[ir.Type],
        loc: ir.Location,
        strong_zero: bool = False,
    ) -> list[MaybeValue]:
        if all(t is None for t in tangents):
            return [None] * len(result_types)
        made = self._forward(leaf, tangents, result_types, loc)
        return self._guarded(tangents, made, loc) if strong_zero else made

    def reverse(
        self,
        leaf: LeafValue,
        cotangents: Sequence[MaybeValue],
        operand_types: Sequence[ir.Type],
        wanted: Sequence[bool],
        loc: ir.Location,
        strong_zero: bool = False,
    ) -> list[MaybeValue]:
        if all(t is None for t in cotangents):
            return [None] * len(operand_types)
        made = self._reverse(leaf, cotangents, operand_types, loc)
        if strong_zero:
            made = self._guarded(cotangents, made, loc)
        return [m if want else None for m, want in zip(made, wanted)]

    def _guarded(self, given: Sequence[MaybeValue], made: list[MaybeValue], loc: ir.Location) -> list[MaybeValue]:
        """What was made, but 0 where what was given is 0."""
        if not self._multiplies:
            return made
        (t,), (value,) = given, made
        return [zero_where_zero(t, value, loc)]

    def text(self) -> str:
        return self._formula


def row(*partials: Expr | Number | None, note: str = "", holomorphic: bool = False) -> Rule:
    """The rule of an op with one result: its partial by each operand in order; None where there is none."""
    return Rule([[None if p is None else as_expr(p) for p in partials]], note=note, holomorphic=holomorphic)


def rows(*results: Sequence[Expr | Number | None], note: str = "") -> Rule:
    """The rule of an op with several results: a list of partials for each of them."""
    return Rule([[None if p is None else as_expr(p) for p in of_result] for of_result in results], note=note)
