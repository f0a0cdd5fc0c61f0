"""Functions that the engine knows by name: dense linear algebra, with derivative rules written in MLIR.

A module calls them by declarations without bodies; whoever lowers it has the bodies (for the CPU: BLAS and LAPACK).
`link` gives the declarations what the engine needs to know, and adds the rules (linear_algebra.mlir). With T for f64 or
f32 and m for `memref<?x?xT, strided<[?, ?], offset: ?>>`:

    @dsl.blas.gemm.T(c: m, a: m, b: m, sign: i64)       c += sign · a b
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
"""

from __future__ import annotations

import os
from functools import cache

from mlir.ir import FlatSymbolRefAttr, InsertionPoint, Module, Operation, StringAttr

from ..builder import operation, walk
from ..errors import refuse

PREFIXES = ("dsl.blas.", "dsl.lapack.")
_ELEMENTS = ("f64", "f32")


def link(module: Module) -> None:
    """Add the rules of the functions that `module` declares and calls; what has attributes of its own keeps them."""
    declared = {_name(op): op for op in map(operation, module.body.operations) if op.name == "func.func"}
    wanted = [name for name, op in declared.items() if _is_known(name) and _is_bare(op)]
    for element in _ELEMENTS:
        names = [name for name in wanted if name.endswith(f".{element}")]
        if names:
            library = Module.parse(_text(element))  # which must live as long as its operations are looked at
            known = {_name(op): op for op in map(operation, library.body.operations)}
            _add(module, declared, known, names)


def _add(module: Module, declared: dict[str, Operation], known: dict[str, Operation], names: list[str]) -> None:
    todo, done = list(names), set()
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        found = known.get(name)
        if found is None:
            raise refuse(declared[name], f"there is no function @{name} in the library")
        if name in declared:
            _describe(declared[name], found)
        else:
            declared[name] = found.clone(InsertionPoint(module.body))
        todo += _uses(found)


def _describe(declaration: Operation, known: Operation) -> None:
    if declaration.attributes["function_type"] != known.attributes["function_type"]:
        expected, found = known.attributes["function_type"], declaration.attributes["function_type"]
        raise refuse(declaration, f"@{_name(declaration)} has type {expected}, it is declared as {found}")
    for attribute in known.attributes:
        if attribute not in declaration.attributes:
            declaration.attributes[attribute] = known.attributes[attribute]


def _uses(function: Operation) -> list[str]:
    """The functions that one names as its rules, and those that it calls."""
    found = []
    for name in function.attributes:
        if name.endswith("_rule"):
            value = function.attributes[name]
            found += [r.value for r in (value if hasattr(value, "__iter__") else [value])]
    for op in walk(function):
        if op.name == "func.call":
            found.append(FlatSymbolRefAttr(op.attributes["callee"]).value)
    return found


def _is_known(name: str) -> bool:
    return name.startswith(PREFIXES) and name.rpartition(".")[2] in _ELEMENTS


def _is_bare(function: Operation) -> bool:
    """Whether nothing but its type is known of a function yet."""
    return not list(function.regions[0].blocks) and not any(a.startswith("autodiff.") for a in function.attributes)


def _name(function: Operation) -> str:
    return StringAttr(function.attributes["sym_name"]).value


@cache
def _text(element: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), "linear_algebra.mlir"), encoding="utf-8") as file:
        return file.read().replace("$T", element)
