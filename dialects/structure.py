"""Pass `autodiff-structure`: bring a function into the small normal form that the derivative passes read.

Takes a func.func of one block (lift-cf-to-scf has run) with scf, memref, arith, math, complex, vector ops in it.
Leaves a private copy in which
- every scf.for runs from 0 by 1 over `index`, its upper bound being the trip count (never negative), and carries no
  arrays that it only passes around (see rotation);
- every scf.while has an empty `before` region: `before` only forwards its arguments, the first being the condition;
- scf.parallel has become a launch (see parallel_forms), scf.index_switch and scf.execute_region branches and straight
  code;
- calls are inlined, but those of functions with rules of their own (see custom);
- local memory is memref.alloc without dealloc: where memory ends is decided again after differentiation;
- vectors that are read from and written to memory, and outside of launches atomics, are loads and stores (see
  memory_forms, vector_forms);
- launches are as launches.py says.
"""

from __future__ import annotations

from mlir.ir import (
    Block,
    BlockArgument,
    FlatSymbolRefAttr,
    IndexType,
    InsertionPoint,
    IntegerAttr,
    IntegerType,
    Module,
    Operation,
    StringAttr,
    TypeAttr,
    UnitAttr,
    Value,
)

from . import rules
from .builder import Builder, operation, operations
from .copier import add_block, attributes_of, pick
from .custom.marks import is_custom
from .errors import refuse
from .launches import DEVICE, device_functions
from .memory_forms import MemoryForms
from .parallel_forms import Parallel, ParallelForms
from .rotation import Rotation, cycles
from .vector_forms import VectorForms


def normalise(module: Module, function: Operation, name: str, parallel: Parallel) -> Operation:
    """The copy of `function` in normal form, added to `module` as private @name, with the calls in it inlined."""
    blocks = list(function.regions[0].blocks)
    if len(blocks) != 1:
        raise refuse(function, "unstructured control flow is left in the function", "run lift-cf-to-scf first")
    builder = Builder(InsertionPoint(module.body), function.location)
    attributes = attributes_of(function) | {
        "sym_name": StringAttr.get(name),
        "sym_visibility": StringAttr.get("private"),
    }
    attributes.pop("llvm.emit_c_interface", None)
    new = builder.op("func.func", [], [], attributes, regions=1)
    old = blocks[0]
    block = new.regions[0].blocks.append(*[a.type for a in old.arguments], arg_locs=[a.location for a in old.arguments])
    copier = Normaliser(builder, module)
    copier.parallel = parallel
    copier.calls.append(function)
    copier.device = symbol(function) in device_functions(module)
    if copier.device:
        new.attributes[DEVICE] = UnitAttr.get()
    copier.map.update(zip(old.arguments, block.arguments, strict=True))
    with builder.at(block):
        copier.block(old)
        last = operations(old)[-1]
        builder.loc = last.location
        builder.op("func.return", copier.values(last.operands))
    return new


def one_call(module: Module, function: Operation, name: str) -> Operation:
    """A private @name that does nothing but call `function`: the form in which a function with rules of its own is
    differentiated itself.
    """
    builder = Builder(InsertionPoint(module.body), function.location)
    type_ = TypeAttr(function.attributes["function_type"]).value
    attributes = {
        "sym_name": StringAttr.get(name),
        "sym_visibility": StringAttr.get("private"),
        "function_type": TypeAttr.get(type_),
    }
    new = builder.op("func.func", [], [], attributes, regions=1)
    block = add_block(new.regions[0], type_.inputs, builder.loc)
    with builder.at(block):
        callee = {"callee": FlatSymbolRefAttr.get(symbol(function))}
        call = builder.op("func.call", list(block.arguments), type_.results, callee)
        builder.op("func.return", list(call.results))
    return new


class Normaliser(VectorForms, MemoryForms, ParallelForms):
    def __init__(self, builder: Builder, module: Module):
        super().__init__(builder)
        functions = [op for op in map(operation, module.body.operations) if op.name == "func.func"]
        self.bodies = {symbol(op): op for op in functions if list(op.regions[0].blocks)}
        #: The functions whose bodies are being copied, outermost first.
        self.calls: list[Operation] = []

    def copy_func_call(self, op: Operation) -> None:
        """The callee's body, where there is one and no rule. (MLIR's inliner leaves calls of functions that use
        caches.)
        """
        callee = self.bodies.get(callee_name(op))
        if callee is None or is_custom(callee) or rules.lookup(op) is not None:
            self.copy(op)
            return
        if callee in self.calls:
            raise refuse(op, f"recursion: @{callee_name(op)} calls itself", "write it as a loop")
        blocks = list(callee.regions[0].blocks)
        if len(blocks) != 1:
            raise refuse(op, f"unstructured control flow in @{callee_name(op)}", "run lift-cf-to-scf first")
        self.calls.append(callee)
        self.map.update(zip(blocks[0].arguments, self.values(op.operands), strict=True))
        self.block(blocks[0])
        self.map.update(zip(op.results, self.values(operations(blocks[0])[-1].operands), strict=True))
        self.calls.pop()

    def copy_scf_for(self, op: Operation) -> None:
        lower, upper, step = self.values(op.operands[:3])
        unsigned = "unsignedCmp" in op.attributes
        old = op.regions[0].blocks[0]
        plain = isinstance(lower.type, IndexType) and _constant(lower) == 0 and _constant(step) == 1
        trips = upper if plain and not unsigned else self.trips(lower, upper, step, unsigned)
        zero, one = self.b.index(0), self.b.index(1)
        if _constant(trips) is None:
            trips = self.b.integer("maxsi", trips, zero)
        inits = self.values(op.operands[3:])
        rotation = Rotation(self.b, cycles(old), lambda j: inits[j])
        kept = [j for j in range(len(inits)) if j not in rotation.found]
        body = self.b.for_loop(zero, trips, one, pick(inits, kept))
        with self.b.at(body):
            counter = body.arguments[0]
            self.map[old.arguments[0]] = counter if plain else self.induction(counter, lower, step)
            self.map.update(zip(pick(list(old.arguments)[1:], kept), list(body.arguments)[1:], strict=True))
            self.map.update({old.arguments[1 + j]: memref for j, memref in rotation.at(counter).items()})
            self._body(old, kept)
        self.map.update(zip(pick(list(op.results), kept), operation(body.owner).results, strict=True))
        self.map.update({op.results[j]: memref for j, memref in rotation.at(trips).items()})

    def trips(self, lower: Value, upper: Value, step: Value, unsigned: bool = False) -> Value:
        """How often the loop runs; computed over `index`, since the span of 8-bit bounds need not fit 8 bits."""
        cast = "arith.index_castui" if unsigned else "arith.index_cast"
        if not isinstance(lower.type, IndexType):
            lower, upper, step = (self.b.value(cast, [v], IndexType.get()) for v in (lower, upper, step))
        if unsigned:  # the span may have its highest bit set
            upper = self.b.integer("maxui", upper, lower)
        span = self.b.integer("subi", upper, lower)
        return span if _constant(step) == 1 else self.b.integer("ceildivui" if unsigned else "ceildivsi", span, step)

    def induction(self, counter: Value, lower: Value, step: Value) -> Value:
        if not isinstance(lower.type, IndexType):
            counter = self.b.value("arith.index_cast", [counter], lower.type)
        if _constant(step) != 1:
            counter = self.b.integer("muli", counter, step)
        return self.b.integer("addi", lower, counter)

    def _body(self, old: Block, kept: list[int]) -> None:
        self.block(old)
        self.b.op("scf.yield", self.values(pick(list(operations(old)[-1].operands), kept)))

    def copy_scf_while(self, op: Operation) -> None:
        """Rotate: run `before` once outside, and once at the end of each trip."""
        before, after = (region.blocks[0] for region in op.regions)
        condition = operations(before)[-1]

        def evaluate(arguments: list[Value]) -> list[Value]:
            self.map.update(zip(before.arguments, arguments, strict=True))
            self.block(before)
            return self.values(condition.operands)

        inits = evaluate(self.values(op.operands))
        types = [value.type for value in inits]
        loop = self.b.op("scf.while", inits, types, regions=2)
        head = add_block(loop.regions[0], types, self.b.loc)
        with self.b.at(head):
            self.b.op("scf.condition", [head.arguments[0], *head.arguments])
        body = add_block(loop.regions[1], types, self.b.loc)
        with self.b.at(body):
            self.map.update(zip(after.arguments, list(body.arguments)[1:], strict=True))
            self.block(after)
            self.b.op("scf.yield", evaluate(self.values(operations(after)[-1].operands)))
        self.map.update(zip(op.results, list(loop.results)[1:], strict=True))

    def copy_scf_forall(self, op: Operation) -> None:
        raise refuse(op, "scf.forall has no derivative here", "run scf-forall-to-parallel first")

    def copy_scf_index_switch(self, op: Operation) -> None:
        """A chain of scf.if, one a case; the last `else` is the default."""
        cases = [int(c) for c in op.attributes["cases"]]
        types = [r.type for r in op.results]
        selector = self.value(op.operands[0])

        def region(index: int) -> None:
            block = op.regions[index].blocks[0]
            self.block(block)
            self.b.op("scf.yield", self.values(operations(block)[-1].operands))

        def chain(k: int) -> list[Value]:
            here = self.b.index(cases[k])
            equal = self.b.value(
                "arith.cmpi", [selector, here], IntegerType.get_signless(1), {"predicate": _predicate(0)}
            )
            choice = self.b.op("scf.if", [equal], types, regions=2)
            with self.b.at(add_block(choice.regions[0], [], self.b.loc)):
                region(k + 1)
            with self.b.at(add_block(choice.regions[1], [], self.b.loc)):
                if k + 1 < len(cases):
                    self.b.op("scf.yield", chain(k + 1))
                else:
                    region(0)
            return list(choice.results)

        if cases:
            self.map.update(zip(op.results, chain(0), strict=True))
        else:
            block = op.regions[0].blocks[0]
            self.block(block)
            self.map.update(zip(op.results, self.values(operations(block)[-1].operands), strict=True))


def _constant(value: Value) -> int | None:
    """The integer a value is, where an arith.constant says so."""
    if isinstance(value, BlockArgument):
        return None
    op = operation(value.owner)
    if op.name != "arith.constant":
        return None
    attribute = op.attributes["value"]
    return attribute.value if isinstance(attribute, IntegerAttr) else None


def _predicate(code: int) -> IntegerAttr:
    return IntegerAttr.get(IntegerType.get_signless(64), code)


def callee_name(op: Operation) -> str:
    return FlatSymbolRefAttr(op.attributes["callee"]).value


def symbol(function: Operation) -> str:
    return StringAttr(function.attributes["sym_name"]).value
