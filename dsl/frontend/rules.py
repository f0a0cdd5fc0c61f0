"""Rules of kernels as functions of MLIR, made when the derivative engine asks for them.

While a module is emitted, `RuleMaker` is told of each function in it whose kernel (or foreign function) has rules, and
puts the attributes on it that say so (see dialects/custom). Called by the engine with what a rule is wanted for, it
chooses among the rules and emits the one (rule_function) for just that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from mlir import ir

from dialects.custom.resolve import Config as Wanted
from dialects.custom.resolve import Made

from .. import errors, types
from ..annotations import Active, Annotation, BatchDuplicated, Const, Duplicated, MixedDuplicated
from ..rules import Rule
from ..syntax import nodes

if TYPE_CHECKING:
    from ..foreign import Foreign
    from ..kernel import Kernel
    from .unit import Function, Unit
    from .values import Record

_ATTRIBUTES = {
    "forward": ["autodiff.forward_rule"],
    "augment": ["autodiff.augment_rule"],
    "reverse": ["autodiff.reverse_rule"],
    "easy": ["autodiff.forward_rule", "autodiff.augment_rule", "autodiff.reverse_rule"],
    "inactive": ["autodiff.inactive"],
}
#: What messages call a rule.
SAID = {"forward": "forward", "augment": "augmented primal", "reverse": "reverse", "easy": "easy"}


class Ruled(NamedTuple):
    """A function of the module whose kernel has rules."""

    symbol: str
    kernel: Kernel | Foreign
    arg_types: tuple[types.Type, ...]
    result_type: types.Type
    raises: bool
    #: Whether a thread of a grid runs it, and its rules.
    device: bool


class RuleMaker:
    """Makes rules for the functions of one module; to the engine it is a `RuleSource`."""

    def __init__(self, options: Any, numbers: Iterator[int], records: list[Record]) -> None:
        self.options, self.numbers, self.records = options, numbers, records
        self.functions: dict[str, Ruled] = {}
        #: What the augmented primal that was made for a call leaves to its reverse rule.
        self.tapes: dict[tuple[str, Wanted], types.Type] = {}

    def add(
        self, function: Function, kernel: Kernel | Foreign, arg_types: tuple[types.Type, ...], device: bool = False
    ) -> None:
        """Mark a function as one whose kernel has rules."""
        found = Ruled(function.symbol, kernel, arg_types, function.result_type, function.raises, device)
        self.functions[function.symbol] = found
        for rule in kernel.rules:
            for attribute in _ATTRIBUTES[rule.part]:
                function.op.attributes[attribute] = ir.UnitAttr.get()
            if rule.part == "augment" and rule.kernel is not None and looks_at_shadows(rule.kernel):
                function.op.attributes["autodiff.early_shadows"] = ir.UnitAttr.get()

    @staticmethod
    def may_raise(kernel: Kernel | Foreign, arg_types: Sequence[types.Type]) -> bool:
        """Whether a kernel's rules get an error cell even if the kernel has none: where there are arrays, whose shapes
        need not fit each other. (A function of numbers is not to be slowed down in a loop.)
        """
        written = any(rule.part not in ("easy", "inactive") for rule in kernel.rules)
        return written and any(isinstance(leaf, types.ArrayType) for t in arg_types for leaf in types.leaves(t))

    def error_records(self) -> list[dict[str, Any]]:
        """The places where the module, rules included, may raise."""
        return [record.as_dict() for record in self.records]

    def __call__(self, function: str, part: str, wanted: Wanted) -> Made | None:
        """The engine's question: see dialects.custom.resolve.RuleSource."""
        from .rule_function import RuleFunction
        from .unit import Unit

        ruled = self.functions[function]
        rules = [r for r in ruled.kernel.rules if r.part in (part, "easy")]
        if not rules:
            return None
        with ir.Context() as context, ir.Location.unknown():
            context.allow_unregistered_dialects = True
            context.enable_multithreading(False)
            unit = Unit(ir.Module.create(), self.options, self)
            asked = Asked(ruled, part, wanted)
            rule = choose(unit, asked, rules)
            return RuleFunction(unit, asked, rule, self).make()


class Asked:
    """What a rule is asked for, in the words of annotations: the class of each argument and of the result, with what
    each of their leaves does.
    """

    def __init__(self, ruled: Ruled, part: str, wanted: Wanted) -> None:
        self.ruled, self.part, self.wanted = ruled, part, wanted
        activity = iter(wanted.activity)
        self.kinds = [[next(activity) for _ in types.leaves(t)] for t in ruled.arg_types]
        self.return_kinds = list(wanted.returns)
        self.classes = [_class(kinds) for kinds in self.kinds]
        self.returns = _class(self.return_kinds)

    @property
    def name(self) -> str:
        return f"the {SAID[self.part]} rule of {self.ruled.kernel.name}"

    def overwritten(self) -> list[bool]:
        """For each argument, whether an array in it may change before the reverse rule runs."""
        flags = iter(self.wanted.overwritten)
        return [any(tuple(islice(flags, len(types.leaves(t))))) for t in self.ruled.arg_types]


def _class(kinds: Sequence[str]) -> type[Annotation]:
    """The annotation of a value with leaves of these activities."""
    moving = {kind for kind in kinds if kind != "const"}
    if not moving:
        return Const
    if moving == {"active"}:
        return Active
    return Duplicated if moving == {"duplicated"} else MixedDuplicated


def batched(cls: type[Annotation], width: int) -> type[Annotation]:
    """The class for several shadows at once."""
    return BatchDuplicated if cls is Duplicated and width > 1 else cls


def looks_at_shadows(rule: Kernel) -> bool:
    """Whether a rule may read `.dval` of something."""
    return re.search(r"\bdval\b", rule.source.text) is not None


# --- which rule ---------------------------------------------------------------------------------------------------


def choose(unit: Unit, asked: Asked, rules: Sequence[Rule]) -> Rule:
    """The first rule whose parameters' annotations allow what the arguments are."""
    for rule in rules:
        if _fits(unit, asked, rule):
            return rule
    kernel = asked.ruled.kernel
    shown = ", ".join(f"{name}: {cls.__name__}" for name, cls in zip(kernel.params, asked.classes))
    raise errors.DifferentiationError(
        f"no {SAID[asked.part]} rule of {kernel.name} takes ({shown}) -> {asked.returns.__name__}",
        rules[0].kernel.loc if rules[0].kernel is not None else None,
        "write one whose parameters have these annotations, or none",
    )


def _fits(unit: Unit, asked: Asked, rule: Rule) -> bool:
    if rule.part == "easy" or rule.kernel is None:
        return True
    width = asked.wanted.width if rule.batched else 1
    tree, _ = unit.tree(rule.kernel)
    first = 4 if asked.part == "reverse" else 3
    pairs = [*zip(tree.params[first:], asked.classes), (tree.params[2], asked.returns)]
    for param, cls in pairs:
        allowed = _allowed(unit, rule.kernel, param.annotation) if param.annotation is not None else ()
        if allowed and not issubclass(cls, allowed) and not issubclass(batched(cls, width), allowed):
            return False
    return True


def _allowed(unit: Unit, kernel: Kernel, node: nodes.Expression) -> tuple[type[Annotation], ...]:
    """The annotation classes that a parameter's annotation names: `Const | Duplicated`, `type[Active]`."""
    if isinstance(node, nodes.BinOp) and node.op == "|":
        left, right = _allowed(unit, kernel, node.left), _allowed(unit, kernel, node.right)
        return left + right if left and right else ()
    if isinstance(node, nodes.Subscript):
        return _allowed(unit, kernel, node.index)
    path: list[str] = []
    while isinstance(node, nodes.Attribute):
        path.insert(0, node.attr)
        node = node.value
    if not isinstance(node, nodes.Name):
        return ()
    try:
        found = unit.resolve(kernel, node.id, node.loc)
    except errors.CompileError:
        return ()
    for name in path:
        found = getattr(found, name, None)
    return (found,) if isinstance(found, type) and issubclass(found, Annotation) else ()
