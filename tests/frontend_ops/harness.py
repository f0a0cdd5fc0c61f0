"""Runs what the operation library emits: a function over `Value`s becomes a module, machine code, and NumPy results.

`run(fn, *args)` makes a Value of each argument (Python numbers as pyint, pyfloat, ...; NumPy scalars and arrays by
their type), lets `fn(b, *values)` emit, and calls the result; a list of Values gives a list. Arrays are passed without
copies, so that writes to them are seen.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from mlir import ir
from mlir.dialects import arith, func, memref, scf

from dsl import types
from dsl.errors import python_exception
from dsl.frontend import memory
from dsl.frontend.values import Builder, Shared, Value
from dsl.syntax.loc import Loc
from lowering import cpu
from lowering.options import CpuOptions

PYTHON = {bool: types.bool_, int: types.pyint, float: types.pyfloat, complex: types.pycomplex}
HERE = Loc("kernel.py", 1, 1, 1, 2)


class Options:
    """The part of a kernel's options that the library looks at."""

    def __init__(self, boundscheck: bool) -> None:
        self.boundscheck = boundscheck


class Compiled:
    """Machine code of an emitted function. Call it with arguments of the types that it was compiled for."""

    def __init__(self, fn: Any, arg_types: list[types.Type], boundscheck: bool = False) -> None:
        self.arg_types = arg_types
        with ir.Context() as context, ir.Location.file(HERE.file, HERE.line, HERE.col):
            context.allow_unregistered_dialects = True
            module = ir.Module.create()
            shared = Shared(module, Options(boundscheck))
            inputs = [shared.type(t.mlir) for t in arg_types] + [shared.type("memref<1xi64>")]
            with ir.InsertionPoint(module.body):
                entry = func.FuncOp("entry", ir.FunctionType.get(inputs, []))
                block = entry.add_entry_block()
            with ir.InsertionPoint(block):
                b = Builder(shared, HERE, block.arguments[len(arg_types)])
                values = [Value(t, (a,)) for t, a in zip(arg_types, block.arguments)]
                result = fn(b, *values)
                self.several = isinstance(result, list)
                results = result if isinstance(result, list) else [result]
                results = [r.force(b) for r in results if r is not None and not isinstance(r.type, types.NoneType_)]
                self.result_types = [r.type for r in results]
                outputs = [self._plain(b, r) for r in results]
                func.ReturnOp(outputs)
            entry.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, [o.type for o in outputs]))
            module.operation.verify()
            self.text = str(module)
            self.ir = module.operation.get_asm(enable_debug_info=True)
        self.records = shared.records
        self.loaded = cpu.load(cpu.compile(self.ir, "entry", CpuOptions(opt_level=1, contract=False)), "entry")

    def _plain(self, b: Builder, result: Value) -> ir.Value:
        """The result's leaf in the layout that its type says; an argument is copied."""
        leaf = b.ir(result)
        if isinstance(result.type, types.ArrayType):
            plain = b.type(types.ArrayType(result.type.dtype, result.type.ndim, True))
            sizes = [memref.dim(leaf, b.index(i)) for i in range(result.type.ndim)]
            fresh = memref.alloc(plain, sizes, [])
            memref.copy(leaf, fresh)
            return fresh
        return arith.extui(b.shared.type("i8"), leaf) if result.type.kind == "b" else leaf

    def __call__(self, *args: Any) -> Any:
        words: list[int] = []
        keep = []
        for arg, type_ in zip(args, self.arg_types):
            if isinstance(type_, types.ArrayType):
                words += [arg.ctypes.data, arg.ctypes.data, 0, *arg.shape, *(s // arg.itemsize for s in arg.strides)]
                keep.append(arg)
            else:
                assert isinstance(type_, types.Scalar)
                raw = np.array([arg], dtype=type_.dtype).tobytes()
                words += np.frombuffer(
                    raw.ljust(16 if len(raw) > 8 or type_.kind == "c" else 8, b"\0"), np.int64
                ).tolist()
                if type_ is types.complex64:
                    real, imag = np.frombuffer(raw, np.uint32).tolist()
                    words[-2:] = [real, imag]
        error = np.zeros(1, np.int64)
        words += [error.ctypes.data, error.ctypes.data, 0, 1, 1]
        at = len(words)
        room = sum(3 + 2 * t.ndim if isinstance(t, types.ArrayType) else 2 for t in self.result_types)
        slots = np.array([w if w < 2**63 else w - 2**64 for w in words] + [0] * room, dtype=np.int64)
        self.loaded.call(slots.ctypes.data)
        results = []
        for type_ in self.result_types:
            results.append(self._unpack(type_, slots[at:]))
            at += 3 + 2 * type_.ndim if isinstance(type_, types.ArrayType) else 1 + (type_.kind == "c")
        if error[0]:
            record = self.records[error[0] - 1]
            raise python_exception(record.exc)(record.message)
        if self.several:
            return results
        return results[0] if results else None

    @staticmethod
    def _unpack(t: types.Type, words: Any) -> Any:
        if isinstance(t, types.ArrayType):
            shape = tuple(int(n) for n in words[3 : 3 + t.ndim])
            count = int(np.prod(shape))
            data = ctypes.string_at(int(words[1]), count * t.dtype.dtype.itemsize)
            ctypes.CDLL(None).free(ctypes.c_void_p(int(words[0])))
            return np.frombuffer(data, t.dtype.dtype).reshape(shape)
        assert isinstance(t, types.Scalar)
        if t is types.complex64:
            parts = words[:2].astype(np.uint32)
            return parts.view(np.complex64)[0]
        return np.frombuffer(words[:2].tobytes(), t.dtype)[0]


def typeof(value: Any) -> types.Type:
    return PYTHON.get(type(value)) or types.typeof(value)


def run(fn: Any, *args: Any, boundscheck: bool = False) -> Any:
    """Compile for the types of these arguments, and call."""
    return Compiled(fn, [typeof(a) for a in args], boundscheck)(*args)


def mapped_all(
    functions: dict[Any, Any], *arrays: Any, element_types: Any = None, boundscheck: bool = False
) -> dict[Any, tuple[Any, types.Scalar]]:
    """Run functions of scalars for each element of arrays of one length; for each its results, and the type they have.

    `element_types` are the types that the elements have in the functions (pyfloat for a float64 array, say).
    """
    own = [types.from_dtype(a.dtype) for a in arrays]
    given = list(own if element_types is None else element_types)
    found: list[types.Scalar] = []

    def one(b: Builder, fn: Any, values: tuple[Value, ...]) -> Value:
        size = memory.sizes_of(b, values[0])[0]
        loop = scf.ForOp(b.index(0), size, b.index(1))
        with ir.InsertionPoint(loop.body):
            at = [loop.induction_variable]
            loaded = [Value(t, (memory.load_element(b, v.ir, at, o),)) for t, o, v in zip(given, own, values)]
            result = fn(b, *loaded)
            assert isinstance(result.type, types.Scalar), result
            number, dtype = b.ir(result), result.type.strong
            with ir.InsertionPoint(loop):  # the array for the results, whose type is known only now
                out = memory.allocate(b, dtype, [size])
            memory.store_element(b, number, out.ir, at, dtype)
            scf.YieldOp([])
        found.append(result.type)
        return out

    results = run(lambda b, *v: [one(b, fn, v) for fn in functions.values()], *arrays, boundscheck=boundscheck)
    return {name: (r, t) for name, r, t in zip(functions, results, found)}


def mapped(fn: Any, *arrays: Any, element_types: Any = None, boundscheck: bool = False) -> tuple[Any, types.Scalar]:
    """As `mapped_all`, for one function."""
    return mapped_all({"": fn}, *arrays, element_types=element_types, boundscheck=boundscheck)[""]
