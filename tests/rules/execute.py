"""Runs MLIR functions over arrays of points, for the tests of the rules.

Takes a module whose functions take and give floats, vectors of floats or complex numbers; leaves NumPy arrays. The
pipeline is a plain one on purpose: these tests are about the rules and not about the optimiser.
"""

from __future__ import annotations

import ctypes

import llvmlite.binding as llvm
import numpy as np
from mlir import ir
from mlir.dialects.llvm import translate_module_to_llvmir
from mlir.passmanager import PassManager

PIPELINE = """builtin.module(
    canonicalize, cse, convert-complex-to-standard, canonicalize, cse, convert-vector-to-llvm, convert-scf-to-cf,
    math-expand-ops{ops=rsqrt,sincos,clampf}, convert-math-to-funcs, convert-math-to-llvm, convert-math-to-libm,
    convert-complex-to-llvm, convert-to-llvm, reconcile-unrealized-casts)"""
NUMPY = {"f64": np.float64, "f32": np.float32, "i32": np.int32, "i64": np.int64, "i8": np.int8}
NUMPY |= {"complex<f64>": np.complex128, "complex<f32>": np.complex64}


def driver(name: str, arguments: list[str], results: list[str]) -> str:
    """Text of a function that calls @name at every point: scalars by memref.load, vectors by vector.load."""
    types = [*arguments, *results]
    params = ", ".join(f"%p{i}: memref<?x{element(t)}>" for i, t in enumerate(types))
    lines = [f"func.func @drive_{name}(%n: index, {params}) {{"]
    lanes = max(lane_count(t) for t in types)
    lines += ["%c0 = arith.constant 0 : index", f"%step = arith.constant {lanes} : index"]
    lines += ["scf.for %i = %c0 to %n step %step {"]
    for i, t in enumerate(arguments):
        load = "vector.load" if t.startswith("vector") else "memref.load"
        suffix = f", {t}" if t.startswith("vector") else ""
        lines.append(f"%a{i} = {load} %p{i}[%i] : memref<?x{element(t)}>{suffix}")
    out = ", ".join(f"%r{i}" for i in range(len(results)))
    values = ", ".join(f"%a{i}" for i in range(len(arguments)))
    lines.append(f"{out} = func.call @{name}({values}) : ({', '.join(arguments)}) -> ({', '.join(results)})")
    for i, t in enumerate(results):
        store = "vector.store" if t.startswith("vector") else "memref.store"
        suffix = f", {t}" if t.startswith("vector") else ""
        lines.append(f"{store} %r{i}, %p{len(arguments) + i}[%i] : memref<?x{element(t)}>{suffix}")
    return "\n".join([*lines, "}", "return", "}"])


def element(type: str) -> str:
    return type[type.index("x") + 1 : -1] if type.startswith("vector") else type


def lane_count(type: str) -> int:
    return int(type[len("vector<") : type.index("x")]) if type.startswith("vector") else 1


class Compiled:
    """A module in machine code; `names` are the functions to be called, each with its types."""

    def __init__(self, module: ir.Module, names: dict[str, tuple[list[str], list[str]]]) -> None:
        self.names = names
        drivers = "\n".join(driver(name, *types) for name, types in names.items())
        declarations = ""
        for name, (arguments, results) in names.items():
            declarations += f"func.func private @{name}({', '.join(arguments)}) -> ({', '.join(results)})\n"
        parsed = ir.Module.parse(declarations + drivers, context=module.context)
        for op in list(parsed.body):
            if op.attributes["sym_name"].value.startswith("drive_"):
                module.body.append(op.detach_from_parent())
        for op in module.body:
            if not op.attributes["sym_name"].value.startswith("drive_") and len(op.regions[0].blocks):
                op.attributes["sym_visibility"] = ir.StringAttr.get("private", context=module.context)
        module.operation.verify()
        PassManager.parse(PIPELINE, context=module.context).run(module.operation)
        text = translate_module_to_llvmir(module.operation)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(opt=1, jit=True)
        unit = llvm.parse_assembly(text)
        options = llvm.create_pipeline_tuning_options(speed_level=1)
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(unit, builder)
        ctypes.CDLL("libm.so.6", mode=ctypes.RTLD_GLOBAL)
        jit = llvm.create_lljit_compiler(machine, use_jit_link=False, suppress_errors=False)
        library = llvm.JITLibraryBuilder().add_object_img(machine.emit_object(unit))
        for name in names:
            library = library.export_symbol(f"drive_{name}")
        self._keep = jit
        self.library = library.add_current_process().link(jit, "tests")

    def __call__(self, name: str, *points: np.ndarray) -> list[np.ndarray]:
        """The results of @name at every point; vectors take several points at once."""
        arguments, results = self.names[name]
        lanes = max(lane_count(t) for t in [*arguments, *results])
        size = max(len(p) for p in points)
        padded = -(-size // lanes) * lanes
        width = padded if all(lane_count(t) == lanes for t in arguments) else size
        arrays = [np.resize(np.ascontiguousarray(p, NUMPY[element(t)]), width) for p, t in zip(points, arguments)]
        arrays += [np.full(padded, 99, NUMPY[element(t)]) for t in results]
        words: list[object] = [ctypes.c_int64(padded)]
        for a in arrays:
            words += [ctypes.c_void_p(a.ctypes.data)] * 2 + [ctypes.c_int64(v) for v in (0, a.size, 1)]
        ctypes.CFUNCTYPE(None)  # the types of the words say how each of them is passed
        function = ctypes.CFUNCTYPE(None, *[type(w) for w in words])(self.library[f"drive_{name}"])
        function(*words)
        return [a[:size] for a in arrays[len(arguments) :]]
