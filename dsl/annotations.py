"""What a derivative does with each argument and with the result: Const, Active, Duplicated and their kin.

    Const(v)                       no derivative by it
    Active(x)                      a scalar, or a tuple or struct of scalars: its gradient is returned (reverse mode)
    Duplicated(x, dx)              with a shadow: the tangent (forward mode), or where the gradient is added
    (reverse mode) DuplicatedNoNeed(x, dx)        the same, where what x holds afterwards does not matter
    BatchDuplicated(x, (dx, ...))  several shadows at once; BatchDuplicatedNoNeed likewise MixedDuplicated(p,
    Ref(dp))    a struct or tuple whose scalars accumulate in the Ref and whose arrays in place

The classes themselves say what is wanted of the result (`autodiff(Reverse, f, Active, ...)`). `Duplicated[type]`,
with a type of `dsl.types` or a Python or NumPy type, is an annotation of a type, for calls that are compiled before
there are values.

An annotation holds its values and checks nothing but its own form; `dsl.checks` says what does not fit, and how to
mend it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import errors


class AnnotatedType(NamedTuple):
    """An annotation of a type: `Duplicated[np.ndarray]`."""

    annotation: type[Annotation]
    type: Any

    def __repr__(self) -> str:
        return f"{self.annotation.__name__}[{getattr(self.type, '__name__', self.type)}]"


class Ref:
    """A cell that holds one value; reverse mode puts a new one into it."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Ref({self.value!r})"


class Annotation:
    """A value and what a derivative does with it."""

    __slots__ = ("val",)

    def __init__(self, val: Any) -> None:
        self.val = val

    def __class_getitem__(cls, type_: Any) -> AnnotatedType:
        return AnnotatedType(cls, type_)

    @property
    def width(self) -> int:
        """How many shadows there are: 1 but for batches."""
        return 1

    def __repr__(self) -> str:
        names = [name for cls in reversed(type(self).__mro__) for name in getattr(cls, "__slots__", ())]
        return f"{type(self).__name__}({', '.join(repr(getattr(self, name)) for name in names)})"


class Const(Annotation):
    """No derivative by this argument, or of this result."""

    __slots__ = ()


class Active(Annotation):
    """A scalar, or a tuple or struct of scalars, whose gradient is returned; of a result: what is differentiated."""

    __slots__ = ()


class _Shadowed(Annotation):
    __slots__ = ("dval",)

    def __init__(self, val: Any, dval: Any) -> None:
        self.val = val
        self.dval = dval


class Duplicated(_Shadowed):
    """An argument and its shadow: the tangent in forward mode; in reverse mode the gradient is added to it."""

    __slots__ = ()


class DuplicatedNoNeed(_Shadowed):
    """As Duplicated, where what the argument holds afterwards does not matter."""

    __slots__ = ()


class MixedDuplicated(_Shadowed):
    """A struct or tuple of scalars and arrays, and a Ref of its shadow.

    Scalars accumulate in the Ref, arrays in place.
    """

    __slots__ = ()

    def __init__(self, val: Any, dval: Ref) -> None:
        if not isinstance(dval, Ref):
            raise errors.ActivityError(
                f"the shadow of MixedDuplicated is a Ref, not {type(dval).__name__}",
                hint="write MixedDuplicated(p, Ref(dp)); after the call the Ref's .value is the new shadow",
            )
        self.val = val
        self.dval = dval


class _Batch(_Shadowed):
    __slots__ = ()

    def __init__(self, val: Any, dval: tuple[Any, ...]) -> None:
        name = type(self).__name__
        if not isinstance(dval, (tuple, list)):
            raise errors.ActivityError(
                f"the shadows of {name} are a tuple, not {type(dval).__name__}", hint=f"write {name}(x, (dx1, dx2))"
            )
        if not dval:
            raise errors.ActivityError(
                f"{name} of width 0: there is no shadow",
                hint="give at least one shadow, or Const(x) where no derivative is wanted",
            )
        self.val = val
        self.dval = tuple(dval)

    @property
    def width(self) -> int:
        return len(self.dval)


class BatchDuplicated(_Batch):
    """An argument and several shadows, which one call treats together."""

    __slots__ = ()


class BatchDuplicatedNoNeed(_Batch):
    """As BatchDuplicated, where what the argument holds afterwards does not matter."""

    __slots__ = ()


class BatchMixedDuplicated(_Batch):
    """As MixedDuplicated, with a tuple of Refs."""

    __slots__ = ()

    def __init__(self, val: Any, dval: tuple[Ref, ...]) -> None:
        super().__init__(val, dval)
        if not all(isinstance(ref, Ref) for ref in self.dval):
            raise errors.ActivityError(
                "the shadows of BatchMixedDuplicated are Refs",
                hint="write BatchMixedDuplicated(p, (Ref(dp1), Ref(dp2)))",
            )
