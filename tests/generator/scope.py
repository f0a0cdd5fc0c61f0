"""What a generated program has in scope: variables with the kinds and ranges that keep every program valid Python."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random


@dataclass(frozen=True)
class Var:
    """A variable. kind: f float, i int, b bool, v 1-d array, m 2-d array, l list of floats, p int array, q bool array.

    `size` is the shape of arrays, (lo, hi) the values that an int, or each entry of an int array, can have. A `fixed`
    variable must not be assigned (a loop's counter), a fixed array not be written (it stays constant)."""

    name: str
    kind: str
    size: tuple[int, ...] = ()
    lo: int = 0
    hi: int = 0
    fixed: bool = False


@dataclass(frozen=True)
class Helper:
    """A function that the program defines: kinds of its parameters (f, or v with a length) and of what it returns."""

    name: str
    params: tuple[str, ...]
    length: int
    returns: str  # f, v for an array, or t for a pair of floats


@dataclass
class Scope:
    """The variables visible at one place, the functions that may be called, and where that place is."""

    random: Random
    variables: dict[str, Var] = field(default_factory=dict)
    helpers: list[Helper] = field(default_factory=list)
    in_loop: int = 0
    returns: str = "f"
    length: int = 3

    def inner(self, *, loop: bool = False) -> Scope:
        """The scope of a block: what it defines is unknown after it."""
        return Scope(
            self.random,
            dict(self.variables),
            list(self.helpers),
            self.in_loop + (1 if loop else 0),
            self.returns,
            self.length,
        )

    def function(self, parameters: list[Var]) -> Scope:
        """The scope of a function in this place: it reads what is around it, and assigns to none of that."""
        inner = self.inner()
        inner.variables = {name: replace(v, fixed=True) for name, v in self.variables.items()}
        inner.in_loop, inner.returns = 0, "f"
        for parameter in parameters:
            inner.add(parameter)
        return inner

    def of(self, kind: str, *, writable: bool = False, size: tuple[int, ...] | None = None) -> list[Var]:
        return [
            v
            for v in self.variables.values()
            if v.kind == kind and not (writable and v.fixed) and (size is None or v.size == size)
        ]

    def pick(self, kind: str, *, writable: bool = False, size: tuple[int, ...] | None = None) -> Var | None:
        found = self.of(kind, writable=writable, size=size)
        return self.random.choice(found) if found else None

    def add(self, var: Var) -> Var:
        self.variables[var.name] = var
        return var

    def fresh(self, prefix: str) -> str:
        """A name that is new in this scope. One that a closed block defined may come again, as in any function; kinds
        keep to their own first letters, so that what meets at a merge is of one kind."""
        k = 0
        while f"{prefix}{k}" in self.variables:
            k += 1
        return f"{prefix}{k}"

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability
