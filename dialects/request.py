"""What derivative is asked for: the attributes of a function that has no body yet.

    func.func private @df(f64, memref<?xf64>, memref<?xf64>, f64) -> (f64, f64) attributes {
      autodiff.reverse = @f, autodiff.activity = ["active", "duplicated"], autodiff.returns = ["active"],
      autodiff.primal }

`autodiff.forward` or `autodiff.reverse` names the function. Activities: one an argument ("const", "active" (reverse),
"duplicated", "duplicated_noneed"), one a result ("const", "active" (reverse: it has a seed), "duplicated" (forward:
its tangent is returned)). Unit attributes: `autodiff.primal` (the primal results come first), `autodiff.strong_zero`,
`autodiff.public` (the function is an entry), `autodiff.holomorphic` (reverse, by complex numbers; see holomorphic.py),
`autodiff.overlap` (arguments may overlap, shadows as their primals).
`autodiff.width = W : i64`.

Arguments: for each of f's arguments the primal, then if duplicated its tangent (forward, scalar) or shadow (memref; W
of them); in reverse a seed for each active result behind. Results: the primal ones if asked for; then in reverse the
gradient of each active argument, in forward the tangent of each duplicated result. With W > 1 a scalar's tangent,
seed or gradient is a `vector<Wx..>`, that of a complex number a `vector<Wx2x..>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlir.ir import (
    ArrayAttr,
    DenseI64ArrayAttr,
    FlatSymbolRefAttr,
    FunctionType,
    IntegerAttr,
    Operation,
    StringAttr,
    Type,
    TypeAttr,
)

from .builder import is_differentiable, is_memref, operations
from .errors import refuse
from .lanes import wide

MODES = ("forward", "reverse")
ACTIVITIES = {
    "forward": frozenset({"const", "duplicated", "duplicated_noneed"}),
    "reverse": frozenset({"const", "active", "duplicated", "duplicated_noneed"}),
}


@dataclass(frozen=True)
class Request:
    """One derivative, as asked for."""

    mode: str
    callee: str
    activity: tuple[str, ...]
    returns: tuple[str, ...]
    width: int
    primal: bool
    strong_zero: bool
    public: bool
    #: Two functions instead of one, with a tape between them (split.py).
    split: bool = False
    #: The arguments whose memory may be overwritten between the two; None: any may be.
    overwritten: tuple[int, ...] | None = None
    #: By complex numbers, d/dz; see holomorphic.py.
    holomorphic: bool = False
    #: Duplicated arguments may overlap, if their shadows do in the same way; and so may constant ones.
    overlap: bool = False

    @staticmethod
    def of(op: Operation) -> Request | None:
        """The request that a function declaration is, or None."""
        if op.name != "func.func" or list(op.regions[0].blocks):
            return None
        a = op.attributes
        mode = next((m for m in MODES if f"autodiff.{m}" in a), None)
        if mode is None:
            return None
        return Request(
            mode,
            _attribute(op, f"autodiff.{mode}", FlatSymbolRefAttr, "the name of a function, @f").value,
            _strings(op, "autodiff.activity"),
            _strings(op, "autodiff.returns"),
            _attribute(op, "autodiff.width", IntegerAttr, "an integer").value if "autodiff.width" in a else 1,
            "autodiff.primal" in a,
            "autodiff.strong_zero" in a,
            "autodiff.public" in a,
            "autodiff.split" in a,
            tuple(_attribute(op, "autodiff.overwritten", DenseI64ArrayAttr, "array<i64: ...>"))
            if "autodiff.overwritten" in a
            else None,
            "autodiff.holomorphic" in a,
            "autodiff.overlap" in a,
        )

    def check(self, declaration: Operation, function: Operation) -> None:
        """Refuse a request that does not fit `function`: wrong numbers, activities or types."""
        entry = function.regions[0].blocks[0]
        arguments = [a.type for a in entry.arguments]
        results = [v.type for v in operations(entry)[-1].operands]
        for what, types, given in (("arguments", arguments, self.activity), ("results", results, self.returns)):
            if len(types) != len(given):
                raise refuse(
                    declaration, f"@{self.callee} has {len(types)} {what}; {len(given)} activities are given for them"
                )
        for kind in self.activity + self.returns:
            if kind not in ACTIVITIES[self.mode]:
                known = ", ".join(sorted(ACTIVITIES[self.mode]))
                raise refuse(declaration, f"no activity {kind!r} in {self.mode} mode", f"use one of {known}")
        if self.holomorphic and self.mode != "reverse":
            raise refuse(declaration, "autodiff.holomorphic is for reverse mode", "forward mode takes complex tangents")
        if self.width < 1:
            raise refuse(declaration, f"width {self.width}: at least one tangent is needed")
        for i, (type_, kind) in enumerate(zip(arguments, self.activity, strict=True)):
            if kind == "active" and not is_differentiable(type_):
                raise refuse(
                    declaration,
                    f"argument {i} of type {type_} cannot be active",
                    "arrays are duplicated, integers const",
                )
            if kind.startswith("duplicated") and not (
                is_memref(type_) or (self.mode == "forward" and is_differentiable(type_))
            ):
                raise refuse(declaration, f"argument {i} of type {type_} cannot be duplicated in {self.mode} mode")
        for i, (type_, kind) in enumerate(zip(results, self.returns, strict=True)):
            if kind == "const" or is_differentiable(type_):
                continue
            if not is_memref(type_) or kind == "active" or (self.mode == "reverse" and not self.split):
                hint = "let the function fill a duplicated argument" if is_memref(type_) else "integers are const"
                raise refuse(declaration, f"result {i} of type {type_} cannot be {kind} in {self.mode} mode", hint)
        expected = self.signature(function)
        found = TypeAttr(declaration.attributes["function_type"]).value
        if expected != found:
            raise refuse(
                declaration, f"this derivative of @{self.callee} has type {expected}, it is declared as {found}"
            )

    def signature(self, function: Operation) -> FunctionType:
        """The type of the derivative function."""
        entry = function.regions[0].blocks[0]
        arguments = [a.type for a in entry.arguments]
        results = [v.type for v in operations(entry)[-1].operands]
        inputs: list[Type] = []
        outputs = list(results) if self.primal else []
        for type_, kind in zip(arguments, self.activity, strict=True):
            inputs.append(type_)
            if kind.startswith("duplicated"):
                inputs += self.tangent_types(type_)
        for type_, kind in zip(results, self.returns, strict=True):
            if kind != "const":
                (inputs if self.mode == "reverse" else outputs).extend(self.tangent_types(type_))
        if self.mode == "reverse":
            outputs += [
                t for a, k in zip(arguments, self.activity, strict=True) if k == "active" for t in self.tangent_types(a)
            ]
        return FunctionType.get(inputs, outputs)

    def overlapping(self) -> list[list[int]]:
        """The groups of the function's arguments that may overlap among each other."""
        if not self.overlap:
            return []
        duplicated = [i for i, kind in enumerate(self.activity) if kind.startswith("duplicated")]
        return [duplicated, [i for i in range(len(self.activity)) if i not in duplicated]]

    def unneeded(self, derivative: Operation) -> frozenset[int]:
        """The arguments of the derivative's body whose memory may hold anything afterwards: primals that are
        duplicated_noneed.
        """
        if self.overlap:
            return frozenset()  # others may see it
        found, position = set(), 0
        arguments = derivative.regions[0].blocks[0].arguments
        for kind in self.activity:
            if kind == "duplicated_noneed":
                found.add(position)
            shadows = len(self.tangent_types(arguments[position].type)) if kind.startswith("duplicated") else 0
            position += 1 + shadows
        return frozenset(found)

    def tangent_types(self, type_: Type) -> list[Type]:
        if is_memref(type_):
            return [type_] * self.width
        return [wide(type_, self.width)]


def _strings(op: Operation, name: str) -> tuple[str, ...]:
    if name not in op.attributes or not isinstance(op.attributes[name], ArrayAttr):
        raise refuse(
            op, f"a derivative is asked for without {name}", "give an array with one string for each argument or result"
        )
    words = list(ArrayAttr(op.attributes[name]))
    if not all(isinstance(word, StringAttr) for word in words):
        raise refuse(op, f"{name} holds what is no string", 'write ["active", "const"]')
    return tuple(word.value for word in words)


def _attribute(op: Operation, name: str, kind: Any, what: str) -> Any:
    """The attribute of that name, which must be of that kind."""
    found = op.attributes[name]
    if not isinstance(found, kind):
        raise refuse(op, f"{name} is {found}: it must be {what}")
    return found
