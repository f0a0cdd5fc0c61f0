"""Removal of dead code through loops, branches and local memory.

Takes a function; leaves it without ops whose results nobody needs, without values that loops carry for nobody, and
without local buffers that are only written. What canonicalize removes op by op this pass finds as a whole: it marks
what effects and results need, and sweeps the rest. Loops are taken to end (one that computes nothing and does not end
is removed, as LLVM does).
"""

from __future__ import annotations

from mlir.ir import Block, BlockArgument, InsertionPoint, Operation, Value

from .augment import yielded
from .builder import Builder, is_memref, operation, operations, walk
from .copier import attributes_of, pick
from .launches import BARRIERS, LAUNCH, around
from .objects import ALLOCATIONS, NUMBERS, VIEWS, MemoryObject, Objects, written
from .plan import pure

_REGIONS = frozenset({"scf.for", "scf.while", "scf.if", "gpu.launch"})
_ENDS = frozenset({"scf.yield", "scf.condition", "func.return", "func.func", "gpu.terminator"})
_STRUCTURED = _REGIONS | _ENDS
#: What does nothing by itself that is seen from outside.
_SILENT = _STRUCTURED | ALLOCATIONS | VIEWS | {"memref.load", "vector.load"}


def remove_dead_code(function: Operation, unneeded: frozenset[int] = frozenset()) -> None:
    """Sweep `function` in place. What memory of the arguments number `unneeded` holds afterwards does not matter."""
    objects = Objects(function)
    names = {op.name for op in objects.ops}
    if not any(name.startswith("scf.") and name not in _STRUCTURED for name in names):
        _Sweeper(function, unneeded, objects).run()


class _Sweeper:
    def __init__(self, function: Operation, unneeded: frozenset[int], objects: Objects):
        self.function = function
        self.unneeded = unneeded
        self.entry = function.regions[0].blocks[0]
        self.objects = objects
        self.live: set[Operation] = set()
        self.entered: set[Block] = {self.entry}  # what is around them is kept
        self.needed: set[MemoryObject] = set()  # whose contents are
        self.kept: dict[Operation, set[int]] = {}
        self.marked: set[Value] = set()
        self.todo: list[Value] = []
        self.later: list[Operation] = []
        self.frees: dict[Operation, list[Operation]] = {}
        for op in objects.ops:
            if op.name == "memref.dealloc":
                for memory in self.objects.of(op.operands[0]):
                    if memory.allocation is not None:
                        self.frees.setdefault(memory.allocation, []).append(op)

    def run(self) -> None:
        self.todo += operations(self.entry)[-1].operands
        for op in self.objects.ops:
            if self._effect(op):
                self._keep(op)
        while self.todo or self.later:
            if self.later:
                self._keep(self.later.pop())
            else:
                self._mark(self.todo.pop())
        self._sweep()

    def _effect(self, op: Operation) -> bool:
        """Whether `op` does something that can be seen from outside by itself."""
        name = op.name
        if name in BARRIERS:  # in a function of threads; those in a launch are kept with it
            return around(op) is None
        if name in _SILENT or pure(op):
            return False
        if name in ("memref.store", "memref.copy", "vector.store", "memref.atomic_rmw"):
            return any(self._outlives(o) for m in written(op) for o in self.objects.of(m))
        if name == "memref.dealloc":
            return any(o.allocation is None for o in self.objects.of(op.operands[0]))
        return True

    def _outlives(self, memory: MemoryObject) -> bool:
        """Whether somebody may look at the memory after the function has ended."""
        return memory.allocation is None and memory.argument not in self.unneeded

    def _mark(self, value: Value) -> None:
        if value in self.marked:
            return
        self.marked.add(value)
        if isinstance(value, BlockArgument):
            block = value.owner
            if block == self.entry:
                return
            op = operation(block.owner)
            position = value.arg_number - (1 if op.name == "scf.for" else 0)
            if op.name in _REGIONS and position >= 0 and (op.name != "scf.while" or _plain(op)):
                self._carry(op, position)
            else:
                self._keep(op)
            return
        op = operation(value.owner)
        if op.name in _REGIONS and (op.name != "scf.while" or _plain(op)):
            self._carry(op, value.result_number)
        else:
            self._keep(op)

    def _carry(self, op: Operation, position: int) -> None:
        self._keep(op)
        kept = self.kept.setdefault(op, set())
        if position in kept:
            return
        kept.add(position)
        if op.name != "scf.if":
            self.todo.append(op.operands[position + (3 if op.name == "scf.for" else 0)])
        for region in list(op.regions)[-1 if op.name == "scf.while" else 0 :]:
            for block in region.blocks:
                self.todo.append(yielded(block)[position])

    def _keep(self, op: Operation) -> None:
        if op in self.live:
            return
        self.live.add(op)
        self.later += self.frees.get(op, ())
        block, name = op.block, op.name
        if block not in self.entered:
            self.entered.add(block)
            self._keep(operation(block.owner))
        if name.startswith(NUMBERS):
            self.todo += op.operands
            return
        operands = list(op.operands)
        if name == LAUNCH:
            self.todo += operands
            # Threads that have work left meet as they did.
            self.later += [inner for inner in walk(op) if inner.name in BARRIERS]
        elif name == "scf.for":
            self.todo += operands[:3]
        elif name == "scf.if":
            self.todo.append(operands[0])
        elif name == "scf.while":
            self._keep_while(op)
        else:
            self.todo += operands
            if len(op.regions):  # ops whose regions are not looked into keep all that is in them
                for inner in walk(op)[1:]:
                    self._keep(inner)
        if name == "memref.dim":
            return  # of the shape, not of the contents
        for value in (*operands, *op.results):
            if is_memref(value.type):
                self._keep_writers(value)

    def _keep_while(self, op: Operation) -> None:
        """The condition; of a loop that is not in normal form, everything."""
        if _plain(op):
            self._carry(op, 0)
            return
        self.kept[op] = set(range(len(op.results)))
        self.todo += [
            *op.operands,
            *operations(op.regions[0].blocks[0])[-1].operands,
            *yielded(op.regions[1].blocks[0]),
        ]

    def _keep_writers(self, memref: Value) -> None:
        for memory in self.objects.of(memref):
            if memory not in self.needed:
                self.needed.add(memory)
                self.later += memory.writers

    # sweeping ------------------------------------------------------------------------------------------------------
    def _sweep(self) -> None:
        found: list[tuple[Operation, list[int] | None]] = []  # what is dead, and what carries or gives less than it did
        nested = 0  # so many of the next ones go with the op that they are in
        for op in self.objects.ops[1:]:
            if nested:
                nested -= 1
            elif op in self.live:
                if op.name in _REGIONS and len(keep := sorted(self.kept.get(op, ()))) < len(op.results):
                    found.append((op, keep))
                    self._release(op, set(keep))
            elif op.name not in _ENDS:
                found.append((op, None))
                nested = len(walk(op)) - 1
        for op, kept in reversed(found):  # users first
            if kept is None:
                op.erase()
            else:
                self._narrow(op, kept)

    def _release(self, op: Operation, keep: set[int]) -> None:
        """End the uses that the terminators make of values that are carried for nobody."""
        for region in list(op.regions)[-1 if op.name == "scf.while" else 0 :]:
            for block in region.blocks:
                last = operations(block)[-1]
                b = Builder(InsertionPoint(last), last.location)
                offset = 1 if op.name == "scf.for" else 0
                for i in range(len(last.operands)):
                    if i not in keep:
                        here = (
                            b.value("ub.poison", [], last.operands[i].type)
                            if op.name == "scf.if"
                            else block.arguments[offset + i]
                        )
                        last.operands[i] = here

    def _narrow(self, op: Operation, keep: list[int]) -> None:
        """Rebuild `op` with only the carried values (or results) number `keep`."""
        b = Builder(InsertionPoint(op), op.location)
        results = pick(list(op.results), keep)
        first = 3 if op.name == "scf.for" else 0
        operands = (
            list(op.operands)[:1]
            if op.name == "scf.if"
            else (list(op.operands)[:first] + pick(list(op.operands)[first:], keep))
        )
        new = b.op(op.name, operands, [r.type for r in results], attributes_of(op), regions=len(op.regions))
        for old_region, new_region in zip(op.regions, new.regions, strict=True):
            for old in list(old_region.blocks):
                offset = 1 if op.name == "scf.for" else 0
                arguments = list(old.arguments)
                kept_arguments = arguments[:offset] + (pick(arguments[offset:], keep) if op.name != "scf.if" else [])
                block = new_region.blocks.append(
                    *[a.type for a in kept_arguments], arg_locs=[a.location for a in kept_arguments]
                )
                for a, c in zip(kept_arguments, block.arguments, strict=True):
                    a.replace_all_uses_with(c)
                ops = operations(old)
                for inner in ops[:-1]:
                    block.append(inner)
                last = ops[-1]
                with b.at(block, last.location):
                    if last.name == "scf.condition":
                        b.op("scf.condition", [block.arguments[0], *block.arguments])
                    else:
                        b.op("scf.yield", pick(list(last.operands), keep))
                last.erase()
        for old_result, new_result in zip(results, new.results, strict=True):
            old_result.replace_all_uses_with(new_result)
        op.erase()


def _plain(op: Operation) -> bool:
    ops = operations(op.regions[0].blocks[0])
    arguments = list(op.regions[0].blocks[0].arguments)
    return len(ops) == 1 and ops[0].operands[0] == arguments[0] and list(ops[0].operands)[1:] == arguments
