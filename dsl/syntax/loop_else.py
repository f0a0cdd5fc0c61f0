"""`else` of loops, written without: a flag says whether a `break` ended the loop, and what is behind it asks the flag.

Takes the tree of a kernel as it was parsed, and gives one whose loops have no `else`. The flag has a name that no
variable can have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from . import nodes as n


def without_loop_else(tree: n.FunctionDef) -> n.FunctionDef:
    """The same function; the very tree where no loop has an `else`."""
    found = any(isinstance(s, (n.For, n.While)) and s.orelse for s in n.statements(tree.body))
    return replace(tree, body=_rewritten(tree.body)) if found else tree


def _rewritten(body: Sequence[n.Statement]) -> list[n.Statement]:
    found: list[n.Statement] = []
    for statement in body:
        if isinstance(statement, n.If):
            found.append(replace(statement, body=_rewritten(statement.body), orelse=_rewritten(statement.orelse)))
        elif isinstance(statement, (n.For, n.While)):
            found += _loop(statement)
        else:
            found.append(statement)
    return found


def _loop(loop: n.For | n.While) -> list[n.Statement]:
    body = _rewritten(loop.body)
    if not loop.orelse:
        return [replace(loop, body=body)]
    flag = f"<broken {loop.loc.line}:{loop.loc.col}>"
    asked = n.UnaryOp("not", n.Name(flag, loc=loop.loc), loc=loop.loc)
    return [
        _set(flag, False, loop),
        replace(loop, body=_noting(body, flag), orelse=[]),
        n.If(asked, _rewritten(loop.orelse), [], loc=loop.loc),
    ]


def _noting(body: Sequence[n.Statement], flag: str) -> list[n.Statement]:
    """Statements of a loop's body that set the flag before each `break` of this loop."""
    found: list[n.Statement] = []
    for statement in body:
        if isinstance(statement, n.Break):
            found += [_set(flag, True, statement), statement]
        elif isinstance(statement, n.If):
            found.append(
                replace(statement, body=_noting(statement.body, flag), orelse=_noting(statement.orelse, flag))
            )
        else:
            found.append(statement)
    return found


def _set(flag: str, value: bool, at: n.Statement) -> n.Statement:
    return n.Assign([n.Name(flag, loc=at.loc)], n.Constant(value, loc=at.loc), loc=at.loc)
