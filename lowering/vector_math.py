"""Tells LLVM about the C library's mathematical functions: that they are pure, and which of them come as vectors.

LLVM vectorises a loop that calls `sin` only if the declaration of `sin` names a function that computes several at once.
glibc has such functions in libmvec (see `vector_library`). Elsewhere the calls stay scalar and all else is the same.

Accuracy: libmvec's results are within 4 units in the last place (glibc's scalar ones mostly within 1). A vectorised
loop computes its last, odd elements by the scalar functions, so an element's last bits may depend on its place in the
array. `CpuOptions.vector_math=False` turns all of it off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mlir.ir import ArrayAttr, Attribute, InsertionPoint, Location, Module, Operation, StringAttr, UnitAttr

from . import vector_library

# C functions without effects that anyone could see (nobody reads errno, signgam or the exception flags), by the number
# of their arguments, all of the result's type. The version for float has an "f" behind.
_UNARY = """
    acos acosh asin asinh atan atanh cbrt ceil cos cosh erf erfc exp exp10 exp2 expm1 fabs floor j0 j1 lgamma log log10
    log1p log2 logb nearbyint rint round roundeven sin sinh sqrt tan tanh tgamma trunc y0 y1
"""
_BINARY = "atan2 copysign fdim fmax fmin fmod hypot nextafter pow remainder"
PURE = {**dict.fromkeys(_UNARY.split(), 1), **dict.fromkeys(_BINARY.split(), 2), "fma": 3}
# What LLVM itself may put in place of a function while it simplifies.
_BECOMES = {"pow": ("exp2", "exp10", "sqrt"), "exp": ("exp2",)}


def describe(module: Module, has_feature: Callable[[str], bool] | None) -> list[str]:
    """Attach to each declared C function what LLVM may assume, and its vector versions, which are declared too.

    `module` is in the llvm dialect. `has_feature` says whether the processor that is compiled for has a feature; None
    turns vector functions off. Returns the names that must not be dropped although nothing calls them yet.
    """
    declared: dict[str, Operation] = {}
    for view in module.body.operations:
        op = view.operation
        if op.name == "llvm.func" and not op.regions[0].blocks:
            declared[StringAttr(op.attributes["sym_name"]).value] = op
    isas = vector_library.isas(has_feature) if has_feature else []
    kept: list[str] = []
    for name, element, _ in [known for name in declared if (known := signature(name))]:
        suffix = "f" if element == "f32" else ""
        for other in _BECOMES.get(name.removesuffix(suffix), ()):
            if isas and other + suffix not in declared:
                declared[other + suffix] = _declare(module, other + suffix, element, [element])
                kept.append(other + suffix)
    for name, op in declared.items():
        known = signature(name)
        if not known or str(op.attributes["function_type"]) != _function_type(
            known.element, [known.element] * known.arity
        ):
            continue  # another function of that name: nothing is known of it
        _pure(op)
        variants = []
        for isa in isas:
            version = vector_library.vector_name(isa, name, known.element, known.arity)
            if not version:
                continue
            vector, lanes = version
            variants.append(f"_ZGV_LLVM_N{lanes}{'v' * known.arity}_{name}({vector})")
            wide = f"vector<{lanes}x{known.element}>"
            _pure(_declare(module, vector, wide, [wide] * known.arity))
            kept.append(vector)
        if variants:
            _add_passthrough(op, f'["vector-function-abi-variant", "{",".join(variants)}"]')
    return kept


class Signature(NamedTuple):
    """A known C function: its name, the MLIR type of its arguments and result, and how many arguments."""

    name: str
    element: str
    arity: int

    def type(self) -> str:
        return _function_type(self.element, [self.element] * self.arity)


def signature(name: str) -> Signature | None:
    """What is known of the C function of this name."""
    if name in PURE:
        return Signature(name, "f64", PURE[name])
    if name.endswith("f") and name[:-1] in PURE:
        return Signature(name, "f32", PURE[name[:-1]])
    return None


def _function_type(result: str, arguments: list[str]) -> str:
    return f"!llvm.func<{result} ({', '.join(arguments)})>"


def _declare(module: Module, name: str, result: str, arguments: list[str]) -> Operation:
    attributes = {
        "sym_name": StringAttr.get(name),
        "function_type": Attribute.parse(_function_type(result, arguments)),
        "linkage": Attribute.parse("#llvm.linkage<external>"),
        "CConv": Attribute.parse("#llvm.cconv<ccc>"),
    }
    at = InsertionPoint.at_block_begin(module.body)
    return Operation.create("llvm.func", [], [], attributes, regions=1, loc=Location.unknown(), ip=at)


def _pure(op: Operation) -> None:
    """No effects, always returns, and may be computed where the program would not have: it can't trap."""
    op.attributes["memory_effects"] = Attribute.parse(_NO_EFFECTS)
    op.attributes["no_unwind"] = op.attributes["will_return"] = UnitAttr.get()
    for flag in ("nofree", "nosync", "nocallback", "speculatable"):
        _add_passthrough(op, f'"{flag}"')


_NO_EFFECTS = (
    "#llvm.memory_effects<other = none, argMem = none, inaccessibleMem = none, errnoMem = none, "
    "targetMem0 = none, targetMem1 = none>"
)


def _add_passthrough(op: Operation, text: str) -> None:
    """One more LLVM attribute of the function: a flag, or a pair of name and value."""
    present = list(ArrayAttr(op.attributes["passthrough"])) if "passthrough" in op.attributes else []
    op.attributes["passthrough"] = ArrayAttr.get([*present, Attribute.parse(text)])


def keep(names: Iterable[str]) -> str:
    """LLVM IR that keeps these declarations, which no code refers to yet."""
    pointers = [f"ptr @{name}" for name in names]
    if not pointers:
        return ""
    array = f"[{len(pointers)} x ptr] [{', '.join(pointers)}]"
    return f'\n@llvm.compiler.used = appending global {array}, section "llvm.metadata"\n'
