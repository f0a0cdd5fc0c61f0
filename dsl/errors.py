"""Every error that the user may see, in one form: what, where, the source line with a caret, what to do instead.

    KernelTypeError: `+` of an array and a string
      --> model.py:12:9
       |  s = x + "a"
       |      ^^^^^^^
      help: convert the string first

Each class derives from `DslError` and from the Python exception that it resembles, so that either can be caught.
"""

from __future__ import annotations

from collections.abc import Sequence

from .syntax.loc import Loc

_registered: dict[str, list[str]] = {}  # the text of kernels that are in no file, by their made-up file name


def register_source(file: str, text: str, first_line: int = 1) -> None:
    """Make lines of a source text that is in no file known to our errors and to Python's own tracebacks."""
    import linecache

    new = text.splitlines()
    lines = _registered.setdefault(file, [])
    lines.extend([""] * (first_line - 1 + len(new) - len(lines)))
    lines[first_line - 1 : first_line - 1 + len(new)] = new  # beside other parts of the same file
    # no mtime: linecache then never looks for such a file on disk
    linecache.cache[file] = (len(lines), None, [f"{line}\n" for line in lines], file)


def source_line(file: str, line: int) -> str:
    """The text of one line, without its line end; empty where it is not to be had."""
    lines = _registered.get(file)
    if lines is not None:
        return lines[line - 1] if 0 < line <= len(lines) else ""
    import linecache

    return linecache.getline(file, line).rstrip("\r\n")


def excerpt(loc: Loc) -> str:
    """The lines that show a place: file:line:col, the source line, carets under the range."""
    text = f"  --> {loc}"
    line = source_line(loc.file, loc.line)
    if not line.strip():
        return text
    code = line.strip()
    margin = len(line) - len(line.lstrip())
    start = max(loc.col - 1 - margin, 0)
    end = len(code) if loc.end_line > loc.line else loc.end_col - 1 - margin
    width = max(min(end, len(code)) - start, 1)
    pad = "".join(c if c == "\t" else " " for c in code[:start])  # a tab moves the caret as it moves the text
    return f"{text}\n   |  {code}\n   |  {pad}{'^' * width}"


#: What stands in the place of an exception's name where a callback raised it: it is kept, and raised as it is.
CALLBACK = "callback"


def python_exception(name: str) -> type[Exception]:
    """The class of an exception that a kernel raises at run time: one of Python's, or NumPy's LinAlgError."""
    if name == "LinAlgError":
        from numpy.linalg import LinAlgError

        return LinAlgError
    import builtins

    found: type[Exception] = getattr(builtins, name)
    return found


class DslError(Exception):
    """Base of all errors of this package. `str()` is the whole message; its parts are attributes."""

    def __init__(
        self, message: str, loc: Loc | None = None, hint: str = "", notes: Sequence[tuple[str, Loc | None]] = ()
    ) -> None:
        super().__init__(message, loc, hint, tuple(notes))  # all of them, so that pickling can make it again
        self.message = message
        self.loc = loc
        self.hint = hint
        self.notes = list(notes)
        # Rendered now: the file may have changed when the error is printed, or be absent in the process that prints it.
        self.rendered = self._render()

    def _render(self) -> str:
        parts = [self.message]
        if self.loc is not None:
            parts.append(excerpt(self.loc))
        for text, loc in self.notes:
            parts.append(f"  note: {text}")
            if loc is not None:
                parts.append(excerpt(loc))
        if self.hint:
            parts.append(f"  help: {self.hint}")
        return "\n".join(parts)

    def __str__(self) -> str:
        return self.rendered


# --- compiling ----------------------------------------------------------------------------------------------------


class CompileError(DslError):
    """A kernel that cannot be compiled. Base of what follows; raised itself where no subclass fits."""


class KernelSyntaxError(CompileError, SyntaxError):
    """Text that is not Python."""

    def __init__(
        self, message: str, loc: Loc | None = None, hint: str = "", notes: Sequence[tuple[str, Loc | None]] = ()
    ) -> None:
        super().__init__(message, loc, hint, notes)
        self.msg = self.rendered  # what Python's traceback prints of a SyntaxError


class UnsupportedSyntax(CompileError, NotImplementedError):
    """Python that the language lacks."""


class KernelTypeError(CompileError, TypeError):
    """An operation on types that do not have it."""


class JoinError(KernelTypeError):
    """A variable with types that do not join, where two paths meet."""


class KernelNameError(CompileError, NameError):
    """A name that is not defined, or not on every path."""


class KernelAttributeError(CompileError, AttributeError):
    """An attribute that a value or a module lacks."""


class KernelValueError(CompileError, ValueError):
    """A value that is known when compiling and is wrong, such as a range step of zero."""


class KernelIndexError(CompileError, IndexError):
    """An index that is known when compiling to be out of range."""


class ClosureConstantError(KernelTypeError):
    """A global or closure variable that cannot be a compile-time constant, such as a list or an array."""


class RecursionRefused(CompileError, RecursionError):
    """A kernel that calls itself, directly or through others."""


class SourceError(CompileError, OSError):
    """A function whose source text is not to be had, or not to be told from another's."""


class StageError(DslError, ValueError):
    """A stage of `kernel.ir` that does not exist."""


# --- derivatives --------------------------------------------------------------------------------------------------


class ActivityError(DslError, TypeError, ValueError):
    """An annotation that does not fit its argument, or its mode."""


class DifferentiationError(CompileError):
    """A kernel that has no derivative here: a missing rule, a Const buffer that gets active data."""


# --- calling ------------------------------------------------------------------------------------------------------


class ArgumentError(DslError, TypeError, ValueError):
    """A call refused before anything runs: arguments of the wrong number, type, shape or layout."""


class NotYetSupported(DslError, NotImplementedError):
    """Something that is planned and not there yet."""


class MissingDependency(DslError, ImportError):
    """A package that is not installed, or of another version. The message says what to install."""


class TypeWarning(UserWarning):
    """A derivative asked for a type that has none by itself, such as an int, which is taken as a float."""
