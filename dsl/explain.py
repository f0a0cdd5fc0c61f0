"""`kernel.explain(mode, ...)`: the user's own listing, with what a derivative does on each line.

    k.explain(dsl.Reverse, dsl.Active, dsl.Const(x), dsl.Active(2.0))

Which lines carry active values, what the reverse sweep keeps on its tape, how large that is and why it could not be
recomputed, and which loops are run again or need no forward run. With values for arguments, the bytes are those of the
call with these values: counted by running it on copies. With types there are no bytes.

`print` shows it in colour on a terminal, a notebook as a table; `.tape` and `.bytes` are for programs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from . import checks, measure
from .annotations import Annotation
from .device_memory import fetched
from .errors import ArgumentError
from .expressions import Sources
from .inspect_ir import derivative_of, is_type
from .kernel import Kernel
from .modes import Mode
from .request import Request

if TYPE_CHECKING:
    from dialects.findings import Addition, LoopPlan, Position, Reason, Taped

# The signs of lines, and what they mean.
_SIGNS = {"active": "A", "varied": "v", "useful": "u", "const": " "}
_LEGEND = "A: active   v: depends on an active argument, only   u: the result depends on it, only   T: on the tape"


#: What of the named value is taped, by the kind of taped value.
_WHAT = {
    "value": "",
    "shadow": "the shadow of",
    "snapshot": "snapshots of",
    "trips": "the trips of",
    "tape": "the tape of",
    "copy": "memory left by",
    "version": "a copy of the memory read by",
}


#: How threads add to the shadow of what a line reads.
_ADDITIONS = {
    "own": "reverse adds to the shadow without atomics",
    "one": "reverse sums over the threads of a block, then adds once a block",
    "shared": "reverse adds atomically to the shadow, which is the block's own",
    "atomic": "reverse adds to the shadow atomically",
}


class TapedValue(NamedTuple):
    """A value on the tape: `name` is the variable or the expression, `what` what of it ("the shadow of" an array, "the
    choice in" max(...), "the trips of" a loop), if not the value. `bytes` is None where there was nothing to run with.
    """

    name: str
    what: str
    type: str
    file: str
    line: int
    col: int
    bytes: int | None
    grows: bool
    reason: str

    def __str__(self) -> str:
        size = "" if self.bytes is None else f", {_amount(self.bytes)}"
        how = "a stack that grows" if self.grows else "a buffer sized before the loops"
        return f"{self.title} ({self.type}{size}; {how}): {self.reason}"

    @property
    def title(self) -> str:
        """Name and what of it."""
        return f"{self.what} `{self.name}`".lstrip()


class Line(NamedTuple):
    """A source line: its number, its state ("active", "varied", "useful" or "const"), its text, and what is said of
    it.
    """

    number: int
    state: str
    taped: bool
    text: str
    notes: tuple[str, ...]


class Explanation:
    """What a derivative does, to be printed. `bytes` is what its tape takes in all, None without values."""

    def __init__(
        self, title: str, tape: list[TapedValue], listing: list[tuple[str, list[Line]]], bytes_: int | None, mode: Mode
    ) -> None:
        self.title, self.tape, self.listing, self.bytes, self.mode = title, tape, listing, bytes_, mode

    @property
    def lines(self) -> list[Line]:
        """The lines of all functions."""
        return [line for _, lines in self.listing for line in lines]

    @property
    def plain(self) -> str:
        """The text without colours."""
        return "".join(f"{text}\n" for text, _ in self._rows())

    def __str__(self) -> str:
        from .listing import on_terminal

        return self._rendered("text") if on_terminal() else self.plain

    def __repr__(self) -> str:
        return str(self)  # an interactive prompt shows it as print does

    def _repr_html_(self) -> str:
        return self._rendered("html")

    def _rendered(self, kind: str) -> str:
        import io

        from rich.console import Console
        from rich.text import Text

        out = Console(file=io.StringIO(), force_terminal=True, record=True, width=_WIDTH, highlight=False)
        for text, style in self._rows():
            out.print(Text(text, style=style), soft_wrap=True)
        if kind == "html":
            page = '<pre style="font-family:monospace">{code}</pre>'
            return out.export_html(code_format=page, inline_styles=True)
        return out.export_text(styles=True)

    def _rows(self) -> Iterator[tuple[str, str]]:
        """Each row of the text, with its style."""
        yield self.title, "bold"
        if self.mode.reverse:
            yield f"tape: {self._summary()}", "bold"
        yield _LEGEND if self.mode.reverse else _LEGEND.rpartition("   ")[0], "dim"
        for file, lines in self.listing:
            yield "", ""
            yield os.path.basename(file), "dim"
            width = max(len(str(line.number)) for line in lines)
            for line in lines:
                signs = _SIGNS[line.state] + ("T" if line.taped else " ")
                row = f"{line.number:>{width}} {signs} | {line.text}"
                yield row.rstrip(), _STYLES["taped" if line.taped else line.state]
                indent = " " * (len(line.text) - len(line.text.lstrip()))
                for note in line.notes:
                    yield f"{'':>{width}}    | {indent}  ^ {note}", "cyan"

    def _summary(self) -> str:
        count = len(self.tape)
        values = f"{count or 'no'} value{'' if count == 1 else 's'}"
        return values if self.bytes is None else f"{values}, {_amount(self.bytes)}"


_STYLES = {"active": "green", "taped": "yellow", "varied": "blue", "useful": "blue", "const": "dim"}
_WIDTH = 10_000  # lines are left as long as they are


def explain(kernel: Kernel, args: tuple[Any, ...]) -> Explanation:
    """The explanation of `dsl.autodiff(mode, kernel, ...)`, `args` being the mode and what follows."""
    if not args or not isinstance(args[0], Mode):
        hint = f"write {kernel.name}.explain(dsl.Reverse, annotated arguments...), as for dsl.autodiff"
        raise ArgumentError(f"{kernel.name}.explain needs a mode first", None, hint)
    args = fetched(args)
    mode = args[0]
    with_values = not any(is_type(a) or (isinstance(a, Annotation) and is_type(a.val)) for a in args[1:])
    request = checks.derivative_request(mode, kernel, args[1:]) if with_values else derivative_of(kernel, args)
    measured = measure.examine(request)
    counts = measure.run(request, measured, args[1:]) if with_values else None
    return _Writer(kernel, request, measured, counts).write()


class _Writer:
    def __init__(self, kernel: Kernel, request: Request, measured: measure.Measured, counts: list[int] | None) -> None:
        self.kernel, self.request, self.measured, self.counts = kernel, request, measured, counts
        source = kernel.source
        self.sources = Sources()
        self.main = (source.file, source.line)
        self.notes: dict[tuple[str, int], dict[str, None]] = {}
        self.states: dict[tuple[str, int], str] = {}
        self.taped_lines: set[tuple[str, int]] = set()
        self.tape: list[TapedValue] = []

    def write(self) -> Explanation:
        for made in self.measured.examined.derivatives:
            for (file, line, _), state in made.states.items():
                known = self.states.get((file, line), "const")
                self.states[file, line] = max(known, state, key=list(reversed(_SIGNS)).index)
            for loop in made.expansion.loops:
                if loop.launch:
                    self._launch(loop)
                else:
                    self._loop(loop)
            for addition in made.expansion.additions:
                self._addition(addition)
            for kept in made.expansion.in_order:
                if kept.position is not None:
                    self._note(kept.position, f"run in order, by one thread: {self._said(kept.reason, kept.position)}")
        for made in self.measured.examined.derivatives:
            for taped in made.expansion.taped:
                self._taped(taped)
        total = None if self.counts is None else sum(measure.of_bytes(self.measured, self.counts))
        mode = self.request.mode
        assert mode is not None
        return Explanation(self._title(), self.tape, self._listing(), total, mode)

    def _title(self) -> str:
        arguments = ", ".join(
            f"{a.name}: {a.annotation.__name__}" for a in self.request.arguments if a.annotation is not None
        )
        return f"{self.kernel.name}({arguments}), {self.request.mode}"

    # --- loops

    def _loop(self, loop: LoopPlan) -> None:
        said = []
        forward = loop.mark in self.measured.examined.forward
        if loop.outermost and not forward:
            said.append("no forward run")
        if loop.replayed:
            said.append(
                "replayed: each iteration is run again just before its reverse"
                if forward or not loop.outermost
                else "fused: each iteration is run just before its reverse"
            )
        if loop.from_tape:
            lines = ", ".join(str(line) for line in sorted({line for _, line, _ in loop.from_tape}))
            said.append(f"the forward loop leaves it what is read on line {lines}")
        if loop.checkpointed:
            said.append(self._checkpointed(loop))
        elif loop.outermost and forward and not loop.replayed and self.sources.is_loop(loop.position):
            said.append("run forward, then in reverse")
        if said and loop.position is not None:
            self._note(loop.position, "; ".join(said))

    def _checkpointed(self, loop: LoopPlan) -> str:
        from dialects.findings import AGAIN, REVERSE

        buffers = [
            taped
            for made in self.measured.examined.derivatives
            for taped in made.expansion.taped
            if taped.kind == "snapshot" and taped.position == loop.position
        ]
        marks = [taped.mark for taped in buffers]
        total, numbers = self._count(marks), self._count(marks[:1])
        turns = self._count([REVERSE + loop.number], "steps")
        again = self._count([AGAIN + loop.number], "steps")
        if not total or not numbers or not turns or again is None:
            return "checkpointed"
        slots = numbers // 8  # the first buffer holds a number of 8 bytes for each
        several = "s" if slots > 1 else ""
        times = f"{1 + again / turns:.2f}".rstrip("0").rstrip(".")
        return (
            f"checkpointed, {slots} snapshot{several} of {_amount(total // slots)}, "
            f"about {times} times the forward steps"
        )

    def _count(self, marks: Iterable[str], how: str = "buffer") -> int | None:
        """What was counted at the places with these marks, if it was."""
        if self.counts is None:
            return None
        wanted = set(marks)
        return sum(c for site, c in zip(self.measured.sites, self.counts) if site.mark in wanted and site.how == how)

    # --- launches

    def _launch(self, launch: LoopPlan) -> None:
        forward = launch.mark in self.measured.examined.forward
        said = "launched once more for the reverse, in which each thread first runs again what it needs"
        if not forward:
            said = "no forward launch; in that of the reverse each thread first runs what it needs"
        if launch.from_tape:
            lines = ", ".join(str(line) for line in sorted({line for _, line, _ in launch.from_tape}))
            said += f"; the forward launch leaves it what is read on line {lines}"
        if launch.position is not None:
            self._note(launch.position, said)

    def _addition(self, addition: Addition) -> None:
        if addition.position is not None:
            self._note(addition.position, f"{_ADDITIONS[addition.kind]}: {addition.reason}")

    # --- the tape

    def _taped(self, taped: Taped) -> None:
        own = [i for i, site in enumerate(self.measured.sites) if site.mark == taped.mark]
        if not own:
            return  # nobody reads it: it was removed
        size = None if self.counts is None else sum(self.counts[i] for i in own)
        file, line, col = taped.position or (*self.main, 1)
        name = self.sources.name(taped.op, taped.position, taped.given) or taped.op
        reason = self._reason(taped)
        what = _WHAT[taped.kind]
        if taped.type == "i1" and ".cmp" in taped.op and not taped.given:
            what = "the choice in"
        value = TapedValue(name, what, _type(taped.type), file, line, col, size, taped.storage == "stack", reason)
        self.tape.append(value)
        self.taped_lines.add((file, line))
        if taped.kind == "snapshot":
            return  # said of the loop as a whole
        self._note((file, line, col), f"taped {self._sized(value, taped, own)}: {reason}")

    def _sized(self, value: TapedValue, taped: Taped, own: Sequence[int]) -> str:
        element = _element(taped.type)
        each = f", {element} bytes" if element else ""
        around = _times(taped.loops)
        if value.grows:
            if value.bytes is None:
                return f"{value.title} ({value.type}{each}{around}; a stack that grows: only a run tells how far)"
            kept = any(self.measured.sites[i].how == "kept" for i in own)
            most = ", with the arrays that it keeps" if kept else ""
            return f"{value.title} ({value.type}{each}{around}; on a stack that grew to {_amount(value.bytes)}{most})"
        if value.bytes is None or not element:
            return f"{value.title} ({value.type}{each}{around})"
        return f"{value.title} ({value.type}, {value.bytes // element} x {element} = {_amount(value.bytes)}{around})"

    @staticmethod
    def _said(reason: Reason, position: Position | None) -> str:
        """A reason for what is done at `position`, with the line of the place that it is about."""
        text = reason.text
        if reason.place is not None:
            file, line, _ = reason.place
            other = position is not None and position[0] != file
            text = text.replace("line N", f"line {line} of {os.path.basename(file)}" if other else f"line {line}")
        return text.replace(" on line N", "").replace(" (line N)", "").replace("line N", "something else")

    def _reason(self, taped: Taped) -> str:
        text = self._said(taped.reason, taped.position)
        if taped.inside is not None:
            text += f" (only while one iteration of the loop on line {taped.inside[1]} is reversed)"
        return text

    # --- the listing

    def _note(self, position: Position, text: str) -> None:
        file, line, _ = position
        self.notes.setdefault((file, line), {}).setdefault(text)

    def _listing(self) -> list[tuple[str, list[Line]]]:
        """The lines of the kernel, then of the functions that it calls and that something is said of."""
        source = self.kernel.source
        ranges = [(source.file, source.line, source.line + source.text.rstrip().count("\n"))]
        for file, line in sorted({*self.notes, *(place for place, s in self.states.items() if s != "const")}):
            if not any(f == file and first <= line <= last for f, first, last in ranges):
                ranges.append((file, *self.sources.function(file, line)))
        return [(file, [self._line(file, line) for line in range(a, b + 1)]) for file, a, b in ranges]

    def _line(self, file: str, number: int) -> Line:
        place = (file, number)
        text = self.sources.line(file, number)
        notes = tuple(self.notes.get(place, ()))
        return Line(number, self.states.get(place, "const"), place in self.taped_lines, text, notes)


def _times(loops: tuple[Position, ...]) -> str:
    if not loops:
        return ""
    lines = " and ".join(str(line) for _, line, _ in loops)
    several = "s" if len(loops) > 1 else ""
    return f", for each iteration of the loop{several} on line{several} {lines}"


def _type(type_: str) -> str:
    """A type of MLIR as the user knows it."""
    if type_.startswith("memref<"):
        shape = type_[7:-1].partition(",")[0]
        return f"array of {_type(shape.rpartition('x')[2])}"
    return _TYPES.get(type_, type_)


_TYPES = {
    "i1": "bool", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64", "index": "int64", "f16": "float16",
    "bf16": "bfloat16", "f32": "float32", "f64": "float64", "complex<f32>": "complex64", "complex<f64>": "complex128",
}  # fmt: skip


def _element(type_: str) -> int | None:
    """The bytes of a scalar type of MLIR."""
    if type_.startswith("complex<"):
        part = _element(type_[8:-1])
        return None if part is None else 2 * part
    if type_ == "index":
        return 8
    digits = type_.removeprefix("bf").lstrip("if")
    return max(1, int(digits) // 8) if digits.isdigit() else None


def _amount(count: int) -> str:
    if count < 10_000:
        return f"{count} byte{'' if count == 1 else 's'}"
    for unit in ("KiB", "MiB", "GiB"):
        size = count / 1024 ** (("KiB", "MiB", "GiB").index(unit) + 1)
        if size < 1024 or unit == "GiB":
            return f"{count} bytes ({size:.1f} {unit})"
    raise AssertionError
