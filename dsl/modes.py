"""The modes of differentiation, as values: Forward, Reverse and their variants.

A mode is immutable, and there is one object of each, so that modes are compared and looked up by identity.

    Forward, ForwardWithPrimal                      tangents beside the values
    Reverse, ReverseWithPrimal                      gradients, in one call
    ReverseSplitWithPrimal, ReverseSplitNoPrimal    in two calls with a tape between them
    mode.with_strong_zero()                         0 times infinity is 0 in the derivative
"""

from __future__ import annotations

from typing import Any, ClassVar

from . import errors


class Mode:
    """One way to differentiate; make variants by its `with_...` methods."""

    __slots__ = ("holomorphic", "kind", "overwritten", "primal", "split", "strong_zero", "width")

    kind: str  # "forward" or "reverse"
    primal: bool  # whether the value is returned, too
    split: bool  # reverse mode in two calls
    strong_zero: bool
    holomorphic: bool
    width: int  # how many shadows at once; 0: as the annotations say
    overwritten: tuple[bool, ...] | None  # which arguments may change between the two calls of split mode

    _made: ClassVar[dict[tuple[Any, ...], Mode]] = {}

    def __new__(
        cls,
        kind: str,
        primal: bool = False,
        split: bool = False,
        strong_zero: bool = False,
        holomorphic: bool = False,
        width: int = 0,
        overwritten: tuple[bool, ...] | None = None,
    ) -> Mode:
        key = (kind, primal, split, strong_zero, holomorphic, width, overwritten)
        found = cls._made.get(key)
        if found is None:
            found = super().__new__(cls)
            for name, value in zip(_FIELDS, key):
                object.__setattr__(found, name, value)
            found = cls._made.setdefault(key, found)  # of two threads, one object wins
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a mode cannot be changed; its with_... methods make another")

    def __reduce__(self) -> tuple[Any, ...]:
        return Mode, tuple(getattr(self, name) for name in _FIELDS)

    def _but(self, **changes: Any) -> Mode:
        return Mode(**{name: getattr(self, name) for name in _FIELDS} | changes)

    @property
    def reverse(self) -> bool:
        return self.kind == "reverse"

    def with_strong_zero(self, on: bool = True) -> Mode:
        """This mode, with a derivative of 0 staying 0 where it is multiplied by infinity or NaN."""
        return self._but(strong_zero=bool(on))

    def with_primal(self) -> Mode:
        """This mode, returning the value, too (first)."""
        return self._but(primal=True)

    def without_primal(self) -> Mode:
        return self._but(primal=False)

    def key(self) -> str:
        """The text that stands for this mode in a cache key."""
        return ",".join(f"{name}={getattr(self, name)}" for name in _FIELDS)

    def __repr__(self) -> str:
        base = {
            ("forward", False, False): "Forward",
            ("forward", True, False): "ForwardWithPrimal",
            ("reverse", False, False): "Reverse",
            ("reverse", True, False): "ReverseWithPrimal",
            ("reverse", False, True): "ReverseSplitNoPrimal",
            ("reverse", True, True): "ReverseSplitWithPrimal",
        }[self.kind, self.primal, self.split]
        if self.holomorphic:
            base = base.replace("Reverse", "ReverseHolomorphic")
        if self.width:
            base = f"ReverseSplitWidth({base}, {self.width})"
        if self.overwritten is not None:
            base = f"ReverseSplitModified({base}, {self.overwritten})"
        return base + (".with_strong_zero()" if self.strong_zero else "")


_FIELDS = ("kind", "primal", "split", "strong_zero", "holomorphic", "width", "overwritten")

Forward = Mode("forward")
ForwardWithPrimal = Mode("forward", primal=True)
Reverse = Mode("reverse")
ReverseWithPrimal = Mode("reverse", primal=True)
ReverseSplitNoPrimal = Mode("reverse", split=True)
ReverseSplitWithPrimal = Mode("reverse", primal=True, split=True)
ReverseHolomorphic = Mode("reverse", holomorphic=True)
ReverseHolomorphicWithPrimal = Mode("reverse", primal=True, holomorphic=True)


def ReverseSplitWidth(mode: Mode, width: int) -> Mode:
    """A split mode whose pullback takes `width` cotangents at once."""
    _need_split(mode, "ReverseSplitWidth")
    if type(width) is not int or width < 1:
        raise errors.ActivityError(
            f"a width of {width!r}", hint="the width is how many cotangents there are: 1 or more"
        )
    return mode._but(width=width)


def ReverseSplitModified(mode: Mode, overwritten: tuple[bool, ...]) -> Mode:
    """A split mode that knows which arguments (the function first) may be overwritten between its two calls."""
    _need_split(mode, "ReverseSplitModified")
    return mode._but(overwritten=tuple(map(bool, overwritten)))


def _need_split(mode: Mode, name: str) -> None:
    if not (isinstance(mode, Mode) and mode.split):
        raise errors.ActivityError(
            f"{name} of {mode!r}", hint="it takes ReverseSplitWithPrimal, ReverseSplitNoPrimal, or a variant of them"
        )
