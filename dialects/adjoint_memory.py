"""Adjoints of memory ops: cotangents of memory live in its shadow.

A load adds its cotangent to the shadow; a store takes the shadow's content as the cotangent of the stored value and
leaves zero there; a copy does both for each element. What a shadow holds on entry to the reverse sweep is the seed,
and on exit the gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlir.ir import IntegerAttr, Operation, UnitAttr, Value

from .activity import Activity
from .builder import Builder, home, is_memref
from .copier import add_block
from .extremes import SETTLED, check, is_extreme, still_there, unordered, won
from .tangents import Shadow, Tangents

if TYPE_CHECKING:
    from .recompute import ReverseScope
    from .stability import Stability


class MemoryAdjoints:
    """The part of the reverse sweep that deals with memory and caches; `Reverse` provides the rest."""

    b: Builder
    activity: Activity
    tangents: Tangents
    width: int
    stability: Stability

    if TYPE_CHECKING:

        def lookup(self, old: Value, scope: ReverseScope) -> Value: ...
        def shadow(self, old: Value, scope: ReverseScope) -> Shadow: ...
        def add(self, old: Value, cotangent: Value | None) -> None: ...
        def take(self, old: Value) -> Value | None: ...
        def take_or_zero(self, old: Value) -> Value: ...
        def accumulate(
            self, op: Operation, memref: Value, shadow: Shadow, at: list[Value], cotangent: Value, scope: ReverseScope
        ) -> None: ...

    def seed_memory(self, memref: Value, seeds: list[Value], scope: ReverseScope) -> None:
        """The cotangent of a returned memref is given in `seeds`: added to the shadow, and zero from then on."""
        shadows = self.shadow(memref, scope) if self.activity.memory(memref) else [None] * len(seeds)
        for seed, shadow in zip(seeds, shadows, strict=True):

            def move(indices: list[Value], seed: Value = seed, shadow: Value | None = shadow) -> None:
                cotangent = self.b.load(seed, indices)
                if shadow is not None:
                    self.b.store(self.b.add(self.b.load(shadow, indices), cotangent), shadow, indices)
                self.b.store(self.b.zero(cotangent.type), seed, indices)

            self.b.for_each(seed, move)

    def reverse_memref_load(self, op: Operation, scope: ReverseScope) -> None:
        cotangent = self.take(op.results[0])
        if cotangent is None:
            return
        memref, *indices = op.operands
        at = [self.lookup(i, scope) for i in indices]
        self.accumulate(op, memref, self.shadow(memref, scope), at, cotangent, scope)

    def reverse_memref_store(self, op: Operation, scope: ReverseScope) -> None:
        value, memref, *indices = op.operands
        if not self.activity.memory(memref):
            return
        at = [self.lookup(i, scope) for i in indices]
        shadow = self.shadow(memref, scope)
        if self.activity.value(value):
            self.add(value, self.tangents.load(shadow, at))
        self.tangents.store(None, shadow, at)

    def reverse_memref_copy(self, op: Operation, scope: ReverseScope) -> None:
        source, target = op.operands
        if not self.activity.memory(target):
            return
        to = self.shadow(target, scope)
        if not self.activity.memory(source):
            for memref in to:
                self.b.fill_zero(memref)
            return
        origin = self.shadow(source, scope)

        def move(indices: list[Value]) -> None:
            cotangent = self.tangents.load(to, indices)
            self.tangents.store(None, to, indices)  # first: source and target may be the same cell
            self.accumulate(op, source, origin, indices, cotangent, scope)

        self.b.for_each(to[0], move)

    def reverse_memref_alloc(self, op: Operation, scope: ReverseScope) -> None:
        """A shadow that the forward sweep made, since it travels, ends where its memory began.

        No block owns it: it may be on the tape when the block that carries it lets it go. Where there is no forward
        sweep, as nothing of it is needed, there is a shadow only if something behind has asked for one.
        """
        memref = op.results[0]
        here = scope.at(home(memref))
        if here.source is None and memref not in here.shadows:
            return
        if self.activity.memory(memref) and self.activity.objects.travels(memref):
            for shadow in self.shadow(memref, scope):
                self.b.op("memref.dealloc", [shadow], [], {"autodiff.free": UnitAttr.get()})

    def reverse_memref_atomic_rmw(self, op: Operation, scope: ReverseScope) -> None:
        """A sum: the cotangent of the cell is that of what was added. Of a largest or smallest value, the winner's."""
        value, memref, *indices = op.operands
        if not self.activity.memory(memref) or SETTLED in op.attributes:
            return
        at = [self.lookup(i, scope) for i in indices]
        shadow = self.shadow(memref, scope)
        if is_extreme(op):
            self._winner_takes(op, shadow, at, scope)
            return
        if IntegerAttr(op.attributes["kind"]).value != 0 or self.activity.value(op.results[0]):
            raise unordered(op)
        if self.activity.value(value):
            self.add(value, self.tangents.load(shadow, at))

    def _winner_takes(self, op: Operation, shadow: Shadow, at: list[Value], scope: ReverseScope) -> None:
        check(op, self.activity)
        still_there(op, self.activity, self.stability)
        value, memref = (self.lookup(o, scope) for o in list(op.operands)[:2])
        found = self.lookup(op.results[0], scope)
        winner = won(self.b, op, value, found, self.b.load(memref, at))
        choice = self.b.op("scf.if", [winner], [self.tangents.type(value.type)], regions=2)
        with self.b.at(add_block(choice.regions[0], [], self.b.loc)):
            taken = self.tangents.load(shadow, at)
            self.tangents.store(None, shadow, at)
            self.b.op("scf.yield", [taken])
        with self.b.at(add_block(choice.regions[1], [], self.b.loc)):
            self.b.op("scf.yield", [self.tangents.zero(value.type)])
        self.add(op.operands[0], choice.results[0])

    # caches: the reverse of a pop pushes, the reverse of a push pops -----------------------------------------------
    def reverse_autodiff_pop(self, op: Operation, scope: ReverseScope) -> None:
        result = op.results[0]
        if not self.activity.cache(op.operands[0]) or is_memref(result.type):
            return
        (cache,) = self.shadow(op.operands[0], scope)
        self.b.op("autodiff.push", [cache, self.take_or_zero(result)])

    def reverse_autodiff_push(self, op: Operation, scope: ReverseScope) -> None:
        cache, value = op.operands
        if not self.activity.cache(cache) or is_memref(value.type):
            return
        (adjoints,) = self.shadow(cache, scope)
        self.add(value, self.b.value("autodiff.pop", [adjoints], self.tangents.type(value.type)))
