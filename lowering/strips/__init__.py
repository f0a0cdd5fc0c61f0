"""Pass: loops whose iterations are independent are run in strips, with a vector lane for each iteration of a strip.

LLVM vectorises innermost loops only. Where those are short, or do not go through memory in a row, the iterations of a
loop around them are better done side by side. Takes scf.for loops (after canonicalisation, with arrays as memrefs);
leaves, in the place of one that is worth it,

    a loop over strips of as many iterations as some vector registers have lanes, then the loop as it was, for the rest

`memory` says whether iterations are independent, `shapes` what varies between those of a strip, `worth` whether strips
pay, and `emit` makes them. `stacks` finds tapes that grow, and `stack_memory` makes one for all lanes. A loop of which
anything is not understood is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable

from mlir.ir import Module, Operation, WalkOrder, WalkResult

from ..grid.emit import plain, walk
from ..options import CpuOptions
from ..rewriting import functions, symbol_name
from .library import VectorFunctions
from .loops import Machine, in_strips

# Bits of a vector register, and how many of them the values of a strip take: with AVX-512 there are twice as many.
_REGISTERS = (("avx512f", 512, 4), ("avx2", 256, 2))
# Loops of a module: one with more has so much code that LLVM does less with it, too.
_MOST = 200
_LOOPS = frozenset({"scf.for", "scf.while"})


def run_in_strips(module: Module, entry: str, options: CpuOptions, has_feature: Callable[[str], bool]) -> bool:
    """Rewrite loops of `module` in place; whether there were any. The arguments of the function @`entry` do not
    overlap, if the options say so.
    """
    found = [(bits, registers) for feature, bits, registers in _REGISTERS if has_feature(feature)]
    if not found or options.opt_level < 2:
        return False
    loops = sum(op.name in _LOOPS for op in walk(module.operation))
    if not 2 <= loops <= _MOST:
        return False
    machine = Machine(*found[0], VectorFunctions(module, has_feature if options.vector_math else None))
    done = []
    for function in functions(module):
        if function.name == "func.func":
            distinct = options.distinct_arrays and symbol_name(function) == entry
            done += [_try(loop, machine, distinct, options.fastmath) for loop in _outer_loops(function)]
    return any(done)


def _try(loop: Operation, machine: Machine, distinct: bool, any_order: bool) -> bool:
    """Run a loop in strips, or, if that is not to be, loops in it; whether any was. (Innermost ones are LLVM's.)"""
    if not any(op.name in _LOOPS for op in walk(loop)[1:]):
        return False
    if in_strips(loop, machine, distinct, any_order):
        return True
    done = [_try(other, machine, distinct, any_order) for other in _outer_loops(loop)]
    return any(done)


def _outer_loops(op: Operation) -> list[Operation]:
    """The outermost loops in an operation."""
    found: list[Operation] = []

    def visit(inner: Operation) -> WalkResult:
        if inner.name == "scf.for" and inner != op:
            found.append(plain(inner))
            return WalkResult.SKIP
        return WalkResult.ADVANCE

    op.walk(visit, WalkOrder.PRE_ORDER)
    return found
