"""The smallest program that still fails in the same way.

Works on the syntax tree of the text: drop a statement, put a block in place of the statement around it, put a part of
an expression (or a constant) in its place. Whatever does not run in Python is simply no candidate: the test says so."""

from __future__ import annotations

import ast
import copy
import time
from collections.abc import Callable, Iterator


def _size(tree: ast.AST) -> int:
    return sum(1 for _ in ast.walk(tree))


def _blocks(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        for name in ("body", "orelse"):
            if isinstance(getattr(node, name, None), list):
                yield node, name


def _statement_edits(tree: ast.Module) -> Iterator[ast.Module]:
    """Each statement dropped, or replaced by its own blocks."""
    for number, (node, name) in enumerate(_blocks(tree)):
        for at in range(len(getattr(node, name))):
            for replacement in ("drop", "body", "orelse"):
                edited = copy.deepcopy(tree)
                owner, field = list(_blocks(edited))[number]
                block = getattr(owner, field)
                inner = [] if replacement == "drop" else getattr(block[at], replacement, None)
                whole = isinstance(owner, ast.Module)  # one of the program's own functions
                if inner is None or (replacement != "drop" and (not inner or whole)):
                    continue
                block[at : at + 1] = inner
                if not block and field == "body" and not isinstance(owner, ast.Module):
                    block.append(ast.Pass())
                yield edited


def _expression_edits(tree: ast.Module) -> Iterator[ast.Module]:
    """Each expression replaced by one of its parts, or by 1.0."""
    places = []
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if isinstance(value, ast.expr) and field != "func":
                places.append((node, field, None, value))
            elif isinstance(value, list):
                places += [(node, field, i, v) for i, v in enumerate(value) if isinstance(v, ast.expr)]
    places.sort(key=lambda place: -_size(place[3]))
    for node, field, i, value in places:
        if isinstance(getattr(value, "ctx", None), ast.Store) or isinstance(value, ast.Constant):
            continue
        parts = [part for part in ast.iter_child_nodes(value) if isinstance(part, ast.expr)]
        for part in [*parts, ast.Constant(1.0), ast.Constant(0)]:
            if i is None:
                setattr(node, field, part)
            else:
                getattr(node, field)[i] = part
            yield copy.deepcopy(tree)
        if i is None:
            setattr(node, field, value)
        else:
            getattr(node, field)[i] = value


def shrink(source: str, still_fails: Callable[[str], bool], seconds: float = 60.0) -> str:
    """Smaller and smaller texts as long as `still_fails` says that they fail as the first one did."""
    end = time.monotonic() + seconds
    best = ast.parse(source)
    progress = True
    while progress and time.monotonic() < end:
        progress = False
        for edits in (_statement_edits, _expression_edits):
            # After a success go on where it was: what failed to shrink before it will mostly fail again.
            at = 0
            while at >= 0 and time.monotonic() < end:
                best, at, found = _first(best, edits, still_fails, end, at)
                progress = progress or found
    return ast.unparse(best) + "\n"


def _first(
    tree: ast.Module,
    edits: Callable[[ast.Module], Iterator[ast.Module]],
    still_fails: Callable[[str], bool],
    end: float,
    start: int,
) -> tuple[ast.Module, int, bool]:
    """The first edit from number `start` on that still fails: the new tree, its number (-1: there is none), whether."""
    before = _size(tree)
    for number, candidate in enumerate(edits(tree)):
        if number < start or _size(candidate) >= before:
            continue
        if time.monotonic() > end:
            break
        try:
            text = ast.unparse(ast.fix_missing_locations(candidate))
            parsed = ast.parse(text)
        except (SyntaxError, ValueError):
            continue
        if still_fails(text + "\n"):
            return parsed, number, True
    return tree, -1, False
