"""The tree of a PTX text: what the parser makes and the decoder reads.

Names that were declared in an inner `{ }` of a function are made unique here, so a function has one flat set of names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Place(NamedTuple):
    """A place in the user's source, from a `.loc` directive; `inlined_at` is where the code of it was inlined."""

    file: str
    line: int
    column: int
    inlined_at: Place | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


# --- operands -----------------------------------------------------------------------------------------------------


class Name(NamedTuple):
    """A register, a special register, a variable (with an offset in bytes), a label or a function."""

    name: str
    offset: int = 0


class Int(NamedTuple):
    value: int


class Float(NamedTuple):
    """A floating-point constant: its value in double precision, and its bits where they were written (0f, 0d)."""

    value: float
    bits: int | None = None
    width: int = 64


class Not(NamedTuple):
    """`!p`"""

    name: str


class Pair(NamedTuple):
    """`d|p`: two destinations."""

    first: str
    second: str


class Vector(NamedTuple):
    """`{a, b}`"""

    items: tuple[Operand, ...]


class Group(NamedTuple):
    """`(a, b)`: the parameters of a call."""

    items: tuple[Operand, ...]


class Address(NamedTuple):
    """`[base+offset]`; the base is a name or, for an absolute address, None."""

    base: str | None
    offset: int


Operand = Name | Int | Float | Not | Pair | Vector | Group | Address

# --- statements and declarations ------------------------------------------------------------------------------------


@dataclass
class Instruction:
    """One instruction: `@guard opcode operands;`."""

    opcode: str
    operands: tuple[Operand, ...]
    line: int  # of the PTX text, 1-based
    guard: str | None = None
    guard_negated: bool = False
    place: Place | None = None
    text: str = ""  # as it stands in the PTX


@dataclass
class Variable:
    """A variable in memory: of a module, of a function, or a parameter."""

    name: str
    space: str  # param, global, shared, local, const
    type: str
    count: int  # elements; 0 for an array whose extent is given at launch
    size: int  # bytes
    align: int
    external: bool = False
    initial: tuple[Initial, ...] = ()


Initial = Int | Float | Name
"""One element of an initialiser; a name stands for an address."""


@dataclass
class Function:
    name: str
    kernel: bool
    line: int
    parameters: list[Variable] = field(default_factory=list)
    results: list[Variable] = field(default_factory=list)
    defined: bool = False
    registers: dict[str, str] = field(default_factory=dict)  # name to type
    variables: dict[str, Variable] = field(default_factory=dict)
    body: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)  # name to the index of the instruction behind it
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)  # `.branchtargets`
    maximum_threads: tuple[int, ...] = ()  # `.maxntid`
    required_threads: tuple[int, ...] = ()  # `.reqntid`


@dataclass
class Unit:
    """A whole PTX text."""

    version: str
    target: str
    functions: dict[str, Function]
    variables: dict[str, Variable]
