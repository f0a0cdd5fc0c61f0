"""What a call asks for: kernel, derivative, and each argument with its type and what the derivative does with it.

A `Request` is made by `dsl.checks` of the arguments of one call and is good for all calls alike. Its `key` finds
compiled code; `leaves` says how the code's arguments are laid out, and `derivative` turns that into MLIR.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import types
from .annotations import (
    Active,
    Annotation,
    BatchDuplicated,
    BatchDuplicatedNoNeed,
    BatchMixedDuplicated,
    Const,
    Duplicated,
    DuplicatedNoNeed,
    MixedDuplicated,
    Ref,
)
from .kernel import Kernel
from .modes import Mode
from .structs import Place, places

BATCHES = (BatchDuplicated, BatchDuplicatedNoNeed, BatchMixedDuplicated)
MIXED = (MixedDuplicated, BatchMixedDuplicated)
SHADOWED = (Duplicated, DuplicatedNoNeed, MixedDuplicated, *BATCHES)


class Argument:
    """One argument of a call. `type` is the type that is compiled for: an Active int's is float64."""

    __slots__ = ("annotation", "given", "index", "name", "promoted", "refs", "shadows", "type", "value")

    def __init__(
        self,
        index: int,
        name: str,
        annotation: type[Annotation] | None,
        value: Any,
        shadows: tuple[Any, ...],
        type_: types.Type,
        given: bool = True,
        promoted: bool = False,
        refs: tuple[Ref, ...] = (),
    ) -> None:
        self.index = index
        self.name = name
        self.annotation = annotation  # None in a call of the kernel itself
        self.value = value
        self.shadows = shadows  # one, or several in a batch; the Refs' contents for MixedDuplicated
        self.type = type_
        self.given = given  # False: a parameter's default
        self.promoted = promoted
        self.refs = refs  # of MixedDuplicated

    def __str__(self) -> str:
        return f"argument {self.index} (`{self.name}`)"


def shadow_name(argument: Argument, lane: int) -> str:
    """What messages call a shadow."""
    return f"shadow {lane}" if argument.annotation in BATCHES else "the shadow"


class Request:
    """A call: of the kernel itself where `mode` is None. `returns` is the annotation of the result; None: left out."""

    __slots__ = ("arguments", "kernel", "mode", "returns")

    def __init__(
        self, kernel: Kernel, mode: Mode | None, returns: type[Annotation] | None, arguments: list[Argument]
    ) -> None:
        self.kernel = kernel
        self.mode = mode
        self.returns = returns
        self.arguments = arguments

    @property
    def arg_types(self) -> tuple[types.Type, ...]:
        return tuple(argument.type for argument in self.arguments)

    @property
    def batched(self) -> bool:
        """Whether tangents and gradients come as tuples, of one for each shadow."""
        wide = self.mode is not None and self.mode.width > 1
        return wide or any(argument.annotation in BATCHES for argument in self.arguments)

    @property
    def width(self) -> int:
        """How many tangents or cotangents there are at once."""
        asked = self.mode.width if self.mode is not None else 0
        return max(asked, *(len(argument.shadows) for argument in self.arguments), 1)

    def key(self) -> tuple[Any, ...]:
        """What tells this request from others of the same kernel, to look it up in this process."""
        return (self.mode, self.returns, self.width, tuple((a.annotation, a.type) for a in self.arguments))

    def text(self) -> str:
        """The same as text that other processes would find, too."""
        arguments = "; ".join(f"{a.annotation.__name__ if a.annotation else ''} {a.type}" for a in self.arguments)
        mode = f"{self.mode.key()},width={self.width}" if self.mode else "call"
        return f"{mode} | {self.returns.__name__ if self.returns else 'auto'} | {arguments}"

    def overwritten(self) -> list[int] | None:
        """In split mode, the leaves of arguments that may change between the two calls; None: all may."""
        if self.mode is None or self.mode.overwritten is None:
            return None
        flags = self.mode.overwritten[-len(self.arguments) :] if self.arguments else ()
        return [k for k, leaf in enumerate(self.leaves()) if flags[leaf.argument.index]]

    def leaves(self) -> list[Leaf]:
        """The leaves of all arguments in order."""
        return [leaf for argument in self.arguments for leaf in _leaves(self.mode, argument)]


class Leaf(NamedTuple):
    """A scalar or array of which an argument consists."""

    argument: Argument
    path: str  # as the user would write it: params.w
    type: types.Scalar | types.ArrayType
    activity: str  # as dialects.request has it: const, active, duplicated, duplicated_noneed

    @property
    def shadowed(self) -> bool:
        """Whether the compiled function takes a shadow behind it."""
        return self.activity.startswith("duplicated")


def _leaves(mode: Mode | None, argument: Argument) -> list[Leaf]:
    return [
        Leaf(argument, path, leaf, activity(mode, argument.annotation, leaf))
        for path, leaf in paths(argument.name, argument.type)
    ]


def paths(name: str, type_: types.Type) -> list[tuple[str, types.Scalar | types.ArrayType]]:
    """Each leaf of a type with the expression that gives it of the value `name`."""
    if isinstance(type_, (types.Scalar, types.ArrayType)):
        return [(name, type_)]
    if isinstance(type_, types.TupleType):
        return [found for i, element in enumerate(type_.elements) for found in paths(f"{name}[{i}]", element)]
    if isinstance(type_, types.StructType):
        return [found for field, inner in type_.fields for found in paths(f"{name}.{field}", inner)]
    return []


def is_continuous(leaf: types.Type) -> bool:
    """Whether a leaf can carry a derivative: floats and complex numbers, and arrays of them."""
    scalar = leaf.dtype if isinstance(leaf, types.ArrayType) else leaf
    return isinstance(scalar, types.Scalar) and scalar.kind in "fc"


def activity(mode: Mode | None, annotation: type[Annotation] | None, leaf: types.Type) -> str:
    """What the derivative does with one leaf of an argument."""
    if mode is None or annotation is None or annotation is Const or not is_continuous(leaf):
        return "const"
    if annotation is Active or (mode.reverse and isinstance(leaf, types.Scalar)):
        return "active"  # a scalar's gradient is returned, and added to its shadow by the caller
    return "duplicated_noneed" if annotation in (DuplicatedNoNeed, BatchDuplicatedNoNeed) else "duplicated"


class Assigned(NamedTuple):
    """An argument, or one of its shadows, with the fields that a call assigns to."""

    argument: Argument
    lane: int | None  # which shadow; None: the argument itself
    places: list[Place]


def assigned(request: Request, writebacks: tuple[int, ...]) -> list[Assigned]:
    """The structs that a call changes: fields that the kernel overwrites (leaf numbers), and shadows of scalars."""
    found: list[Assigned] = []
    reverse = request.mode is not None and request.mode.reverse
    leaves = request.leaves()
    first = 0
    for argument in request.arguments:
        count = len(types.leaves(argument.type))
        mine = set(range(first, first + count))
        overwritten = mine & set(writebacks)
        if overwritten:
            found.append(Assigned(argument, None, places(argument.type, overwritten, first)))
        if argument.annotation in SHADOWED and argument.annotation not in MIXED:
            changed = {k for k in mine if leaves[k].activity == "active"} if reverse else overwritten
            if changed:
                new = places(argument.type, changed, first)
                found += [Assigned(argument, lane, new) for lane in range(len(argument.shadows))]
        first += count
    return found


def result_activity(mode: Mode, returns: type[Annotation] | None, result: types.Type) -> type[Annotation]:
    """The annotation of the result where it is left out: what makes a derivative of it, if anything does."""
    if returns is not None:
        return returns
    if mode.reverse:
        kinds = "fc" if mode.holomorphic else "f"
        return Active if isinstance(result, types.Scalar) and result.kind in kinds else Const
    return Duplicated if any(map(is_continuous, types.leaves(result))) else Const
