"""Tells LLVM about the C library's mathematical functions: that they are pure, and which of them come as vectors.

LLVM vectorises a loop that calls `sin` only if the declaration of `sin` names a function that computes several at once.
glibc has such functions in libmvec (see `vector_library`). Elsewhere the calls stay scalar and all else is the same.

Accuracy: libmvec's results are within 4 units in the last place (glibc's scalar ones mostly within 1). A vectorised
loop computes its last, odd elements by the scalar functions, so an element's last bits may depend on its place in the
array. `CpuOptions.vector_math=False` turns all of it off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

from mlir.ir import Attribute, Module, UnitAttr

from . import vector_library
from .rewriting import functions, symbol_name

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


_ABI = "vector-function-abi-variant"
# No effects, always returns, and may be computed where the program would not have: it can't trap.
FLAGS = ("nounwind", "willreturn", "nofree", "nosync", "nocallback", "speculatable")
_LLVM = {"f64": "double", "f32": "float"}


def describe(module: Module, has_feature: Callable[[str], bool] | None, defined: Sequence[str] = ()) -> str:
    """Attach to each declared C function what LLVM may assume, and the names of its vector versions.

    The functions are func.func, whose conversion keeps what is attached. `has_feature` says whether the processor that
    is compiled for has a feature; None turns vector functions off. Returns LLVM IR that declares the vector versions,
    to be added to the module's, and keeps these and the functions `defined` beside them.
    """
    isas = vector_library.isas(has_feature) if has_feature else []
    declared = {symbol_name(op): op for op in functions(module) if not op.regions[0].blocks}
    lines: list[str] = []
    kept: list[str] = []
    for name, op in declared.items():
        known = signature(name)
        if not known or str(op.attributes["function_type"].value) != known.type():
            continue  # another function of that name: nothing is known of it
        versions = _versions(known, isas, lines, kept, declared)
        op.attributes["llvm.readnone"] = UnitAttr.get()
        op.attributes["passthrough"] = Attribute.parse(
            "[" + ", ".join(f'"{flag}"' for flag in FLAGS) + (f', ["{_ABI}", "{versions}"]' if versions else "") + "]"
        )
        suffix = "f" if known.element == "f32" else ""
        for other in _BECOMES.get(name.removesuffix(suffix), ()) if isas else ():
            if other + suffix not in declared and other + suffix not in kept:
                replacement = Signature(other + suffix, known.element, 1)
                versions = _versions(replacement, isas, lines, kept, declared)
                attribute = f' "{_ABI}"="{versions}"' if versions else ""
                lines.append(_declaration(replacement.name, _LLVM[known.element], 1) + attribute)
                kept.append(replacement.name)
    return "".join(line + "\n" for line in lines) + _keep([*kept, *defined])


def _versions(
    known: Signature, isas: list[vector_library.Isa], lines: list[str], kept: list[str], declared: Collection[str]
) -> str:
    """The attribute that names all vector versions of a function; declares those that are not `declared` already."""
    variants = []
    for isa in isas:
        version = vector_library.vector_name(isa, known.name, known.element, known.arity)
        if version:
            vector, lanes = version
            variants.append(f"_ZGV_LLVM_N{lanes}{'v' * known.arity}_{known.name}({vector})")
            if vector in declared:
                continue
            lines.append(_declaration(vector, f"<{lanes} x {_LLVM[known.element]}>", known.arity))
            kept.append(vector)
    return ",".join(variants)


def _declaration(name: str, type: str, arity: int) -> str:
    return f"declare {type} @{name}({', '.join([type] * arity)}) {' '.join(FLAGS)} memory(none)"


class Signature(NamedTuple):
    """A known C function: its name, the MLIR type of its arguments and result, and how many arguments."""

    name: str
    element: str
    arity: int

    def type(self) -> str:
        return f"({', '.join([self.element] * self.arity)}) -> {self.element}"


def signature(name: str) -> Signature | None:
    """What is known of the C function of this name."""
    if name in PURE:
        return Signature(name, "f64", PURE[name])
    if name.endswith("f") and name[:-1] in PURE:
        return Signature(name, "f32", PURE[name[:-1]])
    return None


def _keep(names: Iterable[str]) -> str:
    """LLVM IR that keeps these declarations, which no code refers to yet."""
    pointers = [f"ptr @{name}" for name in names]
    if not pointers:
        return ""
    array = f"[{len(pointers)} x ptr] [{', '.join(pointers)}]"
    return f'\n@llvm.compiler.used = appending global {array}, section "llvm.metadata"\n'
