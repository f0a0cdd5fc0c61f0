"""The BLAS and LAPACK that SciPy ships, as symbols of compiled code.

Code refers to them as `scipy.linalg.cython_blas.dgemm` and `scipy.linalg.cython_lapack.dgetrf`. SciPy is imported when
code that needs one of them is loaded, and never before: its import takes longer than all the rest of a start.
"""

from __future__ import annotations

import ctypes
import re

from .errors import LoweringError

_NAME = re.compile(rb"scipy\.linalg\.(cython_blas|cython_lapack)\.([a-z0-9_]+)")
_ANY = b"scipy.linalg.cython_"


def addresses(code: bytes) -> dict[str, int]:
    """The names that an object refers to, with their addresses."""
    if _ANY not in code:
        return {}
    found = {}
    for module, function in {match.groups() for match in _NAME.finditer(code)}:
        found[f"scipy.linalg.{module.decode()}.{function.decode()}"] = _address(module.decode(), function.decode())
    return found


def _address(module: str, function: str) -> int:
    from importlib import import_module

    try:
        capsules = import_module(f"scipy.linalg.{module}").__pyx_capi__
    except ImportError as error:
        raise LoweringError(
            f"the code calls {function} of SciPy's {module}, which can't be imported: {error}",
            None,
            "pip install scipy",
        ) from None
    if function not in capsules:
        raise LoweringError(f"SciPy's {module} has no {function}", None, "install a newer SciPy")
    capsule = capsules[function]
    return _pointer(capsule, _signature(capsule))


_signature = ctypes.pythonapi.PyCapsule_GetName
_signature.restype, _signature.argtypes = ctypes.c_char_p, [ctypes.py_object]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
