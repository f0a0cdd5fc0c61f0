"""Which values of a loop to tape: a minimum cut of its data-flow graph.

The reverse sweep needs some values of each iteration. From a value that is taped, whatever follows by ops that can be
repeated is recomputed. So a set of taped values will do if it separates what cannot be repeated (carried values,
loads from overwritten memory) from what is needed, and the best one is a minimum cut, each value weighing its bytes
times the trips of the loops around it. Of several minimum cuts the one nearest to what is needed is taken, which
recomputes least.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import pairwise

from mlir.ir import BlockArgument, ComplexType, FloatType, IntegerType, Operation, Type, Value, VectorType

from .builder import home, is_memref, operation, walk
from .stability import LOOPS

_ENDLESS = 1 << 60
#: How often a loop is taken to run where its trip count is not a constant.
_TRIPS = 64


def taped_values(loop: Operation, needed: set[Value], sources: Callable[[Operation], list[Value] | None]) -> set[Value]:
    """The values inside `loop` to tape so that all of `needed` can be had in its reverse.

    `sources` gives what it takes to have the results of an op again there, None where they have to be taped.
    """
    depth = {block: 0 for region in loop.regions for block in region.blocks}
    for op in walk(loop):
        if len(op.regions):
            for block in (block for region in op.regions for block in region.blocks):
                depth.setdefault(block, depth.get(op.block, 0) + (op.name in LOOPS))
    network = _Network()
    todo = [v for v in needed if home(v) in depth and not is_memref(v.type)]
    for value in todo:
        network.edge(("out", value), "needed", _ENDLESS)
    seen: set[Value] = set(todo)
    while todo:
        value = todo.pop()
        network.edge(("in", value), ("out", value), bytes_of(value.type) * _TRIPS ** min(depth[home(value)], 6))
        if isinstance(value, BlockArgument):
            owner = operation(value.owner.owner)
            if not (owner.name == "scf.for" and value.arg_number == 0):
                network.edge("given", ("in", value), _ENDLESS)
            continue
        op = operation(value.owner)
        found = sources(op)
        if found is None:
            network.edge("given", ("in", value), _ENDLESS)
            continue
        for source in found:
            if home(source) in depth and not is_memref(source.type):
                network.edge(("out", source), ("in", value), _ENDLESS)
                if source not in seen:
                    seen.add(source)
                    todo.append(source)
    network.saturate("given", "needed")
    late = network.reaching("needed")
    return {v for v in seen if ("out", v) in late and ("in", v) not in late}


def bytes_of(type_: Type) -> int:
    if isinstance(type_, VectorType):
        count = 1
        for size in type_.shape:
            count *= size
        return count * bytes_of(type_.element_type)
    if isinstance(type_, ComplexType):
        return 2 * bytes_of(type_.element_type)
    if isinstance(type_, (IntegerType, FloatType)):
        return max(1, type_.width // 8)
    return 8


class _Network:
    """A flow network with capacities; shortest augmenting paths (Edmonds and Karp, 1972)."""

    def __init__(self) -> None:
        self.residual: dict[object, dict[object, int]] = {}

    def edge(self, a: object, b: object, capacity: int) -> None:
        self.residual.setdefault(a, {})[b] = capacity
        self.residual.setdefault(b, {}).setdefault(a, 0)

    def saturate(self, source: object, sink: object) -> None:
        if source not in self.residual or sink not in self.residual:
            return
        while True:
            before: dict[object, object] = {source: source}
            queue = deque([source])
            while queue and sink not in before:
                node = queue.popleft()
                for follower, capacity in self.residual[node].items():
                    if capacity > 0 and follower not in before:
                        before[follower] = node
                        queue.append(follower)
            if sink not in before:
                return
            path = [sink]
            while path[-1] != source:
                path.append(before[path[-1]])
            flow = min(self.residual[a][b] for b, a in pairwise(path))
            if flow >= _ENDLESS:
                return
            for b, a in pairwise(path):
                self.residual[a][b] -= flow
                self.residual[b][a] += flow

    def reaching(self, sink: object) -> set[object]:
        """The nodes from which `sink` can still be reached."""
        found = {sink}
        queue = deque([sink])
        while queue:
            node = queue.popleft()
            for neighbour in self.residual.get(node, ()):
                if neighbour not in found and self.residual[neighbour].get(node, 0) > 0:
                    found.add(neighbour)
                    queue.append(neighbour)
        return found
