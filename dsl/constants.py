"""The compile-time constants of a kernel: what its globals and closure variables mean, and a fingerprint of it all.

A kernel sees of its surroundings what cannot change under it: numbers, strings, tuples, dtypes, classes, modules,
functions and other kernels. `resolve` gives the value of a name or says why it cannot be used. `fingerprint` stands for
everything that the compiled code depends on besides types and target; it is the same in every process, follows a global
that is rebound, and is asked for at each call: what it was made of is kept, and compared by identity.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import BuiltinFunctionType, CellType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from .errors import ClosureConstantError, KernelAttributeError, KernelNameError, SourceError
from .syntax.loc import Loc

if TYPE_CHECKING:
    from .foreign import Foreign
    from .kernel import Kernel

_MISSING: Any = object()
_PLAIN = (int, float, complex, str, bytes, type(None), type(...))
_METHODS = (FunctionType, staticmethod, classmethod, property)
_LIBRARIES = frozenset({"numpy", "scipy", "ml_dtypes", "dsl", "dialects", "lowering"})


# --- what a name means --------------------------------------------------------------------------------------------


def resolve(kernel: Kernel, name: str, loc: Loc | None = None) -> Any:
    """The value of a free name in a kernel: of the closure, else of the globals, else a builtin.

    Raises KernelNameError where there is none and ClosureConstantError where it is no compile-time constant.
    """
    _refuse_mangled(kernel, name, loc)
    value = _lookup(kernel.fn, name)
    if value is _MISSING:
        import builtins

        value = getattr(builtins, name, _MISSING)
    if value is _MISSING:
        hint = "a variable of an enclosing function is known only if the kernel computes with it, not by an annotation"
        if "<locals>" not in kernel.__qualname__:
            hint = "assign it before the kernel is first called"
        raise KernelNameError(f"the name `{name}` is not defined", loc, hint)
    return admit(value, name, loc)


def _refuse_mangled(kernel: Kernel, name: str, loc: Loc | None) -> None:
    """Within a class Python reads `__name` as `_Class__name`; rather than do so, too, we say so."""
    if name.startswith("__") and not name.endswith("__"):
        code = kernel.fn.__code__
        meant = next((n for n in (*code.co_names, *code.co_freevars) if n != name and n.endswith(name)), None)
        if meant is not None:
            raise KernelNameError(f"`{name}` is `{meant}` within a class", loc, "give it a name without `__` in front")


def attribute(owner: Any, attr: str, what: str, loc: Loc | None = None) -> Any:
    """The value of `owner.attr`, where `owner` is a constant, a module say; `what` is how the user wrote the owner."""
    value = getattr(owner, attr, _MISSING)
    if value is _MISSING:
        kind = "module" if isinstance(owner, ModuleType) else type(owner).__name__
        raise KernelAttributeError(f"`{what}` ({kind}) has no attribute `{attr}`", loc)
    return admit(value, f"{what}.{attr}", loc)


def admit(value: Any, name: str, loc: Loc | None = None) -> Any:
    """The value itself, if it can be a compile-time constant; else ClosureConstantError."""
    refused = _refused(value)
    if refused is None:
        return value
    kind = type(refused).__name__
    within = "" if refused is value else f" (in a {type(value).__name__})"
    raise ClosureConstantError(
        f"closure constant: `{name}` is of type {kind}{within}, which can change and so cannot be compiled in",
        loc,
        f"pass `{name}` to the kernel as an argument",
    )


def _refused(value: Any) -> Any:
    """The part of a value that cannot be a constant, or None. (None itself can.)"""
    if isinstance(value, tuple):
        return next((bad for bad in map(_refused, value) if bad is not None), None)
    if isinstance(value, _PLAIN) or _numpy_scalar(value) or isinstance(value, ModuleType) or callable(value):
        return None
    if type(value).__module__.split(".")[0] == "dsl" or type(value).__name__.endswith("DType"):
        return None  # our own types and modes; NumPy's dtypes
    if _frozen_struct(value):
        fields = (getattr(value, field) for field in value.__dataclass_fields__)
        return next((bad for bad in map(_refused, fields) if bad is not None), None)
    return value


def _numpy_scalar(value: Any) -> bool:
    return any(c.__name__ == "generic" and c.__module__ == "numpy" for c in type(value).__mro__)


def _frozen_struct(value: Any) -> bool:
    parameters = getattr(type(value), "__dataclass_params__", None)
    return parameters is not None and parameters.frozen


def _lookup(fn: FunctionType, name: str) -> Any:
    code = fn.__code__
    if name in code.co_freevars and fn.__closure__ is not None:
        return _content(fn.__closure__[code.co_freevars.index(name)])
    return fn.__globals__.get(name, _MISSING)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _MISSING


# --- fingerprints -------------------------------------------------------------------------------------------------


class Watch:
    """A fingerprint, and the places whose content it was made of."""

    __slots__ = ("cells", "digest", "entries", "foreign")

    def __init__(
        self,
        digest: str,
        entries: list[tuple[Any, str, Any]],
        cells: list[tuple[CellType, Any]],
        foreign: list[Foreign],
    ) -> None:
        self.digest = digest
        self.entries = entries  # (dictionary, key, content)
        self.cells = cells
        self.foreign = foreign  # the functions among them that are not of the language

    def unchanged(self) -> bool:
        """Whether each place still holds the very object that it held."""
        for space, name, value in self.entries:
            if space.get(name, _MISSING) is not value:
                return False
        for cell, value in self.cells:  # noqa: SIM110  (this runs at each call, and a generator costs)
            if _content(cell) is not value:
                return False
        return True


def fingerprint(kernel: Kernel) -> str:
    """A hash of the text, place, options and constants of a kernel and of all that it refers to."""
    watch = kernel.watch
    if watch is None or not watch.unchanged():
        watch = kernel.watch = _Scan().run(kernel)
    return watch.digest


def also_watch(kernel: Kernel, objects: Iterable[Any]) -> str:
    """A hash of what a call brings along: functions given as arguments, and the classes of structs with their methods.

    From now on they are watched together with what the kernel itself refers to.
    """
    scan = _Scan()
    for value in objects:
        scan.value(value, ())
    if kernel.watch is not None:
        kernel.watch.entries += scan.entries
        kernel.watch.cells += scan.cells
    return scan.digest()


def foreign_functions(kernel: Kernel, objects: Iterable[Any]) -> list[Foreign]:
    """The foreign functions that a kernel and what a call brings along refer to; see `also_watch`."""
    fingerprint(kernel)
    scan = _Scan()
    for value in objects:
        scan.value(value, ())
    return [*(kernel.watch.foreign if kernel.watch is not None else []), *scan.foreign]


class _Scan:
    """One walk over a kernel and what it refers to, which writes down all that matters."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.entries: list[tuple[Any, str, Any]] = []
        self.cells: list[tuple[CellType, Any]] = []
        self.seen: dict[int, int] = {}  # functions, by id
        self.owners: set[tuple[int, tuple[str, ...]]] = set()  # modules and classes, by id, with the words asked for
        self.keep: list[Any] = []  # what is known by id must live as long
        self.foreign: list[Foreign] = []

    def run(self, kernel: Kernel) -> Watch:
        self.kernel(kernel)
        return Watch(self.digest(), self.entries, self.cells, self.foreign)

    def digest(self) -> str:
        import hashlib

        return hashlib.sha256("\0".join(self.parts).encode()).hexdigest()

    def kernel(self, kernel: Kernel) -> None:
        fn = kernel.fn
        if id(fn) in self.seen:
            self.parts.append(f"kernel {self.seen[id(fn)]}")
            return
        self.seen[id(fn)] = len(self.seen)
        self.keep.append(fn)
        self.parts.append(f"kernel {sorted(kernel.options.items())!r}")
        words: tuple[str, ...] = ()
        try:
            source = kernel.source
        except SourceError:  # cannot be compiled, but may be named without being used
            code = fn.__code__
            self.parts.append(f"{fn.__module__}.{fn.__qualname__} {code.co_code.hex()}")
        else:
            self.parts.append(repr(tuple(source)))
            words = free_words(kernel)
        for name, value in sorted(kernel.defaults.items()):
            self.parts.append(f"default {name}")
            self.value(value, ())
        self.rules(kernel)
        for name in words:
            self.name(fn, name, words)

    def name(self, fn: FunctionType, name: str, words: tuple[str, ...]) -> None:
        code = fn.__code__
        if name in code.co_freevars and fn.__closure__ is not None:
            cell = fn.__closure__[code.co_freevars.index(name)]
            value = _content(cell)
            self.cells.append((cell, value))
        else:
            value = fn.__globals__.get(name, _MISSING)
            if value is _MISSING and name not in code.co_names:
                return  # a keyword, an attribute, a word of a comment
            self.entries.append((fn.__globals__, name, value))
        if value is not _MISSING:
            self.parts.append(f"name {name}")
            self.value(value, words)

    def value(self, value: Any, words: tuple[str, ...]) -> None:
        """Write down a constant. `words` are those of the kernel that names it, of which some may be its attributes."""
        kind = type(value)
        if kind in _PLAIN or kind is bool:
            self.parts.append(f"{kind.__name__} {value!r}")
        elif isinstance(value, tuple):
            self.parts.append(f"tuple {_path(kind)} {len(value)}")
            for element in value:
                self.value(element, words)
        elif isinstance(value, ModuleType):
            self.module(value, words)
        elif isinstance(value, FunctionType):
            self.function(value)
        elif isinstance(value, (staticmethod, classmethod)):
            self.value(value.__func__, words)
        elif isinstance(value, property):
            self.value(value.fget, words)
        elif isinstance(value, type):
            self.cls(value, words)
        elif kind.__name__ == "Kernel" and kind.__module__ == "dsl.kernel":
            self.kernel(value)
        elif _is_foreign(value):
            self.foreign_function(value)
        elif _numpy_scalar(value):
            self.parts.append(f"scalar {value.dtype.str} {value.tobytes().hex()}")
        elif isinstance(value, _PLAIN):  # an IntEnum, say
            self.parts.append(f"{_path(kind)} {value!r}")
        elif _frozen_struct(value):
            self.parts.append(f"struct {_path(kind)}")
            for field in value.__dataclass_fields__:
                self.value(getattr(value, field), words)
        elif isinstance(value, BuiltinFunctionType) or (callable(value) and hasattr(value, "__name__")):
            self.parts.append(f"function {_path(value)}")
        elif _refused(value) is None and " at 0x" not in repr(value):
            self.parts.append(f"{_path(kind)} {value!r}")
        else:
            self.parts.append(f"no constant: {_path(kind)}")

    def rules(self, owner: Kernel | Foreign) -> None:
        """The derivative rules of a kernel or foreign function."""
        self.entries.append((owner.__dict__, "rules", owner.rules))
        for rule in owner.rules:
            self.parts.append(f"rule {rule.part} {rule.batched}")
            if rule.kernel is not None:
                self.kernel(rule.kernel)

    def foreign_function(self, value: Foreign) -> None:
        self.parts.append(f"foreign {value.identity()}")
        if not any(known is value for known in self.foreign):
            self.foreign.append(value)
            self.rules(value)

    def function(self, fn: FunctionType) -> None:
        if _library(fn.__module__):
            self.parts.append(f"function {_path(fn)}")
        else:
            from .kernel import as_kernel

            self.kernel(as_kernel(fn))

    def module(self, module: ModuleType, words: tuple[str, ...]) -> None:
        self.parts.append(f"module {module.__name__}")
        if not _library(module.__name__) and not self._again(module, words):
            self.attributes(module.__dict__, words)

    def cls(self, cls: type, words: tuple[str, ...]) -> None:
        self.parts.append(f"class {_path(cls)}")
        if _library(cls.__module__) or self._again(cls, words):
            return
        fields: dict[str, Any] = {}
        if hasattr(cls, "__dataclass_fields__"):
            fields = {name: field.type for name, field in cls.__dataclass_fields__.items()}
        elif hasattr(cls, "_fields"):
            fields = dict(getattr(cls, "__annotations__", {}))
        self.parts.append(repr([(name, t if isinstance(t, str) else _path(t)) for name, t in fields.items()]))
        is_struct = hasattr(cls, "__dataclass_fields__") or hasattr(cls, "_fields")
        for base in cls.__mro__[:-1]:
            space = base.__dict__
            # A field's default is an attribute of the class. Methods are called by what has the type, which may be
            # in another function than the one that names the class.
            methods = [name for name, value in space.items() if is_struct and isinstance(value, _METHODS)]
            self.attributes(space, tuple(sorted({*words, *fields, *methods})))

    def attributes(self, space: Any, words: tuple[str, ...]) -> None:
        for word in words:
            value = space.get(word, _MISSING)
            if value is not _MISSING:
                self.entries.append((space, word, value))
                self.parts.append(f"attribute {word}")
                self.value(value, words)

    def _again(self, owner: Any, words: tuple[str, ...]) -> bool:
        """Whether this module or class was written down for these words already."""
        key = (id(owner), words)
        if key in self.owners:
            return True
        self.owners.add(key)
        self.keep.append(owner)
        return False


def free_words(kernel: Kernel) -> tuple[str, ...]:
    """All words in a kernel's text that are not its own variables: more than the names it refers to, never fewer.

    The code object's names do not do: the annotation of a local variable is in the text only.
    """
    import re

    code = kernel.fn.__code__
    own = {*code.co_varnames, *code.co_cellvars}
    return tuple(sorted(set(re.findall(r"[^\W\d]\w*", kernel.source.text)) - own))


def _is_foreign(value: Any) -> bool:
    """Whether a value is a `dsl.foreign.Foreign`, whose module need not be imported for the question."""
    module = sys.modules.get("dsl.foreign")
    return module is not None and isinstance(value, module.Foreign)


def _path(value: Any) -> str:
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__name__
    return f"{getattr(value, '__module__', None)}.{name}"


def _library(module: str | None) -> bool:
    """Whether a module is one whose content does not change between versions of the user's program."""
    top = (module or "").split(".")[0]
    return top in _LIBRARIES or (top in sys.stdlib_module_names and top != "__main__")


# --- for pickling -------------------------------------------------------------------------------------------------


def portable(kernel: Kernel) -> dict[str, tuple[str, Any]]:
    """The constants that a kernel names, in a form that can be pickled; `unpack` gives them back."""
    packed: dict[str, tuple[str, Any]] = {}
    for name in free_words(kernel):
        value = _lookup(kernel.fn, name)
        if value is _MISSING or _refused(value) is not None:
            continue
        if isinstance(value, ModuleType):
            packed[name] = ("module", value.__name__)
        elif isinstance(value, FunctionType) and not _library(value.__module__):
            from .kernel import as_kernel

            packed[name] = ("function", kernel if value is kernel.fn else as_kernel(value))
        elif not isinstance(value, type) or _importable(value):
            packed[name] = ("value", value)
    return packed


def unpack(packed: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    """The constants that `portable` packed."""
    import importlib

    found: dict[str, Any] = {}
    for name, (kind, value) in packed.items():
        if kind == "module":
            found[name] = importlib.import_module(value)
        elif kind == "function":  # a plain function stays one, so that Python runs it as Python
            found[name] = value.fn
            value.fn.__dict__.setdefault("__dsl_kernel__", value)
        else:
            found[name] = value
    return found


def _importable(cls: type) -> bool:
    found: Any = sys.modules.get(cls.__module__)
    for part in cls.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is cls
