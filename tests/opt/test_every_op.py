"""Every operation of the dialects that numeric programs are written in, as the pinned MLIR has them: it is in a program
whose derivatives are checked (test_programs.py), or it is refused there (test_refused.py).

`docs/operations.md` says which; `python -m tests.opt.test_every_op` writes it.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
from pathlib import Path

import pytest

from dialects import pipeline, rules
from dialects.builder import walk

from .test_programs import programs
from .test_refused import ELSEWHERE, REFUSED

DIALECTS = (
    "arith", "math", "complex", "index", "ub", "func", "cf", "scf", "affine", "memref", "bufferization", "tensor",
    "linalg", "vector",
)  # fmt: skip
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
#: Operations that only say where a region ends, or name something.
STRUCTURE = frozenset(
    {
        "affine.yield", "bufferization.dealloc_tensor", "cf.assert", "func.constant", "func.return", "linalg.yield",
        "memref.alloca_scope.return", "memref.atomic_yield", "memref.prefetch", "affine.prefetch",
        "scf.condition", "scf.forall.in_parallel", "scf.reduce.return", "scf.yield", "tensor.yield", "ub.unreachable",
        "vector.print", "vector.yield",
    }
)  # fmt: skip
REASONS = {
    "arith.scaling_extf": "floats of fewer than 16 bits carry no derivative",
    "arith.scaling_truncf": "floats of fewer than 16 bits carry no derivative",
    "bufferization.dealloc": "differentiate before deallocations are placed",
    "complex.bitcast": "bits have no derivative",
    "memref.dma_start": "use memref.copy",
    "memref.dma_wait": "use memref.copy",
    "memref.extract_aligned_pointer_as_index": "pointers are not followed; off the active path it may stand",
    "tensor.bitcast": "upstream does not bufferise it",
    "tensor.gather": "upstream does not bufferise it; write a linalg.generic with tensor.extract",
    "tensor.scatter": "upstream does not bufferise it; write a loop with tensor.insert",
    "vector.bitcast": "bits have no derivative",
    "vector.scalable.extract": "vectors of open length",
    "vector.scalable.insert": "vectors of open length",
}
#: Refused only where the derivative would go through bits, or through a function that is not known.
PARTLY = {
    "arith.bitcast": "bits have no derivative; those of integers, and off the active path, may be taken",
    "func.call_indirect": "of a function that is known only when it runs",
}


def registered(dialect: str) -> list[str]:
    """The names of a dialect's operations, from the classes that the bindings have of them."""
    module = importlib.import_module(f"mlir.dialects._{dialect}_ops_gen")
    classes = [c for c in vars(module).values() if inspect.isclass(c) and "OPERATION_NAME" in vars(c)]
    return sorted({c.OPERATION_NAME for c in classes})


def used(texts: list[str]) -> set[str]:
    return {op.name for text in texts for op in walk(pipeline.parse(text).operation)}


def covered() -> set[str]:
    """The operations of all programs whose derivatives are checked, or at least made."""
    return used([param.values[1] for param in programs()]) | used(list(ELSEWHERE.values()))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_operation_is_tested(dialect: str) -> None:
    names = set(registered(dialect))
    assert len(names) > 1
    refused = used([text for _, _, text in REFUSED.values()])
    assert names - covered() == {name for name in REASONS if name.startswith(f"{dialect}.")}
    assert names & set(REASONS) <= refused


def test_the_page_is_complete() -> None:
    assert PAGE.read_text() == page()


def page() -> str:
    """The text of docs/operations.md."""
    parts = [HEAD]
    for dialect in DIALECTS:
        inert, flows, lines = [], [], []
        for name in registered(dialect):
            short = f"`{name.split('.', 1)[1]}`"
            if name in REASONS or name in PARTLY:
                lines.append(f"- {short}: {REASONS.get(name) or PARTLY[name]}")
            elif name in STRUCTURE or rules.inactive(name):
                inert.append(short)
            else:
                flows.append(short)
        parts.append(f"## {dialect}\n")
        for title, found in (("Differentiated", flows), ("No derivative flows through", inert)):
            if found:
                parts.append(textwrap.fill(f"{title}: {' '.join(found)}", 120) + "\n")
        if lines:
            parts.append("\n".join(["Refused on the active path:\n", *lines]) + "\n")
    return "\n".join(parts)


HEAD = """# Operations of upstream MLIR

What `dialects` does with each operation of the dialects that numeric programs are written in. Each one is in a program
whose derivatives are checked in forward and reverse mode (`tests/opt/programs`), or in one that is refused, with its
name and place (`tests/opt/test_refused.py`). Operations of other dialects, and those without a rule, are refused where
a derivative would go through them, and may stand anywhere else. Floats are of 16, 32 and 64 bits; a value that is made
of an active one and goes through bits, or floats of other types, is refused where it comes back.

Vector operations are written out element by element where they have no rule of their own, up to 4096 elements.
"""

if __name__ == "__main__":
    PAGE.write_text(page())
