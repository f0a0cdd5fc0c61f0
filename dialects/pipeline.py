"""From autodiff ops to ordinary MLIR: the passes in their order.

Innermost derivative first: a function is differentiated once it has no autodiff op left in it, and what comes out is ordinary MLIR, so nesting
needs nothing of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlir.ir import Context, FlatSymbolRefAttr, InsertionPoint, MLIRError, Module, Operation, StringAttr
from mlir.passmanager import PassManager

from . import dialect
from .builder import Builder, operation, walk
from .caches import lower_caches
from .dead_code import remove_dead_code
from .errors import DerivativeError, refuse
from .expand import derivative
from .structure import callee_name, normalise
from .tape import Recorded

REQUESTS = frozenset({"autodiff.forward", "autodiff.reverse"})
#: What is optimised before differentiation is not taped, recomputed or differentiated after it.
BEFORE = "inline,func.func(convert-linalg-to-loops,lower-affine),lift-cf-to-scf,canonicalize,cse,loop-invariant-code-motion"
#: After the normal form, which canonicalize would undo.
NORMAL = "loop-invariant-code-motion,cse"
AFTER = "canonicalize,cse,loop-invariant-code-motion,cse"


@dataclass
class Expansion:
    """What happened to one autodiff op: the names of the functions, and what was taped."""

    request: str
    callee: str
    function: str
    taped: list[Recorded] = field(default_factory=list)


def differentiate(module: Module) -> list[Expansion]:
    """Expand all autodiff ops of `module` in place. Raises DerivativeError; `module` is then of no more use."""
    dialect.load(module.context)
    done: list[Expansion] = []
    with module.context:
        _run(module, BEFORE)
        while True:
            pending = [op for op in walk(operation(module.operation)) if op.name in REQUESTS]
            if not pending:
                break
            done.append(_expand(module, _innermost(module, pending), len(done)))
            _run(module, BEFORE)
        for op in walk_functions(module):
            lower_caches(op)
            remove_dead_code(op)
        _run(module, AFTER)
        for op in walk_functions(module):
            remove_dead_code(op)
    return done


def _expand(module: Module, op: Operation, number: int) -> Expansion:
    callee = callee_name(op)
    function = _function(module, op, callee)
    kind = op.name.removeprefix("autodiff.")
    name = f"{callee}.{kind}.{number}"
    normal = normalise(module, function, f"{callee}.normal.{number}")
    _run(module, NORMAL)
    normal = _function(module, op, StringAttr(normal.attributes["sym_name"]).value)
    taped = derivative(module, op, normal, name)
    normal.erase()
    builder = Builder(InsertionPoint(op), op.location)
    call = builder.op(
        "func.call", list(op.operands), [r.type for r in op.results], {"callee": FlatSymbolRefAttr.get(name)}
    )
    for old, new in zip(op.results, call.results, strict=True):
        old.replace_all_uses_with(new)
    op.erase()
    made = _function(module, call, name)
    remove_dead_code(made)
    return Expansion(kind, callee, name, taped)


def _innermost(module: Module, pending: list[Operation]) -> Operation:
    """A request whose callee has no request in it, however deep."""
    for op in pending:
        if not _requests_below(module, callee_name(op), op, set()):
            return op
    raise refuse(pending[0], "a derivative of a function that asks for its own derivative", "recursion is not supported")


def _requests_below(module: Module, callee: str, at: Operation, seen: set[str]) -> bool:
    if callee in seen:
        return False
    seen.add(callee)
    for op in walk(_function(module, at, callee)):
        if op.name in REQUESTS:
            return True
        if op.name == "func.call" and _defined(module, callee_name(op)) and _requests_below(module, callee_name(op), op, seen):
            return True
    return False


def walk_functions(module: Module) -> list[Operation]:
    """The functions of `module` that have a body."""
    ops = [operation(op) for op in module.body.operations]
    return [op for op in ops if op.name == "func.func" and list(op.regions[0].blocks)]


def _defined(module: Module, name: str) -> bool:
    return any(StringAttr(op.attributes["sym_name"]).value == name for op in walk_functions(module))


def _function(module: Module, at: Operation, name: str) -> Operation:
    for op in walk_functions(module):
        if StringAttr(op.attributes["sym_name"]).value == name:
            return op
    raise refuse(at, f"there is no function @{name} with a body to differentiate")


def _run(module: Module, passes: str) -> None:
    try:
        PassManager.parse(f"builtin.module({passes})").run(module.operation)
    except MLIRError as error:
        raise DerivativeError(f"a pass before differentiation failed: {error}") from None


def parse(text: str, context: Context | None = None) -> Module:
    """A module from text, in a context that knows the autodiff dialect."""
    context = context or Context()
    dialect.load(context)
    with context:
        return Module.parse(text)
