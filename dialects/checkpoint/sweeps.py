"""Both sweeps of a checkpointed loop.

The forward sweep runs the loop and puts a snapshot of its state wherever the schedule says. The reverse sweep takes
the iterations last to first. For each it restores the last snapshot, runs forward from there to that iteration, on
copies of the memory, leaving snapshots in what room there is, and then emits the iteration as a frame of its own: its
forward sweep once more, with a tape that lives inside it, then its adjoint. Snapshots are a stack, whose height is
carried; `places` holds the iteration that each is of.

Where the forward loop stands in a loop whose iterations keep a tape, only the state at its start is kept for each of
those, and all other snapshots are taken in the reverse sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlir.ir import Block, IndexType, MemRefType, Operation, ShapedType, Type, UnitAttr, Value

from ..augment import yielded
from ..builder import Builder, captured, is_memref, operation
from ..copier import Copier, add_block, attributes_of
from ..objects import VIEWS
from ..stability import LOOPS
from ..sweep import Frame, IterationSweep, Sweep
from ..tape import Recorded, as_stored, stored_type, unstored
from .marks import mark_of, slots_of
from .schedule import choose, compare, emit_slots, emit_split
from .state import State, operations_end

if TYPE_CHECKING:
    from ..recompute import ReverseScope
    from ..reverse import Reverse


class Snapshots:
    """Room for a number of snapshots of a state: a buffer for each number and for each piece of memory."""

    def __init__(self, b: Builder, number: Value, scalars: Sequence[Type], memrefs: Sequence[Value]):
        self.b, self.types = b, list(scalars)
        open_size = ShapedType.get_dynamic_size()
        self.places = b.alloc(MemRefType.get([open_size], IndexType.get()), [number])
        self.scalars = [b.alloc(MemRefType.get([open_size], stored_type(t)), [number]) for t in scalars]
        self.memory: list[Value] = []
        for memref in memrefs:
            type_ = MemRefType(memref.type)
            dynamic = [b.dim(memref, i) for i, size in enumerate(type_.shape) if size == open_size]
            shape = [open_size, *type_.shape]
            self.memory.append(b.alloc(MemRefType.get(shape, type_.element_type), [number, *dynamic]))

    def rebuilt(self, get: Callable[[int, Value], Value]) -> Snapshots:
        """The same, each buffer by the name that `get` gives it."""
        made = copy(self)
        made.places, *rest = [get(i, buffer) for i, buffer in enumerate(self.buffers)]
        made.scalars, made.memory = rest[: len(self.scalars)], rest[len(self.scalars) :]
        return made

    @property
    def buffers(self) -> list[Value]:
        return [self.places, *self.scalars, *self.memory]

    def save(self, k: Value, place: Value, scalars: Sequence[Value], memrefs: Sequence[Value]) -> None:
        """Make the state at iteration `place` snapshot number k."""
        b = self.b
        b.store(place, self.places, [k])
        for value, buffer in zip(scalars, self.scalars, strict=True):
            b.store(as_stored(b, value), buffer, [k])
        for memref, buffer in zip(memrefs, self.memory, strict=True):
            self._move(memref, [], buffer, [k])

    def restore(self, k: Value, memrefs: Sequence[Value]) -> list[Value]:
        """Fill the memory with that of snapshot k; the numbers are returned."""
        b = self.b
        for memref, buffer in zip(memrefs, self.memory, strict=True):
            self._move(buffer, [k], memref, [])
        return [unstored(b, b.load(buffer, [k]), t) for buffer, t in zip(self.scalars, self.types, strict=True)]

    def working_copies(self, like: Sequence[Value]) -> list[Value]:
        """Memory for one state, of the types of the primal memrefs `like`."""
        b = self.b
        made = []
        for memref, buffer in zip(like, self.memory, strict=True):
            type_ = MemRefType(memref.type)
            plain = MemRefType.get(type_.shape, type_.element_type)
            sizes = [b.dim(buffer, i + 1) for i, n in enumerate(type_.shape) if n == ShapedType.get_dynamic_size()]
            made.append(_cast(b, b.alloc(plain, sizes), type_))
        return made

    def _move(self, source: Value, at: list[Value], target: Value, to: list[Value]) -> None:
        """Copy what is at the index `at` of `source` to the index `to` of `target`, one of which is none."""
        b = self.b
        whole = target if at else source
        b.for_each(whole, lambda i: b.store(b.load(source, [*at, *i]), target, [*to, *i]))


@dataclass
class Kept:
    """What the forward sweep of one loop leaves to the reverse sweep: memrefs from before the loop, by primal root;
    and where it took the snapshots itself, those, and how many there are.
    """

    state: State
    copies: dict[Value, Value] = field(default_factory=dict)
    snapshots: Snapshots | None = None
    height: Value | None = None


class Checkpoints:
    """The checkpointed loops of one reverse derivative."""

    def __init__(self, reverse: Reverse):
        self.reverse = reverse
        self.kept: dict[tuple[Operation, Block], Kept] = {}
        #: For `explain`: the reverse loops, each with the loop in it that runs iterations again.
        self.emitted: dict[Operation, list[tuple[Operation, Operation]]] = {}

    def takes(self, loop: Operation) -> bool:
        return mark_of(loop) is not None and self.reverse.activity.region(loop)

    # the forward sweep ---------------------------------------------------------------------------------------------
    def before(self, sweep: Sweep, loop: Operation) -> list[Value]:
        """What has to be done before the forward loop; and what it carries more: how many snapshots there are, and
        when the next is due.
        """
        b, reverse = sweep.b, self.reverse
        state = State.of(loop, reverse.activity.objects, reverse.stability, sweep.frame)
        kept = self.kept[loop, sweep.frame.old] = Kept(state)
        for root in state.kept:
            kept.copies[root] = self._copy(sweep, root)
        if _in_loop(loop, sweep.frame):
            for root in state.changing:
                kept.copies[root] = self._copy(sweep, root)
            return []
        slots = emit_slots(b, sweep.value(slots_of(loop)), sweep.value(loop.operands[1]))
        memrefs = sweep.values(state.changing)
        kept.snapshots = Snapshots(b, slots, [v.type for v in state.scalars], memrefs)
        zero = b.index(0)
        return [zero, zero]

    def at_iteration(self, sweep: Sweep, loop: Operation, body: Block) -> list[Value]:
        """At the start of an iteration of the forward loop: the snapshot, if one is due."""
        kept = self.kept[loop, sweep.frame.old]
        if kept.snapshots is None:
            return []
        b, state = sweep.b, kept.state
        height, due = list(body.arguments)[-2:]
        place, one = body.arguments[0], b.index(1)
        trips = sweep.value(loop.operands[1])
        new = b.op("scf.if", [compare(b, "eq", place, due)], [IndexType.get()] * 2, regions=2)
        with b.at(add_block(new.regions[0], [], b.loc)):
            kept.snapshots.save(height, place, sweep.values(state.scalars), sweep.values(state.changing))
            free = b.integer("subi", b.dim(kept.snapshots.places, 0), height)
            following = emit_split(b, b.integer("subi", trips, place), free)
            last = compare(b, "eq", free, one)
            following = choose(b, last, trips, b.integer("addi", place, following))
            b.op("scf.yield", [b.integer("addi", height, one), following])
        with b.at(add_block(new.regions[1], [], b.loc)):
            b.op("scf.yield", [height, due])
        return list(new.results)

    def after(self, sweep: Sweep, loop: Operation, new: Operation) -> None:
        """The forward loop has been emitted as `new`."""
        kept = self.kept[loop, sweep.frame.old]
        if kept.snapshots is not None:
            kept.height = new.results[len(new.results) - 2]
            scope = sweep.scopes[loop.regions[0].blocks[0]]
            for buffer in kept.snapshots.buffers if loop.block == sweep.frame.old else ():
                sweep.taped.append(Recorded(buffer.type, loop.location, buffer, True, loop, "snapshot", scope))

    def _copy(self, sweep: Sweep, root: Value) -> Value:
        return sweep.b.copy_of(sweep.value(root))

    # the reverse sweep ---------------------------------------------------------------------------------------------
    def reverse_loop(self, loop: Operation, scope: ReverseScope) -> None:
        """The adjoint of a checkpointed loop."""
        reverse, b = self.reverse, self.reverse.b
        kept = self.kept[loop, scope.frame.old]
        state, body = kept.state, loop.regions[0].blocks[0]
        arguments, inits = state.scalars, list(loop.operands)[3:]
        trips = reverse.lookup(loop.operands[1], scope)
        for value in captured(loop):
            if not is_memref(value.type):
                reverse.lookup(value, scope)
        snapshots, slots, height = self._snapshots(loop, scope, kept, trips)
        copies = self._stand_ins(loop, scope, kept, snapshots)
        moving = [i for i, argument in enumerate(arguments) if reverse.activity.value(argument)]
        captures = reverse.activity.captured(loop)
        starts = [reverse.take_or_zero(loop.results[i]) for i in moving]
        starts += [reverse.take_or_zero(v) for v in captures]
        outer = reverse.adjoint
        one = b.index(1)
        new = b.for_loop(b.index(0), trips, one, [height, *starts])
        scope.cursor = operation(new.owner)
        height, *carried = list(new.arguments)[1:]
        reverse.adjoint = dict(zip(captures, carried[len(moving) :], strict=True))
        with b.at(new):
            counter = b.integer("subi", b.integer("subi", trips, one), new.arguments[0])
            inner = scope.iteration(body, new, counter)
            inner.values[body.arguments[0]] = counter
            inner.given.update(copies)
            inner.values.update(copies)
            again, numbers, height = self._advance(loop, inner, kept.state, snapshots, slots, height, counter)
            self.emitted.setdefault(loop, []).append((operation(new.owner), again))
            inner.values.update(zip(arguments, numbers, strict=True))
            ends = yielded(body)
            for i, cotangent in zip(moving, carried[: len(moving)], strict=True):
                reverse.add(ends[i], cotangent)
            frame = Frame(body, outer=inner)
            frame.private = {m for v in copies for m in reverse.activity.objects.of(v)}
            frame.given = set(copies)
            sweep = IterationSweep(reverse, frame)
            sweep.map, sweep.shadows = inner.values, inner.shadows
            inner.replayed(frame)
            sweep.block(body)
            inner.swept()
            reverse.block(inner)
            gradients = [reverse.take_or_zero(arguments[i]) for i in moving]
            b.op("scf.yield", [height, *gradients, *(reverse.take_or_zero(v) for v in captures)])
        scope.cursor = None
        reverse.adjoint = outer
        results = list(operation(new.owner).results)[1:]
        for value, result in zip(captures, results[len(moving) :], strict=True):
            reverse.adjoint[value] = result
        for i, result in zip(moving, results[: len(moving)], strict=True):
            reverse.add(inits[i], result)
        self._free(loop, scope, kept, snapshots)

    def _snapshots(
        self, loop: Operation, scope: ReverseScope, kept: Kept, trips: Value
    ) -> tuple[Snapshots, Value, Value]:
        """The snapshots, how many there can be, and how many there are."""
        b = self.reverse.b
        if kept.snapshots is not None:
            assert kept.height is not None
            taken = kept.snapshots.rebuilt(lambda i, v: scope.beside(self.reverse, (loop, i), loop, v, "snapshot"))
            height = scope.beside(self.reverse, (loop, "height"), loop, kept.height, "snapshot")
            return taken, b.dim(taken.places, 0), height
        slots = emit_slots(b, self.reverse.lookup(slots_of(loop), scope), trips)
        first = [self._kept_copy(loop, scope, kept, root) for root in kept.state.changing]
        inits = [self.reverse.lookup(v, scope) for v in list(loop.operands)[3:]]
        zero = b.index(0)
        snapshots = Snapshots(b, slots, [v.type for v in kept.state.scalars], first)
        snapshots.save(zero, zero, inits, first)
        place = scope.frame.sweep.scopes[loop.regions[0].blocks[0]]
        for buffer in snapshots.buffers:
            record = Recorded(buffer.type, loop.location, buffer, True, loop, "snapshot", place)
            scope.frame.sweep.taped.append(record)
        return snapshots, slots, b.index(1)

    def _kept_copy(self, loop: Operation, scope: ReverseScope, kept: Kept, root: Value) -> Value:
        return scope.beside(self.reverse, (loop, "copy", root), loop, kept.copies[root], "copy")

    def _free(self, loop: Operation, scope: ReverseScope, kept: Kept, snapshots: Snapshots) -> None:
        """What came through the tape has no other owner."""
        if loop.block == scope.frame.old:
            return
        owned = [self._kept_copy(loop, scope, kept, root) for root in kept.copies]
        if kept.snapshots is not None:
            owned += snapshots.buffers
        for memref in owned:
            self.reverse.b.op("memref.dealloc", [memref], [], {"autodiff.free": UnitAttr.get()})

    def _stand_ins(self, loop: Operation, scope: ReverseScope, kept: Kept, snapshots: Snapshots) -> dict[Value, Value]:
        """For the memrefs of the state that the loop uses: what stands for them when it is run again."""
        reverse, b, state = self.reverse, self.reverse.b, kept.state
        made = dict(zip(state.changing, snapshots.working_copies(state.changing), strict=True))
        for root in state.kept:
            made[root] = self._kept_copy(loop, scope, kept, root)

        def stand_in(value: Value) -> Value:
            found = made.get(value)
            if found is not None:
                return found
            op = operation(value.owner) if hasattr(value.owner, "name") or hasattr(value.owner, "operation") else None
            if op is not None and op.name in VIEWS:
                rest = [reverse.lookup(o, scope) for o in list(op.operands)[1:]]
                operands = [stand_in(op.operands[0]), *rest]
                found = b.op(op.name, operands, [r.type for r in op.results], attributes_of(op)).results[0]
            elif op is not None and op.name == "arith.select":
                condition = reverse.lookup(op.operands[0], scope)
                found = choose(b, condition, *(stand_in(o) for o in list(op.operands)[1:]))
            else:
                return reverse.lookup(value, scope)
            made[value] = found
            return found

        for value in state.memrefs:
            stand_in(value)
        for value in captured(loop):
            if is_memref(value.type) and value not in made:
                reverse.lookup(value, scope)
        return made

    def _advance(
        self,
        loop: Operation,
        inner: ReverseScope,
        state: State,
        snapshots: Snapshots,
        slots: Value,
        height: Value,
        counter: Value,
    ) -> tuple[Operation, list[Value], Value]:
        """Have the state at iteration `counter` in the working copies. Returns the loop that gets there, the numbers of
        the state, and how many snapshots there are that are of use before that iteration.
        """
        b, index = self.reverse.b, IndexType.get()
        one = b.index(1)
        copies = [inner.values[root] for root in state.changing]
        top = b.integer("subi", height, one)
        numbers = snapshots.restore(top, copies)
        starts = [b.load(snapshots.places, [top]), height, *numbers]
        types = [v.type for v in starts]
        hops = b.op("scf.while", starts, types, regions=2)
        before = add_block(hops.regions[0], types, b.loc)
        with b.at(before):
            b.op("scf.condition", [compare(b, "slt", before.arguments[0], counter), *before.arguments])
        hop = add_block(hops.regions[1], types, b.loc)
        with b.at(hop):
            place, there, *numbers = hop.arguments
            free = b.integer("subi", slots, there)
            length = b.integer("subi", b.integer("addi", counter, one), place)
            goal = b.integer("addi", place, emit_split(b, length, b.integer("addi", free, one)))
            run = b.for_loop(place, goal, one, numbers)
            with b.at(run):
                again = _Again(self.reverse, inner)
                again.map.update(zip(loop.regions[0].blocks[0].arguments, run.arguments, strict=True))
                again.block(loop.regions[0].blocks[0])
                b.op("scf.yield", again.values(operations_end(loop)))
            numbers = list(operation(run.owner).results)
            more = b.integer("andi", compare(b, "slt", goal, counter), compare(b, "slt", there, slots))
            new = b.op("scf.if", [more], [index], regions=2)
            with b.at(add_block(new.regions[0], [], b.loc)):
                snapshots.save(there, goal, numbers, copies)
                b.op("scf.yield", [b.integer("addi", there, one)])
            with b.at(add_block(new.regions[1], [], b.loc)):
                b.op("scf.yield", [there])
            b.op("scf.yield", [goal, new.results[0], *numbers])
        _, height, *numbers = hops.results
        top = b.integer("subi", height, one)
        used_up = compare(b, "eq", b.load(snapshots.places, [top]), counter)
        return operation(run.owner), numbers, choose(b, used_up, top, height)


class _Again(Copier):
    """Runs iterations of the primal loop on the working copies."""

    def __init__(self, reverse: Reverse, scope: ReverseScope):
        super().__init__(reverse.b)
        self.reverse, self.scope = reverse, scope

    def value(self, old: Value) -> Value:
        known = self.map.get(old)
        return self.reverse.lookup(old, self.scope) if known is None else known

    def copy_autodiff_checkpoint(self, op: Operation) -> None:
        """A loop in the loop is run as it is."""

    def copy_autodiff_stop(self, op: Operation) -> None:
        self.map[op.results[0]] = self.value(op.operands[0])

    copy_autodiff_through = copy_autodiff_stop


def _in_loop(op: Operation, frame: Frame) -> bool:
    """Whether there is a loop around `op` within the frame."""
    block = op.block
    while block != frame.old:
        if operation(block.owner).name in LOOPS:
            return True
        block = operation(block.owner).block
    return False


def _cast(b: Builder, memref: Value, type_: MemRefType) -> Value:
    return memref if memref.type == type_ else b.value("memref.cast", [memref], type_)
