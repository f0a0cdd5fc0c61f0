"""MLIR in upstream dialects to LLVM IR, as text, with the entry function in it.

The input has one function to be entered from outside; everything else is only reachable from it. Takes and leaves text:
nothing of MLIR survives the call.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# (mlir.dialects.llvm exports it too, and takes longer to import than a small kernel takes to lower. An attribute of the
# llvm dialect in Python's hands would import it as well.)
from mlir._mlir_libs._mlirDialectsLLVM import translate_module_to_llvmir
from mlir.ir import Context, Location, Module, Operation, StringAttr, SymbolTable, WalkOrder, WalkResult
from mlir.passmanager import PassManager

from . import addresses, grid, seldom, sine_cosine, vector_library, vector_math
from . import entry as entries
from .atomics import add_functions, outline_atomics
from .booleans import store_as_bytes
from .copies import copy_in_loops
from .deallocation import deallocate
from .errors import LoweringError, from_mlir, position
from .expand import expand
from .linear_algebra import link
from .memory import ALLOC, FREE, REFUSE, RUNTIME, guard
from .options import CpuOptions
from .pointers import pass_pointers
from .rewriting import functions, symbol_name
from .strips import run_in_strips
from .wraps import settle_wraps

# Patterns begin with letters: the text is searched for those quickly, and for \b letter by letter.
#
# Branches between blocks, which deallocation does not take: made into structured control flow first.
_BRANCHES = re.compile(r"cf\.(?:br|cond_br|switch)\b")
_ALLOCATES = re.compile(r"memref\.(?:alloc|realloc)\b")
_LOWERED = ("llvm.", "builtin.module")
_OPEN_LENGTH = re.compile(r"vector(?:<(?:\d+x)*\[[^>]*>|\.vscale\b)")
# In LLVM IR: a function of the module, which is not to be seen from outside; what `RUNTIME` defines or declares itself.
_DEFINITION = re.compile(r"^define (?!internal|private|linkonce)", re.M)
# A choice among arrays. That a loop finds one of two arrays by it, and the other by the opposite choice, LLVM's
# vectoriser takes for accesses of one array at unknown distances: it must not see where the address comes from.
_CHOICE = re.compile(
    r"^  %(\S+) = (select i1 [^\n]*?, (\{ ptr, ptr, i64, \[\d+ x i64\], \[\d+ x i64\] \}) %\S+, \3 [^\s,]+)(.*)$", re.M
)
_CHOSEN = r"""  %choice.\1 = \2\4
  %address.\1 = extractvalue \3 %choice.\1, 1\4
  %hidden.\1 = call ptr asm "", "=r,0"(ptr %address.\1) nounwind memory(none)\4
  %\1 = insertvalue \3 %choice.\1, ptr %hidden.\1, 1\4"""
_ALLOCATOR = re.compile(rf"^declare [^\n]*@(malloc|free|{re.escape(REFUSE)})\([^\n]*\n", re.M)
# What a floating-point operation in LLVM IR may have as flags for an option.
_CONTRACTIBLE = re.compile(r"= (fadd|fsub|fmul|fneg) ")
_FAST = re.compile(r"= (fadd|fsub|fmul|fdiv|frem|fneg|fcmp) ")
# Dialects of which our own rewrites create operations. MLIR ends the process if one of them is not loaded.
_CREATED = ("arith", "builtin", "complex", "func", "llvm", "math", "memref", "scf", "vector")


def context() -> Context:
    """A context that loads dialects when it meets them, and works in the calling thread only."""
    made = Context(load_on_create_dialects=[])
    made.enable_multithreading(False)
    for dialect in _CREATED:
        made.get_dialect_descriptor(dialect)  # loads it
    return made


def to_llvm_ir(text: str, entry: str, options: CpuOptions, has_feature: Callable[[str], bool]) -> str:
    """LLVM IR, not yet optimised, of the module `text`, exporting `abi.symbol(entry)`."""
    try:
        with context(), Location.unknown():
            module = Module.parse(text)
            return _lower(module, text, entry, options, has_feature)
    except LoweringError:
        raise
    except Exception as error:
        raise from_mlir(error, "lowering to LLVM failed") from None


def _lower(module: Module, text: str, entry: str, options: CpuOptions, has_feature: Callable[[str], bool]) -> str:
    if open_length := _OPEN_LENGTH.search(text):
        hint = "use vectors of a fixed length"
        raise LoweringError(f"{open_length[0]}: vectors of open length are not for this CPU", None, hint)
    text = link(module, text)
    signature = _isolate(module, entry)
    _run(module, *_before(text))
    atomics = outline_atomics(module, text)
    settle_wraps(module)
    parts = grid.lower(module, text, options.check_threads, options.distinct_arrays)
    stripped = run_in_strips(module, entries.body_name(entry), options, has_feature)
    text = str(module)
    guard(module, text)
    deallocate(module, text)
    add_functions(module, atomics)
    text_now = str(module)
    copy_in_loops(module, text_now)
    store_as_bytes(module, text_now)
    pass_pointers(module, text_now)
    if "bf16" in text:
        _run(module, "arith-emulate-unsupported-floats{source-types=bf16 target-type=f32}")
    if "complex." in text:
        expand(module, text)
        _run(module, "convert-complex-to-standard")
    text_now = str(module)
    lanes = vector_library.fused_lanes(has_feature) if options.vector_math else []
    pairs = bool(lanes) and sine_cosine.pair(module, text_now)
    expand(module, text_now)
    defined = sine_cosine.names(lanes) if pairs else []
    versions = vector_math.describe(module, has_feature if options.vector_math else None, defined)
    entries.mark_inlined(module, entry, not options.debug_info)
    if stripped:
        seldom.annotate(module)
    _run(module, *_after(text, options))
    _check_lowered(module)
    if stripped:
        seldom.tell(module)
    if options.distinct_arrays:
        entries.mark_distinct(module, entry, signature)
        grid.mark_distinct(module, parts)
    ir = translate_module_to_llvmir(module.operation)
    if not ir:
        raise LoweringError("MLIR could not write the module as LLVM IR")
    finished = _finish(addresses.signed(ir) + versions, entry, signature, options, has_feature("sse2"))
    if pairs:
        finished = sine_cosine.define(finished, lanes)
    return finished


def _isolate(module: Module, entry: str) -> entries.Signature:
    """Keep what the entry function needs, and give each function a name that no C function has."""
    defined = {symbol_name(op): op for op in functions(module)}
    function = defined.get(entry)
    if function is None or function.name != "func.func":
        raise LoweringError(f"the module has no function @{entry}")
    if not function.regions[0].blocks:
        raise LoweringError(f"the function @{entry} is only declared")
    for name, op in defined.items():
        if op.name == "func.func" and op.regions[0].blocks:
            op.attributes["sym_visibility"] = StringAttr.get("public" if name == entry else "private")
            renamed = entries.body_name(entry) if name == entry else f"{name}.fn"
            SymbolTable.replace_all_symbol_uses(name, renamed, module.operation)
            SymbolTable.set_symbol_name(op, renamed)
    type = function.attributes["function_type"].value
    return entries.Signature(
        [entries.leaf(t, f"argument {i + 1}") for i, t in enumerate(type.inputs)],
        [entries.leaf(t, f"result {i + 1}") for i, t in enumerate(type.results)],
    )


def _run(module: Module, *passes: str) -> None:
    if passes:
        PassManager.parse(f"builtin.module({','.join(passes)})").run(module.operation)


def _before(text: str) -> list[str]:
    """What simplifies the program while its structure is still there."""
    passes = ["symbol-dce"]
    tensors = "tensor<" in text
    if tensors:
        passes.append("one-shot-bufferize{bufferize-function-boundaries=1}")
    if "memref.realloc" in text:
        passes.append("expand-realloc")
    if _ALLOCATES.search(text) and _BRANCHES.search(text):
        passes.append("lift-cf-to-scf")
    if tensors or "linalg." in text:
        passes.append("convert-linalg-to-loops")
    if tensors or "affine." in text:
        passes.append("lower-affine")
    if "bufferization.clone" in text:
        passes.append("convert-bufferization-to-memref")
    if "vector.mask" in text:
        passes.append("func.func(lower-vector-mask)")
    if "vector.multi_reduction" in text:
        passes.append("func.func(lower-vector-multi-reduction)")
    # (From the leaves upwards: downwards, canonicalize takes time quadratic in the depth of branches.)
    return [*passes, "canonicalize{top-down=false}", "cse", "loop-invariant-code-motion"]


def _after(text: str, options: CpuOptions) -> list[str]:
    """From structured control flow and memrefs to the llvm dialect."""
    passes = []
    if "vector." in text or "vector<" in text:
        passes.append("convert-vector-to-scf")
    if re.search(r"math\.(ipowi|fpowi)", text):
        passes.append("convert-math-to-funcs{min-width-of-fpowi-exponent=1}")
    if "memref.reshape" in text:
        passes.append("memref-expand")  # (it also makes atomic updates into forms that do not lower)
    passes += ["expand-strided-metadata", "lower-affine", "convert-scf-to-cf"]
    if "vector." in text or "vector<" in text:
        passes.append("convert-vector-to-llvm")
    passes += ["convert-to-llvm", "reconcile-unrealized-casts", "symbol-dce"]
    if options.debug_info:
        passes.append("ensure-debug-info-scope-on-llvm-func{emission-kind=LineTablesOnly}")
    return passes


def _check_lowered(module: Module) -> None:
    """Refuse what no pass has lowered: writing it as LLVM IR would end the process."""
    left: list[Operation] = []

    def visit(op: Operation) -> WalkResult:
        if not op.name.startswith(_LOWERED):
            left.append(op)
            return WalkResult.INTERRUPT
        return WalkResult.ADVANCE

    module.operation.walk(visit, WalkOrder.PRE_ORDER)
    if left:
        raise LoweringError(f"the operation {left[0].name} has no lowering to the CPU", position(left[0].location))


def _finish(ir: str, entry: str, signature: entries.Signature, options: CpuOptions, flushes: bool) -> str:
    """The text that LLVM gets: floating-point flags, the entry function, and the allocator if it is used. `flushes`:
    whether the processor can be told to take subnormal numbers as zero.
    """
    ir = _DEFINITION.sub("define internal ", ir)
    if options.fastmath:
        ir = _FAST.sub(r"= \1 reassoc nsz arcp contract afn ", ir)
    elif options.contract:
        ir = _CONTRACTIBLE.sub(r"= \1 contract ", ir)
    ir = _CHOICE.sub(_CHOSEN, ir)
    ir, pool = grid.runtime(ir)
    allocates = bool(pool) or "@malloc(" in ir or f"@{REFUSE}(" in ir
    if allocates:
        ir = _ALLOCATOR.sub("", ir)
        ir = ir.replace("@malloc(", f"@{ALLOC}(").replace("@free(", f"@{FREE}(") + RUNTIME + pool
    # (Threads keep the mode of the one that starts them, and go on with other kernels: with threads, none is changed.)
    return ir + entries.wrapper(entry, signature, allocates, flushes and options.fastmath and not pool)
