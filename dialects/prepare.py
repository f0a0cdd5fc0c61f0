"""Pass `autodiff-prepare`: from the dialects that upstream programs are written in to those that have derivatives.

Takes a module in any mix of func, scf, cf, affine, linalg, tensor, bufferization, memref, arith, math, complex, index
and vector; leaves one with structured control flow on memrefs, optimised: what is optimised before differentiation is
not taped, recomputed or differentiated after it.

Tensors become memrefs, also in the signatures of functions and of requests for derivatives: a derivative of
`@f(tensor<?xf64>)` takes a memref and its shadow. No argument is written that was not (a tensor is a value), and what
a function returns is returned.

Functions with rules of their own (see custom) are not inlined; what they do to memory is written on their calls.
"""

from __future__ import annotations

from mlir.ir import ArrayAttr, BoolAttr, DictAttr, Module, RankedTensorType, Type, TypeAttr, UnrankedTensorType

from .builder import operation
from .checkpoint.marks import attributes_to_marks
from .custom.effects import mark_calls
from .custom.marks import protect
from .decompose import decompose
from .library import link
from .upstream import CANONICALIZE, INLINE, run

_TIDY = f"lift-cf-to-scf,{CANONICALIZE},cse,loop-invariant-code-motion"
_BUFFERISE = (
    "func.func(convert-elementwise-to-linalg),eliminate-empty-tensors,"
    "one-shot-bufferize{bufferize-function-boundaries=1 function-boundary-type-conversion=identity-layout-map "
    "allow-return-allocs-from-loops=1},"
    "drop-equivalent-buffer-results"
)


def prepare(module: Module) -> None:
    """Bring `module` there, in place, with the rules of the functions that the engine knows by name."""
    link(module)
    text = str(module)  # a look at the text is cheaper than a walk, and finding too much costs only an idle pass
    attributes_to_marks(module)
    bufferise(module, text)
    protect(module)
    passes = [INLINE]
    if "memref.realloc" in text:
        passes.append("expand-realloc{emit-deallocs=0}")
    if "linalg." in text:
        passes.append("func.func(convert-linalg-to-loops)")
    if "scf.forall" in text:
        passes.append("func.func(scf-forall-to-parallel)")
    if "affine." in text or "linalg." in text:
        passes.append("lower-affine")
    run(module, ",".join([*passes, _TIDY]))
    mark_calls(module)


def results_to_arguments(module: Module) -> None:
    """Memrefs of known size that functions return become arguments that they fill, the last ones."""
    run(module, "buffer-results-to-out-params{modify-public-functions=1 hoist-static-allocs=1},canonicalize,cse")


def bufferise(module: Module, text: str) -> None:
    """Tensors (if there are any) to memrefs, also in signatures; arguments stay as they are given. `text` is the
    module's own.
    """
    decompose(module, text)
    if "tensor<" not in text and "softmax" not in text:
        return
    fixed = DictAttr.get({"bufferization.writable": BoolAttr.get(False)})
    nothing = DictAttr.get({})
    for op in map(operation, module.body.operations):
        if op.name != "func.func" or not list(op.regions[0].blocks):
            continue
        inputs = TypeAttr(op.attributes["function_type"]).value.inputs
        if any(_is_tensor(t) for t in inputs):
            given = (
                list(ArrayAttr(op.attributes["arg_attrs"])) if "arg_attrs" in op.attributes else [nothing] * len(inputs)
            )
            op.attributes["arg_attrs"] = ArrayAttr.get(
                [_with(DictAttr(a), fixed) if _is_tensor(t) else a for a, t in zip(given, inputs, strict=True)]
            )
    run(module, _BUFFERISE)


def _with(attributes: DictAttr, more: DictAttr) -> DictAttr:
    """The union; what `attributes` says itself (an argument that is declared writable) is kept."""
    return DictAttr.get({a.name: a.attr for a in (*more, *attributes)})


def _is_tensor(type_: Type) -> bool:
    return isinstance(type_, (RankedTensorType, UnrankedTensorType))
