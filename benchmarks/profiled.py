"""The process that `benchmarks.profile` looks at: `python -m benchmarks.profiled FOLDER OBJECTIVE SIZE [--options]`.

It evaluates a derivative (`--primal`: the kernel; `--fastmath`: compiled so). With `--remarks`, LLVM says on the error
stream what its vectoriser did, and each piece of machine code is left in FOLDER as an object file with the lines of its
source, and where it was loaded in `loaded.json`. `--count N` evaluates N times; without it, until the input is closed.
"""

from __future__ import annotations

import importlib
import json
import sys
import threading
from pathlib import Path
from typing import Any

from benchmarks.case import fast, plain


def main(arguments: list[str]) -> None:
    folder, objective, size = Path(arguments[0]), arguments[1], arguments[2]
    if "--remarks" in arguments:
        watch(folder)
    found = importlib.import_module(f"benchmarks.objectives.{objective}").OBJECTIVE
    inputs = found.small if size == "test" else found.sizes[size]
    case = found.make(found.inputs(**inputs), fast if "--fastmath" in arguments else plain)
    evaluate = case.primal if "--primal" in arguments else case.derivative
    if "--count" in arguments:
        for _ in range(int(arguments[arguments.index("--count") + 1])):
            evaluate()
        return
    evaluate()
    print("ready", flush=True)
    closed = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), closed.set()), daemon=True).start()
    while not closed.is_set():
        evaluate()


def watch(folder: Path) -> None:
    """From now on, compile with the lines of the source, and tell what LLVM did and where code was put."""
    from dsl import driver
    from lowering import cpu
    from lowering.llvm_c import llvm

    for kind in (b"", b"-missed", b"-analysis"):
        llvm().SetCommandLine(b"", b"-pass-remarks" + kind + b"=loop-vectorize")
    options, load = driver.cpu_options, cpu.load
    loaded: list[dict[str, Any]] = []

    def with_lines(*given: Any) -> Any:
        return options(*given)._replace(debug_info=True)

    def remembered(code: bytes, entry: str, *rest: Any) -> Any:
        result = load(code, entry, *rest)
        path = folder / f"{len(loaded)}.o"
        path.write_bytes(code)
        loaded.append({"object": path.name, "entry": entry, "address": result.address})
        (folder / "loaded.json").write_text(json.dumps(loaded))
        return result

    driver.cpu_options = with_lines
    cpu.load = remembered


if __name__ == "__main__":
    main(sys.argv[1:])
