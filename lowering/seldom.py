"""Loops that seldom run: the iterations that make up no strip, and those with an error.

LLVM is told not to unroll them, which would take a seventh of the time of a first gradient. (They are vectorised all
the same: where the memory of an iteration is too large for strips, all iterations run here.)

`mark` notes such a loop, `annotate` takes the module to the attribute that MLIR keeps when loops become branches, and
`tell`, when they are of the llvm dialect, to the one that LLVM's metadata are made of.
"""

from __future__ import annotations

from mlir.ir import InsertionPoint, Module, Operation, UnitAttr
from mlir.passmanager import PassManager

from .grid.emit import walk

_SELDOM = "dsl.seldom"
_TOLD = "#llvm.loop_annotation<unroll = <disable = true>>"
_MARK = "transform.with_named_sequence"
# (An attribute of the llvm dialect in Python's hands would import Python's module of it, which takes long.)
_SCRIPT = f"""module attributes {{{_MARK}}} {{
  transform.named_sequence @__transform_main(%module: !transform.any_op {{transform.readonly}}) {{
    %found = transform.structured.match attributes {{$given}} in %module : (!transform.any_op) -> !transform.any_op
    %told = transform.param.constant {_TOLD} -> !transform.any_param
    transform.annotate %found "$made" = %told : !transform.any_op, !transform.any_param
    transform.yield
  }}
}}"""


def mark(loop: Operation) -> None:
    """Write down that a loop, and those in it, seldom run."""
    for op in walk(loop):
        if op.name == "scf.for":
            op.attributes[_SELDOM] = UnitAttr.get()


def annotate(module: Module) -> None:
    """From our mark to an attribute of loops and branches."""
    _replace(module, _SELDOM, "llvm.loop_annotation")


def tell(module: Module) -> None:
    """From there to a property of branches in the llvm dialect."""
    _replace(module, f"llvm.loop_annotation = {_TOLD}", "loop_annotation")


def _replace(module: Module, given: str, made: str) -> None:
    script = Module.parse(_SCRIPT.replace("$given", given).replace("$made", made))
    inserted = script.body.operations[0].operation.clone(InsertionPoint(module.body))
    module.operation.attributes[_MARK] = UnitAttr.get()
    PassManager.parse("builtin.module(transform-interpreter)").run(module.operation)
    inserted.erase()
    del module.operation.attributes[_MARK]
