"""What is looked at before anything runs: the form of a call, and each argument and its shadow. Leaves a `Request`.

All refusals name the argument, say what was expected and what was found, and what to do; nothing of the user's has
been touched. This is the slow path: calls that fit code which is there already do the same tests in their runner.
"""

from __future__ import annotations

import warnings
from typing import Any, NoReturn

import numpy as np

from . import types
from .annotations import (
    Active,
    AnnotatedType,
    Annotation,
    Const,
)
from .arrays import check_array, check_distinct, check_shadow_array
from .errors import ActivityError, ArgumentError, TypeWarning
from .kernel import Kernel, as_kernel
from .modes import Mode
from .options import resolve
from .request import BATCHES, MIXED, SHADOWED, Argument, Request, shadow_name

_FLOATS = (float, np.float64, "float", "np.float64", "numpy.float64")
_SIGNATURE = "autodiff(mode, f, [annotation of the result,] annotated arguments...)"


def call_request(kernel: Kernel, args: tuple[Any, ...]) -> Request:
    """The request of a call of the kernel itself."""
    arguments = []
    for index, (name, value) in enumerate(zip(kernel.params, args)):
        if isinstance(value, Annotation):
            _refuse(
                kernel,
                f"argument {index} (`{name}`) is annotated {type(value).__name__}, in a call of the kernel itself",
                f"pass the value, or ask for a derivative: dsl.autodiff(mode, {kernel.name}, ...)",
            )
        arguments.append(Argument(index, name, None, value, (), _typeof(kernel, index, name, value)))
    for argument in arguments:
        _arrays(kernel, argument, reverse=False)
    return Request(kernel, None, None, arguments)


def derivative_request(mode: Any, f: Any, args: tuple[Any, ...], thunk: bool = False) -> Request:
    """The request of `autodiff(mode, f, *args)`, or of a call of a thunk, which may be one of split mode."""
    _mode(mode, thunk)
    kernel = the_kernel(f)
    returns: type[Annotation] | None = None
    if args and isinstance(args[0], type) and issubclass(args[0], Annotation):
        returns, args = args[0], args[1:]
    _annotations(kernel, mode, returns, args)
    arguments = [_argument(kernel, mode, index, annotated) for index, annotated in enumerate(args)]
    for index in range(len(args), len(kernel.params)):  # parameters with a default that are left out
        name = kernel.params[index]
        value = kernel.defaults[name]
        arguments.append(Argument(index, name, Const, value, (), _typeof(kernel, index, name, value), given=False))
    for argument in arguments:
        _arrays(kernel, argument, mode.reverse)
    check_distinct(kernel, arguments, mode.split or resolve(kernel.options).strict_aliasing)
    return Request(kernel, mode, returns, arguments)


def the_kernel(f: Any) -> Kernel:
    """The kernel that is to be differentiated."""
    if isinstance(f, Const):
        f = f.val
    if isinstance(f, Annotation):
        raise ActivityError(
            f"the function is annotated {type(f).__name__}",
            None,
            "a function is differentiated by its arguments: pass it as it is, or Const(f)",
        )
    if isinstance(f, Mode) or not callable(f):
        raise ArgumentError(
            f"what is to be differentiated is {f!r} ({type(f).__name__}), which is not a kernel or a function",
            None,
            f"write {_SIGNATURE}",
        )
    return as_kernel(f)


def _mode(mode: Any, thunk: bool) -> None:
    if not isinstance(mode, Mode):
        raise ArgumentError(
            f"the mode is {mode!r} ({type(mode).__name__})",
            None,
            f"write {_SIGNATURE}, with dsl.Reverse or dsl.Forward, say",
        )
    if mode.split and not thunk:
        raise ActivityError(
            f"{mode!r} takes two calls, with a tape between them",
            None,
            "write fwd, rev = dsl.autodiff_thunk(mode, f, ...), or use dsl.Reverse or dsl.ReverseWithPrimal",
        )


def _annotations(kernel: Kernel, mode: Mode, returns: type[Annotation] | None, args: tuple[Any, ...]) -> None:
    """The annotations by themselves: that there are as many as parameters, and that each suits the mode."""
    params = kernel.params
    kernel._refuse_stars()
    for index, annotated in enumerate(args):
        what = f"argument {index}" + (f" (`{params[index]}`)" if index < len(params) else "")
        if isinstance(annotated, type) and issubclass(annotated, Annotation):
            name = annotated.__name__
            _refuse(
                kernel,
                f"{what} is the class {name}, without a value",
                f"write {name}(value); a class stands for the result only, and comes first",
            )
        if isinstance(annotated, AnnotatedType):
            _refuse(
                kernel,
                f"{what} is the type {annotated}, not a value",
                "types are for autodiff_thunk; here pass annotated values",
            )
        if not isinstance(annotated, Annotation) or type(annotated) is Annotation:
            found = type(annotated).__name__
            _refuse(kernel, f"{what} is not annotated: {found}", "write Const(x), Active(x) or Duplicated(x, dx)")
    if len(args) > len(params):
        _refuse(
            kernel,
            _counted(kernel, args),
            "leave out what is too many",
        )
    missing = [name for name in params[len(args) :] if name not in kernel.defaults]
    if missing:
        hint = f"annotate {', '.join(missing)} as well, with Const(x) where no derivative is wanted"
        _refuse(
            kernel,
            _counted(kernel, args),
            hint,
        )
    widths = {a.width for a in args if isinstance(a, SHADOWED)}
    if len(widths) > 1:
        found = ", ".join(f"`{name}`: {a.width}" for name, a in zip(params, args) if isinstance(a, SHADOWED))
        _refuse_activity(
            kernel, f"different widths in one call ({found})", "give each argument the same number of shadows"
        )
    for name, annotated in zip(params, args):
        if mode.width and isinstance(annotated, SHADOWED) and annotated.width != mode.width:
            _refuse_activity(
                kernel,
                f"`{name}` has {annotated.width} shadows, the mode {mode!r} asks for {mode.width}",
                f"write BatchDuplicated({name}, (d{name}, ...)) with so many shadows"
                if mode.width > 1
                else f"write Duplicated({name}, d{name})",
            )
    for index, annotated in enumerate(args):
        if not mode.reverse and isinstance(annotated, Active):
            _refuse_activity(
                kernel,
                f"argument {index} (`{params[index]}`) is Active in forward mode",
                "write Duplicated(x, dx) with a tangent dx, or use Reverse",
            )
    if returns is not None:
        _returns(kernel, mode, returns)
    if returns in BATCHES and mode.width < 2 and not any(isinstance(a, BATCHES) for a in args):
        _refuse_activity(
            kernel,
            f"the result is {returns.__name__}, but no argument has several shadows",
            "write Duplicated, or give an argument a tuple of tangents: BatchDuplicated(x, (dx1, dx2))",
        )


def _counted(kernel: Kernel, args: tuple[Any, ...]) -> str:
    """How many arguments there are, and should be."""
    given, params = len(args), kernel.params
    listed = f" ({', '.join(params)})" if params else ""
    return (
        f"{given} argument{' is' if given == 1 else 's are'} given, "
        f"{kernel.name} has {len(params)} parameter{'' if len(params) == 1 else 's'}{listed}"
    )


def _returns(kernel: Kernel, mode: Mode, returns: type[Annotation]) -> None:
    """The annotation of the result by itself."""
    name = returns.__name__
    if returns is Annotation or returns.__name__.startswith("_"):
        _refuse_activity(kernel, f"the result is annotated {name}", "write Active, Duplicated or Const")
    if mode.reverse:
        if returns in (Active, Const) or (mode.split and returns not in MIXED):
            return
        hint = "write Active for a scalar; for an array let the kernel write into an argument `y`, and pass "
        _refuse_activity(
            kernel,
            f"the result is annotated {name} in {'split' if mode.split else 'combined'} reverse mode, "
            "where its shadow could not be given",
            "write Duplicated for arrays, Active for a scalar"
            if mode.split
            else hint + "Duplicated(y, dy) with dy as the seed; or use dsl.autodiff_thunk with ReverseSplitWithPrimal",
        )
    if returns is Active:
        _refuse_activity(kernel, "the result is Active in forward mode", "write Duplicated: its tangent is returned")
    if returns in MIXED:
        _refuse_activity(
            kernel, f"the result is annotated {name}", "write Duplicated: its tangent is returned, whatever its form"
        )


def check_result(request: Request, result: types.Type) -> None:
    """What can be said of the result's annotation when the result's type is known."""
    kernel, mode, returns = request.kernel, request.mode, request.returns
    if mode is None or not mode.reverse or returns is Const:
        return
    floats = [leaf for leaf in types.leaves(result) if _kind(leaf) in "fc"]
    if returns is not None and "Duplicated" in returns.__name__:
        if not floats or any(isinstance(leaf, types.Scalar) for leaf in floats):
            _refuse_activity(
                kernel,
                f"the result is {returns.__name__}, but it is {result}"
                + (": a number has no shadow to be filled" if floats else ", which has no derivative"),
                "write Active for a scalar, Const for what has no derivative; numbers beside arrays go into an array",
            )
        return
    if isinstance(result, types.Scalar):
        if result.kind == "c" and not mode.holomorphic:
            _refuse_activity(
                kernel,
                f"the result is {result}: the derivative of a complex result is ambiguous",
                "use dsl.ReverseHolomorphic for d/dz, return its .real, .imag or abs(), or use dsl.Forward",
            )
        if returns is Active and result.kind not in "fc":
            _refuse_activity(
                kernel, f"the result is Active, but it is of type {result}, which has no derivative", "write Const"
            )
        return
    if returns is None and not floats:
        return
    if returns is None and isinstance(result, types.ArrayType):
        _refuse_activity(
            kernel,
            f"the result is {result}: reverse mode differentiates a scalar",
            "the derivative of an array is a jacobian: for its product with dy let the kernel write into an argument "
            "`y` and pass Duplicated(y, dy)"
            + (", or annotate the result Duplicated" if mode.split else "")
            + ", for its columns use dsl.Forward; if the result does not matter, annotate it Const",
        )
    _refuse_activity(
        kernel,
        f"the result is {result}: reverse mode differentiates a scalar",
        "return the one scalar that is to be differentiated, or annotate the result Const",
    )


def check_writebacks(request: Request, writebacks: tuple[int, ...]) -> None:
    """That a field which the kernel overwrites has a shadow, in a derivative: else what it depends on would be lost."""
    leaves = request.leaves()
    for index in writebacks:
        leaf = leaves[index]
        if leaf.argument.annotation in (Const, Active) and _kind(leaf.type) in "fc":
            name = leaf.argument.name
            _refuse_activity(
                request.kernel,
                f"the kernel assigns to `{leaf.path}`, but {leaf.argument} is {leaf.argument.annotation.__name__}",
                f"write Duplicated({name}, d{name})",
            )


# --- one argument -------------------------------------------------------------------------------------------------


def _argument(kernel: Kernel, mode: Mode, index: int, annotated: Annotation) -> Argument:
    """The argument that an annotation is, with its type and that of its shadow tested."""
    name = kernel.params[index]
    annotation = type(annotated)
    value = annotated.val
    type_ = _typeof(kernel, index, name, value)
    argument = Argument(index, name, annotation, value, (), type_)
    if annotation is Const:
        return argument
    argument.type = _as_declared(kernel, argument, name, type_, value)
    if annotation is Active:
        _active(kernel, mode, argument)
    elif annotation in SHADOWED:
        shadow = annotated.dval  # type: ignore[attr-defined]
        argument.shadows = shadow if annotation in BATCHES else (shadow,)
        if annotation in MIXED:
            argument.refs, argument.shadows = argument.shadows, tuple(ref.value for ref in argument.shadows)
        _duplicated(kernel, mode, argument)
    else:
        _refuse_activity(
            kernel,
            f"{argument} is annotated {annotation.__name__}",
            "write Const, Active, Duplicated or MixedDuplicated",
        )
    return argument


def _active(kernel: Kernel, mode: Mode, argument: Argument) -> None:
    leaves = types.leaves(argument.type)
    if any(isinstance(leaf, types.ArrayType) for leaf in leaves):
        if isinstance(argument.type, types.ArrayType):
            hint = "write Duplicated(x, dx): the gradient is added to dx; or Const(x)"
        else:
            hint = "write MixedDuplicated(p, Ref(dp)), or Duplicated(p, dp) for a mutable dataclass"
        _refuse_activity(
            kernel, f"{argument} is Active, but it is {argument.type}: an array's gradient needs a place", hint
        )
    if not mode.holomorphic and any(leaf.kind == "c" for leaf in leaves if isinstance(leaf, types.Scalar)):
        _refuse_activity(
            kernel,
            f"{argument} is Active and complex: its gradient is ambiguous",
            "use dsl.ReverseHolomorphic for d/dz, or pass its real and imaginary part as two Active floats and build "
            "it in the kernel",
        )
    if isinstance(argument.type, types.Scalar):
        if argument.type.kind == "b":
            _refuse_activity(kernel, f"{argument} is Active, but it is a bool", "write Const(x)")
        if argument.type.kind in "iu":
            argument.type = _promote(kernel, argument, f"{argument} of {kernel.name} is an Active int", argument.value)
    elif not any(leaf.kind in "fc" for leaf in leaves if isinstance(leaf, types.Scalar)):
        _refuse_activity(kernel, f"{argument} is Active, but {argument.type} holds no float", "write Const(x)")


def _promote(kernel: Kernel, argument: Argument, what: str, value: Any) -> types.Type:
    """An int is taken as a float, with a warning: there is no derivative by an int."""
    argument.promoted = True
    if resolve(kernel.options).type_warning:
        message = f"{what}, {value!r}, and is taken as float64; write {float(value)!r}"
        warnings.warn(message, TypeWarning, stacklevel=_outside())
    return types.pyfloat


def _as_declared(kernel: Kernel, argument: Argument, path: str, type_: types.Type, value: Any) -> types.Type:
    """The type, but that an int in a field which its class declares a float is one, as it would be in C."""
    if isinstance(type_, types.TupleType):
        elements = (_as_declared(kernel, argument, f"{path}[{k}]", t, value[k]) for k, t in enumerate(type_.elements))
        return types.TupleType(tuple(elements))
    if not isinstance(type_, types.StructType):
        return type_
    fields = []
    for name, inner in type_.fields:
        part, at = getattr(value, name), f"{path}.{name}"
        if inner in (types.pyint, types.int64) and _declared(type_.cls, name) in _FLOATS:
            what = f"`{at}` of {kernel.name} is an int in a field that {type_.cls.__name__} declares a float"
            inner = _promote(kernel, argument, what, part)
        fields.append((name, _as_declared(kernel, argument, at, inner, part)))
    return types.StructType(type_.cls, tuple(fields))


def _declared(cls: type, name: str) -> Any:
    """What a class declares the type of a field to be, as it is written there."""
    fields = getattr(cls, "__dataclass_fields__", None)
    return fields[name].type if fields else getattr(cls, "__annotations__", {}).get(name)


def _outside() -> int:
    """The stack level, for a warning of the caller's, of the frame that called this package."""
    import os
    import sys

    here = os.path.dirname(__file__)
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and os.path.dirname(frame.f_code.co_filename) == here:
        level, frame = level + 1, frame.f_back
    return level


def _duplicated(kernel: Kernel, mode: Mode, argument: Argument) -> None:
    annotation, type_ = argument.annotation, argument.type
    assert annotation is not None
    name = annotation.__name__
    leaves = types.leaves(type_)
    continuous = [leaf for leaf in leaves if _kind(leaf) in "fc"]
    if not continuous:
        _refuse_activity(
            kernel, f"{argument} is {name}, but {type_} holds nothing that has a derivative", "write Const(x)"
        )
    if annotation in MIXED and isinstance(type_, (types.Scalar, types.ArrayType)):
        _refuse_activity(
            kernel,
            f"{argument} is {name}, but it is {type_}",
            "write Active(x) for a scalar, Duplicated(x, dx) for an array",
        )
    if annotation in MIXED and not mode.reverse:
        _refuse_activity(
            kernel,
            f"{argument} is {name} in forward mode",
            f"write {name.replace('Mixed', '')}: tangents are only read",
        )
    if mode.reverse and isinstance(type_, types.Scalar):
        _refuse_activity(
            kernel,
            f"{argument} is {name}, but it is a {type_}: nothing can be added to a number in place",
            f"write Active({argument.name}): its gradient is returned",
        )
    if mode.reverse and annotation not in MIXED:
        _places(kernel, argument, argument.name, type_, None)
    complex_ = any(isinstance(leaf, types.Scalar) and leaf.kind == "c" for leaf in leaves)
    if mode.reverse and not mode.holomorphic and complex_:
        _refuse_activity(
            kernel,
            f"{argument} holds complex numbers: their gradient is ambiguous",
            "use dsl.ReverseHolomorphic for d/dz, or hold real and imaginary part as two floats",
        )
    for lane, shadow in enumerate(argument.shadows):
        _shadow(kernel, argument, lane, argument.name, type_, shadow)


def _places(kernel: Kernel, argument: Argument, path: str, type_: types.Type, holder: type | None) -> None:
    """In reverse mode gradients of scalars are assigned to the fields of the shadow, which must allow that."""
    if isinstance(type_, types.Scalar):
        if type_.kind in "fc" and not (holder is not None and types.is_mutable_class(holder)):
            inside = f"a {holder.__name__}" if holder is not None else "a tuple"
            name = argument.annotation.__name__ if argument.annotation else ""
            _refuse_activity(
                kernel,
                f"`{path}` is a number in {inside}, which is immutable: "
                f"its gradient cannot be put into a {name} shadow",
                f"write MixedDuplicated({argument.name}, Ref(d{argument.name})); "
                "after the call the Ref's .value is the new shadow",
            )
    elif isinstance(type_, types.TupleType):
        for k, element in enumerate(type_.elements):
            _places(kernel, argument, f"{path}[{k}]", element, None)
    elif isinstance(type_, types.StructType):
        for field, inner in type_.fields:
            _places(kernel, argument, f"{path}.{field}", inner, type_.cls)


def _shadow(kernel: Kernel, argument: Argument, lane: int, path: str, type_: types.Type, shadow: Any) -> None:
    """That a shadow has the form of its primal: classes, lengths, types of the leaves."""

    def refuse(expected: str, hint: str) -> NoReturn:
        where = "" if path == argument.name else f" at `{path}`"
        _refuse(
            kernel,
            f"{shadow_name(argument, lane)} of {argument}{where} is {_described(shadow)}; expected is {expected}",
            hint,
        )

    if isinstance(type_, types.Scalar):
        if type_.kind not in "fc":
            return  # not looked at
        scalar = types._PYTHON_TYPES.get(type(shadow)) or (
            types.typeof(shadow) if isinstance(shadow, np.generic) else None
        )
        plain = type(shadow) in (int, float) or (type(shadow) is complex and type_.kind == "c")
        expected = type_.strong
        if not plain and (scalar is None or types.strong(scalar) is not expected):
            refuse(f"a {expected}", f"write {'0j' if type_.kind == 'c' else '0.0'}, or convert it: np.{expected}(...)")
    elif isinstance(type_, types.ArrayType):
        if not isinstance(shadow, np.ndarray):
            refuse(f"an {type_}", "make it with np.zeros_like(x)")
    elif isinstance(type_, types.TupleType):
        if type(shadow) is not tuple or len(shadow) != len(type_.elements):
            refuse(f"a tuple of {len(type_.elements)}", "give the shadow the form of the value")
        for k, element in enumerate(type_.elements):
            _shadow(kernel, argument, lane, f"{path}[{k}]", element, shadow[k])
    elif isinstance(type_, types.StructType):
        if type(shadow) is not type_.cls:
            refuse(f"a {type_.cls.__name__}", "give the shadow the form of the value")
        for field, inner in type_.fields:
            _shadow(kernel, argument, lane, f"{path}.{field}", inner, getattr(shadow, field))


def _arrays(kernel: Kernel, argument: Argument, reverse: bool) -> None:
    """Each array of an argument, and its shadow."""

    def walk(path: str, type_: types.Type, value: Any, shadows: tuple[Any, ...]) -> None:
        if isinstance(type_, types.ArrayType):
            check_array(kernel, f"{argument}" if path == argument.name else f"{argument}, at `{path}`,", value)
            if type_.dtype.kind in "fc":
                for lane, shadow in enumerate(shadows):
                    check_shadow_array(kernel, argument, lane, path, value, shadow, reverse)
        elif isinstance(type_, types.TupleType):
            for k, element in enumerate(type_.elements):
                walk(f"{path}[{k}]", element, value[k], tuple(shadow[k] for shadow in shadows))
        elif isinstance(type_, types.StructType):
            for field, inner in type_.fields:
                parts = tuple(getattr(shadow, field) for shadow in shadows)
                walk(f"{path}.{field}", inner, getattr(value, field), parts)

    walk(argument.name, argument.type, argument.value, argument.shadows)


# --- small things -------------------------------------------------------------------------------------------------


def _typeof(kernel: Kernel, index: int, name: str, value: Any) -> types.Type:
    try:
        return types.typeof(value)
    except TypeError as error:
        message, _, hint = str(error).partition("; ")
        raise ArgumentError(f"argument {index} (`{name}`) of {kernel.name}: {message}", kernel.loc, hint) from None


def _kind(leaf: types.Type) -> str:
    return (leaf.dtype if isinstance(leaf, types.ArrayType) else leaf).kind  # type: ignore[attr-defined]


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}, shape {value.shape}"
    if isinstance(value, np.generic) or type(value) in types._PYTHON_TYPES:
        return f"{value!r} ({type(value).__name__})"
    if isinstance(value, tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"of type {type(value).__name__}"


def _refuse(kernel: Kernel, message: str, hint: str) -> NoReturn:
    raise ArgumentError(f"{message}, in a call of {kernel.name}", kernel.loc, hint)


def _refuse_activity(kernel: Kernel, message: str, hint: str) -> NoReturn:
    raise ActivityError(f"{message}, in a derivative of {kernel.name}", kernel.loc, hint)
