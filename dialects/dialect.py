"""The autodiff dialect, defined in IRDL so that MLIR itself verifies it.

`forward` and `reverse` say which derivative of `callee` is wanted; the passes expand them (see pipeline.py). `augment` and
`pullback` are the two halves of `reverse`, with a tape between them. `stop` is the identity with derivative zero. A `cache` is a
stack on the tape: `init` makes it, `push` and `pop` fill and empty it, last in first out, until tape.py fixes its layout.
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
  irdl.operation @stop {
    %type = irdl.any
    irdl.operands(value: %type)
    irdl.results(result: %type)
  }
  irdl.operation @forward {
    %any = irdl.any
    %symbol = irdl.base "#builtin.symbol_ref"
    %array = irdl.base "#builtin.array"
    irdl.attributes {"callee" = %symbol, "activity" = %array, "returns" = %array}
    irdl.operands(arguments: variadic %any)
    irdl.results(results: variadic %any)
  }
  irdl.operation @reverse {
    %any = irdl.any
    %symbol = irdl.base "#builtin.symbol_ref"
    %array = irdl.base "#builtin.array"
    irdl.attributes {"callee" = %symbol, "activity" = %array, "returns" = %array}
    irdl.operands(arguments: variadic %any)
    irdl.results(results: variadic %any)
  }
}
"""


def load(context: Context) -> None:
    """Make the dialect known in `context` (once)."""
    if not context.is_registered_operation("autodiff.stop"):
        with context, Location.unknown():
            irdl.load_dialects(Module.parse(_TEXT))
