"""From requests for derivatives to ordinary MLIR: the passes in their order.

Innermost derivative first: a function is differentiated once no function that it calls is still a request, and what
comes out is ordinary MLIR, so nesting needs nothing of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlir.ir import Context, InsertionPoint, Location, Module, Operation, StringAttr, SymbolTable, UnitAttr

from . import dialect
from .block_extremes import settle_extremes
from .builder import operation, walk
from .caches import lower_caches
from .checkpoint.carried import settle as settle_checkpoints
from .checkpoint.marks import drop as drop_marks
from .copier import inline_calls
from .custom.effects import mark_calls
from .custom.marks import functions, is_custom, release, rule_names
from .custom.resolve import Rules, RuleSource
from .dead_code import remove_dead_code
from .errors import DerivativeError, refuse
from .expand import derivative
from .findings import Addition, InOrder, LoopPlan, Taped
from .forwarding import forward_values
from .lane_memory import interleave, join_accesses
from .lane_pieces import split_lanes
from .launch_memory import place_memory
from .launches import LAUNCH, device_functions, inline_device_calls
from .loop_fusion import fuse_loops
from .objects import OVERLAP, mark_overlapping
from .order import keep_order
from .parallel_forms import Parallel
from .prepare import prepare
from .private import make_private
from .request import Request
from .reverse_loops import settle_reverse_loops
from .silent import refuse_undecided
from .split import Tape, split
from .staying_cells import keep_staying_cells
from .structure import callee_name, normalise, one_call, symbol
from .tape_rows import write_in_tape
from .unshared import make_updates_plain
from .upstream import CANONICALIZE, INLINE, keep_only, run
from .versions import split_versions
from .winner import keep_winners
from .within import settle
from .zeros import drop_unread, drop_zeros

#: After the normal form, which canonicalize would undo.
NORMAL = "loop-invariant-code-motion,cse"
AFTER = f"{CANONICALIZE},cse,loop-invariant-code-motion,cse"


#: Of a module whose loops will be spread over the threads of a device, where iterations do not depend on each other.
SPREAD = "autodiff.spread"


@dataclass
class Expansion:
    """One derivative that was made: the request, its function's name, what was taped and how loops are reversed."""

    request: Request
    function: str
    taped: list[Taped] = field(default_factory=list)
    loops: list[LoopPlan] = field(default_factory=list)
    #: Split mode: what @function.augment gives last, and @function.pullback takes last.
    tape: Tape = field(default_factory=Tape)
    #: How the threads of launches add to shadows.
    additions: list[Addition] = field(default_factory=list)
    #: The parallel loops that are none any more.
    in_order: list[InOrder] = field(default_factory=list)


def differentiate(module: Module, rules: RuleSource | None = None, entry: str | None = None) -> list[Expansion]:
    """Give all requested derivatives in `module` their bodies, in place. `rules` makes rules that functions have on
    demand (see custom). With an `entry`, only what that function needs is left. Raises DerivativeError; `module` is
    then of no more use.
    """
    done = expand_requests(module, rules)
    if entry is not None:
        keep_only(module, entry)
    lower_tape(module)
    with module.context:
        release(module)
    clean(module)
    return done


def expand_requests(module: Module, rules: RuleSource | None = None) -> list[Expansion]:
    """Pass `autodiff-differentiate`: bodies for all requests, with the tape as caches."""
    dialect.load(module.context)
    done: list[Expansion] = []
    with module.context, Location.unknown():
        while _pending(module):
            prepare(module)
            declaration, request = innermost(module)
            if request.mode == "reverse":
                _lower_tapes_of_launches(module)
            done.append(_expand(module, declaration, request, rules))
        for op in walk_functions(module):
            drop_marks(op)
    return done


def _lower_tapes_of_launches(module: Module) -> None:
    """Caches of threads, which reverse mode cannot tape again, become memory, of which it can."""
    run_by_threads = device_functions(module)
    threads = [op for f in walk_functions(module) if symbol(f) in run_by_threads for op in walk(f)]
    if any(op.name == "autodiff.init" for op in threads):
        inline_device_calls(module)
    for function in walk_functions(module):
        launches = [op for op in walk(function) if op.name == LAUNCH]
        if any(op.name.startswith("autodiff.") for launch in launches for op in walk(launch)):
            place_memory(function)
            lower_caches(function)


def lower_tape(module: Module) -> None:
    """Pass `autodiff-tape`: caches to buffers, and the tapes of launches to memory of the host's."""
    with module.context, Location.unknown():
        inline_device_calls(module)
        for op in walk_functions(module):
            place_memory(op)
            lower_caches(op)


def clean(module: Module) -> None:
    """Pass `autodiff-clean`: what nobody needs is removed, and what is left is optimised."""
    with module.context, Location.unknown():
        for op in walk_functions(module):
            remove_dead_code(op)
        run(module, f"{INLINE},{AFTER}")
        for op in walk_functions(module):
            remove_dead_code(op)
            if OVERLAP not in module.operation.attributes:
                make_updates_plain(op)
        arrange_lanes(module)
        for op in walk_functions(module):
            if OVERLAP not in module.operation.attributes:
                write_in_tape(op)
                if SPREAD not in module.operation.attributes:
                    keep_staying_cells(op)
                settle_reverse_loops(op, registers=SPREAD not in module.operation.attributes)
            drop_zeros(op)
            if not any(mark in module.operation.attributes for mark in (OVERLAP, SPREAD)) and fuse_loops(op):
                drop_unread(op)
                remove_dead_code(op)
        keep_order(module)
        if SPREAD in module.operation.attributes:
            del module.operation.attributes[SPREAD]


def arrange_lanes(module: Module) -> None:
    """Pass `autodiff-lanes`: derivatives in several directions at once, in memory and in vectors as machines have them.

    Functions that launch grids are left as they are: threads side by side read elements side by side.
    """
    with module.context, Location.unknown():
        host = [op for op in walk_functions(module) if not any(inner.name.startswith("gpu.") for inner in walk(op))]
        merged = [interleave(op) for op in host]
        if any(merged):
            run(module, "cse")
        for op in host:
            join_accesses(op)
        split_up = [split_lanes(op) for op in host]
        if any(split_up):
            run(module, AFTER)


def _expand(module: Module, declaration: Operation, request: Request, rules: RuleSource | None = None) -> Expansion:
    """The derivative with parallel loops as launches; if something in them is refused of threads, in order."""
    if not any(op.name == "scf.parallel" for op in walk(module.operation)):
        return _expand_as(module, declaration, request, rules, Parallel())
    name, spare = symbol(declaration), declaration.clone(InsertionPoint(declaration))
    SymbolTable.set_symbol_name(operation(spare), f"{name}.spare")
    try:
        made = _expand_as(module, declaration, request, rules, Parallel())
    except DerivativeError as error:
        for op in _functions(module):
            if symbol(op) in (name, f"{name}.normal"):
                op.erase()
        SymbolTable.set_symbol_name(operation(spare), name)
        return _expand_as(module, operation(spare), request, rules, Parallel(refused=error))
    operation(spare).erase()
    return made


def _expand_as(
    module: Module, declaration: Operation, request: Request, rules: RuleSource | None, parallel: Parallel
) -> Expansion:
    name = symbol(declaration)
    normal = differentiated_form(module, declaration, request.callee, f"{name}.normal", request.overlapping(), parallel)
    if request.mode == "reverse":
        settle_checkpoints(normal)
    found = derivative(declaration, request, normal, Rules(module, rules))
    normal.erase()
    if request.overlap:
        module.operation.attributes[OVERLAP] = UnitAttr.get()
    for attribute in [a for a in declaration.attributes if a.startswith("autodiff.")]:
        del declaration.attributes[attribute]
    if request.public:
        declaration.attributes["sym_visibility"] = StringAttr.get("public")
    if request.split:  # so that it is seen where memory that goes on the tape comes from
        inline_calls(declaration, functions(module))
    remove_dead_code(declaration, request.unneeded(declaration))
    refuse_undecided(declaration)
    tape = split(declaration, request) if request.split else Tape()
    return Expansion(request, name, found.taped, found.loops, tape, found.additions, parallel.in_order)


def differentiated_form(
    module: Module,
    at: Operation,
    function: str,
    name: str,
    overlapping: list[list[int]] | None = None,
    parallel: Parallel | None = None,
) -> Operation:
    """What is differentiated for a derivative of @function, added to the (prepared) module as @name: its normal form,
    or, if it has rules of its own, a call of it.
    """
    for op in _functions(module):
        if symbol(op) == function and is_custom(op):
            made = one_call(module, op, name)
            mark_calls(module)
            return made
    return normal_form(module, at, function, name, overlapping, parallel)


def normal_form(
    module: Module,
    at: Operation,
    function: str,
    name: str,
    overlapping: list[list[int]] | None = None,
    parallel: Parallel | None = None,
) -> Operation:
    """The function's normal form, added to the (prepared) module as @name; `at` is where an error points. The
    arguments of each of the groups `overlapping` may overlap.
    """
    normalise(module, _function(module, at, function), name, parallel or Parallel())
    if overlapping:
        mark_overlapping(_function(module, at, name), overlapping)
    settle(_function(module, at, name), inside=True)
    run(module, NORMAL)
    if not overlapping and OVERLAP not in module.operation.attributes:
        make_updates_plain(_function(module, at, name), distinct=True)
    settle_extremes(_function(module, at, name))
    forward_values(_function(module, at, name))
    make_private(_function(module, at, name))
    split_versions(_function(module, at, name))
    run(module, NORMAL)
    keep_winners(_function(module, at, name))
    return _function(module, at, name)


def _pending(module: Module) -> list[tuple[Operation, Request]]:
    return [(op, r) for op in _functions(module) if (r := Request.of(op)) is not None]


def innermost(module: Module) -> tuple[Operation, Request]:
    """A request whose function calls no other request, however deep. There must be requests in `module`."""
    pending = _pending(module)
    for found in ready(module):
        return found
    raise refuse(
        pending[0][0], "a derivative of a function that asks for its own derivative", "recursion is not supported"
    )


def ready(module: Module) -> list[tuple[Operation, Request]]:
    """The requests whose functions call no other request, however deep."""
    pending = _pending(module)
    names = {symbol(op) for op, _ in pending}
    return [(op, r) for op, r in pending if not _reaches(module, r.callee, op, names, set())]


def _reaches(module: Module, name: str, at: Operation, targets: set[str], seen: set[str]) -> bool:
    if name in targets:
        return True
    if name in seen:
        return False
    seen.add(name)
    function = next((op for op in _functions(module) if symbol(op) == name), None)
    if function is None:
        return False
    called = [(callee_name(op), op) for op in walk(function) if op.name == "func.call"]
    called += [(rule, function) for rule in rule_names(function)]
    return any(_reaches(module, callee, op, targets, seen) for callee, op in called)


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


def parse(text: str, context: Context | None = None) -> Module:
    """A module from text, in a context that knows the autodiff dialect; a new one works in the calling thread only: a
    process that is forked from this one has no other threads, and could not end the context.
    """
    if context is None:
        context = Context()
        context.enable_multithreading(False)
    dialect.load(context)
    with context:
        return Module.parse(text)
