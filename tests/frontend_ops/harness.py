"""Runs what the operation library emits: a function over `Value`s becomes a module, machine code, and NumPy results.

`run(fn, *args)` makes a Value of each argument (Python numbers as pyint, pyfloat, ...; NumPy scalars and arrays by
their type), lets `fn(b, *values)` emit, and calls the result. Arrays are passed without copies, so that writes to
them are seen.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from mlir import ir
from mlir.dialects import arith, func, memref

from dsl import types
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
                result = Value(types.none) if result is None else result.force(b)
                self.result_type = result.type
                outputs = [self._plain(b, result)] if isinstance(result.type, (types.Scalar, types.ArrayType)) else []
                func.ReturnOp(outputs)
            entry.attributes["function_type"] = ir.TypeAttr.get(ir.FunctionType.get(inputs, [o.type for o in outputs]))
            module.operation.verify()
            self.text = str(module)
            self.ir = module.operation.get_asm(enable_debug_info=True)
        self.records = shared.records
        self.loaded = cpu.load(cpu.compile(self.ir, "entry", CpuOptions(contract=False)), "entry")

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
        slots = np.array([w if w < 2**63 else w - 2**64 for w in words] + [0] * 16, dtype=np.int64)
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.loaded.address)(slots.ctypes.data)
        result = self._unpack(slots[at:])
        if error[0]:
            record = self.records[error[0] - 1]
            raise getattr(__import__("builtins"), record.exc)(record.message)
        return result

    def _unpack(self, words: Any) -> Any:
        t = self.result_type
        if isinstance(t, types.ArrayType):
            shape = tuple(int(n) for n in words[3 : 3 + t.ndim])
            count = int(np.prod(shape))
            data = ctypes.string_at(int(words[1]), count * t.dtype.dtype.itemsize)
            ctypes.CDLL(None).free(ctypes.c_void_p(int(words[0])))
            return np.frombuffer(data, t.dtype.dtype).reshape(shape)
        if isinstance(t, types.Scalar):
            if t is types.complex64:
                parts = words[:2].astype(np.uint32)
                return parts.view(np.complex64)[0]
            return np.frombuffer(words[:2].tobytes(), t.dtype)[0]
        return None


def typeof(value: Any) -> types.Type:
    return PYTHON.get(type(value)) or types.typeof(value)


def run(fn: Any, *args: Any, boundscheck: bool = False) -> Any:
    """Compile for the types of these arguments, and call."""
    return Compiled(fn, [typeof(a) for a in args], boundscheck)(*args)


def _result_type(fn: Any, arg_types: list[types.Type]) -> types.Scalar:
    """The type of fn's result, found by emitting it into a module that is thrown away."""
    with ir.Context(), ir.Location.unknown():
        shared = Shared(ir.Module.create(), Options(False))
        inputs = [shared.type(t.mlir) for t in arg_types] + [shared.type("memref<1xi64>")]
        with ir.InsertionPoint(shared.module.body):
            entry = func.FuncOp("trial", ir.FunctionType.get(inputs, []))
            block = entry.add_entry_block()
        with ir.InsertionPoint(block):
            b = Builder(shared, HERE, block.arguments[len(arg_types)])
            result = fn(b, *(Value(t, (a,)) for t, a in zip(arg_types, block.arguments)))
        assert isinstance(result.type, types.Scalar), result
        return result.type


def mapped(fn: Any, *arrays: Any, element_types: Any = None, boundscheck: bool = False) -> tuple[Any, types.Scalar]:
    """Run a function of scalars for each element of arrays of one length; the results, and the type that they have.

    `element_types` are the types that the elements have in the function (pyfloat for a float64 array, say).
    """
    own = [types.from_dtype(a.dtype) for a in arrays]
    given = list(own if element_types is None else element_types)
    result_type = _result_type(fn, given)

    def body(b: Builder, *values: Value) -> Value:
        sizes = memory.sizes_of(b, values[0])
        out = memory.allocate(b, result_type.strong, sizes)

        def element(indices: Any) -> None:
            loaded = [Value(t, (memory.load_element(b, v.ir, indices, o),)) for t, o, v in zip(given, own, values)]
            memory.store_element(b, b.ir(fn(b, *loaded)), out.ir, indices, result_type.strong)

        memory.nest(b, sizes, element)
        return out

    return run(body, *arrays, boundscheck=boundscheck), result_type
