"""`autodiff`: the derivative of a kernel or function, in a mode, with annotated arguments.

    autodiff(Reverse, f, Active, Active(3.0))                 ((6.0,),)
    autodiff(ForwardWithPrimal, f, Duplicated(3.0, 1.0))      (9.0, 6.0)

This module is the way that every call takes, so it does little: where a runner fits the arguments (see `runner`),
it has done everything; else `driver` looks at the call in full.
"""

from __future__ import annotations

from typing import Any

from .annotations import Const
from .driver import differentiate
from .grids import Grid
from .kernel import Kernel, as_kernel
from .modes import Mode
from .options import options
from .runner import MISS


def autodiff(mode: Mode, f: Any, /, *args: Any) -> Any:
    """Differentiate `f`.

    `args` are an annotation class for the result (it may be left out), then one annotation for each argument.

    `f` may be a kernel with a grid, `k[blocks, threads]`: what its launch does is differentiated.

    Reverse returns `(gradients,)`, ReverseWithPrimal `(value, gradients)`: gradients has one slot for each
    argument, None where it is not Active; those of Duplicated arguments are added to their shadows. Forward returns
    `(tangent,)`, ForwardWithPrimal `(value, tangent)`, without the tangent where the result is Const.
    """
    if type(f) is Grid:
        result = autodiff(mode, f.host, *args, *map(Const, f.extents))
        return f.own(result) if mode.reverse else result
    for run in _runners(mode, f):
        result = run(args)
        if result is not MISS:
            return result
    return differentiate(mode, f, args)


# The name for calls inside kernels, where it means the same.
autodiff_deferred = autodiff


def _runners(mode: Mode, f: Any) -> Any:
    """The runners that there are for a kernel or function in a mode, if what they were made of still holds."""
    try:
        if type(f) is not Kernel:  # and not by its attributes: functools.wraps copies those to other functions
            f = as_kernel(f)
        state = f.__dict__["compiled_state"]
        watch = state.watch
        if state.generation == options.generation and watch is f.watch and watch.unchanged():
            return state.runners[mode]
    except (AttributeError, KeyError, TypeError):
        pass  # the first call of its kind, or no kernel, or no mode: differentiate says which
    return ()
