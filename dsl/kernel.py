"""`dsl.kernel` and the object that it makes of a function: text, options, and how it is called, shown and pickled.

Nothing is parsed or compiled here. That happens at the first call, in the driver, so that importing a module full of
kernels costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType, MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any, NoReturn, overload

from .errors import ArgumentError, SourceError
from .options import checked
from .syntax.loc import Loc
from .syntax.source import Source, source_of

if TYPE_CHECKING:
    from lowering.nvptx.tools import Resources

    from .ahead import Package
    from .constants import Watch
    from .explain import Explanation
    from .grids import Grid
    from .modes import Mode
    from .rules import Rule

_VARARGS = 0x04 | 0x08  # code flags of *args and **kwargs


class Kernel:
    """A function of the kernel language.

    Called, it runs compiled: `k(x)`. `fn` is the undecorated Python function, which gives the same numbers slowly;
    `options` are those given to the decorator. `params` are the parameters' names in order, the last
    `keyword_only` of them to be named in calls; `defaults` maps names to default values.
    """

    launched: Kernel | None = None  # whose launch from Python we wrote its text for

    def __init__(
        self, fn: FunctionType, options: Mapping[str, bool] | None = None, source: Source | None = None
    ) -> None:
        code = fn.__code__
        self.fn = fn
        self.name = fn.__name__
        self.options: Mapping[str, bool] = MappingProxyType(dict(options or {}))
        self._source = source
        self.watch: Watch | None = None  # see constants.fingerprint
        self.rules: tuple[Rule, ...] = ()  # how it is differentiated, if not by its body; see rules
        self.positional_only = code.co_posonlyargcount
        self.keyword_only = code.co_kwonlyargcount
        count = code.co_argcount + code.co_kwonlyargcount
        self.params: tuple[str, ...] = code.co_varnames[:count]
        self.defaults = _defaults(fn)
        # the name under which Python's own tools know a function; `__wrapped__` gives inspect the signature
        self.__name__ = fn.__name__
        self.__qualname__ = fn.__qualname__
        self.__module__ = fn.__module__
        self.__doc__ = fn.__doc__
        self.__wrapped__ = fn

    # --- the text

    @property
    def source(self) -> Source:
        """Text and place; SourceError where there is none to be had."""
        if self._source is None:
            self._source = source_of(self.fn)
        return self._source

    @property
    def loc(self) -> Loc:
        """Where the kernel stands, even if its text is not to be had. Of what launches one from Python: where that one
        stands, since the text is not the user's.
        """
        if self.launched is not None:
            return self.launched.loc
        try:
            return self.source.loc
        except SourceError:
            code = self.fn.__code__
            return Loc(code.co_filename, code.co_firstlineno, 1, code.co_firstlineno, 2)

    def resolve(self, name: str, loc: Loc | None = None) -> Any:
        """The compile-time constant that a free name means in this kernel; see `constants.resolve`."""
        from .constants import resolve

        return resolve(self, name, loc)

    # --- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs or len(args) != len(self.params) or self.keyword_only:
            args = self.bind(args, kwargs)
        return _driver_call(self, args)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        """All arguments in the order of `params`, defaults filled in; ArgumentError where they do not fit."""
        self._refuse_stars()
        params = self.params
        positional = len(params) - self.keyword_only
        if len(args) > positional:
            self._refuse(f"takes {_count(positional, 'positional argument')}, {len(args)} given")
        values = dict(zip(params, args))
        for name, value in kwargs.items():
            if name not in params:
                self._refuse(f"has no parameter `{name}`")
            if params.index(name) < self.positional_only:
                self._refuse(f"takes `{name}` by position only")
            if name in values:
                self._refuse(f"got two values for `{name}`")
            values[name] = value
        missing = [name for name in params if name not in values and name not in self.defaults]
        if missing:
            self._refuse(f"misses {_count(len(missing), 'argument')}: {', '.join(missing)}")
        return tuple(values[name] if name in values else self.defaults[name] for name in params)

    def _refuse_stars(self) -> None:
        if self.fn.__code__.co_flags & _VARARGS:
            self._refuse("has `*` or `**` parameters, which kernels do not have")

    def _refuse(self, what: str) -> NoReturn:
        signature = f"{self.name}({', '.join(self.params)})"
        raise ArgumentError(f"{self.name}() {what}", self.loc, f"its parameters are {signature}")

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    # --- launching

    def __getitem__(self, extents: Any) -> Grid:
        """`k[blocks, threads]`, ints or tuples of up to three: called, it runs once for each thread of the grid."""
        from .grids import grid_of

        return grid_of(self, extents)

    def forall(self, count: int) -> Grid:
        """The kernel over at least `count` threads in one dimension; those past it have to be left out by the kernel:
        `i = dsl.grid(1)`, `if i < n:`.
        """
        from .grids import grid_for

        return grid_for(self, count)

    def compile(self, arg_types: tuple[Any, ...], target: str = "nvptx", chip: str = "sm_80") -> Package:
        """The kernel, as one to be launched over a grid, for arguments of these types and a chip: PTX, and how to
        launch it, which `.save(path)` writes for other hosts. Needs no GPU.
        """
        from .ahead import compile

        return compile(self, arg_types, target, chip)

    # --- looking inside

    def ptx(self, *arg_types: Any, chip: str = "sm_80") -> str:
        """The PTX of the kernel, as one to be launched over a grid, for arguments of these types."""
        from .ahead import ptx

        return ptx(self, arg_types, chip)

    def sass(self, *arg_types: Any, chip: str = "sm_80") -> str:
        """Its machine code on a chip; CompileError where ptxas or nvdisasm is not installed."""
        from .ahead import sass

        return sass(self, arg_types, chip)

    def resources(self, *arg_types: Any, chip: str = "sm_80") -> Resources:
        """Registers, spills and shared memory that it takes on a chip; CompileError where ptxas is not installed."""
        from .ahead import resources

        return resources(self, arg_types, chip)

    def ir(self, stage: str = "mlir", *args: Any) -> str:
        """The kernel as text at one stage of compiling, for arguments of these types (or values that have them)."""
        from .inspect_ir import ir

        return ir(self, stage, args)

    def explain(self, mode: Mode, *args: Any) -> Explanation:
        """What a derivative does on each source line: activity, tape and loops, to be printed. Arguments as for
        `dsl.autodiff(mode, k, ...)`, or their types.
        """
        from .explain import explain

        return explain(self, (mode, *args))

    def tape_bytes(self, mode: Mode, *args: Any) -> int:
        """The bytes that the tape of `dsl.autodiff(mode, k, *args)` takes, counted in a run on copies of `args`."""
        from .measure import tape_bytes

        return tape_bytes(self, (mode, *args))

    def __repr__(self) -> str:
        return f"<dsl.kernel {self.__qualname__}({', '.join(self.params)}) at {self.loc.file}:{self.loc.line}>"

    # --- pickling and copying

    def __copy__(self) -> Kernel:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Kernel:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        from .constants import portable
        from .pickling import by_name, by_text, find

        # A script's own kernels go by their text: another process may have another __main__.
        if self.__module__ not in ("__main__", "__mp_main__", None):
            found = find(self.__module__, self.__qualname__)
            if found is self or (found is self.fn and not self.options and not self.rules):
                return by_name, (self.__module__, self.__qualname__)
        fn = self.fn
        names = (self.__name__, self.__qualname__, self.__module__, self.__doc__)
        # The constants come second: kernels may refer to each other in a circle.
        state = {"constants": portable(self), "defaults": fn.__defaults__, "kwdefaults": fn.__kwdefaults__}
        state["rules"] = self.rules
        return by_text, (tuple(self.source), names, dict(self.options)), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        from .constants import unpack

        fn = self.fn
        fn.__globals__.update(unpack(state["constants"]))
        fn.__defaults__, fn.__kwdefaults__ = state["defaults"], state["kwdefaults"]
        self.defaults = _defaults(fn)
        self.rules = state["rules"]


def _driver_call(kernel: Kernel, args: tuple[Any, ...]) -> Any:
    """The first call of all: from then on this name is the driver's own function."""
    global _driver_call
    from .driver import call

    _driver_call = call
    return call(kernel, args)


def _defaults(fn: FunctionType) -> dict[str, Any]:
    code = fn.__code__
    values = fn.__defaults__ or ()
    positional = code.co_varnames[: code.co_argcount]
    return {**dict(zip(positional[len(positional) - len(values) :], values)), **(fn.__kwdefaults__ or {})}


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


# --- making kernels -----------------------------------------------------------------------------------------------


@overload
def kernel(fn: Callable[..., Any], /, **options: Any) -> Kernel: ...
@overload
def kernel(
    *,
    source: Any,
    name: str | None = None,
    constants: Mapping[str, Any] | None = None,
    **options: Any,
) -> Kernel: ...
@overload
def kernel(**options: Any) -> Callable[[Callable[..., Any]], Kernel]: ...


def kernel(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    source: Any = None,
    name: str | None = None,
    constants: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Make a kernel of a function: `@dsl.kernel`, `@dsl.kernel(boundscheck=True)`, `dsl.kernel(lambda x: x * x)`.

    `dsl.kernel(source="def f(x): ...")` takes its text instead, for where there is no file (a REPL, a generated
    kernel); `source` may also be a pathlib.Path. The names that the text uses mean what they mean where this is called,
    now, or what `constants` says. If the text defines several functions, `name` says which one is the kernel.
    """
    given = checked(options)
    if source is not None:
        if fn is not None:
            raise ArgumentError("dsl.kernel takes a function or a source text, not both")
        import sys

        return _from_text(source, name, constants, given, sys._getframe(1))
    if name is not None or constants is not None:
        raise ArgumentError(
            "`name` and `constants` belong to a source text", None, 'dsl.kernel(source="...", name=...)'
        )
    if fn is None:
        return lambda fn: _make(fn, given)
    return _make(fn, given)


def as_kernel(fn: Any) -> Kernel:
    """The kernel of a plain function or lambda; a kernel itself. The same function gives the same kernel each time."""
    if isinstance(fn, Kernel):
        return fn
    function = _plain(fn)
    made = function.__dict__.get("__dsl_kernel__")
    if made is not None and made.fn is function:  # functools.wraps copies a function's attributes to another
        return made
    if function.__defaults__ is None and function.__kwdefaults__ is None:
        # Each evaluation of a lambda makes a new function. Of one code and with the same closure cells they are alike.
        key = (id(function.__code__), *map(id, function.__closure__ or ()))
        made = _alike.get(key)
        if made is not None and made.fn.__globals__ is function.__globals__:
            return made
        made = Kernel(function)
        if len(_alike) >= _REMEMBERED:
            _alike.clear()
        _alike[key] = made
    else:
        made = Kernel(function)
    function.__dict__["__dsl_kernel__"] = made
    return made


_alike: dict[tuple[int, ...], Kernel] = {}  # what is known by id, code and cells, lives as long as its kernel
_REMEMBERED = 1000


def _make(fn: Any, options: Mapping[str, bool]) -> Kernel:
    if isinstance(fn, Kernel):
        made = Kernel(fn.fn, {**fn.options, **options}, fn._source)
        made.rules = fn.rules
        return made
    function = _plain(fn)
    made = Kernel(function, options)
    if not options:
        function.__dict__.setdefault("__dsl_kernel__", made)  # what `as_kernel` gives for the plain function
    return made


def _plain(fn: Any) -> FunctionType:
    """The Python function that a kernel can be made of."""
    if isinstance(fn, staticmethod):
        fn = fn.__func__
    if isinstance(fn, FunctionType):
        return fn
    kind = type(fn).__name__
    shown = getattr(fn, "__qualname__", None) or repr(fn)
    if isinstance(fn, MethodType):
        hint = "take the function from its class and give the object as first argument"
    elif isinstance(fn, type):
        hint = "decorate a function of it, or write a function that calls it"
    elif kind == "partial":
        hint = "write `lambda x: f(x, value)` instead"
    elif callable(fn):
        hint = f"write a function that calls it, such as `lambda x: {getattr(fn, '__name__', 'f')}(x)`"
    else:
        hint = "give a function, a lambda or a kernel"
    raise ArgumentError(f"cannot make a kernel of {shown} ({kind}): it is not a Python function", None, hint)


def _from_text(
    source: Any, name: str | None, constants: Mapping[str, Any] | None, options: Mapping[str, bool], frame: Any
) -> Kernel:
    from .syntax.given import define

    file = None
    if not isinstance(source, str):
        try:
            file, source = str(source), source.read_text(encoding="utf-8")
        except AttributeError:
            kind = type(source).__name__
            raise ArgumentError(f"source is a text or a pathlib.Path, not a {kind}") from None
    namespace: dict[str, Any] = {"__name__": frame.f_globals.get("__name__", "__main__")}
    names = _words(source)
    for scope in (frame.f_globals, frame.f_locals, constants or {}):
        namespace.update((k, v) for k, v in scope.items() if k in names)
    defined = define(source, name, namespace, file)
    return _make(defined, options)


def _words(text: str) -> set[str]:
    import re

    return set(re.findall(r"[^\W\d]\w*", text))
