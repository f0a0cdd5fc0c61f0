"""Work in a child process, so that what ends it is reported and not suffered.

MLIR checks much of what it is given by assertions that abort, deep nesting overflows its stack, and compiled code
does what it is told. The child does the work and its output; the parent only waits, and says where a child that was
ended by a signal had got to.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable

Note = Callable[[str], None]


def guarded(work: Callable[[Note], int]) -> int:
    """The exit code of `work`, which tells the function it gets what it is about to do; 1 if it was killed."""
    if not hasattr(os, "fork"):
        return work(lambda text: None)
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _run(work, writing)
    os.close(writing)
    doing = _last(reading)
    while True:
        try:
            _, status = os.waitpid(child, 0)
            break
        except KeyboardInterrupt:  # the child has it too, and ends
            continue
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    if number == signal.SIGINT:
        return 130
    name = signal.Signals(number).name
    print(f"error: {doing or 'the work'} was ended by {name}: the input is too much for MLIR there", file=sys.stderr)
    return 1


def _run(work: Callable[[Note], int], pipe: int) -> None:
    """In the child: never returns."""
    faulthandler.disable()  # the parent says it in one line
    code = 1
    try:
        code = work(lambda text: _write(pipe, text))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read the output has enough
        code = 0
    except KeyboardInterrupt:
        code = 130
    except Exception:  # what `work` lets through is meant to be seen
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)


def _write(pipe: int, text: str) -> None:
    os.write(pipe, text.encode(errors="replace") + b"\0")


def _last(pipe: int) -> str:
    """The last note, read until the child closes its end."""
    content = b""
    with open(pipe, "rb") as file:
        while True:
            try:
                part = file.read1()
            except KeyboardInterrupt:
                continue
            if not part:
                break
            content = (content + part)[-4096:]
    return content.rstrip(b"\0").rpartition(b"\0")[2].decode(errors="replace")
