"""LLVM through the C functions of llvmlite's shared library.

Importing `llvmlite.binding` takes longer than compiling a small kernel, and ten times as long as opening its library;
so the library is opened with ctypes, and the few functions that are needed are declared here. Names and arguments are
those of the llvmlite release that the project pins.

Takes and leaves Python strings and bytes; addresses of LLVM's objects are plain integers.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from ctypes import POINTER, c_bool, c_char_p, c_int, c_size_t, c_uint64, c_void_p
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from .errors import LoweringError

_OUT = POINTER(c_char_p)


OBJECT, PROCESS = 2, 3  # kinds of Element


class Element(ctypes.Structure):
    """Something to link: an object's bytes, or the symbols of the process (no bytes)."""

    _fields_ = [("kind", ctypes.c_uint8), ("value", c_char_p), ("length", c_size_t)]


class Symbol(ctypes.Structure):
    """A name and its address."""

    _fields_ = [("name", c_char_p), ("address", c_uint64)]


# Function: (result, arguments); all begin with LLVMPY_.
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "DisposeString": (None, [c_char_p]),
    "SetCommandLine": (None, [c_char_p, c_char_p]),
    "InitializeNativeTarget": (None, []),
    "InitializeNativeAsmPrinter": (None, []),
    "GetHostCPUName": (None, [_OUT]),
    "GetHostCPUFeatures": (c_int, [_OUT]),
    "GetDefaultTargetTriple": (None, [_OUT]),
    "GetTargetFromTriple": (c_void_p, [c_char_p, _OUT]),
    "CreateTargetMachine": (
        c_void_p,
        [c_void_p, c_char_p, c_char_p, c_char_p, c_int, c_char_p, c_char_p, c_int, c_int, c_char_p],
    ),
    "ContextCreate": (c_void_p, []),
    "ContextDispose": (None, [c_void_p]),
    "ParseAssembly": (c_void_p, [c_void_p, c_char_p, _OUT]),
    "DisposeModule": (None, [c_void_p]),
    "PrintModuleToString": (None, [c_void_p, _OUT]),
    "CreatePipelineTuningOptions": (c_void_p, []),
    "PTOSetLoopVectorization": (None, [c_void_p, c_bool]),
    "PTOSetSLPVectorization": (None, [c_void_p, c_bool]),
    "PTOSetLoopUnrolling": (None, [c_void_p, c_bool]),
    "PTOSetLoopInterleaving": (None, [c_void_p, c_bool]),
    "DisposePipelineTuningOptions": (None, [c_void_p]),
    "CreatePassBuilder": (c_void_p, [c_void_p, c_void_p]),
    "DisposePassBuilder": (None, [c_void_p]),
    "buildPerModuleDefaultPipeline": (c_void_p, [c_void_p, c_int]),
    "CreateNewModulePassManager": (c_void_p, []),
    "module_AddAlwaysInlinerPass": (None, [c_void_p]),
    "module_AddInstCombinePass": (None, [c_void_p]),
    "module_AddLoopRotatePass": (None, [c_void_p]),
    "module_AddSROAPass": (None, [c_void_p]),
    "module_AddSimplifyCFGPass": (None, [c_void_p]),
    "RunNewModulePassManager": (None, [c_void_p, c_void_p, c_void_p]),
    "DisposeNewModulePassManger": (None, [c_void_p]),  # llvmlite's spelling
    "TargetMachineEmitToMemory": (c_void_p, [c_void_p, c_void_p, c_int, _OUT]),
    "GetBufferStart": (c_void_p, [c_void_p]),
    "GetBufferSize": (c_size_t, [c_void_p]),
    "DisposeMemoryBuffer": (None, [c_void_p]),
    "CreateLLJITCompiler": (c_void_p, [c_void_p, c_bool, c_bool, _OUT]),
    "LLJIT_Link": (
        c_void_p,
        [c_void_p, c_char_p, POINTER(Element), c_size_t, *[POINTER(Symbol), c_size_t] * 2, _OUT],
    ),
    "LLJIT_Dylib_Tracker_Dispose": (c_bool, [c_void_p, _OUT]),
}


class Llvm:
    """The library's functions, by their names without the prefix. Calls release the GIL."""

    def __init__(self, path: str):
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            raise _missing(str(error)) from None
        for name, (result, arguments) in _FUNCTIONS.items():
            try:
                function = library["LLVMPY_" + name]
            except AttributeError:
                raise _missing(f"its library has no LLVMPY_{name}") from None
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(name)  # only for those who read types: the functions are attributes of the object

    def text(self, give: Callable[..., object]) -> str:
        """What `give` writes into the string that it is passed."""
        out = c_char_p()
        give(ctypes.byref(out))
        return self.take(out)

    def take(self, out: c_char_p) -> str:
        """The content of a string of LLVM's, which is then freed."""
        text = (out.value or b"").decode("utf-8", "replace")
        if out:
            self.DisposeString(out)
        return text


@lru_cache(maxsize=1)
def llvm() -> Llvm:
    """The library, opened on first use, its code generator for this host ready."""
    spec = find_spec("llvmlite")
    if spec is None or not spec.submodule_search_locations:
        raise _missing("it is not installed")
    name = "libllvmlite.dylib" if sys.platform == "darwin" else "libllvmlite.so"
    opened = Llvm(os.path.join(spec.submodule_search_locations[0], "binding", name))
    opened.InitializeNativeTarget()
    opened.InitializeNativeAsmPrinter()
    return opened


def _missing(reason: str) -> LoweringError:
    return LoweringError(f"llvmlite can't be used: {reason}", None, "pip install 'llvmlite>=0.50,<0.51'")
