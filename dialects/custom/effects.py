"""What functions with rules do to the memory that they are given, written on their calls.

As the function declares it; else as its body shows it; without a body, everything that it could do.
"""

from __future__ import annotations

from mlir.ir import (
    ArrayAttr,
    DenseI64ArrayAttr,
    DictAttr,
    FlatSymbolRefAttr,
    IntegerAttr,
    Module,
    Operation,
    StringAttr,
    Type,
    TypeAttr,
    UnitAttr,
    Value,
)

from .. import rules
from ..builder import holds_tangents, is_memref, walk
from ..errors import refuse
from ..objects import ALLOCATIONS, VIEWS, Objects
from ..parallel_forms import Parallel
from ..structure import normalise
from .marks import (
    CALLS_INACTIVE,
    INACTIVE,
    KNOWN,
    READS,
    REPEATABLE,
    REPEATABLE_WITH_ARRAYS,
    RULED,
    RULES,
    SHADOWS,
    WRITES,
    functions,
    has_effects,
    is_custom,
    named,
    reads,
)


def mark_calls(module: Module) -> None:
    """Write on each call of a function with rules what the analyses need to know of it."""
    known = functions(module)
    if any(is_custom(op) or _readonly(op) for op in known.values()):
        marker = _Marker(module, known)
        for name in known:
            marker.function(name)


class _Marker:
    def __init__(self, module: Module, known: dict[str, Operation]):
        self.module, self.known = module, known
        self.done: set[str] = set()
        self.effects: dict[str, dict[str, DenseI64ArrayAttr | UnitAttr]] = {}

    def function(self, name: str) -> None:
        """Mark the calls in the function @name, those in the functions that it calls first."""
        if name in self.done:
            return
        self.done.add(name)
        for op in walk(self.known[name]):
            if op.name != "func.call":
                continue
            callee = FlatSymbolRefAttr(op.attributes["callee"]).value
            if callee not in self.known:
                continue
            self.function(callee)
            function = self.known[callee]
            if is_custom(function) or _readonly(function):
                for key, value in self._of(callee).items():
                    op.attributes[key] = value

    def _of(self, name: str) -> dict[str, DenseI64ArrayAttr | UnitAttr]:
        if name not in self.effects:
            function = self.known[name]
            found = self._declared(function)
            if len(found) < 2 and list(function.regions[0].blocks):
                found = self._seen(name, function) | found
            marks: dict[str, DenseI64ArrayAttr | UnitAttr] = {}
            if READS in found and WRITES in found:
                marks[KNOWN] = UnitAttr.get()
            everything = [i for i, t in enumerate(_inputs(function)) if is_memref(t)]
            marks[READS] = DenseI64ArrayAttr.get(found.get(READS, everything))
            unprotected = [i for i in everything if i not in _readonly(function)]
            marks[WRITES] = DenseI64ArrayAttr.get(found.get(WRITES, unprotected))
            if not is_custom(function):
                return self.effects.setdefault(name, {key: marks[key] for key in (READS, WRITES)})
            if self._computes_only(function):
                marks[REPEATABLE if not everything else REPEATABLE_WITH_ARRAYS] = UnitAttr.get()
            if self._uses_shadows(function):
                marks[SHADOWS] = UnitAttr.get()
            marks[CALLS_INACTIVE if INACTIVE in function.attributes else RULED] = UnitAttr.get()
            self.effects[name] = marks
        return self.effects[name]

    def _computes_only(self, function: Operation) -> bool:
        """Whether a function gives numbers and does nothing but compute them, and its rule in the forward sweep."""
        if any(is_memref(t) for t in TypeAttr(function.attributes["function_type"]).value.results):
            return False
        augment = RULES["augment"]
        names = (named(function, augment) or []) if augment in function.attributes else []
        return all(self._is_computation(f) for f in (function, *(self.known[n] for n in names if n in self.known)))

    def _is_computation(self, function: Operation) -> bool:
        """Whether no external function is called in the body, which could do anything."""
        if not list(function.regions[0].blocks):
            return False
        calls = [op for op in walk(function) if op.name == "func.call"]
        known = (REPEATABLE, REPEATABLE_WITH_ARRAYS)
        return all(any(k in op.attributes for k in known) or rules.lookup(op) or rules.inactive(op) for op in calls)

    def _uses_shadows(self, function: Operation) -> bool:
        """Whether a rule for the forward sweep looks at a shadow: the argument behind a memref that has one."""
        if SHADOWS in function.attributes:
            return True
        if RULES["augment"] not in function.attributes:
            return False
        for name in named(function, RULES["augment"]) or []:
            blocks = list(self.known[name].regions[0].blocks) if name in self.known else []
            if not blocks:
                return True
            if any(_used(a) for a in _shadow_arguments(self.known[name], _inputs(function))):
                return True
        return False

    def _declared(self, function: Operation) -> dict[str, list[int]]:
        types = _inputs(function)
        found: dict[str, list[int]] = {}
        for key in (READS, WRITES):
            if key not in function.attributes:
                continue
            given = function.attributes[key]
            if not isinstance(given, DenseI64ArrayAttr):
                raise refuse(function, f"{key} is {given}", "write array<i64: 0, 2>, the numbers of memref arguments")
            found[key] = list(given)
            for i in found[key]:
                if not 0 <= i < len(types) or not is_memref(types[i]):
                    raise refuse(function, f"{key} names argument {i}, which is no memref")
        return found

    def _seen(self, name: str, function: Operation) -> dict[str, list[int]]:
        """What the body does with its arguments."""
        normal = normalise(self.module, function, f"{name}.effects", Parallel(launches=False))
        objects = Objects(normal)
        written = [o.argument for o in objects.all if o.argument is not None and o.writers]
        read = {
            memory.argument
            for op in walk(normal)
            for memref in _read(op)
            for memory in objects.of(memref)
            if memory.argument is not None
        }
        normal.erase()
        return {READS: sorted(read), WRITES: sorted(written)}


def _readonly(function: Operation) -> list[int]:
    """The arguments of a declared function that it says, in LLVM's words, not to write to."""
    if list(function.regions[0].blocks) or "arg_attrs" not in function.attributes:
        return []
    given = ArrayAttr(function.attributes["arg_attrs"])
    return [i for i, attributes in enumerate(given) if "llvm.readonly" in DictAttr(attributes)]


def _shadow_arguments(rule: Operation, types: list[Type]) -> list[Value]:
    """The arguments of a rule for the forward sweep that are shadows, given what its function takes."""
    arguments = list(rule.regions[0].blocks[0].arguments)
    words = list(ArrayAttr(rule.attributes["autodiff.activity"])) if "autodiff.activity" in rule.attributes else []
    width = IntegerAttr(rule.attributes["autodiff.width"]).value if "autodiff.width" in rule.attributes else 1
    found: list[Value] = []
    at = 0
    for i, type_ in enumerate(types):
        at += 1
        const = i < len(words) and words[i] == StringAttr.get("const")
        if holds_tangents(type_) and not const:
            found += arguments[at : at + width]
            at += width
    return found


def _used(value: Value) -> bool:
    return any(True for _ in value.uses)


_NO_READS = frozenset({"memref.dim", "memref.rank", "memref.dealloc", "memref.store", "func.return"})


def _read(op: Operation) -> list[Value]:
    """The memrefs whose content `op` itself may read."""
    if has_effects(op):
        return reads(op)
    if op.name == "memref.copy":
        return [op.operands[0]]
    if op.name in _NO_READS or op.name in VIEWS or op.name in ALLOCATIONS or op.name.startswith(("scf.", "arith.")):
        return []
    return [o for o in op.operands if is_memref(o.type)]


def _inputs(function: Operation) -> list[Type]:
    return list(TypeAttr(function.attributes["function_type"]).value.inputs)
