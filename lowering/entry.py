"""The entry function: one C function of one pointer, whatever the kernel's arguments and results are.

`i64 entry(i64 *slots)`: the words are first the leaves of the arguments, then room for those of the results. A scalar
takes one word and sits at its low end, a complex number two, a memref of rank r 3 + 2r (allocated pointer, aligned
pointer, offset, sizes, strides). The result is `abi.OK` or the reason why the call was ended.

`mark_inlined` and `mark_distinct` prepare the kernel's own function in MLIR; `wrapper` gives LLVM IR for the function
that unpacks, calls and packs.
"""

from __future__ import annotations

from typing import NamedTuple

from mlir.ir import (
    ArrayAttr,
    ComplexType,
    DictAttr,
    FloatType,
    IndexType,
    IntegerType,
    MemRefType,
    Module,
    StringAttr,
    Type,
    UnitAttr,
)

from .abi import SHARED, symbol
from .errors import LoweringError
from .rewriting import functions, symbol_name

_LLVM_FLOAT = {"f64": "double", "f32": "float", "f16": "half", "bf16": "bfloat"}


class Leaf(NamedTuple):
    """An argument or a result of the kernel: its LLVM type where it is one value, and the types of its words.

    `fields` are (words, path) pairs' flat form: the LLVM type of each word and the indices that lead to it in `type`.
    """

    type: str
    fields: tuple[tuple[str, tuple[int, ...]], ...]
    is_array: bool


def leaf(type: Type, what: str) -> Leaf:
    """How a value of this MLIR type is laid out in words."""
    if isinstance(type, IndexType):
        return Leaf("i64", (("i64", ()),), False)
    if isinstance(type, IntegerType) and type.width <= 64:
        return Leaf(f"i{type.width}", ((f"i{type.width}", ()),), False)
    if isinstance(type, FloatType) and str(type) in _LLVM_FLOAT:
        name = _LLVM_FLOAT[str(type)]
        return Leaf(name, ((name, ()),), False)
    if isinstance(type, ComplexType) and str(type.element_type) in _LLVM_FLOAT:
        part = _LLVM_FLOAT[str(type.element_type)]
        return Leaf(f"{{ {part}, {part} }}", ((part, (0,)), (part, (1,))), False)
    if isinstance(type, MemRefType):
        start = (("ptr", (0,)), ("ptr", (1,)), ("i64", (2,)))
        if type.rank == 0:
            return Leaf("{ ptr, ptr, i64 }", start, True)
        extents = f"[{type.rank} x i64]"
        rest = tuple(("i64", (part, axis)) for part in (3, 4) for axis in range(type.rank))
        return Leaf(f"{{ ptr, ptr, i64, {extents}, {extents} }}", start + rest, True)
    raise LoweringError(f"{what} of the entry function has type {type}", None, "pass scalars and memrefs")


class Signature(NamedTuple):
    """The leaves of the kernel's arguments and results."""

    arguments: list[Leaf]
    results: list[Leaf]


def body_name(entry: str) -> str:
    """The name of the kernel's own function in LLVM IR."""
    return f"{entry}.body"


def mark_inlined(module: Module, entry: str, inlined: bool = True) -> None:
    """In a module of func functions: the kernel's own becomes part of the entry function, or stays apart (the entry
    function has no source, and what is inlined into it loses its lines).
    """
    for op in functions(module):
        if symbol_name(op) == body_name(entry):
            op.attributes["passthrough"] = ArrayAttr.get([StringAttr.get("alwaysinline" if inlined else "noinline")])


def mark_distinct(module: Module, entry: str, signature: Signature) -> None:
    """In a module of the llvm dialect: the kernel's arrays don't overlap."""
    for op in functions(module):
        if symbol_name(op) == body_name(entry):
            op.attributes["arg_attrs"] = _distinct(signature.arguments)


def _distinct(arguments: list[Leaf]) -> ArrayAttr:
    """noalias on the pointer of each array through which it is read and written."""
    nothing = DictAttr.get({})
    marked = DictAttr.get({"llvm.noalias": UnitAttr.get()})
    attributes: list[DictAttr] = []
    for argument in arguments:
        if argument.is_array:
            attributes += [nothing, marked] + [nothing] * (len(argument.fields) - 2)
        else:
            attributes.append(nothing)
    return ArrayAttr.get(attributes)


# Numbers below the smallest normal one are zero from here on. Many processors compute with them a hundred times more
# slowly, and the derivatives of softmaxes and densities are full of them.
_FLUSH = """  %saved = alloca i32
  %changed = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %saved)
  %before = load i32, ptr %saved
  %flushing = or i32 %before, 32832
  store i32 %flushing, ptr %changed
  call void @llvm.x86.sse.ldmxcsr(ptr %changed)
"""
_AS_BEFORE = "  call void @llvm.x86.sse.ldmxcsr(ptr %saved)\n"
_FLUSHES = "declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)\n"


def wrapper(entry: str, signature: Signature, allocates: bool, flush: bool = False) -> str:
    """LLVM IR of the exported function. With `flush`, on x86, subnormal numbers are zero while it runs."""
    name = symbol(entry)
    flushed, restored, declared = (_FLUSH, _AS_BEFORE, _FLUSHES) if flush else ("", "", "")
    if not allocates and not flush:
        return f'define i64 @"{name}"(ptr noalias %slots) {{\n{_unpack_call_pack(entry, signature)}  ret i64 0\n}}\n'
    # The kernel runs in a function of its own: nothing in it is held back by the jump into this one, and nothing of it
    # moves to where numbers are not flushed.
    run = f"""
define internal void @"{name}.run"(ptr noalias %slots) noinline {{
{_unpack_call_pack(entry, signature)}  ret void
}}
{declared}"""
    if not allocates:
        return f"""{run}
define i64 @"{name}"(ptr %slots) {{
{flushed}  call void @"{name}.run"(ptr %slots)
{restored}  ret i64 0
}}
"""
    return f"""{run}
define i64 @"{name}"(ptr %slots) {{
{flushed}  %buffer = alloca [64 x i64], align 16
  %key = load i64, ptr @{SHARED}
  %outer = call ptr @pthread_getspecific(i64 %key)
  %status = call i32 @_setjmp(ptr %buffer) returns_twice
  %ended = icmp ne i32 %status, 0
  br i1 %ended, label %leave, label %run
run:
  %set = call i32 @pthread_setspecific(i64 %key, ptr %buffer)
  call void @"{name}.run"(ptr %slots)
  br label %leave
leave:
{restored}  %reset = call i32 @pthread_setspecific(i64 %key, ptr %outer)
  %word = zext i32 %status to i64
  ret i64 %word
}}
"""


def _unpack_call_pack(entry: str, signature: Signature) -> str:
    lines: list[str] = []
    actual: list[str] = []
    word = 0

    def address() -> str:
        nonlocal word
        lines.append(f"  %p{word} = getelementptr inbounds i64, ptr %slots, i64 {word}")
        word += 1
        return f"%p{word - 1}"

    for argument in signature.arguments:
        if argument.is_array:
            for type, _ in argument.fields:
                at = address()
                lines.append(f"  %w{word} = load {type}, ptr {at}, align 8")
                actual.append(f"{type} %w{word}")
            continue
        value = "poison"
        for type, path in argument.fields:
            at = address()
            lines.append(f"  %w{word} = load {type}, ptr {at}, align 8")
            if path:
                lines.append(f"  %a{word} = insertvalue {argument.type} {value}, {type} %w{word}, {path[0]}")
                value = f"%a{word}"
            else:
                value = f"%w{word}"
        actual.append(f"{argument.type} {value}")
    types = [result.type for result in signature.results]
    whole = "void" if not types else types[0] if len(types) == 1 else f"{{ {', '.join(types)} }}"
    call = f'call {whole} @"{body_name(entry)}"({", ".join(actual)})'
    lines.append(f"  %r = {call}" if types else f"  {call}")
    for number, result in enumerate(signature.results):
        for type, path in result.fields:
            full = (number, *path) if len(types) > 1 else path
            value = "%r"
            if full:
                value = f"%r{word}"
                lines.append(f"  {value} = extractvalue {whole} %r, {', '.join(map(str, full))}")
            lines.append(f"  store {type} {value}, ptr {address()}, align 8")
    return "\n".join(lines) + "\n"
