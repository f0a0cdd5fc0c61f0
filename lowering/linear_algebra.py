"""Bodies for the linear algebra that a module declares: functions on strided matrices, by SciPy's BLAS and LAPACK.

A module calls them by name, of which the last part is the element type, f64 or f32; `link` adds the bodies of those
that are declared and have none. With m for `memref<?x?xT, strided<[?, ?], offset: ?>>`:

    @dsl.blas.gemm.T(c: m, a: m, b: m, sign: i64)       c += sign · a b       (small products in loops)
    @dsl.blas.trsm.T(x: m, a: m, lower: i1, unit: i1)   x := a⁻¹ x, of a only a triangle, with ones on its diagonal
                                                        if unit
    @dsl.lapack.lu.T(lu: m, pivots: memref<?xi32>, a: m) -> i64                 lu := a's factors
    @dsl.lapack.lu_solve.T(x: m, lu, pivots, a: m, transposed: i1)              x := a⁻¹ x or a⁻ᵀ x
    @dsl.lapack.lu_det.T(lu, pivots, a: m) -> T                                 the determinant
    @dsl.lapack.lu_logdet.T(lu, pivots, a: m) -> (T, T)                         its sign, and the logarithm of its size
    @dsl.lapack.cholesky.T(l: m, a: m) -> i64           l := a's factor, with zeros above; reads a's lower triangle
    @dsl.lapack.eigh.T(w: m, v: m, a: m) -> i64         w, v := the values, a column, and the vectors, as columns, of a
                                                        symmetric a; reads its lower triangle
    @dsl.lapack.qr.T(q: m, r: m, a: m) -> i64           q r = a, which has no more columns than rows; q is as large as a
    @dsl.lapack.svd.T(u: m, s: m, v: m, a: m) -> i64    u diag s vᵀ = a, with as many columns as a is small; s is one

What is written comes first. The rows of lu, l, v, w and s are contiguous. The i64 is LAPACK's info: not 0 if a is
singular, or not positive definite, or if the values do not converge.
Functions that work on factors take the matrix too, and do not read it: derivatives refer to it. Arguments fit and do
not overlap; the caller has seen to it.
"""

from __future__ import annotations

import os
import re
from functools import cache

from mlir.ir import ArrayAttr, InsertionPoint, Module, StringAttr, UnitAttr
from mlir.passmanager import PassManager

from .rewriting import functions, symbol_name

PREFIXES = ("dsl.blas.", "dsl.lapack.")
_LETTERS = {"f64": "d", "f32": "s"}
# From so many multiplications on, a product is BLAS's; below, its call takes longer than the loops. (Measured: equal at
# 9 by 9 by 9, f64 and f32.)
_GEMM = 1000


def link(module: Module, text: str) -> str:
    """Give the functions that the module declares their bodies. Takes the module's text and returns the new one."""
    if not any(prefix in text for prefix in PREFIXES):
        return text
    wanted: dict[str, set[str]] = {}
    for op in functions(module):
        name = symbol_name(op)
        element = name.rpartition(".")[2]
        if name.startswith(PREFIXES) and element in _LETTERS and not op.regions[0].blocks:
            wanted.setdefault(element, set()).add(name)
            op.erase()
    for element, names in wanted.items():
        library = Module.parse(_library(element))
        bodies = {symbol_name(op): op for op in functions(library)}
        for op in bodies.values():
            name = symbol_name(op)
            if name in names or not op.regions[0].blocks:
                InsertionPoint(module.body).insert(op.clone())
    return str(module)


@cache
def _library(element: str) -> str:
    """The library for one element type, its inner helpers inlined: a function may return a matrix or a copy of it, and
    who owns that is known only where both are in sight.
    """
    with open(os.path.join(os.path.dirname(__file__), "library", "linear_algebra.mlir"), encoding="utf-8") as file:
        text = file.read()
    values = {"T": element, "t": _LETTERS[element], "gemm": str(_GEMM)}
    text = re.sub(r"\$(gemm|[Tt])", lambda found: values[found[1]], text)
    module = Module.parse(text)
    for op in functions(module):
        if symbol_name(op).startswith(PREFIXES):
            del op.attributes["sym_visibility"]
    PassManager.parse("builtin.module(inline,canonicalize,cse,symbol-dce)").run(module.operation)
    for op in functions(module):
        if op.regions[0].blocks:  # large, and called from several places
            op.attributes["passthrough"] = ArrayAttr.get([StringAttr.get("noinline")])
            op.attributes["no_inline"] = UnitAttr.get()
    return re.sub(r"func\.func (?!private)", "func.func private ", str(module))
