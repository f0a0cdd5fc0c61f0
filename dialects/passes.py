"""The engine's passes by name, and pipelines in which they stand among upstream's.

`run_pipeline(module, "builtin.module(canonicalize,autodiff-differentiate,func.func(cse))")` runs the parts in order:
each run of upstream passes through MLIR's own pass manager, ours as functions of a module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mlir.ir import ArrayAttr, FlatSymbolRefAttr, Location, MLIRError, Module, Operation, StringAttr
from mlir.passmanager import PassManager

from . import dialect, pipeline, show
from .activity import Activity
from .copier import attributes_of
from .dead_code import remove_dead_code
from .prepare import prepare
from .structure import symbol
from .unknown import refuse_unknown
from .upstream import failure

Options = frozenset[str]


class PipelineError(Exception):
    """A pipeline text that cannot be run; str() says why."""


@dataclass(frozen=True)
class Pass:
    """A pass of ours: what `--list` prints, and what runs, on a module and with the flags given in braces."""

    name: str
    summary: str
    apply: Callable[[Module, Options], None]
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """A part of a pipeline: a pass of ours with flags, or (no pass) a run of upstream passes."""

    text: str
    ours: Pass | None = None
    options: Options = frozenset()


def run_pipeline(module: Module, text: str, started: Callable[[str], None] = lambda step: None) -> None:
    """Run the passes on `module` in place; `started` hears of each part before it runs. Raises PipelineError before
    anything has run, DerivativeError from a pass.
    """
    dialect.load(module.context)
    with module.context, Location.unknown():
        steps = parse(text)
        managers = {step.text: _manager(step.text) for step in steps if step.ours is None}
        for step in steps:
            started(step.text)
            if step.ours is not None:
                step.ours.apply(module, step.options)
                continue
            try:
                managers[step.text].run(module.operation)
            except MLIRError as error:
                raise failure(error, "a pass failed") from None


def parse(text: str) -> list[Step]:
    """The parts of a pipeline, with or without `builtin.module(...)` around it."""
    text = text.strip()
    if text.startswith("builtin.module"):
        inner = text.removeprefix("builtin.module").strip()
        if not (inner.startswith("(") and inner.endswith(")")):
            raise PipelineError(f"the pipeline {text!r} has no passes in parentheses: write builtin.module(a,b)")
        text = inner[1:-1]
    steps: list[Step] = []
    for part in _split(text):
        name, braces, options = part.partition("{")
        if name.strip() in PASSES:
            steps.append(_ours(PASSES[name.strip()], options if braces else None, part))
        elif "autodiff-" in part:
            raise PipelineError(_misplaced(part))
        elif steps and steps[-1].ours is None:
            steps[-1] = Step(f"{steps[-1].text},{part}")
        else:
            steps.append(Step(part))
    return steps


def _ours(found: Pass, options: str | None, part: str) -> Step:
    words: list[str] = []
    if options is not None:
        if not options.rstrip().endswith("}"):
            raise PipelineError(f"the options of {part!r} do not end in a brace")
        words = options.rstrip()[:-1].split()
    for word in words:
        if word not in found.options:
            known = f"it takes {', '.join(found.options)}" if found.options else "it takes none"
            raise PipelineError(f"{found.name} has no option {word!r}; {known}")
    return Step(part, found, frozenset(words))


def _misplaced(part: str) -> str:
    if part.startswith("autodiff-"):
        return f"there is no pass {part!r}; there are {', '.join(PASSES)}"
    return f"passes of autodiff work on a whole module and cannot be nested, as in {part!r}"


def _split(text: str) -> Iterator[str]:
    """The parts between the commas that stand in no bracket."""
    depth, start = 0, 0
    for i, character in enumerate(text):
        if character in "({[":
            depth += 1
        elif character in ")}]":
            depth -= 1
            if depth < 0:
                raise PipelineError(f"a bracket too many in the pipeline, at {text[i:]!r}")
        elif character == "," and depth == 0:
            yield _part(text[start:i])
            start = i + 1
    if depth:
        raise PipelineError(f"a bracket in the pipeline {text!r} is not closed")
    if text[start:].strip() or start:
        yield _part(text[start:])


def _part(text: str) -> str:
    if not text.strip():
        raise PipelineError("an empty pass name in the pipeline")
    return text.strip()


def _manager(text: str) -> PassManager:
    try:
        return PassManager.parse(f"builtin.module({text})")
    except (ValueError, MLIRError) as error:
        raise PipelineError(str(error).strip()) from None


# the passes ----------------------------------------------------------------------------------------------------------
def _structure(module: Module, options: Options) -> None:
    prepare(module)
    for function in pipeline.walk_functions(module):
        name = symbol(function)
        visibility = attributes_of(function).get("sym_visibility")
        normal = pipeline.normal_form(module, function, name, f"{name}.normal")
        function.erase()
        normal.attributes["sym_name"] = StringAttr.get(name)
        if visibility is None:
            del normal.attributes["sym_visibility"]
        else:
            normal.attributes["sym_visibility"] = visibility


def _activity(module: Module, options: Options) -> None:
    prepare(module)
    for declaration, request in pipeline.ready(module):
        name = f"{symbol(declaration)}.activity"
        normal = pipeline.differentiated_form(module, declaration, request.callee, name, request.overlapping())
        request.check(declaration, normal)
        activity = Activity(normal, request.activity, request.returns)
        refuse_unknown(activity)
        if "annotate" in options:
            activity.annotate()
            normal.attributes["autodiff.of"] = FlatSymbolRefAttr.get(request.callee)
        else:
            normal.erase()


def _differentiate(module: Module, options: Options) -> None:
    pipeline.expand_requests(module)


def _all(module: Module, options: Options) -> None:
    pipeline.differentiate(module)


def _plan(module: Module, options: Options) -> None:
    for expansion in pipeline.expand_requests(module):
        for function in pipeline.walk_functions(module):
            if symbol(function) == expansion.function:
                lines = [StringAttr.get(line) for line in show.taped(expansion)]
                function.attributes["autodiff.plan"] = ArrayAttr.get(lines)


def _dead_code(module: Module, options: Options) -> None:
    for function in pipeline.walk_functions(module):
        remove_dead_code(function)


def _stages() -> list[Pass]:
    return [
        Pass("autodiff-prepare", "tensor, linalg, affine and cf to scf on memrefs, optimised", lambda m, o: prepare(m)),
        Pass("autodiff-structure", "functions in the normal form that derivatives are made of", _structure),
        Pass(
            "autodiff-activity",
            "checks what is active for each request; with annotate, adds @<request>.activity, marked",
            _activity,
            ("annotate",),
        ),
        Pass(
            "autodiff-differentiate",
            "bodies for the functions that ask for derivatives",
            _differentiate,
        ),
        Pass("autodiff-plan", "the same, with what is taped written on each as autodiff.plan", _plan),
        Pass("autodiff-tape", "caches of derivatives to buffers", lambda m, o: pipeline.lower_tape(m)),
        Pass("autodiff-dead-code", "removes dead code through loops, branches and local memory", _dead_code),
        Pass("autodiff-lanes", "directions side by side in memory and vectors", lambda m, o: pipeline.arrange_lanes(m)),
        Pass("autodiff-clean", "dead code, inlining, canonicalize, cse, licm, lanes", lambda m, o: pipeline.clean(m)),
        Pass("autodiff-pipeline", "autodiff-differentiate, autodiff-tape and autodiff-clean in one", _all),
    ]


PASSES = {made.name: made for made in _stages()}


def functions(module: Module) -> dict[str, Operation]:
    """The functions of `module` that have a body, by name."""
    return {symbol(op): op for op in pipeline.walk_functions(module)}
