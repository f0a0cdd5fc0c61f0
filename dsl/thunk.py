"""`autodiff_thunk` and `tape_type`: derivatives that are compiled before there are values to call them with.

    fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, f, Active, Duplicated[A], Active[float])
    tape, value, shadow = fwd(Const(f), Duplicated(A, dA), Active(v))
    ((_, dv),) = rev(Const(f), Duplicated(A, dA), Active(v), 1.0, tape)

A thunk takes the function first, then the annotated arguments, of exactly the types that it was compiled for.
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from . import checks, device, driver, halves, types
from .annotations import AnnotatedType, Annotation, Const, Ref
from .errors import ActivityError, ArgumentError
from .grids import Grid
from .kernel import Kernel, as_kernel
from .modes import Mode
from .placed import Replaced, home_of, on_device
from .request import Request
from .runner import build
from .spaces import typeof
from .tape import Tape, TapeType

_SIGNATURE = "autodiff_thunk(mode, f, [annotation of the result,] annotated types or example values...)"


def autodiff_thunk(mode: Mode, f: Any, /, *args: Any) -> Any:
    """Compile a derivative of `f` for arguments of given types, without running it.

    `args` are an annotation class for the result (it may be left out), then one annotation for each argument, of a
    type or of an example value: `Active[float]`, `Duplicated[x]` for arrays of x's dtype, rank and layout,
    `Duplicated[dsl.types.ArrayType(dsl.float64, 2)]`, `Duplicated(x, dx)`. Shapes are free; dtypes (any float for
    what has a derivative), ranks, contiguity and classes are fixed.

    With `Forward` or `Reverse` and their kin it returns a callable: `thunk(Const(f), *annotated)` gives what
    `autodiff(mode, f, ..., *annotated)` gives. With `ReverseSplitWithPrimal` or `ReverseSplitNoPrimal` it returns two:

    - `fwd(Const(f), *annotated)` runs f and returns `(tape, primal, shadow)`. The primal is None with NoPrimal, the
      shadow None unless the result is Duplicated.
    - `rev(Const(f), *annotated, seed, tape)` returns `(gradients,)` as `autodiff(Reverse, ...)` does. The seed is
      what d(objective)/d(result) is; it is left out where the result is Const or Duplicated.

    An array, or a tuple or struct of arrays, is returned Duplicated: `shadow` is then of its form and shape and holds
    zeros, and what the caller puts into it before `rev` is the seed. The pullback leaves zeros in it.

    With `ReverseSplitWidth(mode, N)`, or with shadows in batches, N seeds are taken at once: the seed is a tuple, so
    are the shadow and the gradient of each Active argument. The primal is computed once.

    Where the arrays of a call are on a device it runs there, and so is the tape. What is compiled before is the code
    for where the example values are, else that for the host.

    Between the two the arrays may change: what the pullback needs of them is on the tape, except for those that
    `ReverseSplitModified(mode, overwritten)` says will not. Numbers and shapes must be the same in both.

        import numpy as np
        from dsl import Active, Const, Duplicated, ReverseSplitWithPrimal, autodiff_thunk

        def f(A, v):
            s = 0.0
            for i in range(len(A)):
                s += A[i] * A[i] * v
            return s

        A, dA = np.array([1.0, 2.0]), np.zeros(2)
        fwd, rev = autodiff_thunk(ReverseSplitWithPrimal, f, Active, Duplicated[A], Active[float])
        tape, value, _ = fwd(Const(f), Duplicated(A, dA), Active(3.0))       # value is 15.0
        rev(Const(f), Duplicated(A, dA), Active(3.0), 1.0, tape)             # ((None, 5.0),); dA is [6, 12]

    Raises ArgumentError and ActivityError as `autodiff` does, and for calls with other types than compiled for, a
    tape that was used or is of another thunk, a seed that is no number; DifferentiationError for functions that
    cannot be split. Nothing is modified when a call is refused.
    """
    if type(f) is Grid:
        made = autodiff_thunk(mode, f.host, *args, *(Const[int] for _ in f.extents))  # type: ignore[misc]
        return tuple(OfGrid(f, t, mode) for t in made) if type(made) is tuple else OfGrid(f, made, mode)
    request = _request(mode, f, args)
    chip = _chip(request.kernel, args)
    if mode.split:
        pair = _Pair(request, chip)
        return ForwardPass(pair), Pullback(pair)
    return Thunk(request, chip)


class OfGrid:
    """A thunk of `k[blocks, threads]`: it is called with Const of that, and the annotated arguments of k."""

    __slots__ = ("gives_gradients", "grid", "thunk")

    def __init__(self, grid: Grid, thunk: Any, mode: Mode) -> None:
        self.grid, self.thunk = grid, thunk
        self.gives_gradients = mode.reverse and type(thunk) is not ForwardPass

    def __call__(self, f: Any = None, /, *args: Any) -> Any:
        grid, given = self.grid, len(self.grid.kernel.params)
        of = f.val if type(f) is Const else f
        if type(of) is not Grid or (of.kernel, of.extents) != (grid.kernel, grid.extents):
            raise ArgumentError(f"the first argument of a thunk of {grid!r} is {f!r}", hint=f"pass Const({grid!r})")
        extents = map(Const, grid.extents)
        result = self.thunk(Const(grid.host), *args[:given], *extents, *args[given:])
        return grid.own(result) if self.gives_gradients else result

    def __repr__(self) -> str:
        return f"thunk of {self.grid!r}"


def tape_type(mode: Mode, f: Any, /, *args: Any) -> TapeType:
    """What lies on the tape of a thunk: the parts, each with its MLIR type and the bytes of an element.

    Takes what `autodiff_thunk` takes, with a mode of split reverse; runs nothing.

        print(tape_type(ReverseSplitNoPrimal, f, Active, Duplicated[A], Active[float]))

    Raises what `autodiff_thunk` raises, and ActivityError for another mode.
    """
    if type(f) is Grid:
        f, args = f.host, (*args, *(Const[int] for _ in f.extents))  # type: ignore[misc]
    request = _request(mode, f, args)
    if not mode.split:
        raise ActivityError(
            f"{mode!r} has no tape between two calls", None, "write ReverseSplitWithPrimal or ReverseSplitNoPrimal"
        )
    return TapeType(halves.find(request).parts)


class _Callable:
    """What is common to the callables: the kernel that they are of, and the types that they are for."""

    __slots__ = ("_function", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self._function: Any = request.kernel  # as it was given last, to know it again quickly

    def _rest(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments behind the function, with the result's annotation before them as runners take it."""
        kernel, returns = self.request.kernel, self.request.returns
        first = args[0] if args else None
        if type(first) is Const:
            first = first.val
        if first is not self._function and first is not kernel:
            if isinstance(first, (Annotation, Mode, type)) or not callable(first) or as_kernel(first) is not kernel:
                found = "nothing is given" if not args else f"found {args[0]!r}"
                raise ArgumentError(
                    f"the first argument of {self!r} is the function; {found}",
                    kernel.loc,
                    f"write Const({kernel.name}), then the annotated arguments",
                )
            self._function = first
        return args[1:] if returns is None else (returns, *args[1:])

    def _same(self, args: tuple[Any, ...]) -> Request:
        """The request of a call, which must be as that compiled for."""
        mine = self.request
        found = checks.derivative_request(mine.mode, mine.kernel, args, thunk=True)
        if _kind(found) != _kind(mine):
            raise ArgumentError(
                f"{self!r} is called with other types: expected {_signature(mine)}, got {_signature(found)}",
                mine.kernel.loc,
                "call it with these types, or make another thunk",
            )
        return found

    def __repr__(self) -> str:
        return f"<{self._what()} of {self.request.kernel.name}>"

    def _what(self) -> str:
        return f"thunk ({self.request.mode!r})"


class Thunk(_Callable):
    """A compiled derivative, called with the function and annotated arguments."""

    __slots__ = ("_calls", "_state")

    def __init__(self, request: Request, chip: str | None) -> None:
        super().__init__(request)
        self._state = driver.state_of(request.kernel)
        self._calls: dict[str | None, halves.Calls] = {}
        self._on(chip)

    def _on(self, chip: str | None) -> halves.Calls:
        """The calls for a chip, or on the host, of the kernel as it is now."""
        if not self._state.valid(self.request.kernel):
            self._state, self._calls = driver.state_of(self.request.kernel), {}
        if chip not in self._calls:
            state, request = self._state, self.request
            compiled = driver.find(state, request) if chip is None else device.find(state, request, chip)
            self._calls[chip] = halves.Calls(compiled, lambda asked, guarded: build(asked, compiled, guarded))
        return self._calls[chip]

    def __call__(self, *args: Any) -> Any:
        rest = self._rest(args)

        def work(chip: str | None, given: tuple[Any, ...]) -> Any:
            return self._on(chip).carry_out(given, lambda: self._same(given))

        return device.carried_out(self.request.kernel, rest, work) if on_device(rest) else work(None, rest)


class _Pair:
    """The two halves of a derivative in split mode, as the kernel is now."""

    def __init__(self, request: Request, chip: str | None) -> None:
        self.request = request
        self._state = driver.state_of(request.kernel)
        self._halves: dict[str | None, halves.Halves] = {}
        self.on(chip)

    def on(self, chip: str | None) -> halves.Halves:
        """The halves for a chip, or for the host."""
        if not self._state.valid(self.request.kernel):
            self._state, self._halves = driver.state_of(self.request.kernel), {}
        if chip not in self._halves:
            self._halves[chip] = halves.find(self.request, chip)
        return self._halves[chip]

    def halves(self) -> halves.Halves:
        """Those for any place, to be asked for what is the same in all."""
        return self.on(next(iter(self._halves), None))


class ForwardPass(_Callable):
    """The augmented primal: see `autodiff_thunk`."""

    __slots__ = ("_pair",)

    def __init__(self, pair: _Pair) -> None:
        super().__init__(pair.request)
        self._pair = pair

    def __call__(self, *args: Any) -> tuple[Tape, Any, Any]:
        rest = self._rest(args)

        def work(chip: str | None, given: tuple[Any, ...]) -> tuple[Tape, Any, Any]:
            found: tuple[Tape, Any, Any] = self._pair.on(chip).forward.carry_out(given, lambda: self._same(given))
            return found

        result: tuple[Tape, Any, Any]
        result = device.carried_out(self.request.kernel, rest, work) if on_device(rest) else work(None, rest)
        return result

    def _what(self) -> str:
        return f"forward pass ({self.request.mode!r})"


class Pullback(_Callable):
    """The pullback: see `autodiff_thunk`."""

    __slots__ = ("_pair",)

    def __init__(self, pair: _Pair) -> None:
        super().__init__(pair.request)
        self._pair = pair

    def __call__(self, *args: Any) -> tuple[tuple[Any, ...]]:
        rest = self._rest(args)
        seeded = self._pair.halves().seeded
        behind = 2 if seeded else 1
        tape = args[-1] if args else None
        if not isinstance(tape, Tape):
            self._refuse(f"the last argument is the tape, found is {type(tape).__name__}")
        if tape.halves.key != self.request.key() or tape.halves.kernel is not self.request.kernel:
            self._refuse(
                f"this is {tape!r}, made by another thunk", "pass the tape that this pullback's `fwd` returned"
            )
        if tape.used:
            tape.take()  # which refuses
        if not seeded and len(args) > 2 and not isinstance(args[-2], Annotation):
            shadowed = self._pair.halves().shadowed
            why = (
                "Duplicated, so the seed is in the shadow that `fwd` returned"
                if shadowed
                else "Const, so there is no seed"
            )
            self._refuse(f"the result is {why}")
        if seeded:
            if len(args) < 3 or isinstance(args[-2], Annotation):
                self._refuse("the seed, the cotangent of the result, is missing before the tape")
            rest = (*rest[:-2], self._seed(args[-2]), tape)
        there = on_device(rest)
        if (home_of(self.request.kernel, rest).driver if there else None) is not tape.driver:
            self._refuse("the tape and the arrays are in different places", "pass the arrays of the forward pass")

        def work(chip: str | None, given: tuple[Any, ...]) -> Any:
            # The tape's own code: if a global of the kernel has changed since, that is of no concern here.
            return tape.halves.backward.carry_out(given, lambda: self._same(given[:-behind]))

        result: tuple[tuple[Any, ...]]
        result = device.carried_out(self.request.kernel, rest, work) if there else work(None, rest)
        return result

    def _seed(self, seed: Any) -> Any:
        """The seed, or in a batch a tuple of them."""
        if not self.request.batched:
            return self._number(seed)
        width = self.request.width
        if not isinstance(seed, (tuple, list)) or len(seed) != width:
            found = f"{len(seed)}" if isinstance(seed, (tuple, list)) else f"{seed!r}"
            self._refuse(
                f"the derivative is of width {width}: expected is a tuple of {width} seeds, found is {found}",
                "give a seed for each shadow: rev(..., (1.0, 0.5), tape)",
            )
        return tuple(map(self._number, seed))

    def _number(self, seed: Any) -> float:
        if type(seed) is float:
            return seed
        if isinstance(seed, (int, float, np.floating, np.integer)) and not isinstance(seed, bool):
            return float(seed)
        result = self._pair.halves().result
        self._refuse(f"the seed is {seed!r} ({type(seed).__name__}); expected is a {result}")

    def _refuse(self, message: str, hint: str = "") -> NoReturn:
        kernel = self.request.kernel
        seed = "seed, " if self._pair.halves().seeded else ""
        hint = hint or f"write rev(Const({kernel.name}), annotated arguments..., {seed}tape)"
        raise ArgumentError(f"{message}, in a call of {self!r}", kernel.loc, hint)

    def _what(self) -> str:
        return f"pullback ({self.request.mode!r})"


# --- what a thunk is for ------------------------------------------------------------------------------------------


def _request(mode: Any, f: Any, args: tuple[Any, ...]) -> Request:
    """The request for a mode, function and annotations of types or example values."""
    if not isinstance(mode, Mode):
        raise ArgumentError(f"the mode is {mode!r} ({type(mode).__name__})", None, f"write {_SIGNATURE}")
    kernel = checks.the_kernel(f)
    request = checks.derivative_request(mode, kernel, tuple(_example(kernel, mode, arg) for arg in args), thunk=True)
    count = len(request.arguments)
    if mode.overwritten is not None and len(mode.overwritten) not in (count, count + 1):
        raise ActivityError(
            f"ReverseSplitModified has {len(mode.overwritten)} flags, {kernel.name} has {count} parameters",
            kernel.loc,
            "give a bool for each argument, or one for the function and then one for each argument",
        )
    return request


def _example(kernel: Kernel, mode: Mode, arg: Any) -> Any:
    """An annotation of an example value, for one of a type."""
    if not isinstance(arg, AnnotatedType):
        return Replaced((arg,)).args[0]
    name = arg.annotation.__name__
    if name.startswith("Batch") and not mode.width:
        raise ActivityError(
            f"{arg!r} does not say how many shadows there are",
            kernel.loc,
            f"give an example, {name}(x, (dx1, dx2)), or say it by ReverseSplitWidth(mode, N)",
        )
    value = _value(kernel, arg)
    if not arg.annotation.__name__.endswith(("Duplicated", "NoNeed")):
        return arg.annotation(value)
    shadows: tuple[Any, ...] = tuple(_value(kernel, arg) for _ in range(mode.width if name.startswith("Batch") else 1))
    if "Mixed" in name:
        shadows = tuple(map(Ref, shadows))
    make: Any = arg.annotation
    return make(value, shadows if name.startswith("Batch") else shadows[0])


def _value(kernel: Kernel, arg: AnnotatedType) -> Any:
    """A value of an annotation's type; of a value, another one like it."""
    from .inspect_ir import _example as example

    type_ = arg.type
    if type_ is np.ndarray:
        raise ArgumentError(
            f"{arg!r} says neither dtype nor rank",
            kernel.loc,
            f"write {arg.annotation.__name__}[x] with an example array, "
            f"or {arg.annotation.__name__}[dsl.types.ArrayType(dsl.float64, 1)]",
        )
    if isinstance(type_, (type, types.Type)):
        if isinstance(type_, type) and types.is_struct_class(type_):
            raise ArgumentError(
                f"{arg!r} does not say of what types the fields are",
                kernel.loc,
                f"write {arg.annotation.__name__}[p] with an example p",
            )
        return example(kernel, type_)
    return example(kernel, typeof(type_))


def _chip(kernel: Kernel, args: tuple[Any, ...]) -> str | None:
    """The chip of the device that example values are on."""
    values = tuple(arg.type if isinstance(arg, AnnotatedType) else arg for arg in args)
    return home_of(kernel, values).driver.chip if on_device(values) else None


def _kind(request: Request) -> tuple[Any, ...]:
    """What the code is for. A Python number may stand for one of NumPy's of the same size, and the other way round."""
    return (request.width, *((a.annotation, types.strong(a.type)) for a in request.arguments))


def _signature(request: Request) -> str:
    """The annotated types of a request, as the user writes them."""
    arguments = [
        f"{a.annotation.__name__ if a.annotation else ''}[{types.strong(a.type)}]" for a in request.arguments if a.given
    ]
    return f"({', '.join(arguments)})"
