"""`dsl-opt`: MLIR in, passes of upstream and ours, MLIR out; or a function of it run, or its derivatives checked.

    dsl-opt f.mlir --pass-pipeline="builtin.module(canonicalize,autodiff-pipeline)"
    dsl-opt f.mlir --run @f --args 1.5 4 [1,2,3]
    dsl-opt f.mlir --check-gradients @f

Exit code 0, or 1 with an error that names the place in the file; 2 for wrong options.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .guard import Note, guarded

if TYPE_CHECKING:
    from mlir.ir import Module


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    options = _parser().parse_args([_shielded(a) for a in (sys.argv[1:] if arguments is None else arguments)])
    return guarded(lambda note: work(options, note))


def work(options: argparse.Namespace, note: Note) -> int:
    """What main does, in this process."""
    from . import report

    text = ""
    try:
        if options.list:
            _list()
            return 0
        text = _read(options.file)
        return _work(options, text, note)
    except BrokenPipeError:  # whoever read the output has enough: the guard knows
        raise
    except Exception as error:
        if options.traceback:
            raise
        sys.stdout.flush()
        print(report.describe(error, options.file, text), file=sys.stderr)
        return 1


def _work(options: argparse.Namespace, text: str, note: Note) -> int:
    from mlir.ir import Context, Module

    from . import dialect, passes
    from .upstream import failure

    context = Context()
    context.allow_unregistered_dialects = options.allow_unregistered_dialect
    dialect.load(context)
    note("reading the module")
    with context:
        try:
            module = Module.parse(text) if options.file == "-" else Module.parseFile(options.file)
        except Exception as error:
            if not hasattr(error, "error_diagnostics"):
                raise
            raise failure(error, "the module cannot be read") from None  # type: ignore[arg-type]
        if options.pass_pipeline is not None:
            passes.run_pipeline(module, options.pass_pipeline, lambda step: note(f"the pass {step}"))
        module.operation.verify()
        if options.check_gradients:
            note(f"the check of {options.check_gradients}")
            return _check(options, module)
        if options.run:
            note(f"running {options.run}")
            return _run(options, module)
        note("printing the module")
        _print(options, module)
    return 0


def _print(options: argparse.Namespace, module: Module) -> None:
    text = module.operation.get_asm(
        enable_debug_info=options.mlir_print_debuginfo, print_generic_op_form=options.mlir_print_op_generic
    )
    if options.output == "-":
        sys.stdout.write(text + ("" if text.endswith("\n") else "\n"))
    else:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text + ("" if text.endswith("\n") else "\n"))


def _run(options: argparse.Namespace, module: Module) -> int:
    from . import execution, prepare, values

    prepare.bufferise(module, str(module))
    function = execution.compiled(module, options.run.lstrip("@"))
    arguments = values.arguments(function, options.args)
    before = [None if kind.shape is None else a.copy() for kind, a in zip(function.inputs, arguments, strict=True)]
    results = function(*arguments)
    for i, (kind, result) in enumerate(zip(function.outputs, results, strict=True)):
        print(f"result {i}: {kind.text} = {values.show(result)}")
    for i, (kind, old, new) in enumerate(zip(function.inputs, before, arguments, strict=True)):
        if old is not None and old.tobytes() != new.tobytes():
            print(f"argument {i}: {kind.text} = {values.show(new)}")
    return 0


def _check(options: argparse.Namespace, module: Module) -> int:
    from . import gradient_check, values

    low, high = options.range
    settings = gradient_check.Settings(
        options.seed, options.points, options.size, low, high, frozenset(options.const or ())
    )
    name = options.check_gradients.lstrip("@")
    check = gradient_check.Check(module, name, settings, [values.parse(t) for t in options.args])
    rows = check.run()
    print(gradient_check.table(name, rows, settings), end="")
    return 0 if all(row.is_right for row in rows) else 1


def _list() -> None:
    from . import passes

    for known in passes.PASSES.values():
        flags = "{" + " ".join(known.options) + "}" if known.options else ""
        print(f"{known.name + flags:32}{known.summary}")
    print("and every pass of upstream MLIR, by the name that mlir-opt knows it by")


def _read(file: str) -> str:
    if file == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    with open(file, "rb") as stream:
        return stream.read().decode("utf-8", "replace")


def _shielded(argument: str) -> str:
    """A number may begin with a minus: argparse takes what has a space in it for a value, not for an option."""
    try:
        complex(argument.replace("i", "j"))
    except ValueError:
        return argument
    return f" {argument}" if argument.startswith("-") and argument != "-" else argument


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("dsl-opt", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add = parser.add_argument
    add("file", nargs="?", default="-", help="MLIR text; - is standard input")
    add("-o", dest="output", default="-", metavar="FILE", help="where the module is written to")
    add("--pass-pipeline", metavar="P", help='"builtin.module(pass,pass{option},func.func(pass))"')
    add("--list", action="store_true", help="the passes of autodiff")
    add("--mlir-print-debuginfo", action="store_true", help="print locations")
    add("--mlir-print-op-generic", action="store_true", help="print the generic form of operations")
    add("--allow-unregistered-dialect", action="store_true", help="read operations of unknown dialects")
    add("--run", metavar="@f", help="compile and call a function, print its results and the arrays that it changed")
    add("--args", nargs="*", default=[], metavar="V", help="numbers, 1+2j, true, [[1,2],[3,4]]; _ is random (checks)")
    add("--check-gradients", metavar="@f", help="derivatives of a function against its values")
    add("--seed", type=int, default=0, help="of the random numbers of a check")
    add("--size", type=int, default=4, help="of open axes, and the value of integers, in a check")
    add("--points", type=int, default=2, help="how many random points are checked")
    add("--range", nargs=2, type=float, default=[0.5, 1.5], metavar=("LO", "HI"), help="of random inputs in a check")
    add("--const", nargs="*", type=int, metavar="I", help="arguments (0, 1, ...) to hold constant in a check")
    add("--traceback", action="store_true", help="show where in the program an error arose")
    return parser


if __name__ == "__main__":
    sys.exit(main())
