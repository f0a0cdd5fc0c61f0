"""A check in a process of its own, so that a program that crashes or hangs the compiler is a failure like any other.

The child is a fork of this process, which has all imported and has compiled nothing: so forks are cheap, and no
thread of a compiler is lost on the way."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import pickle
import select
import signal
import sys
import tempfile
import time
from typing import Any

from tests.generator.check import check
from tests.generator.modes import Failure
from tests.generator.oracle import Unfair
from tests.generator.program import Program


def preload() -> None:
    """Import what every child would have to import by itself."""
    for name in ("dsl.driver", "dsl.frontend", "dialects.pipeline", "lowering.cpu", "mlir.ir", "mlir.passmanager"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def check_apart(program: Program, point: int, seconds: float = 60.0) -> Failure | None:
    """`check` in a child; also a Failure if the child ends by a signal, or is not done in time."""
    with tempfile.TemporaryFile() as errors:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            os.dup2(errors.fileno(), 2)
            faulthandler.enable()
            _answer(program, point, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            data = _read(pipe, child, seconds)
        _, status = os.waitpid(child, 0)
        errors.seek(0)
        said = errors.read().decode(errors="replace")[-6000:]
    if data is None:
        return Failure("hangs", f"not done in {seconds} s\n{said}")
    if not data:
        end = os.waitstatus_to_exitcode(status)
        name = signal.Signals(-end).name if end < 0 else f"exit {end}"
        return Failure("crash", f"{name}\n{said}")
    answer: Any = pickle.loads(data)
    if isinstance(answer, Failure) or answer is None:
        return answer
    raise answer


def _answer(program: Program, point: int, writing: int) -> None:
    """In the child: check, send what came out, and end without any of the parent's clean-up."""
    answer: Any
    try:
        answer = check(program, point)
    except (Unfair, AssertionError) as error:
        answer = error
    except BaseException as error:
        answer = Failure(f"the check itself: {type(error).__name__}", str(error))
    with os.fdopen(writing, "wb") as pipe:
        pickle.dump(answer, pipe)
    sys.stderr.flush()
    os._exit(0)


def _read(pipe: Any, child: int, seconds: float) -> bytes | None:
    """All that the child sends; None, and the child killed, if it takes too long."""
    end = time.monotonic() + seconds
    data = b""
    while True:
        ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            return None
        part = os.read(pipe.fileno(), 1 << 16)
        if not part:
            return data
        data += part
