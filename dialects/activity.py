"""Pass `autodiff-activity`: which values and which memory carry a derivative.

*Varied*: depends on an active argument. *Useful*: an output that a derivative is asked for depends on it. *Active*:
both. Two fixpoints over SSA values and over memory objects (see objects.py) of one function in normal form; calls
have been inlined, so it sees across them.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlir.ir import ArrayAttr, Operation, StringAttr, UnitAttr, Value

from . import rules
from .builder import holds_tangents, home, is_differentiable, is_memref, operation, operations, terminator, walk
from .custom.marks import calls_inactive, is_ruled, reads, writes
from .errors import refuse
from .launches import BARRIERS, around
from .objects import VIEWS, MemoryObject, Objects, flows, written

#: The states of values, from least to most: nothing; an active argument reaches it; an asked-for result depends on it;
#: both.
STATES = ("const", "varied", "useful", "active")
#: Ops through which nothing flows although they take and give differentiable values.
STOPS = frozenset({"autodiff.stop", "ub.poison"})
#: The op that has the value of its first operand and the derivative of its second.
THROUGH = "autodiff.through"


class Activity:
    """The result of the analysis: `value(v)` and `memory(m)` say whether a derivative passes through."""

    def __init__(self, function: Operation, arguments: Sequence[str], returns: Sequence[str]):
        self.function, self.objects = function, Objects(function)
        self.arguments, self.returns = list(arguments), list(returns)
        self._varied: set[Value] = set()
        self._useful: set[Value] = set()
        self._varied_objects: set[MemoryObject] = set()
        self._useful_objects: set[MemoryObject] = set()
        self._varied_caches: set[Value] = set()
        self._useful_caches: set[Value] = set()
        self._ops = walk(function)[1:]
        #: Memory of bytes that memref.view makes other elements of.
        self._viewed = {o for op in self._ops if op.name == "memref.view" for o in self.objects.of(op.operands[0])}
        self._seed()
        visits = _in_and_out(function)
        self._fixpoint(self._forward, visits)
        self._fixpoint(self._backward, visits[::-1])
        self._refuse_constant_targets()
        self._shadowed = self._with_shadow()
        self._working: set[Operation] | None = None
        self._captured: dict[Operation, list[Value]] = {}

    def value(self, value: Value) -> bool:
        """A differentiable scalar that is active."""
        return value in self._varied and value in self._useful

    def varied(self, value: Value) -> bool:
        return value in self._varied

    def useful(self, value: Value) -> bool:
        return value in self._useful

    def memory(self, memref: Value) -> bool:
        """A memref whose memory has a shadow."""
        held = self.objects.of(memref)
        if not holds_tangents(memref.type) and not (is_memref(memref.type) and any(o in self._viewed for o in held)):
            return False
        return any(o in self._shadowed for o in held)

    def cache(self, cache: Value) -> bool:
        """A cache whose values have cotangents, or whose memrefs have shadows."""
        held = self.objects.held(cache)
        if held:
            return bool(held & self._shadowed)
        return cache in self._varied_caches and cache in self._useful_caches

    def shadowed(self, memory: MemoryObject) -> bool:
        return memory in self._shadowed

    def by_rule(self, op: Operation) -> bool:
        """Whether `op` is a call whose derivative the called function's own rules carry out."""
        if not is_ruled(op):
            return False
        return any(self.value(r) or self.memory(r) for r in op.results) or any(self.memory(m) for m in writes(op))

    def region(self, op: Operation) -> bool:
        """Whether `op`, or anything nested in it, has work to do in a derivative."""
        if self._working is None:
            self._working = self._find_working()
        return op in self._working

    def _find_working(self) -> set[Operation]:
        """The ops that have work to do, and all that they stand in. Barriers have if other ops of their launch do."""
        found: set[Operation] = set()
        barriers = []
        for op in self._ops:
            if op.name in BARRIERS:
                barriers.append(op)
            elif any(self.value(r) for r in op.results) or self._touches(op):
                self._mark(op, found)
        for op in barriers:
            launch = around(op)
            if launch is None or launch in found:
                self._mark(op, found)
        return found

    def _mark(self, op: Operation, found: set[Operation]) -> None:
        while op not in found and op != self.function:
            found.add(op)
            op = operation(op.block.owner)

    def captured(self, op: Operation) -> list[Value]:
        """The active scalars that `op`'s regions use from outside, in order of first use."""
        if op not in self._captured:
            nested = [inner for inner in walk(op) if len(inner.regions) and inner not in self._captured]
            for inner in reversed(nested):
                self._captured[inner] = self._find_captured(inner)
        return self._captured[op]

    def _find_captured(self, op: Operation) -> list[Value]:
        """Of an op, when those of the ops in it are known."""
        found: dict[Value, None] = {}
        blocks = [block for region in op.regions for block in region.blocks] if len(op.regions) else []
        for inner in [inner for block in blocks for inner in operations(block)]:
            used = [v for v in inner.operands if self.value(v)]
            found.update(dict.fromkeys([*used, *(self._captured[inner] if len(inner.regions) else ())]))
        return [value for value in found if home(value) not in blocks]

    def _touches(self, op: Operation) -> bool:
        if op.name in ("memref.store", "memref.copy", "vector.store", "memref.atomic_rmw"):
            return self.memory(op.operands[1])
        if op.name in ("autodiff.push", "autodiff.pop"):
            return self.cache(op.operands[0])
        if is_ruled(op):
            return self.by_rule(op)
        if op.name in BARRIERS:
            return self.region(op)
        return any(self.value(r) for r in op.results) or any(self.memory(r) for r in op.results)

    # the two fixpoints ---------------------------------------------------------------------------------------------
    def _seed(self) -> None:
        entry = self.function.regions[0].blocks[0]
        for argument, activity in zip(entry.arguments, self.arguments, strict=True):
            if activity == "const":
                continue
            if is_memref(argument.type):
                self._varied_objects |= self.objects.of(argument)
                self._useful_objects |= self.objects.of(argument)
            else:
                self._varied.add(argument)
        for value, activity in zip(terminator(entry).operands, self.returns, strict=True):
            if activity != "const":
                if is_memref(value.type):
                    self._useful_objects |= self.objects.of(value)
                else:
                    self._useful.add(value)

    def _size(self) -> tuple[int, ...]:
        sets = (
            self._varied,
            self._useful,
            self._varied_objects,
            self._useful_objects,
            self._varied_caches,
            self._useful_caches,
        )
        return tuple(len(s) for s in sets)

    def _fixpoint(self, step: object, ops: list[Operation]) -> None:
        size = None
        while size != self._size():
            size = self._size()
            for op in ops:
                step(op)  # type: ignore[operator]

    def _forward(self, op: Operation) -> None:
        name, operands = op.name, op.operands
        for source, target in flows(op):
            if source in self._varied:
                self._varied.add(target)
        if name in STOPS or name == THROUGH or name in VIEWS or rules.inactive(op) or calls_inactive(op):
            return
        if is_ruled(op):
            if self._takes_varied(op):
                self._vary(op)
                for memref in (*op.results, *writes(op)):
                    self._varied_objects |= self._moving(memref)
        elif name in ("memref.load", "vector.load"):
            if any(o in self._varied_objects for o in self.objects.of(operands[0])):
                self._vary(op)
        elif name in ("memref.store", "vector.store"):
            if operands[0] in self._varied:
                self._varied_objects |= self.objects.of(operands[1])
        elif name == "memref.copy":
            if any(o in self._varied_objects for o in self.objects.of(operands[0])):
                self._varied_objects |= self.objects.of(operands[1])
        elif name == "memref.atomic_rmw":
            if operands[0] in self._varied:
                self._varied_objects |= self.objects.of(operands[1])
            if any(o in self._varied_objects for o in self.objects.of(operands[1])):
                self._vary(op)
        elif name == "autodiff.push":
            if operands[1] in self._varied or (is_memref(operands[1].type) and holds_tangents(operands[1].type)):
                self._varied_caches.add(operands[0])
        elif name == "autodiff.pop":
            if operands[0] in self._varied_caches:
                self._vary(op)
        elif name.startswith("scf."):
            pass
        elif any(o in self._varied for o in operands) or any(self.varied_memory(o) for o in operands):
            self._vary(op)
            if name == "func.call":
                for operand in operands:
                    self._varied_objects |= self.objects.of(operand)

    def _moving(self, value: Value) -> set[MemoryObject]:
        """The memory that a value may point to, if it is such as has shadows."""
        found = self.objects.of(value)
        return found if holds_tangents(value.type) or found & self._viewed else set()

    def _takes_varied(self, call: Operation) -> bool:
        return any(o in self._varied for o in call.operands) or any(self.varied_memory(m) for m in reads(call))

    def varied_memory(self, value: Value) -> bool:
        return any(o in self._varied_objects for o in self.objects.of(value))

    def _vary(self, op: Operation) -> None:
        self._varied.update(r for r in op.results if is_differentiable(r.type))

    def _backward(self, op: Operation) -> None:
        name, operands = op.name, op.operands
        for source, target in flows(op):
            if target in self._useful:
                self._use(source)
        if name in STOPS or name == THROUGH or name in VIEWS or rules.inactive(op) or calls_inactive(op):
            return
        if is_ruled(op):
            if any(r in self._useful for r in op.results) or any(
                o in self._useful_objects for m in (*op.results, *writes(op)) for o in self.objects.of(m)
            ):
                for operand in op.operands:
                    self._use(operand)
                for memref in reads(op):
                    self._useful_objects |= self._moving(memref)
            return
        if name in ("memref.load", "vector.load"):
            if op.results[0] in self._useful:
                self._useful_objects |= self.objects.of(operands[0])
        elif name in ("memref.store", "vector.store"):
            if any(o in self._useful_objects for o in self.objects.of(operands[1])):
                self._use(operands[0])
        elif name == "memref.copy":
            if any(o in self._useful_objects for o in self.objects.of(operands[1])):
                self._useful_objects |= self.objects.of(operands[0])
        elif name == "memref.atomic_rmw":
            if any(o in self._useful_objects for o in self.objects.of(operands[1])):
                self._use(operands[0])
            if op.results[0] in self._useful:
                self._use(operands[0])
                self._useful_objects |= self.objects.of(operands[1])
        elif name == "autodiff.pop":
            if op.results[0] in self._useful or is_memref(op.results[0].type):
                self._useful_caches.add(operands[0])
        elif name == "autodiff.push":
            if operands[0] in self._useful_caches:
                self._use(operands[1])
        elif name.startswith("scf."):
            pass
        elif any(r in self._useful for r in op.results):
            for operand in operands:
                self._use(operand)
        if name == "func.call" and any(o in self._useful_objects for m in operands for o in self.objects.of(m)):
            for operand in operands:
                self._use(operand)
                self._useful_objects |= self.objects.of(operand)

    def _use(self, value: Value) -> None:
        if is_differentiable(value.type):
            self._useful.add(value)

    # memory --------------------------------------------------------------------------------------------------------
    def _refuse_constant_targets(self) -> None:
        for memory in self.objects.all:
            if memory not in self._varied_objects:
                continue
            if memory.argument is not None and self.arguments[memory.argument] == "const":
                what = f"argument {memory.argument} is Const, but"
                hint = "pass it as Duplicated with a shadow (zeros), so that the derivative can pass through it"
            elif memory.is_global:
                what = "a global has no shadow, but"
                hint = "hand the memory in as an argument, so that the derivative can pass through it"
            else:
                continue
            for op in memory.writers:
                if self._writes_varied(op):
                    what = f"{what} data that an active argument reaches is stored in it"
                    raise refuse(op, what, hint, memory.argument)

    def _writes_varied(self, op: Operation) -> bool:
        if calls_inactive(op):
            return False
        if is_ruled(op):
            return self._takes_varied(op)
        if op.name == "memref.copy":
            return any(o in self._varied_objects for o in self.objects.of(op.operands[0]))
        return any(operand in self._varied for operand in op.operands)

    def _with_shadow(self) -> set[MemoryObject]:
        """Active objects, and those that some memref may point to as well as to an active one."""
        active = self._varied_objects & self._useful_objects
        values = [v for op in self._ops for v in op.results] + [
            a
            for op in self._ops
            if len(op.regions)
            for region in op.regions
            for block in region.blocks
            for a in block.arguments
        ]
        groups = [self.objects.of(v) for v in values if is_memref(v.type) and len(self.objects.of(v)) > 1]
        changed = True
        while changed:
            changed = False
            for group in groups:
                if group & active and not group <= active:
                    active |= group
                    changed = True
        return active

    # printing ------------------------------------------------------------------------------------------------------
    def state(self, value: Value) -> str:
        """One of STATES: of a scalar, or of the memory that a memref may point into. What has no tangent is const."""
        if is_memref(value.type):
            if not holds_tangents(value.type):
                return "const"
            objects = self.objects.of(value)
            varied, useful = bool(objects & self._varied_objects), bool(objects & self._useful_objects)
            return "active" if self.memory(value) else _named(varied and not useful, useful and not varied)
        varied, useful = value in self._varied, value in self._useful
        return "active" if varied and useful else _named(varied, useful)

    def states(self, op: Operation) -> dict[str, list[str]]:
        """What `annotate` writes on `op`: the states of its results, of what its loop carries, of what it writes."""
        found = {"results": [self.state(r) for r in op.results]}
        if op.name in ("scf.for", "scf.while"):
            arguments = list(list(op.regions)[-1].blocks[0].arguments)
            found["carried"] = [self.state(a) for a in arguments[1 if op.name == "scf.for" else 0 :]]
        if op.name != "func.call":
            found["writes"] = [self.state(memref) for memref in written(op)]
        return {key: states for key, states in found.items() if any(s != "const" for s in states)}

    def annotate(self) -> None:
        """Write the result on the IR.

        `autodiff.active` on ops that a derivative passes through, and the states that are not all const:
        `autodiff.results`, `autodiff.carried` (loops) and `autodiff.writes` on ops. On the function
        `autodiff.arguments` and `autodiff.returns` as they were asked for, and `autodiff.states`, of the arguments.
        """
        for op in self._ops:
            states = self.states(op)
            if any("active" in s for s in states.values()) or self._touches(op):
                op.attributes["autodiff.active"] = UnitAttr.get()
            for key, names in states.items():
                op.attributes[f"autodiff.{key}"] = _strings(names)
        arguments = self.function.regions[0].blocks[0].arguments
        self.function.attributes["autodiff.arguments"] = _strings(self.arguments)
        self.function.attributes["autodiff.returns"] = _strings(self.returns)
        self.function.attributes["autodiff.states"] = _strings([self.state(a) for a in arguments])


def _named(varied: bool, useful: bool) -> str:
    return "varied" if varied else "useful" if useful else "const"


def _strings(names: Sequence[str]) -> ArrayAttr:
    return ArrayAttr.get([StringAttr.get(name) for name in names])


def _in_and_out(function: Operation) -> list[Operation]:
    """The ops of a function in program order, those with regions twice: where they are entered, and where they are
    left. So what flows into regions and out of them has flowed after one look at each, loops apart.
    """
    found: list[Operation] = []
    todo: list[tuple[Operation, bool]] = [(op, True) for op in reversed(operations(function.regions[0].blocks[0]))]
    while todo:
        op, entering = todo.pop()
        found.append(op)
        if entering and len(op.regions):
            todo.append((op, False))
            blocks = [block for region in op.regions for block in region.blocks] if len(op.regions) else []
            todo += [(inner, True) for block in reversed(blocks) for inner in reversed(operations(block))]
    return found
