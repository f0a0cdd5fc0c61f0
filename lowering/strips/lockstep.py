"""Loops that all lanes of a strip go along with until the last of them is done, and branches in them.

What a lane computes that is done, or went the other way, is dropped: what is carried stays as it was, and memory is
loaded and stored in the other lanes only, the strip's `mask`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlir.ir import AffineMap, IndexType, IntegerType, MemRefType, Operation, Type, Value

from ..grid.emit import attributes_of, operations

if TYPE_CHECKING:
    from .emit import Strip

_SLT, _SGE = 2, 5


class Lockstep:
    """Emits for a strip."""

    def __init__(self, strip: Strip):
        self.strip = strip

    def until_done(self, op: Operation) -> None:
        """All lanes in lockstep until the last is done; what is carried of a lane that is done stays as it is."""
        strip, e = self.strip, self.strip.e
        before, after = (region.blocks[0] for region in op.regions)
        starts = [strip.whole(value) for value in op.operands]
        carried = [start.type for start in starts]
        last = operations(before)[-1]
        going, *given = [strip.wide(value.type) for value in last.operands]
        new = e.op("scf.while", starts, [going, *given, *carried], attributes_of(op), 2)
        test, body = (region.blocks for region in new.regions)
        with e.at(test.append(*carried, arg_locs=[op.location] * len(carried))):
            state = list(new.regions[0].blocks[0].arguments)
            strip.bind_all(list(before.arguments), state)
            with strip.only(strip.every_lane() if strip.mask is None else strip.mask):
                strip.block(before)
            condition, *values = [strip.whole(value) for value in last.operands]
            if strip.mask is not None:
                condition = e.value("arith.andi", [condition, strip.mask], condition.type)
            e.op("scf.condition", [strip.reduce("or", condition), condition, *values, *state])
        types = [going, *given, *carried]
        with e.at(body.append(*types, arg_locs=[op.location] * len(types))):
            condition, *values = new.regions[1].blocks[0].arguments
            strip.bind_all(list(after.arguments), values[: len(given)])
            with strip.only(condition):
                strip.block(after)
            ends = [strip.whole(value) for value in operations(after)[-1].operands]
            pairs = zip(ends, values[len(given) :], strict=True)
            e.op("scf.yield", [e.value("arith.select", [condition, a, b], a.type) for a, b in pairs])
        strip.take(op, list(new.results)[1 : 1 + len(given)])

    def so_often(self, op: Operation) -> None:
        """A loop with a number of iterations for each lane: all begin together; or, where it takes from stacks, all end
        together, so that what all have pushed is where it was in all lanes.
        """
        strip, e = self.strip, self.strip.e
        body = op.regions[0].blocks[0]
        counter, *carried = body.arguments
        trips = strip.whole(op.operands[1])
        trips = strip.where_masked(trips, lambda: strip.nothing(counter.type))
        most, late = strip.reduce("maxsi", trips), strip.shapes.stacks.pops(op)
        starts = [strip.whole(value) for value in list(op.operands)[3:]]
        types = [start.type for start in starts]
        new = e.op("scf.for", [e.integer(0), most, e.integer(1), *starts], types, attributes_of(op), 1)
        block = new.regions[0].blocks.append(counter.type, *types, arg_locs=[op.location] * (1 + len(types)))
        number, *state = block.arguments
        with e.at(block):
            turn = e.value("vector.broadcast", [number], trips.type)
            if late:
                wait = e.value("arith.subi", [e.value("vector.broadcast", [most], trips.type), trips], trips.type)
                turn = e.value("arith.subi", [turn, wait], trips.type)
            strip.bind(counter, turn)
            strip.bind_all(carried, state)
            going = strip.compare(_SGE, turn, strip.nothing(counter.type)) if late else strip.compare(_SLT, turn, trips)
            with strip.only(going):
                strip.block(body)
            ends = [strip.whole(value) for value in operations(body)[-1].operands]
            pairs = zip(ends, state, strict=True)
            e.op("scf.yield", [e.value("arith.select", [going, a, b], a.type) for a, b in pairs])
        strip.take(op, list(new.results))

    def sides(self, op: Operation, mask: Value) -> None:
        """Each side of a branch in the lanes that go there, if any do."""
        strip, e = self.strip, self.strip.e
        chosen = strip.whole(op.operands[0])
        types = [strip.wide(result.type) for result in op.results]
        other = e.value("arith.xori", [chosen, strip.every_lane()], chosen.type)
        found = []
        for region, side in zip(op.regions, (chosen, other), strict=True):
            for block in region.blocks:
                lanes = e.value("arith.andi", [mask, side], mask.type)
                choice = e.op("scf.if", [strip.reduce("or", lanes)], types, None, 2)
                with strip.only(lanes):
                    strip.side(block, choice.regions[0].blocks.append(), op)
                with e.at(choice.regions[1].blocks.append()):
                    e.op("scf.yield", [strip.nothing(result.type) for result in op.results])
                found.append(list(choice.results))
        for result, yes, no in zip(op.results, *found, strict=True) if op.results else ():
            strip.bind(result, e.value("arith.select", [chosen, yes, no], yes.type))

    def load(self, memory: Value, indices: list[Value], type_: Type, mask: Value) -> Value:
        """Elements of the lanes that are to read them: in others an index may be anything."""
        strip, e = self.strip, self.strip.e
        array = MemRefType(memory.type)
        if array.affine_map == AffineMap.get_identity(array.rank) and type_ != IntegerType.get_signless(1):
            first, *others = map(strip.whole, indices)
            for axis, index in enumerate(others, 1):
                extent = e.value("memref.dim", [memory, e.integer(axis)], IndexType.get())
                row = e.value("arith.muli", [first, e.value("vector.broadcast", [extent], first.type)], first.type)
                first = e.value("arith.addi", [row, index], first.type)
            start = [e.integer(0)] * array.rank
            return e.value("vector.gather", [memory, *start, first, mask, strip.nothing(type_)], strip.wide(type_))
        found = []
        for k in range(strip.lanes):
            choice = e.op("scf.if", [strip.extract(mask, k)], [type_], None, 2)
            with e.at(choice.regions[0].blocks.append()):
                e.op("scf.yield", [strip.load_one(memory, strip.places(indices, k), type_)])
            with e.at(choice.regions[1].blocks.append()):
                e.op("scf.yield", [strip.extract(strip.nothing(type_), k)])
            found.append(choice.results[0])
        return strip.gather(found)
