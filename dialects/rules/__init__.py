"""The tables of derivative rules: one row an op, and both modes come from that row.

`lookup(op)` gives the rule, `inactive(op)` says that nothing flows through an op, `refused(name)` why there is no rule;
`emit` and `emit_product` turn a row's expressions into ops. `python -m dialects.rules` prints docs/rules.md.
"""

from dialects.rules.emission import Emitter, emit, emit_product
from dialects.rules.rule import CodeRule, Rule
from dialects.rules.table import inactive, lookup, refused

__all__ = ["CodeRule", "Emitter", "Rule", "emit", "emit_product", "inactive", "lookup", "refused"]
