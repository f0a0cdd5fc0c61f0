"""The syntax tree of a kernel: Python's `ast` by name and field, but operators are strings and all nodes have `loc`.

The parser makes these nodes and every later part reads them. Nothing here knows lark, MLIR or types.
Nodes compare by identity, so that passes can keep tables of them; `same` compares their content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from .loc import Loc


@dataclass(eq=False)
class Node:
    """Base of all nodes. `loc` is given by keyword: `Name("x", loc=loc)`."""

    loc: Loc = field(kw_only=True, repr=False)


@dataclass(eq=False)
class Expression(Node):
    """Base of expressions."""


@dataclass(eq=False)
class Statement(Node):
    """Base of statements."""


# --- expressions --------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Name(Expression):
    id: str


@dataclass(eq=False)
class Constant(Expression):
    value: Any  # int, float, complex, bool, str, None or Ellipsis


@dataclass(eq=False)
class BinOp(Expression):
    left: Expression
    op: str  # + - * / // % ** @ & | ^ << >>
    right: Expression


@dataclass(eq=False)
class UnaryOp(Expression):
    op: str  # + - ~ not
    operand: Expression


@dataclass(eq=False)
class BoolOp(Expression):
    op: str  # and or
    values: list[Expression]


@dataclass(eq=False)
class Compare(Expression):
    left: Expression
    ops: list[str]  # < <= > >= == != is "is not" in "not in"
    comparators: list[Expression]


@dataclass(eq=False)
class IfExp(Expression):
    test: Expression
    body: Expression
    orelse: Expression


@dataclass(eq=False)
class Keyword(Node):
    arg: str
    value: Expression


@dataclass(eq=False)
class Call(Expression):
    func: Expression
    args: list[Expression]
    keywords: list[Keyword]


@dataclass(eq=False)
class Attribute(Expression):
    value: Expression
    attr: str


@dataclass(eq=False)
class Slice(Expression):
    lower: Expression | None
    upper: Expression | None
    step: Expression | None


@dataclass(eq=False)
class Subscript(Expression):
    value: Expression
    index: Expression  # an expression, a Slice, or a Tuple that may hold Slices


@dataclass(eq=False)
class Tuple(Expression):
    elts: list[Expression]


@dataclass(eq=False)
class List(Expression):
    elts: list[Expression]


@dataclass(eq=False)
class Starred(Expression):
    """`*value`, in a call, a tuple or a list, or as a target."""

    value: Expression


@dataclass(eq=False)
class NamedExpr(Expression):
    target: Name
    value: Expression


@dataclass(eq=False)
class JoinedStr(Expression):
    """An f-string: its text, with what stands in braces as it is written."""

    text: str


@dataclass(eq=False)
class Comprehension(Node):
    """One `for target in iter if ... if ...` of a comprehension."""

    target: Expression
    iter: Expression
    ifs: list[Expression]


@dataclass(eq=False)
class ListComp(Expression):
    elt: Expression
    generators: list[Comprehension]


@dataclass(eq=False)
class GeneratorExp(Expression):
    elt: Expression
    generators: list[Comprehension]


@dataclass(eq=False)
class Lambda(Expression):
    """A lambda in a kernel. `function` is named "<lambda>"; its body is a single Return."""

    function: FunctionDef


# --- statements ---------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Assign(Statement):
    targets: list[Expression]
    value: Expression


@dataclass(eq=False)
class AugAssign(Statement):
    target: Expression
    op: str  # without the '='
    value: Expression


@dataclass(eq=False)
class AnnAssign(Statement):
    target: Expression
    annotation: Expression
    value: Expression | None


@dataclass(eq=False)
class If(Statement):
    test: Expression
    body: list[Statement]
    orelse: list[Statement]  # an elif is an If alone in here, as in `ast`


@dataclass(eq=False)
class For(Statement):
    target: Expression
    iter: Expression
    body: list[Statement]
    orelse: list[Statement]  # what follows where no `break` ended the loop


@dataclass(eq=False)
class While(Statement):
    test: Expression
    body: list[Statement]
    orelse: list[Statement]


@dataclass(eq=False)
class Break(Statement):
    pass


@dataclass(eq=False)
class Continue(Statement):
    pass


@dataclass(eq=False)
class Return(Statement):
    value: Expression | None


@dataclass(eq=False)
class Pass(Statement):
    pass


@dataclass(eq=False)
class Assert(Statement):
    test: Expression
    msg: Expression | None


@dataclass(eq=False)
class Raise(Statement):
    exc: Expression


@dataclass(eq=False)
class Expr(Statement):
    """An expression as a statement; a docstring is one that holds a Constant string."""

    value: Expression


# --- functions ----------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Param(Node):
    name: str
    annotation: Expression | None
    default: Expression | None
    kind: str = "normal"  # normal, positional_only or keyword_only


@dataclass(eq=False)
class FunctionDef(Statement):
    """A whole kernel, or a function in one. A lambda becomes one named "<lambda>", whose body is a single Return."""

    name: str
    params: list[Param]
    body: list[Statement]
    returns: Expression | None


# --- helpers ------------------------------------------------------------------------------------------------------


def children(node: Node) -> Iterator[Node]:
    """The direct child nodes, in source order."""
    for name in _fields_of(type(node)):
        value = getattr(node, name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, Node))


def _fields_of(cls: type[Node]) -> tuple[str, ...]:
    found = _FIELDS.get(cls)
    if found is None:
        found = _FIELDS[cls] = tuple(f.name for f in fields(cls))
    return found


_FIELDS: dict[type, tuple[str, ...]] = {}


def statements(body: Sequence[Statement]) -> list[Statement]:
    """All statements in a body, nested ones too, but for those of functions in it."""
    found: list[Statement] = []
    for stmt in body:
        found.append(stmt)
        if isinstance(stmt, (If, For, While)):
            found += statements(stmt.body) + statements(stmt.orelse)
    return found


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, parents before children."""
    yield node
    for child in children(node):
        yield from walk(child)


def dump(node: Any, indent: int = 0, positions: bool = False) -> str:
    """The tree as text, one node a line; with `positions`, each with its line:col-line:col."""
    pad = "  " * indent
    if isinstance(node, list):
        lines = "".join(f"{pad}  {dump(n, indent + 1, positions)}\n" for n in node)
        return f"[\n{lines}{pad}]" if node else "[]"
    if not isinstance(node, Node):
        return repr(node)
    at = f"@{node.loc.line}:{node.loc.col}-{node.loc.end_line}:{node.loc.end_col}" if positions else ""
    inner = (f"{f.name}={dump(getattr(node, f.name), indent, positions)}" for f in fields(node) if f.name != "loc")
    return f"{type(node).__name__}{at}({', '.join(inner)})"


def same(a: Node, b: Node, positions: bool = False) -> bool:
    """Whether two trees have the same content (and, with `positions`, the same places)."""
    return dump(a, 0, positions) == dump(b, 0, positions)
