"""The function that carries out one kind of call: tests the arguments, packs them, calls, and builds what is returned.

It is generated as Python source, once for each combination of Python classes, dtypes, ranks and annotations,
because it is what every call passes through. `source` shows it. Its tests are those that decide whether compiled
code fits and may run; where one fails the function returns MISS, having touched nothing, and `dsl.checks` finds out
why.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import types
from .annotations import Active, Annotation, Const
from .compiled import Compiled
from .memory import ALIGNED, C_CONTIGUOUS, WRITEABLE, address_of, extent, overlaps_itself
from .packing import (
    Buffers,
    array_words,
    bfloat16_bits,
    leaf_format,
    leaf_result,
    result_names,
    scalar_words,
    words,
)
from .request import BATCHES, MIXED, Argument, Leaf, Request, assigned, is_continuous
from .structs import Aggregate, Place, make_struct, part_of, parts, places, with_fields


class Miss:
    """What a runner returns where it does not fit the arguments."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISS"


MISS = Miss()
Runner = Callable[[tuple[Any, ...]], Any]
# Up to so many arrays are compared in pairs; more of them are sorted.
_PAIRS = 4


def build(request: Request, compiled: Compiled, guarded: bool = True) -> Runner:
    """The runner of a request. Unguarded, it takes for granted that it fits: the checks were made one by one."""
    return made(Writer(request, compiled, guarded, {}))


def made(writer: Writer) -> Runner:
    """The runner that a writer writes."""
    exec(compile(writer.write(), f"<call of {writer.request.kernel.name}>", "exec"), writer.names)
    run: Runner = writer.names["run"]
    return run


def source(request: Request, compiled: Compiled, guarded: bool, names: dict[str, Any]) -> str:
    """The text of the runner; what it refers to is put into `names`."""
    return Writer(request, compiled, guarded, names).write()


class Writer:
    """Writes the text of a runner part by part. `dsl.halves` has variants for the two calls of split mode."""

    trailing: tuple[str, ...] = ()  # names of what is given behind the annotated arguments
    more_results = 0  # words that the code leaves behind the results

    def __init__(self, request: Request, compiled: Compiled, guarded: bool, names: dict[str, Any]) -> None:
        self.request, self.compiled, self.guarded = request, compiled, guarded
        self.names = names
        self.lines: list[str] = []
        self.formats: list[str] = []  # of the argument words
        self.packed: list[str] = []
        self.ranges: list[tuple[str, str, bool, bool]] = []  # of arrays: first byte, last + 1, written, shadow
        self.written = iter(compiled.written)
        self.leaves = iter(request.leaves())
        self.leaf_vars: list[tuple[str, list[str]]] = []  # of each leaf: its variable, its shadows'
        self.structs: list[tuple[str, type]] = []  # variables that hold mutable structs
        self.children: dict[tuple[str, int | str], str] = {}  # variables of the parts of structs and tuples
        names.update(
            MISS=MISS,
            ndarray=np.ndarray,
            address_of=address_of,
            extent=extent,
            overlaps_itself=overlaps_itself,
            make_struct=make_struct,
            with_fields=with_fields,
            bfloat16_bits=bfloat16_bits,
            overlapping=overlapping,
            call=compiled.call,
            fail=compiled.fail,
            overflow=overflow,
            PackError=(struct.error, OverflowError),
            kernel=request.kernel,
            adopt=compiled.adopt,
        )

    # --- the parts in their order

    def write(self) -> str:
        arguments = self.request.arguments
        self._receive()
        for argument in arguments:
            self._argument(argument)
        self._overlaps()
        self._exclusive()
        self._call()
        self._return()
        body = "\n    ".join(self.lines)
        return f"def run(args):\n    {body}\n"

    def line(self, text: str) -> None:
        self.lines.append(text)

    def guard(self, condition: str) -> None:
        if self.guarded:
            self.line(f"if {condition}: return MISS")

    def name(self, value: Any, stem: str) -> str:
        """A name for an object that the text refers to."""
        name = f"{stem}_{len(self.names)}"
        self.names[name] = value
        return name

    def _receive(self) -> None:
        """Take the arguments out of their tuple, and the annotations apart."""
        given = [f"a{a.index}" for a in self.request.arguments if a.given]
        if self.request.returns is not None:
            given.insert(0, "returns")
        given += self.trailing
        self.guard(f"len(args) != {len(given)}")
        if given:
            self.line(f"{', '.join(given)}, = args")
        if self.request.returns is not None:
            self.guard(f"returns is not {self.name(self.request.returns, 'R')}")

    def _argument(self, argument: Argument) -> None:
        i = argument.index
        if not argument.given:
            self.names[f"v{i}"] = argument.value
        elif argument.annotation is None:
            self.line(f"v{i} = a{i}")
        else:
            self.guard(f"type(a{i}) is not {self.name(argument.annotation, 'A')}")
            self.line(f"v{i} = a{i}.val")
        shadows = [self._lane(argument, lane) for lane in range(len(argument.shadows))]
        if argument.annotation in BATCHES:
            self.guard(f"len(a{i}.dval) != {len(shadows)}")
        for lane, shadow in enumerate(shadows):
            self.line(f"{shadow} = {self._given(argument, lane)}{'.value' if argument.refs else ''}")
        self._value(argument.type, f"v{i}", argument.value, shadows, argument.shadows)

    @staticmethod
    def _lane(argument: Argument, lane: int) -> str:
        """The variable of one of an argument's shadows."""
        return f"d{argument.index}_{lane}" if argument.annotation in BATCHES else f"d{argument.index}"

    @staticmethod
    def _given(argument: Argument, lane: int) -> str:
        """The expression of one of an argument's shadows, or of the Ref that holds it."""
        return f"a{argument.index}.dval[{lane}]" if argument.annotation in BATCHES else f"a{argument.index}.dval"

    def _value(self, type_: types.Type, var: str, value: Any, dvars: list[str], shadows: tuple[Any, ...]) -> None:
        """Test a value against a type, and pack its leaves; `dvars` are its shadows' variables."""
        if isinstance(type_, types.Scalar):
            self._scalar(next(self.leaves), var, value, dvars, shadows)
        elif isinstance(type_, types.ArrayType):
            self._array(next(self.leaves), var, value, dvars, shadows)
        elif isinstance(type_, Aggregate):
            for name, one in zip([var, *dvars], [value, *shadows]):
                self._class(name, one)
                if isinstance(type_, types.StructType) and type_.mutable:
                    self.structs.append((name, type_.cls))
                if isinstance(type_, types.TupleType):
                    self.guard(f"len({name}) != {len(type_.elements)}")
            for key, inner, part in parts(type_):
                child, dchildren = self._child(var, key, part), [self._child(dvar, key, part) for dvar in dvars]
                inner_shadows = tuple(part_of(shadow, key) for shadow in shadows)
                self._value(inner, child, part_of(value, key), dchildren, inner_shadows)
        elif isinstance(type_, types.Literal) and isinstance(value, str):
            self.guard(f"{var} != {value!r}")
        else:
            self.guard(f"{var} is not {self.name(value, 'L')}")

    def _child(self, var: str, key: int | str, part: str) -> str:
        """A new variable that holds a part of `var`."""
        child = self.children[var, key] = f"x{len(self.children)}"
        self.line(f"{child} = {var}{part}")
        return child

    def _class(self, var: str, value: Any) -> None:
        self.guard(f"type({var}) is not {self.name(type(value), 'C')}")

    def _scalar(self, leaf: Leaf, var: str, value: Any, dvars: list[str], shadows: tuple[Any, ...]) -> None:
        assert isinstance(leaf.type, types.Scalar)
        self._class(var, value)
        self._pack(leaf.type, scalar_words(leaf.type, var))
        if leaf.activity != "const":
            for dvar, shadow in zip(dvars, shadows):
                self._class(dvar, shadow)
                if leaf.shadowed:
                    self._pack(leaf.type, scalar_words(leaf.type, dvar))
        self.leaf_vars.append((var, dvars))

    def _array(self, leaf: Leaf, var: str, value: np.ndarray, dvars: list[str], shadows: tuple[Any, ...]) -> None:
        assert isinstance(leaf.type, types.ArrayType)
        self._one_array(leaf.type, var, value, next(self.written), False)
        if leaf.shadowed:
            for dvar, shadow in zip(dvars, shadows):
                self._one_array(leaf.type, dvar, shadow, next(self.written), True)
                self.guard(f"{dvar}_shape != {var}_shape")
        self.leaf_vars.append((var, dvars))

    def _one_array(self, type_: types.ArrayType, var: str, value: np.ndarray, written: bool, shadow: bool) -> None:
        r = type_.ndim
        dtype = self.name(value.dtype, "T")
        mask = want = ALIGNED | (WRITEABLE if written else 0)
        if type_.contiguous:
            mask |= C_CONTIGUOUS
            want |= C_CONTIGUOUS
        elif not shadow:
            mask |= C_CONTIGUOUS  # a contiguous array has code of its own
        self._class(var, value)
        self.guard(f"{var}.dtype != {dtype} or {var}.ndim != {r} or {var}.flags.num & {mask:#x} != {want:#x}")
        sizes = [f"{var}_s{k}" for k in range(r)]
        self.line(f"{var}_shape = {var}.shape")
        if r:
            self.line(f"{', '.join(sizes)}, = {var}_shape")
        self.line(f"{var}_p = address_of({var})")
        itemsize = value.dtype.itemsize
        shift = itemsize.bit_length() - 1
        if type_.contiguous:
            low, high = f"{var}_p", f"{var}_p + {' * '.join([*sizes, str(itemsize)])}"
            strides: list[str] = []
        else:
            strides = [f"({var}_t{k} >> {shift})" if shift else f"{var}_t{k}" for k in range(r)]
            self.line(f"{var}_strides = {var}.strides")
            self.line(f"{', '.join(f'{var}_t{k}' for k in range(r))}, = {var}_strides")
            if shift:
                self.guard(f"({' | '.join(f'{var}_t{k}' for k in range(r))}) & {itemsize - 1}")
            if written:
                self.guard(f"overlaps_itself({var}_shape, {var}_strides, {itemsize})")
            low, high = f"{var}_low", f"{var}_high"
            if self.guarded:
                self.line(f"{low}, {high} = extent({var}_p, {var}_shape, {var}_strides, {itemsize})")
        self._pack(type_, array_words(type_, f"{var}_p", sizes, strides))
        self.ranges.append((low, high, written, shadow))

    def _pack(self, leaf: types.Type, expressions: list[str]) -> None:
        self.formats.append(leaf_format(leaf))
        self.packed += expressions

    def _overlaps(self) -> None:
        """Arrays must not overlap where one of the two is written, or is a shadow."""
        if not self.guarded:
            return
        # Arrays of a derivative that overlap, where that is permitted, are looked at in full each time.
        strict = self.compiled.strict_aliasing or self.request.mode is not None
        pairs = [
            (a, b)
            for k, a in enumerate(self.ranges)
            for b in self.ranges[:k]
            if a[3] or b[3] or (strict and (a[2] or b[2]))
        ]
        if not pairs:
            return
        if strict and len(self.ranges) > _PAIRS:
            items = ", ".join(f"({low}, {high}, {written or shadow})" for low, high, written, shadow in self.ranges)
            self.guard(f"overlapping([{items}])")
            return
        for (low1, high1, *_), (low2, high2, *_) in pairs:
            self.guard(f"{low1} < {high2} and {low2} < {high1}")

    def _exclusive(self) -> None:
        """A struct that gets new values must not be another one of the call as well."""
        for var, places_ in self._assigned():
            for place in places_:
                mine = self._at(var, place)
                cls = next(cls for name, cls in self.structs if name == mine)
                for other, other_cls in self.structs:
                    if other != mine and other_cls is cls:
                        self.guard(f"{mine} is {other}")
        refs = [self._given(a, lane) for a in self.request.arguments for lane in range(len(a.refs))]
        for k, ref in enumerate(refs):
            for other in refs[:k]:
                self.guard(f"{ref} is {other}")

    def _assigned(self) -> list[tuple[str, list[Place]]]:
        """The fields that get new values: of each argument, or shadow, by its variable."""
        return [
            (f"v{a.argument.index}" if a.lane is None else self._lane(a.argument, a.lane), a.places)
            for a in assigned(self.request, self.compiled.writebacks)
        ]

    def _at(self, var: str, place: Place) -> str:
        """The variable of the struct in which a place is."""
        for step in place.steps:
            var = self.children[var, step]
        return var

    def _assign(self, argument: Argument, lane: int | None, first: int, new: dict[int, str]) -> None:
        """Put new values, by their leaf numbers, into fields of an argument, or of one of its shadows; `first` is the
        argument's first leaf.
        """
        var = f"v{argument.index}" if lane is None else self._lane(argument, lane)
        for place in places(argument.type, set(new), first):
            holder = self._at(var, place)
            leaves = range(place.first, place.first + place.leaves)
            values = iter([new.get(j) or self._variable(j, lane) for j in leaves])
            old = self.children[holder, place.field]
            self.line(f"{holder}.{place.field} = {self._tree(place.type, values, shadow=old)}")

    def _variable(self, leaf: int, lane: int | None) -> str:
        """The variable of a leaf, or of one of its shadows."""
        var, dvars = self.leaf_vars[leaf]
        return var if lane is None else dvars[lane]

    def _seeds(self) -> None:
        """Pack what follows the arguments."""
        for seed in self.compiled.seeds(self.request):
            assert isinstance(seed.type, types.Scalar)
            for dvar in self.leaf_vars[self._index(seed)][1]:
                self._pack(seed.type, scalar_words(seed.type, dvar))

    def _call(self) -> None:
        """Pack, call, unpack, and raise what the kernel recorded."""
        compiled = self.compiled
        self._seeds()
        results = compiled.result_leaves(self.request)
        argument_words = sum(struct.calcsize("=" + f) for f in self.formats) // 8
        result_words = sum(map(words, results)) + self.more_results
        buffers = Buffers(argument_words, result_words, bool(compiled.errors))
        pack, at = struct.Struct("=" + "".join(self.formats)), 8 * argument_words
        self.names.update(free=buffers.free, new=buffers.new, pack=pack.pack_into)
        self.line(f"try: slot = free.pop()\n    except IndexError: slot = new({at})")
        self.line("buffer, address = slot")
        if self.packed:
            self.line(f"try: pack(buffer, 0, {', '.join(self.packed)})")
            self.line("except PackError as error: raise overflow(kernel, args, error) from None")
        self._run(argument_words, results)
        self.line("if status: fail(kernel, -status)")
        self.results = [result_names(leaf, f"r{k}") for k, leaf in enumerate(results)]
        unpacked = [name for group in self.results for name in group] + (["error"] if compiled.errors else [])
        if unpacked:
            formats = "".join(map(leaf_format, results))
            formats += f"{8 * self.more_results}xq" if compiled.errors else ""
            self.names["unpack"] = struct.Struct("=" + formats).unpack_from
            start = at + (40 if compiled.errors else 0)
            self.line(f"{', '.join(unpacked)}, = unpack(buffer, {start})")
        if not compiled.errors:
            self.line("free.append(slot)")
        if any(isinstance(leaf, types.ArrayType) for leaf in results):
            self.line("owners = {}")
        self.values = []
        for k, leaf in enumerate(results):
            expression = leaf_result(leaf, f"r{k}", self.names)
            if isinstance(leaf, types.ArrayType):  # before anything is raised: these own what was allocated
                self.line(f"r{k} = {expression}")
                expression = f"r{k}"
            self.values.append(expression)
        if compiled.errors:
            self.line("if error: fail(kernel, error)")  # this buffer is not used again: its error cell is set
            self.line("free.append(slot)")

    def _run(self, argument_words: int, results: list[types.Type]) -> None:
        """Call the code, when its arguments lie in `buffer`."""
        self.line("status = call(address)")

    def _index(self, leaf: Leaf) -> int:
        return next(k for k, other in enumerate(self.request.leaves()) if other.path == leaf.path)

    # --- what comes back

    def _return(self) -> None:
        request, compiled = self.request, self.compiled
        values = iter(self.values)
        primal = ""
        leaves = request.leaves()
        if compiled.primal:
            primal = self._tree(compiled.result, values)
            self._keep(request.mode is None or request.mode.primal, primal, "primal")
            overwritten = {index: next(values) for index in compiled.writebacks}
            for argument, first in self._firsts():
                self._assign(argument, None, first, overwritten)
        if request.mode is None:
            self.line("return primal")
        elif request.mode.reverse:
            gradients = self._gradients(leaves, values)
            self.line(f"return {self._outputs(gradients)}")
        else:
            outputs = ["primal"] if request.mode.primal else []
            if compiled.returns != "const":
                count = sum(map(is_continuous, types.leaves(compiled.result)))
                outputs.append(self._batch([self._tree(compiled.result, v, True) for v in self._lanes(values, count)]))
            self.line(f"tangents = {_tuple(outputs)}")
            moved = [index for index in compiled.writebacks if leaves[index].shadowed]
            for lane, new in enumerate(self._lanes(values, len(moved))):
                fresh = dict(zip(moved, new))
                for argument, first in self._firsts():
                    if argument.shadows:
                        self._assign(argument, lane, first, fresh)
            self.line("return tangents")

    def _lanes(self, values: Iterator[str], count: int) -> list[Iterator[str]]:
        """The next `count` tangents or gradients, for each lane: the lanes of one leaf stand side by side."""
        width = self.request.width
        taken = [next(values) for _ in range(count * width)]
        return [iter(taken[lane::width]) for lane in range(width)]

    def _batch(self, lanes: list[str]) -> str:
        """What is returned of all lanes: a tuple, where shadows come in tuples."""
        return _tuple(lanes) if self.request.batched else lanes[0]

    def _outputs(self, gradients: str) -> str:
        """What is returned in reverse mode."""
        return f"primal, {gradients}" if self.request.mode and self.request.mode.primal else f"({gradients},)"

    def _firsts(self) -> list[tuple[Argument, int]]:
        """Each argument with the number of its first leaf."""
        found, first = [], 0
        for argument in self.request.arguments:
            found.append((argument, first))
            first += len(types.leaves(argument.type))
        return found

    def _keep(self, wanted: bool, expression: str, name: str) -> None:
        if wanted:
            self.line(f"{name} = {expression}")

    def _gradients(self, leaves: list[Leaf], values: Any) -> str:
        """Add the gradients of scalars to their shadows; the expression of the tuple of the Active ones."""
        active = [k for k, leaf in enumerate(leaves) if leaf.activity == "active"]
        # for each lane by leaf: the expression of the scalar's gradient, or of its new shadow
        lanes = [dict(zip(active, gradients)) for gradients in self._lanes(values, len(active))]
        for lane, fresh in enumerate(lanes):
            for k in active:
                # an overwritten field's shadow was the seed: its gradient takes its place
                if leaves[k].argument.annotation is not Active and k not in self.compiled.writebacks:
                    fresh[k] = f"{self._variable(k, lane)} + {fresh[k]}"
        slots = []
        for argument, first in self._firsts():
            mine = range(first, first + len(types.leaves(argument.type)))
            if argument.annotation is Active:
                trees = [self._tree(argument.type, iter([fresh.get(j, "0") for j in mine])) for fresh in lanes]
                slots.append(self._batch(trees))
            elif argument.given:
                slots.append("None")
            for lane, fresh in enumerate(lanes):
                if argument.annotation in MIXED:
                    new = iter([fresh.get(j) or self._variable(j, lane) for j in mine])
                    tree = self._tree(argument.type, new, shadow=self._lane(argument, lane))
                    self.line(f"{self._given(argument, lane)}.value = {tree}")
                elif argument.annotation not in (Active, Const):
                    self._assign(argument, lane, first, fresh)
        return _tuple(slots)

    def _tree(self, type_: types.Type, values: Any, tangent: bool = False, shadow: str = "") -> str:
        """The expression of a value of this type made of its leaves' expressions.

        As a tangent, what is not continuous has none, and is zero. `shadow` names an old value whose structs are
        copied.
        """

        def old(key: int | str) -> str:
            return self.children[shadow, key] if shadow else ""

        if isinstance(type_, types.Scalar):
            return "0" if tangent and not is_continuous(type_) else next(values)
        if isinstance(type_, types.ArrayType):
            return "None" if tangent and not is_continuous(type_) else next(values)
        if isinstance(type_, types.TupleType):
            return _tuple([self._tree(inner, values, tangent, old(key)) for key, inner, _ in parts(type_)])
        if isinstance(type_, types.StructType):
            fields = self.name(tuple(name for name, _ in type_.fields), "F")
            made = _tuple([self._tree(inner, values, tangent, old(key)) for key, inner, _ in parts(type_)])
            if shadow:
                return f"with_fields({shadow}, {fields}, {made})"
            return f"make_struct({self.name(type_.cls, 'S')}, {fields}, {made})"
        return self.name(type_.value, "L") if isinstance(type_, types.Literal) else "None"


def _tuple(items: list[str]) -> str:
    return f"({''.join(item + ', ' for item in items)})"


def overlapping(ranges: list[tuple[int, int, bool]]) -> bool:
    """Whether two ranges overlap of which one is to be apart from all others."""
    end = end_written = 0
    for low, high, written in sorted(ranges):
        if low < end_written or (written and low < end):
            return True
        end = max(end, high)
        if written:
            end_written = max(end_written, high)
    return False


def overflow(kernel: Any, args: tuple[Any, ...], error: Exception) -> Exception:
    """The error for a number that its type cannot hold."""
    from .errors import ArgumentError

    if args and isinstance(args[0], type) and issubclass(args[0], Annotation):
        args = args[1:]  # the result's
    for index, value in enumerate(getattr(a, "val", a) for a in args):
        if type(value) is int and not -(2**63) <= value < 2**63:
            return ArgumentError(
                f"argument {index} of {kernel.name}, {value}, does not fit int64",
                None,
                "pass a float where the range matters",
            )
    return ArgumentError(f"an argument of {kernel.name} does not fit its type: {error}")
