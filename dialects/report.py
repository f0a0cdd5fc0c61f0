"""Errors as `dsl-opt` prints them: the place, the message, the source line with a caret, and what to do."""

from __future__ import annotations

import linecache


def describe(error: Exception, file: str, text: str) -> str:
    """`error` as text; `file` is what was read, `text` its content."""
    position = getattr(error, "loc", None)
    message = getattr(error, "message", None)
    if isinstance(error, OSError) and error.filename is not None:
        return f"error: cannot open {error.filename}: {error.strerror}"
    if isinstance(error, RecursionError):
        return "error: the module is nested too deeply"
    if message is None:
        known = type(error).__name__ in ("PipelineError", "ArgumentError", "MemoryError")
        lines = [f"error: {error}" if known else f"error: {type(error).__name__} inside dsl-opt: {error}"]
        if not known:
            lines.append("  help: this is a mistake of the program; --traceback shows where")
        return "\n".join(lines)
    lines = []
    if position is None:
        lines.append(f"error: {message}")
    else:
        name, line, column = position
        lines.append(f"{'<stdin>' if name == '-' else name}:{line}:{column}: error: {message}")
        source = _line(name, line, file, text)
        if source:
            lines += [f"  {source}", "  " + "".join("\t" if c == "\t" else " " for c in source[: column - 1]) + "^"]
    if getattr(error, "hint", ""):
        lines.append(f"  help: {error.hint}")  # type: ignore[attr-defined]
    return "\n".join(lines)


def _line(name: str, line: int, file: str, text: str) -> str:
    if name == file:
        lines = text.splitlines()
        return lines[line - 1] if 0 < line <= len(lines) else ""
    return linecache.getline(name, line).rstrip("\n")
