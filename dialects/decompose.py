"""Composite ops of linalg and tensor in terms of simple ones: part of `prepare`.

Takes a module before bufferisation; leaves it without tensor.concat, linalg.softmax, linalg.pack, linalg.unpack and the
winograd transforms. Upstream knows how each is made of others, but has that as transforms and not as passes, so this
runs a script of the transform dialect. Its softmax is for tensors only: one on memrefs is wrapped first.
"""

from __future__ import annotations

import re

from mlir.ir import InsertionPoint, MemRefType, Module, Operation, RankedTensorType, ShapedType, UnitAttr

from .builder import Builder, walk
from .copier import attributes_of
from .upstream import run

COMPOSITE = re.compile(r"tensor\.concat\b|linalg\.(?:softmax|pack|unpack|winograd_\w+)\b")
_ENTRY = "__autodiff_decompose"
_EACH = """
  %{number} = transform.structured.match ops{{["{name}"]}} in %module : (!transform.any_op) -> !transform.op<"{name}">
  transform.foreach %{number} : !transform.op<"{name}"> {{
  ^bb0(%op: !transform.op<"{name}">):
    {step}
  }}"""
_STEPS = {
    "linalg.softmax": '%r = transform.structured.decompose_interface %op : (!transform.op<"linalg.softmax">)'
    " -> !transform.any_op",
    **{
        name: f'%r = transform.structured.decompose_winograd_op %op : (!transform.op<"{name}">) -> !transform.any_op'
        for name in (f"linalg.winograd_{part}_transform" for part in ("filter", "input", "output"))
    },
    "linalg.pack": '%a, %b, %c = transform.structured.lower_pack %op : (!transform.op<"linalg.pack">) -> '
    '(!transform.op<"tensor.pad">, !transform.op<"tensor.expand_shape">, !transform.op<"linalg.transpose">)',
    "linalg.unpack": '%a, %b, %c, %d = transform.structured.lower_unpack %op : (!transform.op<"linalg.unpack">) -> '
    '(!transform.op<"tensor.empty">, !transform.op<"linalg.transpose">, !transform.op<"tensor.collapse_shape">, '
    '!transform.op<"tensor.extract_slice">)',
}


def decompose(module: Module, text: str) -> None:
    """Rewrite them in place; `text` is the module's own."""
    if not COMPOSITE.search(text):
        return
    for op in [op for op in walk(module.operation) if op.name == "linalg.softmax"]:
        if isinstance(op.operands[0].type, MemRefType):
            _on_tensors(op)
    library = Module.parse(_script(), module.context)
    script = library.body.operations[0].operation.clone(InsertionPoint(module.body))
    marked = "transform.with_named_sequence" in module.operation.attributes
    module.operation.attributes["transform.with_named_sequence"] = UnitAttr.get()
    run(module, f"transform-interpreter{{entry-point={_ENTRY}}}")
    script.erase()
    if not marked:
        del module.operation.attributes["transform.with_named_sequence"]


def _script() -> str:
    steps = "".join(_EACH.format(number=f"m{k}", name=name, step=step) for k, (name, step) in enumerate(_STEPS.items()))
    return f"""module attributes {{transform.with_named_sequence}} {{
transform.named_sequence @{_ENTRY}(%module: !transform.any_op {{transform.consumed}}) {{
  %f = transform.structured.match ops{{["func.func"]}} in %module : (!transform.any_op) -> !transform.any_op
  transform.apply_patterns to %f {{ transform.apply_patterns.tensor.decompose_concat }} : !transform.any_op
  {steps}
  transform.yield
}}
}}"""


def _on_tensors(op: Operation) -> None:
    """An op from memref to memref as one on tensors, whose result is put into the second memref."""
    b = Builder(InsertionPoint(op), op.location)
    source, target = op.operands
    types = [RankedTensorType.get(list(m.type.shape), m.type.element_type, loc=op.location) for m in (source, target)]
    given = b.value("bufferization.to_tensor", [source], types[0], {"restrict": UnitAttr.get()})
    dynamic = ShapedType.get_dynamic_size()
    sizes = [b.dim(target, k) for k, size in enumerate(target.type.shape) if size == dynamic]
    empty = b.value("tensor.empty", sizes, types[1])
    result = b.value(op.name, [given, empty], types[1], attributes_of(op))
    hints = {"restrict": UnitAttr.get(), "writable": UnitAttr.get()}
    b.op("bufferization.materialize_in_destination", [result, target], [], hints)
    op.erase()
