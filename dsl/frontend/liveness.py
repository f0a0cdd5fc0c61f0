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
    if isinstance(target, nodes.Starred):
        return bound_names(target.value)
    if isinstance(target, (nodes.Tuple, nodes.List)):
        return NOTHING.union(*map(bound_names, target.elts))
    return NOTHING


def read_by_target(target: nodes.Expression) -> Names:
    """The names that assigning to a target reads."""
    if isinstance(target, nodes.Name):
        return NOTHING
    if isinstance(target, nodes.Starred):
        return read_by_target(target.value)
    if isinstance(target, (nodes.Tuple, nodes.List)):
        return NOTHING.union(*map(read_by_target, target.elts))
    return read_names(target)


def assigned_names(body: Sequence[nodes.Statement]) -> Names:
    """The variables that a body may bind."""
    names: set[str] = set()
    for stmt in nodes.statements(body):
        if isinstance(stmt, nodes.Assign):
            for target in stmt.targets:
                names |= bound_names(target)
        elif isinstance(stmt, (nodes.AugAssign, nodes.AnnAssign, nodes.For)):
            names |= bound_names(stmt.target)
        elif isinstance(stmt, nodes.FunctionDef):
            names.add(stmt.name)
    return frozenset(names)


def named_within(body: Sequence[nodes.Node]) -> Names:
    """The variables that `:=` binds in a body, but for those of the functions in it."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, nodes.NamedExpr):
            names.add(node.target.id)
        if not isinstance(node, (nodes.FunctionDef, nodes.Lambda)):
            names |= named_within(list(nodes.children(node)))
    return frozenset(names)


def free_names(function: nodes.FunctionDef) -> Names:
    """The names that a function in a kernel reads and that are not its own."""
    own = assigned_names(function.body) | named_within(function.body) | {p.name for p in function.params}
    return NOTHING.union(*map(read_names, function.body)) - own


def has_return(body: Sequence[nodes.Statement]) -> bool:
    return any(isinstance(stmt, nodes.Return) for stmt in nodes.statements(body))


def has_break(body: Sequence[nodes.Statement]) -> bool:
    """Whether a body may break out of the loop that it is the body of."""
    for stmt in body:
        if isinstance(stmt, nodes.Break):
            return True
        if isinstance(stmt, nodes.If) and (has_break(stmt.body) or has_break(stmt.orelse)):
            return True
    return False


class Liveness:
    """The result for one function: `after[stmt]`, and for loops `next_iteration[stmt]`.

    A function in the kernel reads the variables that it captures when it is called: who names it reads those too
    (`captured`). Where it may be called is not known of one that has no name, or is handed around: what it captures is
    live everywhere (`held`).
    """

    def __init__(self, function: nodes.FunctionDef) -> None:
        self.after: dict[nodes.Statement, Names] = {}
        self.next_iteration: dict[nodes.Statement, Names] = {}
        _, *kinds = map(type, nodes.walk(function))
        #: Whether `:=` occurs: seldom, so that it need not be looked for everywhere.
        self.names_within = nodes.NamedExpr in kinds
        self.captured, self.held = captures(function) if nodes.FunctionDef in kinds else ({}, NOTHING)
        self._block(function.body, NOTHING, NOTHING, NOTHING)

    def assigned(self, body: Sequence[nodes.Statement]) -> Names:
        """The variables that a body may bind."""
        names = assigned_names(body)
        return names | named_within(body) if self.names_within else names

    def _reads(self, node: nodes.Node | None) -> Names:
        names = read_names(node)
        return names.union(*(self.captured[n] for n in names if n in self.captured)) if self.captured else names

    def _block(self, body: Sequence[nodes.Statement], out: Names, brk: Names, cont: Names) -> Names:
        for stmt in reversed(body):
            self.after[stmt] = out = out | self.held
            out = self._statement(stmt, out, brk, cont)
        return out | self.held

    def _statement(self, stmt: nodes.Statement, out: Names, brk: Names, cont: Names) -> Names:
        """The names live before a statement, given those after it, at the loop's exit and at its next iteration."""
        if isinstance(stmt, nodes.Assign):
            for target in stmt.targets:
                out -= bound_names(target)
            return out.union(self._reads(stmt.value), *map(read_by_target, stmt.targets))
        if isinstance(stmt, nodes.AugAssign):
            return out | self._reads(stmt.target) | self._reads(stmt.value)
        if isinstance(stmt, nodes.AnnAssign):
            if stmt.value is None:
                return out
            return (out - bound_names(stmt.target)) | self._reads(stmt.value) | read_by_target(stmt.target)
        if isinstance(stmt, nodes.If):
            body, orelse = self._block(stmt.body, out, brk, cont), self._block(stmt.orelse, out, brk, cont)
            return self._reads(stmt.test) | body | orelse
        if isinstance(stmt, nodes.While):
            return self._loop(stmt, self._reads(stmt.test), NOTHING, out)
        if isinstance(stmt, nodes.For):
            head = self._loop(stmt, read_by_target(stmt.target), bound_names(stmt.target), out)
            return head | self._reads(stmt.iter)
        if isinstance(stmt, nodes.Return):
            return self._reads(stmt.value)
        if isinstance(stmt, nodes.Raise):
            return self._reads(stmt.exc)
        if isinstance(stmt, nodes.FunctionDef):
            return (out - {stmt.name}).union(*(self._reads(p.default) for p in stmt.params))
        if isinstance(stmt, nodes.Break):
            return brk
        if isinstance(stmt, nodes.Continue):
            return cont
        if isinstance(stmt, nodes.Assert):
            return out | self._reads(stmt.test)
        if isinstance(stmt, nodes.Expr):
            return out | self._reads(stmt.value)
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


def captures(function: nodes.FunctionDef) -> tuple[dict[str, Names], Names]:
    """What the functions in a kernel capture: by name for those that are only called or passed on under the one name
    that they have, and all that the others capture.
    """
    named: dict[str, list[nodes.FunctionDef]] = {}
    for stmt in nodes.statements(function.body):
        if isinstance(stmt, nodes.FunctionDef):
            named.setdefault(stmt.name, []).append(stmt)
        elif isinstance(stmt, nodes.Assign) and isinstance(stmt.value, nodes.Lambda):
            for target in stmt.targets:
                if isinstance(target, nodes.Name):
                    named.setdefault(target.id, []).append(stmt.value.function)
    handed: set[str] = set()
    bare: list[nodes.FunctionDef] = []
    _handed_around(function, handed, bare)
    known = {name: free_names(made[0]) for name, made in named.items() if len(made) == 1 and name not in handed}
    without = [f for name, made in named.items() if name not in known for f in made]
    held = NOTHING.union(*map(free_names, [*without, *bare]))
    while True:  # a function that calls another captures what that one does
        more = {n: c.union(*(known[m] for m in c if m in known)) for n, c in known.items()}
        if more == known:
            return known, held.union(*(known[n] for n in held if n in known))
        known = more


def _handed_around(node: nodes.Node, names: set[str], bare: list[nodes.FunctionDef]) -> None:
    """Collect the names that are read other than to call them or to pass them to a call, and such lambdas."""
    inside: list[nodes.Node] = list(nodes.children(node))
    if isinstance(node, nodes.Call):
        direct = [node.func, *node.args, *(k.value for k in node.keywords)]
        inside = [_body_of(n) for n in direct if not isinstance(n, nodes.Name)]
    elif isinstance(node, nodes.Assign):
        inside = [n for n in node.targets if not isinstance(n, nodes.Name)]
        inside.append(_body_of(node.value) if len(inside) < len(node.targets) else node.value)
    elif isinstance(node, nodes.Name):
        names.add(node.id)
    elif isinstance(node, nodes.Lambda):
        bare.append(node.function)
    for child in inside:
        _handed_around(child, names, bare)


def _body_of(node: nodes.Expression) -> nodes.Node:
    return node.function if isinstance(node, nodes.Lambda) else node
