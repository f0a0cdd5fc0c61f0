"""Pass: the launches of a module become kernels of one gpu.module, and that becomes PTX.

`outline` takes a module of upstream dialects with gpu.launch in host functions; it leaves gpu.launch_func in their
place and gives, for each kernel, its parameters. `ptx` takes what `outline` left and gives the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from mlir.ir import (
    Attribute,
    BlockArgument,
    FlatSymbolRefAttr,
    FunctionType,
    InsertionPoint,
    MemRefType,
    Module,
    Operation,
    StringAttr,
    SymbolTable,
    TypeAttr,
    UnitAttr,
    Value,
)
from mlir.passmanager import PassManager

from ..addresses import signed_module
from ..booleans import store_as_bytes
from ..errors import LoweringError, position
from ..expand import expand
from ..grid.calls import inline_calls
from ..grid.divergence import refuse_divergent
from ..grid.emit import Emitter, operations, plain, walk
from . import libdevice, parameters
from .arrays import EXTENTS
from .halves import expand_additions
from .options import DeviceOptions
from .parameters import Parameter

CONTAINER = "kernels"
_SHARED_BYTES = 48 * 1024  # what a block may declare
_LOCAL_BYTES = 512 * 1024  # what a thread has
_SHARED = "#gpu.address_space<workgroup>"
_CONTRACTIBLE = frozenset(("arith.addf", "arith.subf", "arith.mulf", "arith.negf"))
_FLOATS = frozenset((*_CONTRACTIBLE, "arith.divf", "arith.remf"))
_OTHER_DIALECT = re.compile(r'"(?!llvm\.|nvvm\.|gpu\.module|builtin\.)([a-z_]\w*\.[\w.]+)"\(')
#: Chips whose own first version of PTX has no atomics of 16 bits, so they get the one that brought these.
_OLD, _ATOMICS = ("sm_70", "sm_72"), "features=+ptx63 "
_PTX = re.compile(r'(?:assembly|bin|offload) = "((?:[^"\\]|\\.)*)"')


class Kernel(NamedTuple):
    """A kernel: its name in the PTX, its parameters, the bytes of shared memory that it declares, and for each of its
    arguments the number of the entry's argument that it is, if it is one.
    """

    name: str
    parameters: tuple[Parameter, ...]
    shared_bytes: int
    sources: tuple[int | None, ...]


def outline(module: Module, options: DeviceOptions) -> dict[str, Kernel]:
    """The kernels of the module's launches, by the names of their functions in @`CONTAINER`."""
    launches = [op for op in walk(module.operation) if op.name == "gpu.launch"]
    if not launches:
        return {}
    names = [_name(launch) for launch in launches]
    for launch in launches:
        inline_calls(module, launch)
        refuse_divergent(launch)
    _run(module, "canonicalize", "cse", "gpu-launch-sink-index-computations")
    text = str(module)
    store_as_bytes(module, text)
    if "complex." in text:  # the C library's functions of complex numbers have no twins on the device
        _run(module, "convert-complex-to-standard")
    expand(module, str(module))
    _run(module, "gpu-kernel-outlining")
    return _gather(module, names, options)


def _name(launch: Operation) -> str:
    """What to call a launch's kernel: as the function that it calls, or after the host function around it."""
    for op in operations(launch.regions[0].blocks[0]):
        if op.name == "func.call":
            return re.sub(r"\W", "_", FlatSymbolRefAttr(op.attributes["callee"]).value.partition(".")[0])
    function = launch
    while function.name != "func.func":
        function = plain(function.parent)
    return re.sub(r"\W", "_", StringAttr(function.attributes["sym_name"]).value.partition(".")[0]) + "_loop"


def _gather(module: Module, names: list[str], options: DeviceOptions) -> dict[str, Kernel]:
    """Move all kernels into one gpu.module, under names of their own, and give them plain parameters."""
    containers = [op for op in operations(module.body) if op.name == "gpu.module"]
    launches = {str(op.attributes["kernel"]): op for op in walk(module.operation) if op.name == "gpu.launch_func"}
    target = containers[0]
    start = plain(next(iter(target.regions[0].blocks[0].operations)))
    found: list[tuple[Operation, Operation, str]] = []  # kernel, its launch, what to call it
    taken: set[str] = set()  # helper functions that are there already
    for container, stem in zip(containers, names, strict=True):
        for op in operations(container.regions[0].blocks[0]):
            symbol = StringAttr(op.attributes["sym_name"]).value if "sym_name" in op.attributes else ""
            if op.name == "gpu.func":
                path = f"@{StringAttr(container.attributes['sym_name']).value}::@{symbol}"
                found.append((op, launches[path], stem))
                SymbolTable.set_symbol_name(op, f"{symbol}.{len(found)}")
            elif symbol in taken:
                op.erase()
                continue
            taken.add(symbol)
            if container is not target:
                op.move_before(start)
        if container is not target:
            container.erase()
    SymbolTable.set_symbol_name(target, CONTAINER)
    kernels: dict[str, Kernel] = {}
    for function, launch, stem in found:
        name = stem if stem not in kernels else f"{stem}_{len(kernels)}"
        SymbolTable.set_symbol_name(function, name)
        launch.attributes["kernel"] = Attribute.parse(f"@{CONTAINER}::@{name}")
        sources = _sort(function, launch)
        kernels[name] = _prepare(target, function, name, sources, options)
    libdevice.use(target)
    return kernels


def _sort(function: Operation, launch: Operation) -> tuple[int | None, ...]:
    """Put the arguments in the order of the host function's; returns which of those each of them is."""
    operands = list(launch.operands)[EXTENTS:]
    numbers = [_number(value) for value in operands]
    order = sorted(range(len(operands)), key=lambda n: (numbers[n] is None, numbers[n] or 0))
    block = function.regions[0].blocks[0]
    old = list(block.arguments)
    for n in order:
        old[n].replace_all_uses_with(block.add_argument(old[n].type, function.location))
    for _ in old:
        block.erase_argument(0)
    types = [operands[n].type for n in order]
    function.attributes["function_type"] = TypeAttr.get(FunctionType.get(types, []))
    for place, n in enumerate(order):
        launch.operands[EXTENTS + place] = operands[n]
    return tuple(numbers[n] for n in order)


def _number(value: Value) -> int | None:
    """Which argument of its function a value is."""
    if isinstance(value, BlockArgument) and plain(value.owner.owner).name == "func.func":
        return int(value.arg_number)
    return None


def _prepare(
    container: Operation, function: Operation, name: str, sources: tuple[int | None, ...], options: DeviceOptions
) -> Kernel:
    _refuse(function)
    shared = _shared_memory(container, function, name)
    _check_local_memory(function)
    expand_additions(function, options)
    _flags(function, options)
    arguments = function.regions[0].blocks[0].arguments
    found = [p for n, a in enumerate(arguments) for p in parameters.describe(a.type, n, function.location)]
    return Kernel(name, tuple(found), shared, sources)


_REFUSED = {
    "memref.alloc": ("a thread allocates an array whose size is known only at run time", "pass it as an argument"),
    "memref.dealloc": ("a thread frees an array", "free it in host code"),
    "gpu.launch_func": ("a thread launches a kernel", "launch from host code"),
    "gpu.subgroup_id": ("gpu.subgroup_id has no lowering", "divide the thread's number by 32"),
    "gpu.subgroup_reduce": ("gpu.subgroup_reduce has no lowering", "use shuffles"),
    "gpu.dynamic_shared_memory": ("shared memory of a size known only at run time is not there", "use a fixed size"),
}  # fmt: skip


def _refuse(function: Operation) -> None:
    """Refuse what has no lowering, or would end the process."""
    for op in walk(function):
        if op.name in _REFUSED:
            message, hint = _REFUSED[op.name]
            raise LoweringError(message, position(op.location), hint)
        if op.name == "memref.generic_atomic_rmw" and not str(op.results[0].type).startswith("i"):
            raise LoweringError(f"a general atomic update of a {op.results[0].type}", position(op.location), "use addf")


def _shared_memory(container: Operation, function: Operation, name: str) -> int:
    """Shared arrays become globals of the module; returns their bytes."""
    total = 0
    for number, op in enumerate([op for op in walk(function) if op.name == "memref.alloca"]):
        type_ = MemRefType(op.results[0].type)
        if type_.memory_space is None or _SHARED not in str(type_):
            continue
        total += _bytes(type_)
        if total > _SHARED_BYTES:
            message = f"shared arrays of {total} bytes: a block has {_SHARED_BYTES}"
            raise LoweringError(message, position(op.location), "make them smaller")
        symbol = f"{name}_shared_{number}"
        at_start = InsertionPoint(plain(next(iter(container.regions[0].blocks[0].operations))))
        Emitter(at_start, op.location).op(
            "memref.global",
            attributes={
                "sym_name": StringAttr.get(symbol),
                "sym_visibility": StringAttr.get("private"),
                "type": TypeAttr.get(type_),
                "initial_value": UnitAttr.get(),
            },
        )
        array = Emitter(InsertionPoint(op), op.location).value(
            "memref.get_global", [], type_, {"name": FlatSymbolRefAttr.get(symbol)}
        )
        op.results[0].replace_all_uses_with(array)
        op.erase()
    return total


def _check_local_memory(function: Operation) -> None:
    total = 0
    for op in walk(function):
        if op.name == "memref.alloca":
            total += _bytes(MemRefType(op.results[0].type))
            if total > _LOCAL_BYTES:
                message = f"local arrays of {total} bytes: a thread has {_LOCAL_BYTES}"
                raise LoweringError(message, position(op.location), "make them smaller, or use a part of an argument")


def _bytes(type_: MemRefType) -> int:
    size: int = parameters.element_bytes(type_.element_type)
    for extent in type_.shape:
        size *= extent
    return size


def _flags(function: Operation, options: DeviceOptions) -> None:
    """Say on each operation what the options allow."""
    if not (options.contract or options.fastmath):
        return
    flags = "reassoc,nsz,arcp,contract,afn" if options.fastmath else "contract"
    attribute = Attribute.parse(f"#arith.fastmath<{flags}>")
    for op in walk(function):
        if op.name in (_FLOATS if options.fastmath else _CONTRACTIBLE):
            op.attributes["fastmath"] = attribute


# --- PTX


def ptx(module: Module, kernels: dict[str, Kernel], options: DeviceOptions, alike: Mapping[str, set[int]]) -> str:
    """The text of the kernels in a module in which `outline` has put them. It erases all else from the module. `alike`:
    which arguments of a kernel may be the same memory as another.
    """
    for op in operations(module.body):
        if op.name != "gpu.module":
            op.erase()
    (container,) = operations(module.body)
    for op in operations(container.regions[0].blocks[0]):
        if op.name == "gpu.func":
            parameters.plain(op)
    if "bf16" in str(module):
        _run(module, "gpu.module(arith-emulate-unsupported-floats{source-types=bf16 target-type=f32})")
        expand(module, str(module))
    lowering = [
        "convert-vector-to-scf",
        "canonicalize",
        "cse",
        "loop-invariant-code-motion",
        "expand-strided-metadata",
        "lower-affine",
        "convert-scf-to-cf",
        "convert-vector-to-llvm",
        "convert-complex-to-llvm",
        "convert-gpu-to-nvvm{index-bitwidth=64}",
        "convert-math-to-llvm",
        "canonicalize",
        "cse",
        "reconcile-unrealized-casts",
    ]
    _run(module, f"gpu.module({','.join(lowering)})")
    _check_lowered(module)
    module = signed_module(module)
    (container,) = [op for op in operations(module.body) if op.name == "gpu.module"]
    _tidy(container, kernels, options, alike)
    if options.line_info:
        _run(module, "ensure-debug-info-scope-on-llvm-func{emission-kind=DebugDirectivesOnly}")
    fast = " fast" if options.fastmath else ""
    version = _ATOMICS if options.chip in _OLD else ""
    target = f"nvvm-attach-target{{chip={options.chip} {version}O=3{fast}}}"
    _run(module, target, "gpu-module-to-binary{format=isa}")
    found = _PTX.search(str(module))
    if not found:
        raise LoweringError("MLIR gave no PTX")
    return _unescaped(found[1])


def _tidy(
    container: Operation, kernels: dict[str, Kernel], options: DeviceOptions, alike: Mapping[str, set[int]]
) -> None:
    """Leave out the wrappers for C; say which of a kernel's arrays overlap no other."""
    for op in operations(container.regions[0].blocks[0]):
        if op.name != "llvm.func":
            continue
        name = StringAttr(op.attributes["sym_name"]).value
        if name.startswith("_mlir_ciface_"):
            op.erase()
            continue
        if "llvm.emit_c_interface" in op.attributes:
            del op.attributes["llvm.emit_c_interface"]
        if name in kernels and options.distinct_arrays:
            marks = [
                "{llvm.noalias}" if p.kind == "pointer" and p.argument not in alike[name] else "{}"
                for p in kernels[name].parameters
            ]
            op.attributes["arg_attrs"] = Attribute.parse(f"[{', '.join(marks)}]")
        elif name not in kernels and op.regions[0].blocks:
            op.attributes["linkage"] = Attribute.parse("#llvm.linkage<internal>")


def _check_lowered(module: Module) -> None:
    """Refuse what no pass has lowered: going on would end the process."""
    left = _OTHER_DIALECT.search(module.operation.get_asm(print_generic_op_form=True))
    if left:
        places = [position(op.location) for op in walk(module.operation) if op.name == left[1]]
        raise LoweringError(f"the operation {left[1]} has no lowering to the device", places[0] if places else None)


def _unescaped(text: str) -> str:
    """The text of an MLIR string: a backslash stands before two hexadecimal digits, or before what it quotes."""
    plain_text = re.sub(rb"\\([0-9A-Fa-f]{2}|.)", _character, text.encode())
    return plain_text.rstrip(b"\0").decode()


def _character(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if len(code) == 2:
        return bytes([int(code, 16)])
    return {b"n": b"\n", b"t": b"\t"}.get(code, code)


def _run(module: Module, *passes: str) -> None:
    PassManager.parse(f"builtin.module({','.join(passes)})").run(module.operation)
