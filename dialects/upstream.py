"""Upstream's passes, run by their pipeline text; their failures as errors with a place in the user's source."""

from __future__ import annotations

import re

from mlir.ir import DiagnosticInfo, MLIRError, Module, StringAttr
from mlir.passmanager import PassManager

from .errors import DerivativeError, source_position

#: From the leaves of a nest upwards: downwards, upstream's pass takes time quadratic in the depth of branches.
CANONICALIZE = "canonicalize{top-down=false}"
#: Without the pass that upstream's inliner would run on each function first, which is the above, downwards.
INLINE = "inline{default-pipeline=}"


def run(module: Module, passes: str) -> None:
    """Run `passes`, as `builtin.module(...)` would hold them, on `module` in place."""
    try:
        with module.context:
            PassManager.parse(f"builtin.module({passes})").run(module.operation)
    except MLIRError as error:
        raise failure(error, "a pass before differentiation failed") from None


def keep_only(module: Module, entry: str) -> None:
    """Drop the functions that @entry does not need."""
    with module.context:
        for op in module.body.operations:
            if op.operation.name == "func.func" and StringAttr(op.operation.attributes["sym_name"]).value != entry:
                op.operation.attributes["sym_visibility"] = StringAttr.get("private")
    run(module, "symbol-dce")


def _named(diagnostic: DiagnosticInfo) -> str:
    """The message; "op was not ..." begins with the name of the op, which a note shows."""
    if diagnostic.message.startswith("op "):
        for note in diagnostic.notes:
            found = re.search(r'see current operation: (?:[^="]*= )?"([\w.]+)"', note.message)
            if found:
                return f"'{found[1]}' {diagnostic.message}"
    return diagnostic.message


def failure(error: MLIRError, doing: str) -> DerivativeError:
    """MLIR's diagnostics as one error: the first one's message and place, the others and all notes below it."""
    diagnostics = list(error.error_diagnostics)
    if not diagnostics:
        return DerivativeError(f"{doing}: {error}")
    first = diagnostics[0]
    lines = [_named(first)]
    lines += [f"  note: {note.message}" for note in first.notes if "see current operation" not in note.message]
    lines += [f"  also: {other.message}" for other in diagnostics[1:]]
    return DerivativeError("\n".join(lines), "", source_position(first.location))
