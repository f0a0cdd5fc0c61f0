"""Launches in host code: `k[blocks, threads](...)` and `k.forall(n)(...)` become a gpu.launch that calls the kernel.

The kernel's function is private and takes its arguments as any kernel does. If it may fail, each thread has an error
cell of its own; the failure with the highest number of all threads is the launch's, whatever their order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mlir import ir
from mlir.dialects import arith, memref, scf

from .. import errors, types
from ..grids import FORALL_THREADS, MOST_THREADS, MOST_Z
from ..syntax import nodes
from . import casts, scalars
from .apart import keep_given_apart
from .derivatives import Derivatives
from .unit import Function
from .values import TupleValue, Value, constant

_AXES = 3


class Launched(NamedTuple):
    """A kernel with the extents of its grid and of its blocks, along x, y, z."""

    kernel: Any
    blocks: list[Value]
    threads: list[Value]


class Launches(Derivatives):
    """The part of the emitter for launches."""

    def launched(self, node: nodes.Expression) -> Launched | None:
        """What `node` in `node(...)` launches; None if it is no kernel with a grid."""
        if isinstance(node, nodes.Subscript):
            kernel = self._kernel_named(node.value)
            return None if kernel is None else self._with_grid(kernel, node)
        if isinstance(node, nodes.Call) and isinstance(node.func, nodes.Attribute) and node.func.attr == "forall":
            kernel = self._kernel_named(node.func.value)
            return None if kernel is None else self._for_all(kernel, node)
        return None

    def _kernel_named(self, node: nodes.Expression) -> Any:
        from ..kernel import Kernel

        if isinstance(node, (nodes.Name, nodes.Attribute)):
            value = self.evaluate(node)
            if isinstance(value.const, Kernel):
                return value.const
        return None

    def _with_grid(self, kernel: Any, node: nodes.Subscript) -> Launched:
        if not isinstance(node.index, nodes.Tuple) or len(node.index.elts) != 2:
            with self.b.at(node.loc):
                raise self.b.error(
                    f"a launch of `{kernel.name}` takes blocks and threads", "write k[blocks, threads](...)"
                )
        blocks, threads = (self._extents(e) for e in node.index.elts)
        with self.b.at(node.loc):
            self._check_block(threads)
        return Launched(kernel, blocks, threads)

    def _extents(self, node: nodes.Expression) -> list[Value]:
        value = self.forced(node)
        found = list(value.elements) if isinstance(value, TupleValue) else [value]
        with self.b.at(node.loc):
            if not 1 <= len(found) <= _AXES:
                raise self.b.error("a grid has one to three dimensions", "write an int, or a tuple of up to three")
            for extent in found:
                if not isinstance(extent.type, types.Scalar) or extent.type.kind not in "iu":
                    raise self.b.error(f"an extent of a grid is an integer, not {self.type_of(extent)}")
                if extent.known and extent.const < 0:
                    raise self.b.error(
                        f"an extent of a grid is {extent.const}", "it is 0 or more", errors.KernelValueError
                    )
        return found + [constant(1)] * (_AXES - len(found))

    def _check_block(self, threads: list[Value]) -> None:
        """A block's limits, as far as its extents are known."""
        count = 1
        for extent in threads:
            count *= extent.const if extent.known else 1
        if count > MOST_THREADS or (threads[2].known and threads[2].const > MOST_Z):
            raise self.b.error(
                f"a block of {count} threads is too large",
                f"it has at most {MOST_THREADS} threads, {MOST_Z} of them along z",
                errors.KernelValueError,
            )
        if count == 0:
            raise self.b.error("a block has no threads", "give it at least one", errors.KernelValueError)

    def _for_all(self, kernel: Any, node: nodes.Call) -> Launched:
        with self.b.at(node.loc):
            if len(node.args) != 1 or node.keywords:
                raise self.b.error("forall takes the number of threads", "write k.forall(n)(...)")
            count = casts.convert(self.b, self.forced(node.args[0]), types.pyint)
            rounded = scalars.binary(self.b, "+", count, constant(FORALL_THREADS - 1))
            blocks = scalars.binary(self.b, "//", rounded, constant(FORALL_THREADS))
        one = constant(1)
        return Launched(kernel, [blocks, one, one], [constant(FORALL_THREADS), one, one])

    # --- the operation

    def launch(self, launched: Launched, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Emit the launch, at the current place."""
        kernel, b = launched.kernel, self.b
        if b.device:
            raise b.error(
                f"a thread of a grid cannot launch `{kernel.name}`",
                "launch from host code, or call it as a function",
                errors.UnsupportedSyntax,
            )
        self.unit.refuse_recursion(kernel, b.loc)
        given, named = self.forced_arguments(args, kwargs)
        values = self.bound(
            f"{kernel.name}[...]()",
            kernel.params,
            given,
            named,
            kernel.defaults,
            kernel.keyword_only,
            kernel.positional_only,
        )
        for value in values:
            self.refuse_closure(value, "is not given to a grid")
        arg_types = tuple(self.type_of(v) for v in values)
        function = self.unit.specialise(kernel, arg_types, b.loc, True)
        self._refuse_results(kernel, function)
        assert function is not None
        leaves = [leaf for value, type_ in zip(values, arg_types) for leaf in self.leaves_as(value, type_)]
        keep_given_apart(b, function.apart, leaves, soft=False)
        extents = [self._extent(e) for e in (*launched.blocks, *launched.threads)]
        return self.unless_failed(lambda: self._emit_launch(function, leaves, extents))

    def _refuse_results(self, kernel: Any, function: Function | None) -> None:
        """A thread has nobody to return something to. The place is the kernel's own, which is what has to change."""
        refused = None
        if function is None:
            refused = "changes or returns a struct of its caller's, which a thread of a grid cannot do"
        elif function.writebacks:
            path = ".".join((kernel.params[function.writebacks[0].argument], *function.writebacks[0].path))
            refused = f"assigns to `{path}`: all threads of the grid would"
        elif function.result_type != types.none:
            refused = f"returns {function.result_type}: what a grid runs returns nothing"
        if refused:
            raise errors.KernelTypeError(f"`{kernel.name}` {refused}", kernel.loc, "let it write into an array")

    def _extent(self, value: Value) -> ir.Value:
        if value.known:
            return self.b.index(value.const)
        assert isinstance(value.type, types.Scalar)
        convert = arith.index_castui if value.type.kind == "u" else arith.index_cast
        return convert(self.b.shared.type("index"), self.b.ir(value))

    def _emit_launch(self, function: Function, leaves: list[ir.Value], extents: list[ir.Value]) -> Value:
        b = self.b
        index = b.shared.type("index")
        none, one = [0], [1] * 6
        attributes = {
            # asynchronous dependencies; extents; of clusters; dynamic shared memory
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([*none, *one, *none * 4]),
            "workgroup_attributions": ir.IntegerAttr.get(b.shared.type("i64"), 0),
        }
        op = ir.Operation.create("gpu.launch", [], extents, attributes, regions=1)
        place = ir.Location.file(b.loc.file, b.loc.line, b.loc.col)
        block = op.regions[0].blocks.append(*[index] * 12, arg_locs=[place] * 12)
        callee = {"callee": ir.FlatSymbolRefAttr.get(function.symbol)}
        with ir.InsertionPoint(block):
            if function.raises:
                cell = memref.alloca(b.shared.type("memref<1xi64>"), [], [])
                zero = b.index(0)
                memref.store(b.i64(0), cell, [zero])
                ir.Operation.create("func.call", [], [*leaves, cell], callee)
                self._report(memref.load(cell, [zero]), zero)
            else:
                ir.Operation.create("func.call", [], leaves, callee)
            ir.Operation.create("gpu.terminator", [])
        if function.raises:
            b.raises += 1
            b.must_leave = True
        return constant(None)

    def _report(self, failure: ir.Value, zero: ir.Value) -> None:
        """Hand a thread's failure to the cell of the host."""
        b = self.b
        branch = scf.IfOp(arith.cmpi(arith.CmpIPredicate.ne, failure, b.i64(0)))
        with ir.InsertionPoint(branch.then_block):
            assert b.error_cell is not None
            kind = ir.IntegerAttr.get(b.shared.type("i64"), _MAXIMUM)
            operands = [failure, b.error_cell, zero]
            ir.Operation.create("memref.atomic_rmw", [failure.type], operands, {"kind": kind})
            scf.YieldOp([])


_MAXIMUM = 6  # signed, among the kinds of memref.atomic_rmw
