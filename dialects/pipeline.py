"""From requests for derivatives to ordinary MLIR: the passes in their order.

Innermost derivative first: a function is differentiated once no function that it calls is still a request, and what
comes out is ordinary MLIR, so nesting needs nothing of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlir.ir import Context, Location, MLIRError, Module, Operation, StringAttr
from mlir.passmanager import PassManager

from . import dialect
from .builder import operation, walk
from .caches import lower_caches
from .dead_code import remove_dead_code
from .errors import DerivativeError, refuse
from .expand import derivative
from .request import Request
from .structure import callee_name, normalise, symbol
from .tape import Recorded

#: What is optimised before differentiation is not taped, recomputed or differentiated after it.
BEFORE = (
    "inline,func.func(convert-linalg-to-loops,lower-affine),lift-cf-to-scf,canonicalize,cse,loop-invariant-code-motion"
)
#: After the normal form, which canonicalize would undo.
NORMAL = "loop-invariant-code-motion,cse"
AFTER = "canonicalize,cse,loop-invariant-code-motion,cse"


@dataclass
class Expansion:
    """One derivative that was made: the request, its function's name, and what was taped."""

    request: Request
    function: str
    taped: list[Recorded] = field(default_factory=list)


def differentiate(module: Module) -> list[Expansion]:
    """Give all requested derivatives in `module` their bodies, in place. Raises DerivativeError; `module` is then of
    no more use.
    """
    dialect.load(module.context)
    done: list[Expansion] = []
    with module.context, Location.unknown():
        while _pending(module):
            _run(module, BEFORE)
            done.append(_expand(module, *_innermost(module, _pending(module))))
        for op in walk_functions(module):
            lower_caches(op)
            remove_dead_code(op)
        _run(module, "inline," + AFTER)
        for op in walk_functions(module):
            remove_dead_code(op)
    return done


def _expand(module: Module, declaration: Operation, request: Request) -> Expansion:
    name = symbol(declaration)
    function = _function(module, declaration, request.callee)
    normalise(module, function, f"{name}.normal")
    _run(module, NORMAL)
    normal = _function(module, declaration, f"{name}.normal")
    taped = derivative(declaration, request, normal)
    normal.erase()
    for attribute in [a for a in declaration.attributes if a.startswith("autodiff.")]:
        del declaration.attributes[attribute]
    if request.public:
        declaration.attributes["sym_visibility"] = StringAttr.get("public")
    remove_dead_code(declaration)
    return Expansion(request, name, taped)


def _pending(module: Module) -> list[tuple[Operation, Request]]:
    return [(op, r) for op in _functions(module) if (r := Request.of(op)) is not None]


def _innermost(module: Module, pending: list[tuple[Operation, Request]]) -> tuple[Operation, Request]:
    """A request whose function calls no other request, however deep."""
    names = {symbol(op) for op, _ in pending}
    for op, request in pending:
        if not _reaches(module, request.callee, op, names, set()):
            return op, request
    raise refuse(
        pending[0][0], "a derivative of a function that asks for its own derivative", "recursion is not supported"
    )


def _reaches(module: Module, name: str, at: Operation, targets: set[str], seen: set[str]) -> bool:
    if name in targets:
        return True
    if name in seen:
        return False
    seen.add(name)
    function = next((op for op in walk_functions(module) if symbol(op) == name), None)
    if function is None:
        return False
    calls = [op for op in walk(function) if op.name == "func.call"]
    return any(_reaches(module, callee_name(op), op, targets, seen) for op in calls)


def _functions(module: Module) -> list[Operation]:
    return [op for op in map(operation, module.body.operations) if op.name == "func.func"]


def walk_functions(module: Module) -> list[Operation]:
    """The functions of `module` that have a body."""
    return [op for op in _functions(module) if list(op.regions[0].blocks)]


def _function(module: Module, at: Operation, name: str) -> Operation:
    for op in walk_functions(module):
        if symbol(op) == name:
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
