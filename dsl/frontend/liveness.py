"""Which variables matter where: a backward pass over the syntax tree of one function.

Takes a FunctionDef; leaves, for each statement, the names that may be read after it, and for each loop the names that
its next iteration may read. A merge of two paths, or a loop, then carries only what somebody reads. Paths that a
compile-time condition rules out are counted too: more may be live than is, never less.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..syntax import nodes

Names = frozenset[str]
NOTHING: Names = frozenset()


def read_names(node: nodes.Node | None) -> Names:
    """The names that an expression reads."""
    if node is None:
        return NOTHING
    return frozenset(n.id for n in nodes.walk(node) if isinstance(n, nodes.Name))


def bound_names(target: nodes.Expression) -> Names:
    """The variables that assigning to a target binds: not those in `x[i] = ` or `p.w = `, which it reads."""
    if isinstance(target, nodes.Name):
        return frozenset((target.id,))
    if isinstance(target, (nodes.Tuple, nodes.List)):
        return NOTHING.union(*map(bound_names, target.elts))
    return NOTHING


def read_by_target(target: nodes.Expression) -> Names:
    """The names that assigning to a target reads."""
    if isinstance(target, nodes.Name):
        return NOTHING
    if isinstance(target, (nodes.Tuple, nodes.List)):
        return NOTHING.union(*map(read_by_target, target.elts))
    return read_names(target)


def statements(body: Sequence[nodes.Statement]) -> list[nodes.Statement]:
    """All statements in a body, nested ones too."""
    found: list[nodes.Statement] = []
    for stmt in body:
        found.append(stmt)
        if isinstance(stmt, nodes.If):
            found += statements(stmt.body) + statements(stmt.orelse)
        elif isinstance(stmt, (nodes.For, nodes.While)):
            found += statements(stmt.body)
    return found


def assigned_names(body: Sequence[nodes.Statement]) -> Names:
    """The variables that a body may bind."""
    names: set[str] = set()
    for stmt in statements(body):
        if isinstance(stmt, nodes.Assign):
            for target in stmt.targets:
                names |= bound_names(target)
        elif isinstance(stmt, (nodes.AugAssign, nodes.AnnAssign, nodes.For)):
            names |= bound_names(stmt.target)
    return frozenset(names)


def has_return(body: Sequence[nodes.Statement]) -> bool:
    return any(isinstance(stmt, nodes.Return) for stmt in statements(body))


def has_break(body: Sequence[nodes.Statement]) -> bool:
    """Whether a body may break out of the loop that it is the body of."""
    for stmt in body:
        if isinstance(stmt, nodes.Break):
            return True
        if isinstance(stmt, nodes.If) and (has_break(stmt.body) or has_break(stmt.orelse)):
            return True
    return False


class Liveness:
    """The result for one function: `after[stmt]`, and for loops `next_iteration[stmt]`."""

    def __init__(self, function: nodes.FunctionDef) -> None:
        self.after: dict[nodes.Statement, Names] = {}
        self.next_iteration: dict[nodes.Statement, Names] = {}
        self._block(function.body, NOTHING, NOTHING, NOTHING)

    def _block(self, body: Sequence[nodes.Statement], out: Names, brk: Names, cont: Names) -> Names:
        for stmt in reversed(body):
            self.after[stmt] = out
            out = self._statement(stmt, out, brk, cont)
        return out

    def _statement(self, stmt: nodes.Statement, out: Names, brk: Names, cont: Names) -> Names:
        """The names live before a statement, given those after it, at the loop's exit and at its next iteration."""
        if isinstance(stmt, nodes.Assign):
            for target in stmt.targets:
                out -= bound_names(target)
            return out.union(read_names(stmt.value), *map(read_by_target, stmt.targets))
        if isinstance(stmt, nodes.AugAssign):
            return out | read_names(stmt.target) | read_names(stmt.value)
        if isinstance(stmt, nodes.AnnAssign):
            if stmt.value is None:
                return out
            return (out - bound_names(stmt.target)) | read_names(stmt.value) | read_by_target(stmt.target)
        if isinstance(stmt, nodes.If):
            body, orelse = self._block(stmt.body, out, brk, cont), self._block(stmt.orelse, out, brk, cont)
            return read_names(stmt.test) | body | orelse
        if isinstance(stmt, nodes.While):
            return self._loop(stmt, read_names(stmt.test), NOTHING, out)
        if isinstance(stmt, nodes.For):
            head = self._loop(stmt, read_by_target(stmt.target), bound_names(stmt.target), out)
            return head | read_names(stmt.iter)
        if isinstance(stmt, nodes.Return):
            return read_names(stmt.value)
        if isinstance(stmt, nodes.Break):
            return brk
        if isinstance(stmt, nodes.Continue):
            return cont
        if isinstance(stmt, nodes.Assert):
            return out | read_names(stmt.test)
        if isinstance(stmt, nodes.Expr):
            return out | read_names(stmt.value)
        return out

    def _loop(self, stmt: nodes.For | nodes.While, reads: Names, binds: Names, out: Names) -> Names:
        """To a fixpoint: what an iteration needs is what the one before it must leave."""
        head = out | reads
        while True:
            body = self._block(stmt.body, head, out, head)
            new = head | (body - binds)
            if new == head:
                break
            head = new
        self.next_iteration[stmt] = head
        return head
