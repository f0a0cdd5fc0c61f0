"""`while (x := f()) ...:` written without: a loop without end that is left where the test does not hold.

Takes a tree whose loops have no `else` (loop_else), and gives one in which no test of a `while` binds a variable: what
a test binds is then bound in the body, as by any other statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from . import nodes as n
from .loop_else import without_loop_else


def without_binding_tests(tree: n.FunctionDef) -> n.FunctionDef:
    """The same function; the very tree where no test of a `while` binds a variable."""
    found = any(isinstance(s, n.While) and _binds(s.test) for s in n.statements(tree.body))
    return replace(tree, body=_rewritten(tree.body)) if found else tree


def with_plain_loops(tree: n.FunctionDef) -> n.FunctionDef:
    """The same function with loops as all later parts know them."""
    return without_binding_tests(without_loop_else(tree))


def _binds(test: n.Expression) -> bool:
    return any(isinstance(node, n.NamedExpr) for node in n.walk(test))


def _rewritten(body: Sequence[n.Statement]) -> list[n.Statement]:
    return [_statement(statement) for statement in body]


def _statement(statement: n.Statement) -> n.Statement:
    if isinstance(statement, n.If):
        return replace(statement, body=_rewritten(statement.body), orelse=_rewritten(statement.orelse))
    if isinstance(statement, n.For):
        return replace(statement, body=_rewritten(statement.body))
    if isinstance(statement, n.While):
        body = _rewritten(statement.body)
        if not _binds(statement.test):
            return replace(statement, body=body)
        at = statement.test.loc
        leave = n.If(n.UnaryOp("not", statement.test, loc=at), [n.Break(loc=at)], [], loc=at)
        return replace(statement, test=n.Constant(True, loc=at), body=[leave, *body])
    return statement
