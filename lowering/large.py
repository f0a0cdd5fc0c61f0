"""What LLVM does with a module that is large: less.

Some of its passes take time quadratic in the size of a function, and vectorisers and unrolling make several loops of
one: at the full level, a kernel of 2,000 lines with 400 loops would take minutes. The measure is the number of basic
blocks. (The largest benchmark has 200.)
"""

from __future__ import annotations

import itertools
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

# The first block of a function; in it, a number on the stack: what reverse sweeps need from forward ones, mostly.
_ENTRY = re.compile(r"^define .*\{\n((?:  .*\n)+)", re.M)
_SLOT = re.compile(r"^  %(\S+) = alloca (.*), i64 1, align [1248]$", re.M)
_FRAME = """  %dsl.slots = alloca {type}
  %dsl.frame = call ptr asm "", "=r,0"(ptr %dsl.slots) nounwind memory(none)
"""


def effort(text: str, level: int) -> Effort:
    """What to do with the module in LLVM IR `text`, if `level` is asked for."""
    blocks = text.count("; preds = ")
    for more_than, less in LARGE:
        if blocks > more_than and level > less.level:
            return less
    return Effort(level, level >= 2, True)


def keep_on_stack(text: str) -> str:
    """LLVM IR whose numbers on the stack stay there: as values, hundreds of them would be carried through thousands of
    blocks, each by a phi of its own. Those of a function become parts of one, whose address LLVM does not look through.
    """
    types: list[str] = []

    def together(entry: re.Match[str]) -> str:
        slots = _SLOT.findall(entry[0])
        if not slots:
            return entry[0]
        frame = f"%dsl.slots.{len(types)}"
        types.append(f"{frame} = type {{ {', '.join(kind for _, kind in slots)} }}\n")
        number = itertools.count()

        def part(slot: re.Match[str]) -> str:
            return f"  %{slot[1]} = getelementptr inbounds {frame}, ptr %dsl.frame, i32 0, i32 {next(number)}"

        at = entry.start(1) - entry.start()
        return entry[0][:at] + _FRAME.format(type=frame) + _SLOT.sub(part, entry[0][at:])

    found = _ENTRY.sub(together, text)
    return found.replace("\ndefine ", "\n" + "".join(types) + "define ", 1)
