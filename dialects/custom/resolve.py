"""The rules of one call: which functions carry its derivative out, and whether they have the types that they should.

Takes a marked call and the activity of what goes into and out of it; leaves a `Rule` for each part, checked against
the conventions in this package's docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlir.ir import (
    ArrayAttr,
    BlockArgument,
    FlatSymbolRefAttr,
    FunctionType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Module,
    Operation,
    StringAttr,
    Type,
    TypeAttr,
    VectorType,
)

from ..activity import Activity
from ..builder import holds_tangents, is_differentiable, is_memref, operation, operations
from ..errors import refuse
from ..objects import Objects
from ..prepare import prepare
from .marks import RULES, functions, named

_PARTS = {
    "forward": ("forward", "forward mode needs one that gives the primal and its tangents"),
    "reverse": ("reverse", "reverse mode needs one that gives the cotangents of the arguments"),
}


@dataclass(frozen=True)
class Config:
    """What a rule is wanted for. The words for activities are those of a request (request.py).

    `overwritten` says for each argument whether the memory it points to may be written between the forward and the
    reverse sweep.
    """

    activity: tuple[str, ...]
    returns: tuple[str, ...]
    width: int
    needs_primal: bool
    overwritten: tuple[bool, ...]
    strong_zero: bool


@dataclass(frozen=True)
class Made:
    """A rule that was made on demand: the text of a module that defines it (as @name) with all that it calls."""

    text: str
    name: str


#: Makes a rule of @function: (function, "forward" | "augment" | "reverse", config) → the rule, None if there is none.
#: Functions of its module that the engine's own module has too are taken to be the same.
RuleSource = Callable[[str, str, Config], Made | None]


@dataclass(frozen=True)
class Rule:
    """A function that carries out one part of a call's derivative."""

    name: str
    function: Operation
    activity: tuple[str, ...]
    returns: tuple[str, ...]
    width: int
    strong_zero: bool

    def results(self) -> list[Type]:
        return list(_type(self.function).results)

    def uses(self, argument: int) -> list[Operation] | None:
        """The ops that use an argument (by its number in the rule's own signature); None for a rule without body."""
        blocks = list(self.function.regions[0].blocks)
        if not blocks:
            return None
        return [operation(use.owner) for block in blocks[:1] for use in block.arguments[argument].uses]

    def unused(self, argument: int) -> bool:
        return self.uses(argument) == []

    def only_extents(self, argument: int) -> bool:
        """Whether the content of a memref argument is of no interest."""
        uses = self.uses(argument)
        return uses is not None and all(op.name == "memref.dim" for op in uses)

    def gives_own_memory(self, result: int) -> bool:
        """Whether the memref that it gives is one allocation, made once: then whoever gets it can free it by hand."""
        blocks = list(self.function.regions[0].blocks)
        if len(blocks) != 1:
            return False
        value = operations(blocks[0])[-1].operands[result]
        if isinstance(value, BlockArgument):
            return False
        op = operation(value.owner)
        return op.name == "memref.alloc" and op.block == blocks[0]


class Rules:
    """The rules of the functions in a module."""

    def __init__(self, module: Module, source: RuleSource | None = None):
        self.module, self.source = module, source
        self.known = functions(module)
        self._made_before: dict[tuple[str, str, Config], Rule | None] = {}

    def missing(self, call: Operation, part: str) -> Exception:
        """The error for a call whose function lacks the rule for a mode."""
        name = _callee(call)
        has = [p for p, attribute in RULES.items() if attribute in self.known[name].attributes]
        word, what = _PARTS[part]
        there = f"it has {' and '.join(f'one for {_said(p)}' for p in has)}" if has else "it has none"
        return refuse(call, f"@{name} has no {word} rule: {there}, and this derivative is taken in {part} mode", what)

    def find(self, call: Operation, part: str, activity: Activity, config: Config) -> Rule | None:
        """The function that carries out `part`, None where the call's function names none."""
        name = _callee(call)
        function = self.known[name]
        attribute = RULES[part]
        if attribute not in function.attributes:
            return None
        names = named(function, attribute)
        if names is None:
            key = (name, part, config)
            if key not in self._made_before:
                self._made_before[key] = self._made(call, name, part, config)
            return self._made_before[key]
        rules = [self._rule(function, rule, part, call, config) for rule in names]
        for rule in rules:
            if _covers(rule, config):
                return rule
        shown = ", ".join(f"@{n}" for n in names)
        raise refuse(
            call,
            f"no {part} rule of @{name} ({shown}) covers a call whose arguments are {_shown(config.activity)}",
            "give it one without autodiff.activity, which takes a tangent for each argument",
        )

    def _made(self, call: Operation, name: str, part: str, config: Config) -> Rule | None:
        made = self.source(name, part, config) if self.source is not None else None
        if made is None:
            if part == "augment":
                return None
            raise refuse(call, f"the {part} rule of @{name} is made on demand, and nobody here makes it")
        self._add(made)
        function = self.known[made.name]
        return Rule(
            made.name, function, config.activity, config.returns, _width(function), _takes_strong_zero(function)
        )

    def _add(self, made: Made) -> None:
        """Take the functions of a rule over, prepared for differentiation like all others."""
        brought = Module.parse(made.text)
        prepare(brought)
        for name, op in functions(brought).items():
            if name not in self.known:
                with InsertionPoint(self.module.body):
                    self.known[name] = operation(op.clone())

    def _rule(self, owner: Operation, name: str, part: str, call: Operation, config: Config) -> Rule:
        if name not in self.known:
            raise refuse(owner, f"there is no function @{name}, which {RULES[part]} of @{_callee(call)} names")
        function = self.known[name]
        activity, returns = _declared(function, call, part)
        return Rule(name, function, activity, returns, _width(function), _takes_strong_zero(function))

    def check(self, call: Operation, part: str, rule: Rule, tape: Sequence[Type] = ()) -> None:
        """Refuse a rule whose type is not what its part asks for; an augment rule may give more, its tape."""
        inputs, outputs = _expected(call, part, rule, tape)
        found = _type(rule.function)
        results = list(found.results)
        fits = results[: len(outputs)] == outputs if part == "augment" else results == outputs
        if list(found.inputs) != inputs or not fits:
            expected = FunctionType.get(inputs, outputs)
            more = ", and behind these results its tape" if part == "augment" else ""
            raise refuse(
                rule.function,
                f"@{rule.name} as the {part} rule of @{_callee(call)} has type {expected}{more}; it is {found}",
            )
        blocks = list(rule.function.regions[0].blocks)
        if len(blocks) == 1:
            _refuse_borrowed(rule)


def _refuse_borrowed(rule: Rule) -> None:
    """What a rule returns is its receiver's: no argument, no global, and nothing twice."""
    returned = operations(rule.function.regions[0].blocks[0])[-1]
    memrefs = [v for v in returned.operands if is_memref(v.type)]
    if not memrefs:
        return
    objects = Objects(rule.function)
    seen: set[object] = set()
    for memref in memrefs:
        found = objects.of(memref)
        if any(o.argument is not None or o.is_global for o in found):
            raise refuse(returned, f"@{rule.name} returns memory that is not its own", "return a copy of it")
        if seen & found:
            raise refuse(returned, f"@{rule.name} returns the same memory twice", "return a copy of it")
        seen |= found


def tangent_type(type_: Type, width: int) -> list[Type]:
    """What stands beside a value of this type: shadows, one a direction, or a tangent."""
    if is_memref(type_):
        return [type_] * width
    if width == 1:
        return [type_]
    return [VectorType.get([width], type_)]


def _expected(call: Operation, part: str, rule: Rule, tape: Sequence[Type]) -> tuple[list[Type], list[Type]]:
    arguments = list(zip([o.type for o in call.operands], rule.activity, strict=True))
    results = list(zip([r.type for r in call.results], rule.returns, strict=True))
    inputs: list[Type] = []
    for type_, kind in arguments:
        inputs.append(type_)
        if kind == "duplicated":
            inputs += tangent_type(type_, rule.width)
    outputs = [t for t, _ in results]
    moving = [(t, kind) for t, kind in results if kind != "const"]
    if part == "forward":
        outputs += [more for t, _ in moving for more in tangent_type(t, rule.width)]
    elif part == "augment":
        outputs += [more for t, _ in moving if is_memref(t) for more in tangent_type(t, rule.width)]
    else:
        for t, _ in moving:
            inputs += ([t] if is_memref(t) else []) + tangent_type(t, rule.width)
        inputs += tape
        outputs = [more for t, kind in arguments if kind == "active" for more in tangent_type(t, rule.width)]
    if rule.strong_zero:
        inputs.append(IntegerType.get_signless(1))
    return inputs, outputs


def _declared(function: Operation, call: Operation, part: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The activities that a rule is written for: all that can move, or what it says."""
    scalar = "duplicated" if part == "forward" else "active"
    found = []
    for what, values in (("activity", list(call.operands)), ("returns", list(call.results))):
        attribute = f"autodiff.{what}"
        full = tuple(_moving(v.type, scalar) for v in values)
        if attribute not in function.attributes:
            found.append(full)
            continue
        given = function.attributes[attribute]
        words = list(ArrayAttr(given)) if isinstance(given, ArrayAttr) else []
        kinds = tuple(StringAttr(word).value for word in words if isinstance(word, StringAttr))
        if len(kinds) != len(full) or any(k not in ("const", f) for k, f in zip(kinds, full, strict=True)):
            raise refuse(
                function,
                f"{attribute} is {given}; as a {part} rule of @{_callee(call)} it is to be {_shown(full)}, "
                'or "const" in some places',
            )
        found.append(kinds)
    return found[0], found[1]


def _moving(type_: Type, scalar: str) -> str:
    if is_memref(type_):
        return "duplicated" if holds_tangents(type_) else "const"
    return scalar if is_differentiable(type_) else "const"


def _covers(rule: Rule, config: Config) -> bool:
    wanted = (*config.activity, *config.returns)
    given = (*rule.activity, *rule.returns)
    return rule.width in (1, config.width) and all(
        w == "const" or g != "const" for w, g in zip(wanted, given, strict=True)
    )


def _width(function: Operation) -> int:
    if "autodiff.width" not in function.attributes:
        return 1
    given = function.attributes["autodiff.width"]
    if not isinstance(given, IntegerAttr) or given.value < 1:
        raise refuse(function, f"autodiff.width is {given}: it must be a number of directions")
    return int(given.value)


def _takes_strong_zero(function: Operation) -> bool:
    return "autodiff.strong_zero" in function.attributes


def _callee(call: Operation) -> str:
    return FlatSymbolRefAttr(call.attributes["callee"]).value


def _type(function: Operation) -> FunctionType:
    return TypeAttr(function.attributes["function_type"]).value


def _said(part: str) -> str:
    return {"forward": "forward mode", "augment": "the forward sweep", "reverse": "reverse mode"}[part]


def _shown(kinds: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{kind}"' for kind in kinds) + "]"


__all__ = ["Config", "Rule", "RuleSource", "Rules", "tangent_type"]
