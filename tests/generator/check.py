"""A generated program, compiled, against its truth.

`check(program, point)` returns None, or a Failure that says which mode is wrong and how; Unfair comes through."""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
import re
import tempfile
import traceback
from pathlib import Path
from types import ModuleType

from tests.generator.modes import MODES, Case, Failure
from tests.generator.oracle import Unfair, judge
from tests.generator.program import ENTRY, Program
from tests.generator.reproducer import directions, module_text, seeds


def load(program: Program, point: int) -> ModuleType:
    """The program as a module of its own, from a file, so that its source can be found and errors show its lines."""
    text = module_text(program, point)
    name = f"generated_{program.seed}_{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.py"
        file.write_text(text)
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    # The file is gone; its lines stay at hand as those of a module that was typed in.
    linecache.cache[str(file)] = (len(text), None, text.splitlines(True), str(file))
    return module


def check(program: Program, point: int) -> Failure | None:
    """Judge the program at a point, run the compiled one in all modes, compare."""
    arguments = program.arguments(point)
    truth = judge(program, arguments)
    arrays = seeds(program, point)
    case = Case(
        kernel=getattr(load(program, point), ENTRY),
        arguments=arguments,
        active=[p.active for p in program.params],
        tangents=directions(program, point, arguments),
        cotangents=[arrays.get(p.name) for p in program.params],
        returns=program.returns,
        truth=truth,
        precision=program.precision,
    )
    for name, mode in MODES:
        try:
            failure = mode(case)
        except Exception as error:
            first = str(error).partition("\n")[0]
            if program.precision > 1 and isinstance(error, TypeError) and "float32" in first:
                raise Unfair("it mixes arrays of two types in one variable, which is rightly refused") from error
            kind = f"{name}: {type(error).__name__}: {re.sub(r'`[^`]*`|[0-9]+', '_', first)[:80]}"
            return Failure(kind, "".join(traceback.format_exception(error))[-6000:])
        if failure:
            return failure
    return None
