"""Atomic additions of bfloat16 on chips that have none (before sm_90): a loop that compares and exchanges 16 bits.

LLVM would exchange the word of 32 bits that the number is in, half of which may be beyond an array's end.
"""

from __future__ import annotations

from mlir.ir import Attribute, IntegerAttr, IntegerType, MemRefType, Operation, StringAttr, UnitAttr, Value

from ..atomics import Update
from ..grid.emit import walk
from .options import DeviceOptions

_ADDF, _EQUAL = 0, 0
_FIRST = 90  # the first chip that adds bfloat16 atomically


def expand_additions(function: Operation, options: DeviceOptions) -> None:
    """Rewrite those of one kernel, while arrays are memrefs."""
    if int("".join(c for c in options.chip if c.isdigit())) >= _FIRST:
        return
    for op in list(walk(function)):
        if op.name == "memref.atomic_rmw" and str(op.results[0].type) == "bf16":
            if IntegerAttr(op.attributes["kind"]).value == _ADDF:
                result = _Half(op).rewrite()
                op.results[0].replace_all_uses_with(result)
                op.erase()


class _Half(Update):
    @property
    def is_shared(self) -> bool:
        return "workgroup" in str(MemRefType(self.memref.type).memory_space)

    def address_space(self) -> str:
        return "<3>" if self.is_shared else ""

    def guess(self, pointer: Value) -> Value:
        """The first exchange tells: a plain look at it would race with other threads."""
        return self.value("arith.constant", self.bits, value=IntegerAttr.get(self.bits, 0))

    def exchange(self, pointer: Value, expected: Value, new: Value) -> tuple[Value, Value]:
        space = ".shared" if self.is_shared else ""
        seen = self.value(
            "llvm.inline_asm",
            self.bits,
            pointer,
            expected,
            new,
            asm_string=StringAttr.get(f"atom{space}.cas.b16 $0, [$1], $2, $3;"),
            constraints=StringAttr.get("=h,l,h,h,~{memory}"),
            has_side_effects=UnitAttr.get(),
            asm_dialect=Attribute.parse("0 : i64"),
        )
        truth = IntegerType.get_signless(1)
        equal = IntegerAttr.get(IntegerType.get_signless(64), _EQUAL)
        return seen, self.value("arith.cmpi", truth, seen, expected, predicate=equal)
