"""Functions of Python with the derivative rules of another system: `dsl.rules.import_frule` and `import_rrule`.

They become kernels whose body and whose rules call back into Python (`HostFunction`), on the CPU. What is raised there
is raised by the kernel's call. A pullback, which is a Python object, lies on the tape as its number in the session of
the running call (`session`), and is let go of with it.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import types
from .errors import ArgumentError
from .foreign import _C_TYPES, Foreign
from .kernel import Kernel, kernel
from .signature import Signature, parse, spelled


class _Thread(threading.local):
    """What callbacks of this thread leave behind."""

    error: BaseException | None = None
    pullbacks: dict[int, Any] | None = None
    count = 0


_thread = _Thread()


class HostFunction(Foreign):
    """A Python function that compiled code calls: of numbers and arrays, which it may fill; it returns nothing.

    In C it takes, behind the pointer to an array, the array's sizes, and returns 0, or 1 if it raised.
    """

    kind = "host"

    def __init__(self, name: str, signature: Signature, function: Callable[..., None], tapes: bool = False) -> None:
        super().__init__(name, signature)
        self.function = function
        self.tapes = tapes  # whether it leaves pullbacks behind
        words: list[Any] = []
        for parameter in signature.parameters:
            rank = parameter.type.ndim if isinstance(parameter.type, types.ArrayType) else None
            words += [_C_TYPES[str(parameter.type)]] if rank is None else [ctypes.c_void_p] + [ctypes.c_int64] * rank
        self._callback = ctypes.CFUNCTYPE(ctypes.c_int64, *words)(self._called)
        self._address = ctypes.cast(self._callback, ctypes.c_void_p).value or 0

    def addresses(self) -> dict[str, int]:
        return {self.symbol: self._address}

    def __call__(self, *args: Any) -> None:
        self._refuse_count(args)
        self.function(*args)

    def _called(self, *words: Any) -> int:
        if _thread.error is not None:  # the call is being left: what it still does is of no interest
            return 1
        try:
            given = iter(words)
            self.function(*[self._value(p.type, given) for p in self.signature.parameters])
        except BaseException as error:
            _thread.error = error
            return 1
        return 0

    @staticmethod
    def _value(type_: types.Type, words: Any) -> Any:
        if not isinstance(type_, types.ArrayType):
            return next(words)
        address, shape = next(words), tuple(next(words) for _ in range(type_.ndim))
        dtype = type_.dtype.dtype
        count = int(np.prod(shape))
        if not count:
            return np.empty(shape, dtype)
        bytes_at: Any = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
        return np.frombuffer(bytes_at, dtype).reshape(shape)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"{self.name} calls back into this process: it cannot be pickled")


def raised() -> BaseException:
    """What a callback of this thread raised, to be raised again; it is forgotten here."""
    error, _thread.error = _thread.error, None
    return error if error is not None else RuntimeError("a callback raised in another thread")


def session(call: Callable[[int], int]) -> Callable[[int], int]:
    """`call`, which runs compiled code, with a place for pullbacks, which are let go of at its end."""

    def run(address: int) -> int:
        outer, _thread.pullbacks = _thread.pullbacks, {}
        _thread.error = None
        try:
            return call(address)
        finally:
            _thread.pullbacks = outer

    return run


# --- rules of other systems ---------------------------------------------------------------------------------------

FRule = Callable[..., Any]
RRule = Callable[..., Any]


class Import(NamedTuple):
    """What was imported for a kernel."""

    function: Callable[..., Any]
    signature: Signature
    frule: FRule | None
    rrule: RRule | None


_imports: dict[Kernel, Import] = {}


def import_frule(fn: Any, signature: Any, frule: FRule | None = None, *, name: str | None = None) -> Kernel:
    """A kernel that calls the Python function `fn`, and whose tangents are those of another system's rule.

    `frule(tangents, fn, *args) -> (y, dy)` is a rule in the form of ChainRules: `tangents` are that of the function
    itself, None, and then those of the arguments. Where it is left out it is `fn.frule`, or the own rules of `fn` if
    that is a function of autograd or JAX. `signature` gives the types, as for `dsl.extern`; the result is a number.
    ArgumentError where there is no rule.

        double = dsl.rules.import_frule(lambda x: 2 * x, "(float64) -> float64", lambda t, f, x: (f(x), 2 * t[1]))
        dsl.autodiff(dsl.Forward, double, dsl.Duplicated(3.0, 1.0))       # (2.0,)
    """
    return _imported(fn, signature, frule, None, name, "frule")


def import_rrule(fn: Any, signature: Any, rrule: RRule | None = None, *, name: str | None = None) -> Kernel:
    """A kernel that calls the Python function `fn`, and whose cotangents are those of another system's rule.

    `rrule(fn, *args) -> (y, pullback)` is a rule in the form of ChainRules: `pullback(dy)` returns the cotangent of
    the function itself, None, and then those of the arguments (None for zero). Where it is left out it is `fn.rrule`,
    or the own rules of `fn` if that is a function of autograd or JAX. Without a frule, tangents are made of the
    gradient. `fn` may be what `import_frule` returned: the result has both rules then. ArgumentError where there is no
    rule.

        double = dsl.rules.import_rrule(lambda x: 2 * x, "(float64) -> float64",
                                        lambda f, x: (f(x), lambda dy: (None, 2 * dy)))
        dsl.autodiff(dsl.Reverse, double, dsl.Active, dsl.Active(3.0))    # ((2.0,),)
    """
    return _imported(fn, signature, None, rrule, name, "rrule")


def _imported(fn: Any, given: Any, frule: FRule | None, rrule: RRule | None, name: str | None, wanted: str) -> Kernel:
    before = _imports.get(fn) if isinstance(fn, Kernel) else None
    function = before.function if before is not None else fn
    if not callable(function):
        raise ArgumentError(f"import_{wanted} takes a function, not {fn!r} ({type(fn).__name__})")
    name = re.sub(r"\W+", "_", name or getattr(function, "__name__", None) or "imported").strip("_") or "imported"
    signature = parse(given, f"{name}()")
    _check(name, signature)
    if before is not None and before.signature != signature:
        raise ArgumentError(f"{name} was imported as {before.signature}, and is now to be {signature}")
    own_frule, own_rrule = _own_rules(function)
    frule = frule or (before.frule if before is not None else None) or own_frule
    rrule = rrule or (before.rrule if before is not None else None) or own_rrule
    if wanted == "frule" and frule is None and rrule is not None:
        frule = _by_pullback(rrule)
    if (frule if wanted == "frule" else rrule) is None:
        raise ArgumentError(
            f"{name} has no {wanted}, and is no function of autograd or JAX",
            None,
            f"pass the rule: import_{wanted}(fn, signature, {wanted})",
        )
    if frule is None and rrule is not None:
        frule = _by_pullback(rrule)
    made = _make(name, Import(function, signature, frule, rrule))
    _imports[made] = Import(function, signature, frule, rrule)
    return made


def _check(name: str, signature: Signature) -> None:
    result = signature.result
    if not (isinstance(result, types.Scalar) and result.name in ("float64", "float32")):
        raise ArgumentError(
            f"the signature of {name}(): an imported function returns float64 or float32, not {spelled(result)}"
        )
    for parameter in signature.parameters:
        if isinstance(parameter.type, types.Scalar) and parameter.type.name not in _C_TYPES:
            raise ArgumentError(f"the signature of {name}(): a number of type {parameter.type} cannot be passed")


def _own_rules(function: Any) -> tuple[FRule | None, RRule | None]:
    """The rules that a function brings along."""
    frule, rrule = getattr(function, "frule", None), getattr(function, "rrule", None)
    home = (getattr(function, "__module__", None) or type(function).__module__ or "").partition(".")[0]
    if home == "autograd":
        return frule, rrule or _autograd_rrule
    if home in ("jax", "jaxlib"):
        return frule or _jax_frule, rrule or _jax_rrule
    return frule, rrule


def _by_pullback(rrule: RRule) -> FRule:
    """The tangent of a number by its gradient."""

    def frule(tangents: Any, function: Any, *args: Any) -> tuple[Any, Any]:
        value, pullback = rrule(function, *args)
        pairs = zip(pullback(1.0)[1:], tangents[1:])
        return value, sum(np.sum(np.multiply(c, t)) for c, t in pairs if c is not None and t is not None)

    return frule


def _moving(args: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(
        k for k, a in enumerate(args) if isinstance(a, (float, np.floating)) or np.asarray(a).dtype.kind == "f"
    )


def _autograd_rrule(function: Any, *args: Any) -> tuple[Any, Any]:
    from autograd.differential_operators import make_vjp

    moving = _moving(args)
    vjp, value = make_vjp(function, moving)(*args)

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        found = dict(zip(moving, vjp(cotangent)))
        return (None, *(found.get(k) for k in range(len(args))))

    return value, pullback


def _jax_frule(tangents: Any, function: Any, *args: Any) -> tuple[Any, Any]:
    import jax

    given = [_jax(a) for a in args]
    moved = [jax.numpy.asarray(t, g.dtype) if k in _moving(args) else _no_tangent(g)
             for k, (g, t) in enumerate(zip(given, tangents[1:]))]  # fmt: skip
    value, tangent = jax.jvp(function, tuple(given), tuple(moved))
    return np.asarray(value), np.asarray(tangent)


def _jax_rrule(function: Any, *args: Any) -> tuple[Any, Any]:
    import jax

    value, vjp = jax.vjp(function, *map(_jax, args))

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        found = vjp(jax.numpy.asarray(cotangent, value.dtype))
        return (None, *(np.asarray(f) if k in _moving(args) else None for k, f in enumerate(found)))

    return np.asarray(value), pullback


def _no_tangent(value: Any) -> Any:
    import jax

    return np.zeros(value.shape, jax.dtypes.float0)


def _jax(value: Any) -> Any:
    """The value as JAX's array, which must not lose precision on the way."""
    import jax

    made = jax.numpy.asarray(value)
    if made.dtype != np.asarray(value).dtype:
        raise TypeError(
            f"JAX computes in {made.dtype} where {np.asarray(value).dtype} is given: "
            'set jax.config.update("jax_enable_x64", True)'
        )
    return made


# --- the kernel ---------------------------------------------------------------------------------------------------


def _make(name: str, found: Import) -> Kernel:
    """The kernel: its body, and the rules that there are, as text in the language."""
    from . import rules
    from .annotations import Const, Duplicated

    signature, function = found.signature, found.function
    types_ = [p.type for p in signature.parameters]
    params = [f"x{k}" for k in range(len(types_))]
    arrays = [isinstance(t, types.ArrayType) for t in types_]
    moving = [(t.dtype if isinstance(t, types.ArrayType) else t).kind == "f" for t in types_]
    result = signature.result
    assert isinstance(result, types.Scalar)
    inputs = [f"{'const ' if a else ''}{spelled(t)}" for t, a in zip(types_, arrays)]
    out, cell = f"{result}[:]", "int64[:]"
    values = [f"{p}.val" for p in params]
    constants: dict[str, Any] = {
        "np": np, "Const": Const, "Duplicated": Duplicated, "T": result,
        "AugmentedReturn": rules.AugmentedReturn, "float32": types.float32, "float64": types.float64,
    }  # fmt: skip

    def host(part: str, kinds: list[str], body: Callable[..., None], tapes: bool = False) -> None:
        constants[part] = HostFunction(f"{name}.{part}", parse(f"({', '.join(kinds)}) -> None", name), body, tapes)

    def made(part: str, leading: str, lines: list[str]) -> Kernel:
        text = (
            f"def {name}{part}({', '.join([*filter(None, [leading]), *params])}):\n    " + "\n    ".join(lines) + "\n"
        )
        return kernel(source=text, constants=constants)

    def of_arguments(parts: list[Any]) -> list[Any]:
        return [np.array(p) if isinstance(p, np.ndarray) else p for p in parts]  # the arrays may change later

    def primal(*given: Any) -> None:
        given[-1][0] = function(*of_arguments(list(given[:-1])))

    host("call", [*inputs, out], primal)
    own = made("", "", ["out = np.empty(1, T)", f"call({', '.join([*params, 'out'])})", "return out[0]"])
    if found.frule is not None:
        _forward(found, host, made, own, params, values, inputs, arrays, moving, out, of_arguments)
    if found.rrule is not None:
        _reverse(found, host, made, own, params, values, inputs, arrays, moving, (out, cell), of_arguments)
    return own


def _tangent(param: str, array: bool) -> str:
    zero = f"np.zeros_like({param}.val)" if array else "0.0"
    return f"d{param} = {zero} if isinstance({param}, Const) else {param}.dval"


def _forward(found: Import, host: Any, made: Any, own: Kernel, params: list[str], values: list[str],
             inputs: list[str], arrays: list[bool], moving: list[bool], out: str, copied: Any) -> None:  # fmt: skip
    from . import rules

    moved = [k for k, m in enumerate(moving) if m]

    def jvp(*given: Any) -> None:
        count = len(params)
        args = copied(list(given[:count]))
        tangents: list[Any] = [None] * (1 + count)
        for k, t in zip(moved, copied(list(given[count:-1]))):
            tangents[1 + k] = t
        assert found.frule is not None
        given[-1][:] = found.frule(tuple(tangents), found.function, *args)

    host("jvp", [*inputs, *(inputs[k] for k in moved), out], jvp)
    lines = [_tangent(params[k], arrays[k]) for k in moved]
    lines += ["out = np.empty(2, T)", f"jvp({', '.join([*values, *(f'd{params[k]}' for k in moved), 'out'])})"]
    rules.forward(own)(made("_forward", "config, func, RT", [*lines, "return out[0], out[1]"]))


def _reverse(found: Import, host: Any, made: Any, own: Kernel, params: list[str], values: list[str],
             inputs: list[str], arrays: list[bool], moving: list[bool], cells: tuple[str, str],
             copied: Any) -> None:  # fmt: skip
    from . import rules

    out, cell = cells
    result = str(found.signature.result)
    shadows = [k for k, m in enumerate(moving) if m and arrays[k]]
    numbers = [k for k, m in enumerate(moving) if m and not arrays[k]]
    orphans: dict[int, Any] = {}  # of other threads

    def record(*given: Any) -> None:
        assert found.rrule is not None
        given[-2][0], pullback = found.rrule(found.function, *copied(list(given[:-2])))
        _thread.count += 1
        (orphans if _thread.pullbacks is None else _thread.pullbacks)[_thread.count] = pullback
        given[-1][0] = _thread.count

    def pull(handle: int, cotangent: float, *given: Any) -> None:
        pullback = (orphans if _thread.pullbacks is None else _thread.pullbacks).pop(handle)
        cotangents = pullback(cotangent)
        cotangents = cotangents if isinstance(cotangents, (tuple, list)) else (cotangents,)
        if len(cotangents) != 1 + len(params):
            raise ValueError(
                f"the pullback of {own.name} returned {len(cotangents)} cotangents, expected are {1 + len(params)}: "
                "that of the function itself, None, and one for each argument"
            )
        for k, shadow in zip(shadows, given):
            if cotangents[1 + k] is not None:
                if np.shape(cotangents[1 + k]) != shadow.shape:
                    raise ValueError(
                        f"the pullback of {own.name} returned a cotangent of shape {np.shape(cotangents[1 + k])} "
                        f"for an argument of shape {shadow.shape}"
                    )
                shadow += cotangents[1 + k]
        for place, k in enumerate(numbers):
            given[-1][place] = 0.0 if cotangents[1 + k] is None else cotangents[1 + k]

    host("record", [*inputs, out, cell], record, tapes=True)
    host("pull", ["int64", result, *(inputs[k].removeprefix("const ") for k in shadows), "float64[:]"], pull)
    augmented = ["out = np.empty(1, T)", "handle = np.zeros(1, np.int64)"]
    augmented += [f"record({', '.join([*values, 'out', 'handle'])})"]
    augmented += ["return AugmentedReturn(out[0], None, handle[0])"]
    rules.augmented_primal(own)(made("_augmented", "config, func, RT", augmented))
    lines = [_tangent(params[k], True) for k in shadows]
    lines += [f"numbers = np.zeros({max(1, len(numbers))})"]
    lines += [f"pull({', '.join(['tape', 'dret.val', *(f'd{params[k]}' for k in shadows), 'numbers'])})"]
    gradients = [
        f"None if isinstance({p}, Const) else {found.signature.parameters[k].type}(numbers[{numbers.index(k)}])"
        if k in numbers
        else "None"
        for k, p in enumerate(params)
    ]
    lines += [f"return ({''.join(g + ', ' for g in gradients)})"]
    rules.reverse(own)(made("_reverse", "config, func, dret, tape", lines))
