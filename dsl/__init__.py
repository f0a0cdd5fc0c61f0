"""A differentiable kernel language in Python.

    import dsl

    @dsl.kernel
    def f(x):
        return x * x

    f(3.0)                                                        # compiled: 9.0
    dsl.autodiff(dsl.Reverse, f, dsl.Active, dsl.Active(3.0))     # its derivative: ((6.0,),)

Names are imported when first used, so that `import dsl` costs next to nothing.
"""

from __future__ import annotations

import builtins
import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

# Where each name comes from: a module of this package, or NumPy, whose functions and meaning some of ours are.
_HOMES: dict[str, str] = {
    name: module
    for module, names in {
        ".kernel": "Kernel as_kernel kernel",
        ".options": "options",
        ".types": "bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 bfloat16 float32 float64 "
        "complex64 complex128",
        ".annotations": "Active BatchDuplicated BatchDuplicatedNoNeed BatchMixedDuplicated Const Duplicated "
        "DuplicatedNoNeed MixedDuplicated Ref",
        ".modes": "Forward ForwardWithPrimal Reverse ReverseHolomorphic ReverseHolomorphicWithPrimal "
        "ReverseSplitModified ReverseSplitNoPrimal ReverseSplitWidth ReverseSplitWithPrimal ReverseWithPrimal",
        ".autodiff": "autodiff autodiff_deferred",
        ".thunk": "autodiff_thunk tape_type",
        ".errors": "DslError TypeWarning",
        ".rules": "AugmentedReturn",
        ".shadows": "chunked_onehot guess_activity make_zero make_zero_into onehot",
        ".transforms": "gradient gradient_into hessian hvp hvp_and_gradient jacobian value_and_gradient",
        ".sparse": "colour jacobian_sparsity",
        ".foreign": "extern",
        ".backends": "register_backend",
        ".functions": "checkpointed fma ignore_derivatives logdet solve_triangular within_autodiff",
        ".threads": "get_num_threads set_num_threads",
        ".parallel": "atomic_add atomic_cas atomic_exch atomic_max atomic_min ballot block_dim block_idx grid grid_dim "
        "gridsize lane_id local_array prange shared_array shfl_down shfl_sync shfl_up shfl_xor syncthreads syncwarp "
        "thread_idx vote_all vote_any",
        "numpy": "abs all any dot empty empty_like exp full full_like log max maximum mean min minimum ones ones_like "
        "prod sqrt sum where zeros zeros_like",
        "numpy.linalg": "cholesky det eigh eigvalsh inv qr slogdet solve svd",
    }.items()
    for name in names.split()
}
_SUBMODULES = frozenset(
    [
        "annotations",
        "constants",
        "driver",
        "errors",
        "frontend",
        "modes",
        "random",
        "rules",
        "syntax",
        "testing",
        "types",
    ]
)

# `from dsl import *` leaves Python's own functions what they are, as NumPy does.
__all__ = sorted(name for name in _HOMES if not hasattr(builtins, name))


def __getattr__(name: str) -> Any:
    from importlib import import_module

    home = _HOMES.get(name)
    if home is not None:
        value = getattr(import_module(home, __name__), name)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_SUBMODULES})


class _Package(ModuleType):
    """This module, but that an import of the submodule `dsl.kernel` leaves `dsl.kernel` the function that it is."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType) and value.__name__ == f"{__name__}.{name}":
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
