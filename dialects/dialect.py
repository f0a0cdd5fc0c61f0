"""The autodiff dialect, defined in IRDL so that MLIR itself verifies it.

`stop` is the identity with derivative zero. `through` has the value of its first operand and the derivative of its
second. `within` is true in a derivative and false elsewhere. `turn` stands
between the sweeps of a derivative that is to be split. A `cache` is a stack on the tape: `init` makes it, `push` and
`pop` fill and empty it, last in first out, until caches.py fixes its layout. `checkpoint` in the body of a loop asks
for its reverse to be checkpointed (see checkpoint); its operand is the number of snapshots, 0 for a default.

Which derivative is wanted is said by a declaration: a private func.func without a body whose attributes name the
function and the activities (see request.py). Calls of it are ordinary calls, which MLIR verifies, and the passes give
it its body. (IRDL cannot say of an op that its operands may have any types, each its own.)
"""

from __future__ import annotations

from mlir.dialects import irdl
from mlir.ir import Context, Location, Module

_TEXT = """
irdl.dialect @autodiff {
  irdl.type @cache {
    %element = irdl.any
    irdl.parameters(element: %element)
  }
  irdl.operation @init {
    %cache = irdl.base @autodiff::@cache
    irdl.results(cache: %cache)
  }
  irdl.operation @push {
    %cache = irdl.base @autodiff::@cache
    %value = irdl.any
    irdl.operands(cache: %cache, value: %value)
  }
  irdl.operation @pop {
    %cache = irdl.base @autodiff::@cache
    %value = irdl.any
    irdl.operands(cache: %cache)
    irdl.results(value: %value)
  }
  irdl.operation @turn {
  }
  irdl.operation @checkpoint {
    %index = irdl.is index
    irdl.operands(slots: %index)
  }
  irdl.operation @within {
    %type = irdl.any
    irdl.results(result: %type)
  }
  irdl.operation @through {
    %type = irdl.any
    irdl.operands(value: %type, derivative: %type)
    irdl.results(result: %type)
  }
  irdl.operation @stop {
    %type = irdl.any
    irdl.operands(value: %type)
    irdl.results(result: %type)
  }
}
"""


def load(context: Context) -> None:
    """Make the dialect known in `context` (once)."""
    if not context.is_registered_operation("autodiff.stop"):
        with context, Location.unknown():
            irdl.load_dialects(Module.parse(_TEXT))
