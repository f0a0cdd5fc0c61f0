"""Options: of a kernel (decorator arguments), and their defaults for all kernels (`dsl.options`).

    dsl.options.fastmath = True              # for every kernel that does not say otherwise
    @dsl.kernel(boundscheck=True)            # for this kernel

`resolve(given)` makes of a kernel's own options the whole set that a compilation depends on. `generation` grows
with each change of a default, so that compiled calls know that they have to be looked up again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from . import errors


class KernelOptions(NamedTuple):
    """All that one compilation depends on besides the kernel and its types.

    boundscheck: an index out of range raises IndexError, an integer division by zero ZeroDivisionError.
    fastmath: sums may be reordered, and divisions become multiplications; NaN and infinity keep their meaning.
    contract: a product and a sum may become one fused operation (rounded once), and what adds up to a cotangent may be
        added in any order. False: each operation is rounded by itself, and cotangents are added against the program.
    vector_math: vectorised loops may call the vector versions of sin, exp, log, ... (to 4 units in the last place).
    strict_aliasing: arrays of one call must not overlap; False compiles for arrays that may (shadows as their primals).
    print_ir, print_activity: print the MLIR, and what carries a derivative, of all that is compiled from now on.
    type_warning: warn where a derivative promotes an int to a float.
    """

    boundscheck: bool = False
    fastmath: bool = False
    contract: bool = True
    vector_math: bool = True
    strict_aliasing: bool = True
    print_ir: bool = False
    print_activity: bool = False
    type_warning: bool = True

    def key(self) -> str:
        """The text that stands for these options in a cache key: those that change the machine code."""
        return ",".join(f"{name}={int(getattr(self, name))}" for name in CODE_OPTIONS)


NAMES: tuple[str, ...] = KernelOptions._fields
CODE_OPTIONS = ("boundscheck", "fastmath", "contract", "vector_math", "strict_aliasing")


def checked(given: Mapping[str, Any]) -> dict[str, bool]:
    """A kernel's own options as a plain dictionary; an unknown name or a value other than a bool is refused."""
    for name, value in given.items():
        if name not in NAMES:
            raise errors.ArgumentError(f"there is no option {name!r}", hint=f"the options are {', '.join(NAMES)}")
        if not isinstance(value, bool):
            raise errors.ArgumentError(f"option {name} is {value!r}", hint="options are True or False")
    return dict(given)


class Options:
    """The defaults, as attributes that can be assigned to."""

    __slots__ = ("generation", "values")

    generation: int
    values: KernelOptions

    def __init__(self) -> None:
        debug = os.environ.get("DSL_DEBUG", "") not in ("", "0")
        object.__setattr__(self, "values", KernelOptions(boundscheck=debug))
        object.__setattr__(self, "generation", 0)

    def __getattr__(self, name: str) -> bool:
        if name not in NAMES:
            raise AttributeError(f"there is no option {name!r}; the options are {', '.join(NAMES)}")
        return getattr(self.values, name)

    def __setattr__(self, name: str, value: bool) -> None:
        new = self.values._replace(**checked({name: value}))
        object.__setattr__(self, "values", new)
        object.__setattr__(self, "generation", self.generation + 1)

    def __dir__(self) -> list[str]:
        return [*object.__dir__(self), *NAMES]

    def __repr__(self) -> str:
        return f"dsl.options({', '.join(f'{name}={getattr(self.values, name)}' for name in NAMES)})"


options = Options()


def resolve(given: Mapping[str, bool]) -> KernelOptions:
    """The options of a kernel: its own, else the defaults."""
    return options.values._replace(**given) if given else options.values
