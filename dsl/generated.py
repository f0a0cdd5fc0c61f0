"""The kernels that `dsl.transforms` differentiates: written for a function, and kept by it, so that each is compiled
once for each kind of arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import types
from .annotations import Active, Const, Duplicated
from .autodiff import autodiff
from .checks import the_kernel
from .driver import code_for
from .errors import ActivityError
from .grids import Grid
from .kernel import Kernel, kernel
from .modes import Reverse
from .request import is_continuous, paths
from .shadows import typeof
from .spaces import described


def floated(x: Any) -> Any:
    """An int as a float, as `Active` takes it."""
    return float(x) if type(x) is int else x


def plain(x: Any) -> Any:
    """The value of an argument, which may be Const."""
    return x.val if isinstance(x, Const) else x


def differentiated(f: Any, args: tuple[Any, ...], number: bool = False) -> tuple[Kernel, tuple[Any, ...]]:
    """The kernel that is to be differentiated and its arguments. Of a grid: host code that launches, and returns what
    was written, or its `number`; it takes the extents, too.
    """
    if type(f) is not Grid:
        return the_kernel(f), args
    if len(args) != len(f.kernel.params):
        f.kernel.bind(args, {})  # which refuses
    given = (*args, *map(Const, f.extents))
    written = _written(f.host, tuple(map(plain, given)))
    names = [f"x{k}" for k in range(len(given))]
    results = [names[k] for k in written]
    if number:
        first = described(plain(args[written[0]])) if written else None
        if first is None or len(written) > 1 or first.size != 1:
            what = ", ".join(f"`{f.kernel.params[k]}`" for k in written) or "no array of floats"
            raise ActivityError(
                f"{f!r} has no single number as its result: it writes {what}",
                f.kernel.loc,
                "let it write an array of one element, or ask for its jacobian",
            )
        results = [f"{results[0]}[{', '.join('0' * first.ndim) or '()'}]"]
    lines = [f"{names[k]} = {names[k]}.copy()" for k in written]  # also of what is Const a result has a derivative
    lines += [f"launch({', '.join(names)})", f"return {', '.join(results)}"]
    return _kernel(f.host, f"{_name(f.kernel)}_result", names, lines, {"launch": f.host}), given


def _written(of: Kernel, args: tuple[Any, ...]) -> list[int]:
    """The arguments that are arrays of floats and are written in a call of a kernel."""
    request, compiled = code_for(of, args)
    arrays = [leaf for leaf in request.leaves() if isinstance(leaf.type, types.ArrayType)]
    written = [leaf for leaf, yes in zip(arrays, compiled.written) if yes and is_continuous(leaf.type)]
    return [leaf.argument.index for leaf in written if isinstance(leaf.argument.type, types.ArrayType)]


def into_kernel(of: Kernel, result: types.Type, arguments: int) -> Kernel:
    """A kernel that puts each float or array of f's result into an argument."""
    xs = [f"x{k}" for k in range(arguments)]
    wanted = [(path, leaf) for path, leaf in paths("result", result) if is_continuous(leaf)]
    ys = [f"y{k}" for k in range(len(wanted))]
    lines = [f"result = f({', '.join(xs)})"]
    for y, (path, leaf) in zip(ys, wanted):
        whole = isinstance(leaf, types.ArrayType) and leaf.ndim > 0
        lines.append(
            f"{y}[{':' if whole else '0'}] = {path}{'' if whole or isinstance(leaf, types.Scalar) else '[()]'}"
        )
    return _kernel(of, f"{_name(of)}_into", [*ys, *xs], lines, {"f": of})


def gradient_kernel(of: Kernel, x: Any, constants: int) -> Kernel:
    """A kernel that returns the gradient of f by its first argument, in the form of that argument."""
    type_ = typeof(floated(x))
    names = [f"c{k}" for k in range(constants)]
    leaves = paths("x", type_)
    if not any(is_continuous(leaf) for _, leaf in leaves):
        raise ActivityError(f"{x!r} holds no float", of.loc, "there is no derivative by it")
    space: dict[str, Any] = {"f": of}
    if not isinstance(type_, (types.Scalar, types.ArrayType)):
        # f of the parts, each an argument of its own: numbers in tuples and frozen structs have no place for gradients
        inner = iter(f"p{k}" for k in range(len(leaves)))
        made = _constructed(type_, inner, space)
        space["f"] = _kernel(
            of, f"{_name(of)}_of_parts", [*(f"p{k}" for k in range(len(leaves))), *names],
            [f"return f({', '.join([made, *names])})"], dict(space),
        )  # fmt: skip
    lines, annotated, gradients = [], [], []
    for k, (path, leaf) in enumerate(leaves):
        if not is_continuous(leaf):
            annotated.append(f"Const({path})")
            gradients.append(path)
        elif isinstance(leaf, types.ArrayType):
            lines.append(f"d{k} = zeros_like({path})")
            annotated.append(f"Duplicated({path}, d{k})")
            gradients.append(f"d{k}")
        else:
            annotated.append(f"Active({path})")
            gradients.append(f"slots[0][{k}]")
    annotated += [f"Const({name})" for name in names]
    lines.append(f"slots = autodiff(Reverse, f, Active, {', '.join(annotated)})")
    lines.append(f"return {_constructed(type_, iter(gradients), space)}")
    space |= {
        "autodiff": autodiff,
        "Reverse": Reverse,
        "Active": Active,
        "Const": Const,
        "Duplicated": Duplicated,
        "zeros_like": np.zeros_like,
    }
    return _kernel(of, f"{_name(of)}_gradient", ["x", *names], lines, space)


def _constructed(type_: types.Type, leaves: Iterator[str], space: dict[str, Any]) -> str:
    """The text that makes a value of a type of its leaves; classes are put into `space`."""
    if isinstance(type_, types.TupleType):
        return f"({''.join(_constructed(t, leaves, space) + ', ' for t in type_.elements)})"
    if isinstance(type_, types.StructType):
        name = f"Class{sum(key.startswith('Class') for key in space)}"
        name = next((key for key, value in space.items() if value is type_.cls), name)
        space[name] = type_.cls
        return f"{name}({', '.join(f'{field}={_constructed(t, leaves, space)}' for field, t in type_.fields)})"
    if isinstance(type_, types.Literal):
        return repr(type_.value)
    return "None" if isinstance(type_, types.NoneType_) else next(leaves)


def _name(of: Kernel) -> str:
    return "f" if of.name == "<lambda>" else of.name


def _kernel(of: Kernel, name: str, params: list[str], lines: list[str], space: dict[str, Any]) -> Kernel:
    """A kernel of this text, with f's options; f keeps it, so that the same is found at the next call."""
    text = f"def {name}({', '.join(params)}):\n" + "".join(f"    {line}\n" for line in lines)
    kept: dict[Any, Kernel] = of.__dict__.setdefault("transforms", {})
    key = (text, tuple(sorted((key, id(value)) for key, value in space.items())))
    if key not in kept:
        made: Any = kernel(source=text, constants=space, **dict(of.options))
        kept[key] = made
    return kept[key]
