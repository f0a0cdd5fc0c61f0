"""What LLVM does with a module that is large: less.

Some of its passes take time quadratic in the size of a function, and vectorisers and unrolling make several loops of
one: at the full level, a kernel of 2,000 lines with 400 loops would take minutes. The measure is the number of basic
blocks. (The largest benchmark has 200.)
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Effort(NamedTuple):
    """What LLVM's pipeline does: its default one at a level, or `PASSES` if it is `light`."""

    level: int
    vectors: bool
    unrolling: bool
    light: bool = False


#: Basic blocks of a module, and what is still done with so many.
LARGE = ((3000, Effort(1, False, False, light=True)), (1000, Effort(2, True, False)))

#: The light pipeline, by the names that llvmlite gives the passes: the code runs as fast as after the default pipeline
#: of the first level (within a tenth, for kernels of 2,000 lines), and takes a third of the time. (Loops that are not
#: rotated are too much for code generation.)
PASSES = ("AlwaysInliner", "SROA", "SimplifyCFG", "InstCombine", "LoopRotate")

# Memory on the stack: what reverse sweeps need from forward ones, for the most part.
_SLOT = re.compile(r"^  %(\S+) = alloca (.*, i64 1, .*)$", re.M)
_HIDDEN = r"""  %slot.\1 = alloca \2
  %\1 = call ptr asm "", "=r,0"(ptr %slot.\1) nounwind memory(none)"""


def effort(text: str, level: int) -> Effort:
    """What to do with the module in LLVM IR `text`, if `level` is asked for."""
    blocks = text.count("; preds = ")
    for more_than, less in LARGE:
        if blocks > more_than and level > less.level:
            return less
    return Effort(level, level >= 2, True)


def keep_on_stack(text: str) -> str:
    """LLVM IR whose numbers on the stack stay there: as values, hundreds of them would be carried through thousands of
    blocks, each by a phi of its own.
    """
    return _SLOT.sub(_HIDDEN, text)
