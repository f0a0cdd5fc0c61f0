"""`kernel.ir(stage, ...)`: a kernel as text at one stage of compiling.

    k.ir("tree")                                                   the syntax tree
    k.ir("mlir", 1.0, np.zeros(3))                                 MLIR, for arguments like these
    k.ir("mlir", dsl.float64, dsl.types.ArrayType(dsl.float64, 1)) ... or of these types
    k.ir("activity", dsl.Reverse, dsl.Active, dsl.Active(1.0))     what carries a derivative
    k.ir("plan", dsl.Reverse, ...)                                 what the reverse sweep keeps on its tape
    k.ir("autodiff", dsl.Reverse, ...)                             the derivative, as MLIR
    k.ir("llvm", ...), k.ir("asm", ...)                            of the kernel, or with a mode of its derivative
    k[blocks, threads].ir("ptx", ...)                              of what is launched, for an sm_80

What comes out is a string: plain where it is written or compared, in colour where it is printed on a terminal or shown
in a notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import require, types
from .annotations import AnnotatedType, Annotation
from .errors import ArgumentError, StageError
from .listing import IRText, with_source_lines
from .modes import Mode

if TYPE_CHECKING:
    from .kernel import Kernel
    from .request import Request


def ir(kernel: Kernel, stage: str, args: Sequence[Any]) -> IRText:
    """The text of one stage; StageError where there is no such stage."""
    require.compiler()
    show = _STAGES.get(stage)
    if show is None:
        raise StageError(f"there is no stage {stage!r}", None, f"the stages are {', '.join(_STAGES)}")
    return show(kernel, stage, tuple(args))


# --- the stages ---------------------------------------------------------------------------------------------------


def _tree(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> IRText:
    from .syntax.nodes import dump
    from .syntax.parser import parse

    source = kernel.source
    return IRText(dump(parse(source.text, source.file, source.line, source.col)) + "\n", "python")


def _mlir(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> IRText:
    from .frontend import lower
    from .options import resolve

    request = _call(kernel, stage, args)
    lowered = lower(kernel, request.arg_types, resolve(kernel.options))
    return IRText(with_source_lines(lowered.module_text), "mlir")


def _activity(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> IRText:
    from dialects.show import activity

    text = _of_engine(_derivative(kernel, stage, args), activity)
    return IRText(with_source_lines(text), "mlir")


def _plan(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> IRText:
    from dialects.show import plan

    return IRText(with_source_lines(_of_engine(_derivative(kernel, stage, args), plan)), "text")


def _of_engine(request: Request, show: Callable[..., str]) -> str:
    """What the derivative engine says of a request, before it makes the derivative."""
    from . import driver

    asked = driver._asked(driver.state_of(request.kernel), request)
    return driver.engine(show, asked.module, request, asked.lowered)


def _autodiff(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> IRText:
    text, _, _ = _compiled_from(_derivative(kernel, stage, args))
    return IRText(with_source_lines(text), "mlir")


def _llvm(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> IRText:
    from lowering import cpu

    return IRText(cpu.optimised_ir(*_compiled_from(_either(kernel, stage, args))), "llvm")


def _asm(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> IRText:
    from lowering import cpu

    return IRText(cpu.assembly(*_compiled_from(_either(kernel, stage, args))), "gas")


def _ptx(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> IRText:
    from . import driver
    from .ahead import DEFAULT_CHIP
    from .device import lowered

    request = _either(kernel, stage, args)
    program = lowered(driver.state_of(request.kernel), request, DEFAULT_CHIP)[0]
    return IRText(program.ptx, "text")


def _compiled_from(request: Request) -> tuple[str, str, Any]:
    """What the lowering is given for a request: the module, its entry, and the options."""
    from . import driver

    state = driver.state_of(request.kernel)
    text, entry, _, meta = driver._module(state, request)
    return text, entry, driver.cpu_options(state.options, meta["strict_aliasing"])


_STAGES: dict[str, Callable[[Kernel, str, tuple[Any, ...]], IRText]] = {
    "tree": _tree,
    "mlir": _mlir,
    "activity": _activity,
    "plan": _plan,
    "autodiff": _autodiff,
    "llvm": _llvm,
    "asm": _asm,
    "ptx": _ptx,
}


# --- what is asked for --------------------------------------------------------------------------------------------


def _either(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> Request:
    derivative = bool(args) and isinstance(args[0], Mode)
    return _derivative(kernel, stage, args) if derivative else _call(kernel, stage, args)


def _call(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> Request:
    """A call of the kernel with arguments like these."""
    from . import checks

    if args and isinstance(args[0], Mode):
        hint = 'take "autodiff", "llvm" or "asm" for the derivative, or leave the mode out'
        raise ArgumentError(f"stage {stage!r} is of the kernel itself, without a mode", None, hint)
    values = kernel.bind(tuple(_example(kernel, a) for a in args), {})
    return checks.call_request(kernel, values)


def _derivative(kernel: Kernel, stage: str, args: tuple[Any, ...]) -> Request:
    """A derivative with annotated arguments like these."""
    if not args or not isinstance(args[0], Mode):
        hint = f'write {kernel.name}.ir("{stage}", dsl.Reverse, annotated arguments...), as for dsl.autodiff'
        raise ArgumentError(f"stage {stage!r} is of a derivative, and needs a mode", None, hint)
    return derivative_of(kernel, args)


def derivative_of(kernel: Kernel, args: tuple[Any, ...]) -> Request:
    """The derivative for a mode and annotations of types or values."""
    from . import checks

    return checks.derivative_request(args[0], kernel, tuple(_annotated(kernel, a) for a in args[1:]))


def _annotated(kernel: Kernel, arg: Any) -> Any:
    if isinstance(arg, AnnotatedType):
        values = [_example(kernel, arg.type) for _ in range(2)]
        shadowed = arg.annotation.__name__ not in ("Const", "Active")
        return arg.annotation(*values) if shadowed else arg.annotation(values[0])
    if isinstance(arg, Annotation) and is_type(arg.val):
        return type(arg)(_example(kernel, arg.val))
    return arg


def is_type(arg: Any) -> bool:
    """Whether an argument is given by a type only."""
    if isinstance(arg, (types.Type, AnnotatedType)):
        return True
    return isinstance(arg, type) and (arg in _PYTHON or arg.__module__ == "numpy")


_PYTHON = (bool, int, float, complex)


def _example(kernel: Kernel, arg: Any) -> Any:
    """A value of a type; a value itself."""
    import numpy as np

    if isinstance(arg, types.Scalar):
        return arg.dtype.type(0)
    if isinstance(arg, types.ArrayType):
        if arg.contiguous or arg.ndim == 0:
            return np.zeros((2,) * arg.ndim, arg.dtype.dtype)
        return np.zeros((4,) * arg.ndim, arg.dtype.dtype)[(slice(None, None, 2),) * arg.ndim]
    if isinstance(arg, types.TupleType):
        return tuple(_example(kernel, element) for element in arg.elements)
    if isinstance(arg, types.StructType):
        return arg.cls(**{name: _example(kernel, field) for name, field in arg.fields})
    if isinstance(arg, types.Literal):
        return arg.value
    if isinstance(arg, types.NoneType_):
        return None
    if isinstance(arg, type) and arg in _PYTHON:
        return arg()
    if isinstance(arg, type) and issubclass(arg, np.generic):
        return types.from_dtype(arg).dtype.type(0)
    if arg is np.ndarray:
        hint = "give an example array, or its type: dsl.types.ArrayType(dsl.float64, 1)"
        raise ArgumentError(f"{kernel.name}.ir: np.ndarray says neither dtype nor rank", None, hint)
    return arg
