"""What the engine finds out about a derivative, as text for people: what is active, and what goes on the tape.

Both take a module with requests (see request.py), as `pipeline.differentiate` does, and use it up.
"""

from __future__ import annotations

from collections import Counter

from mlir.ir import Location, Module

from . import dialect, pipeline
from .activity import Activity
from .custom.resolve import RuleSource
from .prepare import prepare


def activity(module: Module, rules: RuleSource | None = None) -> str:
    """The function of the innermost request in normal form, each op that carries a derivative `autodiff.active`. (For
    this alone no `rules` are made.)
    """
    dialect.load(module.context)
    with module.context, Location.unknown():
        prepare(module)
        declaration, request = pipeline.innermost(module)
        name = f"{request.callee}.normal"
        normal = pipeline.differentiated_form(module, declaration, request.callee, name, request.overlapping())
        Activity(normal, request.activity, request.returns).annotate()
        return normal.get_asm(enable_debug_info=True)


def plan(module: Module, rules: RuleSource | None = None) -> str:
    """A line for each value that goes on the tape of a derivative: its type, how it is kept, where it is computed."""
    lines: list[str] = []
    for expansion in pipeline.differentiate(module, rules):
        request = expansion.request
        lines.append(f"{request.mode} @{request.callee}: {_count(len(expansion.taped))} on the tape")
        lines += [f"  {line}" for line in taped(expansion)]
    return "\n".join(lines) + "\n"


def taped(expansion: pipeline.Expansion) -> list[str]:
    """A line for each kind of value that one derivative tapes."""
    kept: Counter[tuple[str, str, str]] = Counter()
    for record in expansion.taped:
        position = record.position
        place = f'"{position[0]}":{position[1]}:{position[2]}' if position else "unknown"
        how = "one buffer, sized before the loops" if record.storage == "buffer" else "a stack that grows"
        kept[place, record.type, how] += 1
    return [
        f"{type_}{f' x {times}' if times > 1 else ''}: {how} loc({place})"
        for (place, type_, how), times in kept.items()
    ]


def _count(n: int) -> str:
    return f"{n or 'no'} value{'' if n == 1 else 's'}"
