"""One module in the making: the functions in it, which kernels are being emitted, and how a kernel becomes a
function.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlir import ir

from .. import constants as surroundings
from .. import errors, types
from ..syntax.loc import Loc
from .derivatives import refuse_annotations
from .liveness import Liveness
from .lowered import Writeback
from .origin import belongs_to_caller
from .rules import RuleMaker
from .structs import MustInline
from .values import Builder, Shared, Value

if TYPE_CHECKING:
    from ..foreign import Foreign
    from ..kernel import Kernel
    from ..modes import Mode
    from ..syntax.nodes import FunctionDef
    from .emitter import Emitter


class Function:
    """A kernel specialised for the types of its arguments, as a function of the module."""

    def __init__(self, symbol: str, op: ir.Operation) -> None:
        self.symbol = symbol
        self.op = op
        self.results: list[ir.Type] = []
        self.result_type: types.Type = types.none
        self.raises = False
        self.writebacks: list[Writeback] = []
        #: What a caller has to keep apart (see apart.py).
        self.apart: dict[tuple[int, int], str] = {}


class Unit:
    """All that the emitters of one module share."""

    def __init__(self, module: ir.Module, options: Any, rules: RuleMaker | None = None) -> None:
        """`rules` for the module of a rule: those of the module that it is a rule for."""
        self.shared = Shared(module, options)
        self.pending: list[errors.CompileError] = []  # errors of paths that may yet turn out not to be
        self._functions: dict[tuple[int, tuple[types.Type, ...], bool], Function | None] = {}
        if rules is None:
            rules = RuleMaker(options, itertools.count(), self.shared.records)
        self.rules = rules
        self.shared.records, self._numbers = rules.records, rules.numbers
        # The kernel is kept as well: what is known of it goes by its id.
        self._trees: dict[int, tuple[FunctionDef, Liveness, Kernel]] = {}
        self._calling: list[Kernel] = []
        self._objects = 0
        self._entry: Emitter | None = None
        self._derivatives: dict[tuple[Any, ...], str] = {}  # their declarations

    # --- kernels

    def resolve(self, kernel: Any, name: str, loc: Loc) -> Any:
        return surroundings.resolve(kernel, name, loc)

    def as_kernel(self, function: Any) -> Kernel | None:
        """The kernel that a callable object is or can be taken as, else None."""
        from types import FunctionType

        from ..kernel import Kernel, as_kernel

        if isinstance(function, Kernel):
            return function
        if isinstance(function, FunctionType) and (function.__module__ or "").partition(".")[0] not in _LIBRARIES:
            return as_kernel(function)
        return None

    def tree(self, kernel: Kernel) -> tuple[FunctionDef, Liveness]:
        found = self._trees.get(id(kernel))
        if found is None:
            from ..syntax.parser import parse
            from ..syntax.while_tests import with_plain_loops

            source = kernel.source
            tree = with_plain_loops(parse(source.text, source.file, source.line, source.col))
            found = self._trees[id(kernel)] = (tree, Liveness(tree), kernel)
        return found[:2]

    def boundscheck(self, kernel: Kernel) -> bool:
        """Whether bounds are checked in a kernel: as it says itself, else as the one that was asked for."""
        return bool(kernel.options.get("boundscheck", self.shared.boundscheck))

    def emitter(self, kernel: Kernel, b: Builder) -> Emitter:
        from .emitter import Emitter

        tree, liveness = self.tree(kernel)
        return Emitter(self, kernel, tree, liveness, b)

    @contextmanager
    def calling(self, kernel: Kernel) -> Iterator[None]:
        self._calling.append(kernel)
        try:
            yield
        finally:
            self._calling.pop()

    def refuse_recursion(self, kernel: Kernel, loc: Loc) -> None:
        for position, caller in enumerate(self._calling):
            if caller is kernel:
                cycle = " -> ".join(k.name for k in [*self._calling[position:], kernel])
                raise errors.RecursionRefused(
                    f"kernels cannot call themselves, directly or through others: {cycle}", loc, "write it as a loop"
                )

    def object_number(self) -> int:
        self._objects += 1
        return self._objects

    def is_entry(self, emitter: Any) -> bool:
        """Whether what an emitter works on are the arguments of the entry itself."""
        while emitter.caller is not None:
            emitter = emitter.caller
        return emitter is self._entry

    # --- functions

    def specialise(
        self, kernel: Kernel, arg_types: tuple[types.Type, ...], loc: Loc, device: bool
    ) -> Function | None:
        """The function of a kernel for these types, made when first asked for; None where it has to be inlined.
        `device` says whether a thread of a grid runs it.
        """
        key = (id(kernel), arg_types, device)
        if key not in self._functions:
            pending, self.pending = self.pending, []
            try:
                self._functions[key] = self._make(kernel, arg_types, False, device)
            except MustInline:
                if kernel.rules:
                    raise errors.DifferentiationError(
                        f"{kernel.name} has rules of its own, but hands out an array or struct of its caller's, or "
                        "makes a mutable struct",
                        kernel.loc,
                        "return a copy of the array",
                        [("called here", loc)],
                    ) from None
                self._functions[key] = None
            except errors.CompileError as error:
                if error.loc is not None and self._calling[-1].launched is None:
                    shown = ", ".join(map(str, arg_types))
                    error.notes.append((f"in {kernel.name}({shown}), called here", loc))
                    error.rendered = error._render()
                raise
            finally:
                self.pending = pending
        return self._functions[key]

    def entry(self, kernel: Kernel, arg_types: tuple[types.Type, ...]) -> Function:
        return self._make(kernel, arg_types, True, False)

    def _make(self, kernel: Kernel, arg_types: tuple[types.Type, ...], is_entry: bool, device: bool) -> Function:
        tree, _ = self.tree(kernel)
        place = ir.Location.file(tree.loc.file, tree.loc.line, tree.loc.col)
        name = re.sub(r"\W+", "", kernel.name) or "kernel"
        # A dot keeps it apart from every C function; the number from other specialisations.
        symbol = f"{name}.entry" if is_entry else f"{name}.{next(self._numbers)}"
        leaf_types = [self.shared.type(leaf.mlir) for t in arg_types for leaf in types.leaves(t)]
        cell_type = self.shared.type("memref<1xi64>")
        attributes = {
            "sym_name": ir.StringAttr.get(symbol),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get([*leaf_types, cell_type], [])),
        }
        if not is_entry:
            attributes["sym_visibility"] = ir.StringAttr.get("private")
        with ir.InsertionPoint(self.shared.module.body), place:
            op = ir.Operation.create("func.func", attributes=attributes, regions=1)
        function = Function(symbol, op)
        try:
            block = op.regions[0].blocks.append(*leaf_types, cell_type, arg_locs=[place] * (len(leaf_types) + 1))
            with ir.InsertionPoint(block), place, self.calling(kernel):
                self._fill(function, kernel, arg_types, block, tree.loc, is_entry, device)
        except BaseException:
            op.erase()
            raise
        return function

    def _fill(
        self,
        function: Function,
        kernel: Kernel,
        arg_types: tuple[types.Type, ...],
        block: ir.Block,
        loc: Loc,
        is_entry: bool,
        device: bool,
    ) -> None:
        """Emit the body, the return, and what the signature turns out to be."""
        arguments = list(block.arguments)
        cell = arguments.pop()
        b = Builder(self.shared, loc, cell, device)
        b.boundscheck = self.boundscheck(kernel)
        b.apart = function.apart if device else None
        emitter = self.emitter(kernel, b)
        if is_entry:
            self._entry = emitter
        leaves = iter(arguments)
        values = [emitter.rebuild(t, leaves) for t in arg_types]
        emitter.own_parameters(values)
        initial = dict(emitter.state.vars)
        value = emitter.run(values)
        if self.pending:
            raise self.pending[0]
        if emitter.objects_in(value) and not is_entry:
            raise MustInline
        refuse_annotations(b, emitter, value)
        function.result_type = emitter.type_of(value)
        results = emitter.leaves_as(value, function.result_type)
        kinds = types.leaves(function.result_type)
        results = [self._owned(emitter, leaf, kind, block, is_entry) for leaf, kind in zip(results, kinds)]
        for back, field in emitter.changed_fields(values, initial):
            function.writebacks.append(back)
            results += emitter.leaves_as(field, back.type)
        ir.Operation.create("func.return", [], results)
        function.raises = any(True for _ in cell.uses)
        if not function.raises and self.rules.may_raise(kernel, arg_types):
            # The cell is then there for the rules; it comes with a table of what can be in it.
            function.raises = True
            self.shared.record("RuntimeError", f"a rule of {kernel.name} failed", loc)
        inputs = [a.type for a in block.arguments]
        if not function.raises:
            block.erase_argument(len(inputs) - 1)
            inputs.pop()
        function.results = [r.type for r in results]
        function.op.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, function.results))
        if kernel.rules:
            if function.writebacks:
                raise errors.DifferentiationError(
                    f"{kernel.name} has rules of its own, but assigns to fields of its arguments",
                    loc,
                    "return the new values",
                )
            self.rules.add(function, kernel, arg_types, device)

    def _owned(self, emitter: Emitter, leaf: ir.Value, kind: types.Type, block: ir.Block, is_entry: bool) -> ir.Value:
        """A result that its receiver may own: an array of the caller's is copied, or the callee inlined."""
        if not isinstance(kind, types.ArrayType) or not belongs_to_caller(leaf, block):
            return leaf
        if not is_entry:
            raise MustInline
        return emitter.copied(leaf, kind)

    def foreign(self, foreign_: Foreign, loc: Loc) -> Function:
        """The function that calls a foreign one and carries its rules, made when first asked for."""
        arg_types = tuple(p.type for p in foreign_.signature.parameters)
        key = (id(foreign_), arg_types, False)
        found = self._functions.get(key)
        if found is None:
            found = self._functions[key] = self._carrier(foreign_, arg_types, loc)
        return found

    def _carrier(self, foreign_: Foreign, arg_types: tuple[types.Type, ...], loc: Loc) -> Function:
        from . import foreign

        symbol = f"{foreign_.name}.{next(self._numbers)}"
        inputs = [self.shared.type(t.mlir) for t in arg_types]
        raises = self.rules.may_raise(foreign_, arg_types)
        if raises:
            inputs.append(self.shared.type("memref<1xi64>"))
            self.shared.record("RuntimeError", f"a rule of {foreign_.name} failed", loc)
        result = foreign_.signature.result
        results = [] if result == types.none else [self.shared.type(result.mlir)]
        attributes = {
            "sym_name": ir.StringAttr.get(symbol),
            "function_type": ir.TypeAttr.get(ir.FunctionType.get(inputs, results)),
            "sym_visibility": ir.StringAttr.get("private"),
        }
        place = ir.Location.file(loc.file, loc.line, loc.col)
        with ir.InsertionPoint(self.shared.module.body), place:
            op = ir.Operation.create("func.func", attributes=attributes, regions=1)
        block = op.regions[0].blocks.append(*inputs, arg_locs=[place] * len(inputs))
        with ir.InsertionPoint(block), place:
            b = Builder(self.shared, loc, None)
            value = foreign.call(b, foreign_, [Value(t, (a,)) for t, a in zip(arg_types, block.arguments)], {})
            ir.Operation.create("func.return", [], [b.ir(value)] if results else [])
        function = Function(symbol, op)
        function.results, function.result_type, function.raises = results, result, raises
        self.rules.add(function, foreign_, arg_types)
        return function

    # --- derivatives

    def derivative(
        self,
        callee: str,
        mode: Mode,
        activities: list[str],
        returns: list[str],
        width: int,
        inputs: list[ir.Type],
        results: list[ir.Type],
    ) -> str:
        """The name of the declaration that asks for this derivative of @callee, made when first asked for."""
        key = (callee, mode, tuple(activities), tuple(returns), width)
        if key not in self._derivatives:
            symbol = f"{callee}.{mode.kind}.{next(self._numbers)}"
            attributes = {
                "sym_name": ir.StringAttr.get(symbol),
                "function_type": ir.TypeAttr.get(ir.FunctionType.get(inputs, results)),
                "sym_visibility": ir.StringAttr.get("private"),
                f"autodiff.{mode.kind}": ir.FlatSymbolRefAttr.get(callee),
                "autodiff.activity": _strings(activities),
                "autodiff.returns": _strings(returns),
            }
            if width > 1:
                attributes["autodiff.width"] = ir.IntegerAttr.get(ir.IntegerType.get_signless(64), width)
            for name in ("primal", "strong_zero", "holomorphic"):
                if getattr(mode, name):
                    attributes[f"autodiff.{name}"] = ir.UnitAttr.get()
            with ir.InsertionPoint(self.shared.module.body):
                ir.Operation.create("func.func", attributes=attributes, regions=1)
            self._derivatives[key] = symbol
        return self._derivatives[key]

    # --- the module

    def drop_unused(self, entry: str) -> None:
        """Erase the functions that nothing calls: those of attempts that were thrown away, and declarations only they
        used.
        """
        table: dict[str, ir.Operation] = {}
        for op in self.shared.module.body.operations:
            table[ir.StringAttr(op.attributes["sym_name"]).value] = op.operation
        used: set[str] = set()
        todo = [entry]
        while todo:
            symbol = todo.pop()
            if symbol in used:
                continue
            used.add(symbol)
            todo += _callees(table[symbol])
        for symbol, op in table.items():
            if symbol not in used:
                op.erase()


def _strings(items: list[str]) -> ir.Attribute:
    return ir.ArrayAttr.get([ir.StringAttr.get(item) for item in items])


def _callees(function: ir.Operation) -> list[str]:
    found: list[str] = []

    def visit(op: ir.Operation) -> ir.WalkResult:
        if op.name == "func.call":
            found.append(ir.FlatSymbolRefAttr(op.attributes["callee"]).value)
        for asked in ("autodiff.forward", "autodiff.reverse"):
            if asked in op.attributes:
                found.append(ir.FlatSymbolRefAttr(op.attributes[asked]).value)
        return ir.WalkResult.ADVANCE

    function.walk(visit)
    return found


_LIBRARIES = frozenset(("numpy", "scipy", "math", "cmath", "builtins"))

__all__ = ["Function", "Unit", "Value"]
