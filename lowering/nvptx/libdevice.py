"""C functions of a grid kernel, by their names in libdevice, NVIDIA's library of them for devices.

What `lowering.expand` makes of the math dialect are calls of the C library; nearly all have a twin `__nv_NAME`.
"""

from __future__ import annotations

from mlir.ir import (
    DenseI32ArrayAttr,
    FlatSymbolRefAttr,
    FunctionType,
    InsertionPoint,
    Operation,
    StringAttr,
    Type,
    TypeAttr,
)

from ..errors import LoweringError, position
from ..grid.emit import Emitter, operations, walk

_BOTH = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh cospi erf erfc erfcinv erfcx erfinv exp exp10 "
    "exp2 expm1 fabs fdim floor fma fmax fmin fmod hypot ilogb j0 j1 ldexp lgamma log log10 log1p log2 logb modf "
    "nearbyint nextafter normcdf pow powi remainder rint round rsqrt sin sinh sinpi sqrt tan tanh tgamma trunc y0 y1"
)
NAMES = {name + tail: f"__nv_{name}{tail}" for name in _BOTH.split() for tail in ("", "f")}


def use(container: Operation) -> None:
    """Make calls of declared functions in a gpu.module calls of libdevice's; refuse those of functions it lacks.

    They become operations of the llvm dialect here, because the conversion of functions gives each a wrapper for C.
    """
    declared = {
        StringAttr(op.attributes["sym_name"]).value: op
        for op in operations(container.regions[0].blocks[0])
        if op.name == "func.func" and not op.regions[0].blocks
    }
    for call in [op for op in walk(container) if op.name == "func.call"]:
        name = FlatSymbolRefAttr(call.attributes["callee"]).value
        if name in declared:
            _call(call, name)
    for name, op in declared.items():
        if name in NAMES:
            _declare(op, NAMES[name])
        op.erase()


def _call(call: Operation, name: str) -> None:
    if name not in NAMES:
        # What `extern` and imported rules call has names that begin so.
        known = name.removeprefix("dsl.extern.").removeprefix("dsl.host.").partition(".")[0]
        language = "Python" if name.startswith("dsl.host.") else "C"
        raise LoweringError(
            f"the {language} function {known} is not to be had on the device",
            position(call.location),
            "write it as a function of the kernel's language, or launch on arrays of the host",
        )
    attributes = {
        "callee": FlatSymbolRefAttr.get(NAMES[name]),
        "operandSegmentSizes": DenseI32ArrayAttr.get([len(call.operands), 0]),
        "op_bundle_sizes": DenseI32ArrayAttr.get([]),
    }
    e = Emitter(InsertionPoint(call), call.location)
    new = e.op("llvm.call", list(call.operands), [r.type for r in call.results], attributes)
    for old, result in zip(call.results, new.results, strict=True):
        old.replace_all_uses_with(result)
    call.erase()


def _declare(op: Operation, name: str) -> None:
    type_ = FunctionType(op.attributes["function_type"].value)
    inputs = ", ".join(map(str, type_.inputs))
    attributes = {
        "sym_name": StringAttr.get(name),
        "function_type": TypeAttr.get(Type.parse(f"!llvm.func<{type_.results[0]} ({inputs})>")),
        "sym_visibility": StringAttr.get("private"),
    }
    Emitter(InsertionPoint(op), op.location).op("llvm.func", attributes=attributes, regions=1)
