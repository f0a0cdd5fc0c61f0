"""Pass: loops whose iterations are independent are run in strips, with a vector lane for each iteration of a strip.

LLVM vectorises innermost loops only. Where those are short, or do not go through memory in a row, the iterations of a
loop around them are better done side by side. Takes scf.for loops (after canonicalisation, with arrays as memrefs);
leaves, in the place of one that is worth it,

    a loop over strips of as many iterations as a vector register has lanes, then the loop as it was, for the rest

`memory` says whether iterations are independent, `shapes` what varies between those of a strip, `worth` whether strips
pay, and `emit` makes them. A loop of which anything is not understood is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mlir.ir import Module, Operation, WalkOrder, WalkResult

from ..grid.emit import plain
from ..options import CpuOptions
from ..rewriting import functions, symbol_name
from .library import VectorFunctions
from .loops import in_strips

_LOOP = re.compile(r"\bscf\.for\b")


def run_in_strips(
    module: Module, text: str, entry: str, options: CpuOptions, has_feature: Callable[[str], bool]
) -> None:
    """Rewrite loops of `module` in place. `text`, the module's own, tells quickly whether to look; the arguments of the
    function @`entry` do not overlap, if the options say so.
    """
    bits = 512 if has_feature("avx512f") else 256 if has_feature("avx2") else 0
    if not bits or options.opt_level < 2 or len(_LOOP.findall(text)) < 2:
        return
    library = VectorFunctions(module, has_feature if options.vector_math else None)
    for function in functions(module):
        if function.name == "func.func":
            distinct = options.distinct_arrays and symbol_name(function) == entry
            for loop in _outer_loops(function):
                _try(loop, bits, distinct, options.fastmath, library)


def _try(loop: Operation, bits: int, distinct: bool, any_order: bool, library: VectorFunctions) -> None:
    """Run a loop in strips, or, if that is not to be, loops in it."""
    inner = _outer_loops(loop)
    if inner and not in_strips(loop, bits, distinct, any_order, library):
        for other in inner:
            _try(other, bits, distinct, any_order, library)


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
