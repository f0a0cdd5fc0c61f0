"""`k[blocks, threads]`: a kernel with a grid, ready to be called or differentiated.

A launch from Python is a call of host code that launches: of a kernel written here, which takes the arguments and the
extents of the grid. So all that holds for launches in host code, derivatives included, holds for these.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .errors import ArgumentError

if TYPE_CHECKING:
    from .explain import Explanation
    from .kernel import Kernel
    from .modes import Mode

FORALL_THREADS = 256
"""Threads of a block where `k.forall(n)` chooses: enough of them to hide latency, few enough for any kernel."""
MOST_BLOCKS = (2**31 - 1, 65535, 65535)
MOST_THREADS, MOST_Z = 1024, 64
"""What a grid may have: blocks along x, y and z; and a block: threads, and threads along z."""
EXTENTS = ("blocks_x", "blocks_y", "blocks_z", "threads_x", "threads_y", "threads_z")


class Grid:
    """A kernel with the extents of its grid. Called, it launches and waits for what the host will look at."""

    __slots__ = ("blocks", "kernel", "threads")

    def __init__(self, kernel: Kernel, blocks: tuple[int, int, int], threads: tuple[int, int, int]) -> None:
        self.kernel = kernel
        self.blocks = blocks
        self.threads = threads

    @property
    def host(self) -> Kernel:
        """The host code of the launch: a kernel of the arguments and the `extents`."""
        return host_of(self.kernel, self._ones)

    @property
    def extents(self) -> tuple[int, ...]:
        """What the host code is told of the grid: its extents and those of its blocks, but for those that are 1. These
        are known when it is compiled, so it is known that there are no other threads along them.
        """
        return tuple(e for e in (*self.blocks, *self.threads) if e != 1)

    @property
    def _ones(self) -> tuple[bool, ...]:
        return tuple(e == 1 for e in (*self.blocks, *self.threads))

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        kernel = self.kernel
        if kwargs or len(args) != len(kernel.params) or kernel.keyword_only:
            args = kernel.bind(args, kwargs)
        self.host(*args, *self.extents)

    def own(self, result: tuple[Any, ...]) -> tuple[Any, ...]:
        """What a reverse mode gives of the host code, less the slots of the extents: one for each argument of ours."""
        *value, gradients = result
        return (*value, gradients[: len(self.kernel.params)])

    def ir(self, stage: str = "mlir", *args: Any) -> str:
        """The launch as text at one stage of compiling; see `Kernel.ir`."""
        from .annotations import Const
        from .modes import Mode

        extents = [Const(e) for e in self.extents] if args and isinstance(args[0], Mode) else self.extents
        return self.host.ir(stage, *args, *extents)

    def explain(self, mode: Mode, *args: Any) -> Explanation:
        """What a derivative of the launch does on each source line; see `Kernel.explain`."""
        from .annotations import Const

        return self.host.explain(mode, *args, *map(Const, self.extents))

    def python(self, *args: Any, **kwargs: Any) -> None:
        """Run the undecorated function once for each thread, in plain Python: slow, and open to print and pdb."""
        from .emulation import run

        run(self.kernel.fn, self.blocks, self.threads, self.kernel.bind(args, kwargs))

    def __repr__(self) -> str:
        return f"{self.kernel.name}[{_shown(self.blocks)}, {_shown(self.threads)}]"


def grid_of(kernel: Kernel, extents: Any) -> Grid:
    """The grid that `kernel[extents]` means."""
    if not isinstance(extents, tuple) or len(extents) != 2:
        raise ArgumentError(
            f"a launch of {kernel.name} takes blocks and threads, not {extents!r}",
            kernel.loc,
            "write k[blocks, threads](...)",
        )
    blocks, threads = (_three(kernel, what, given) for what, given in zip(("blocks", "threads"), extents))
    x, y, z = threads
    if x * y * z > MOST_THREADS or z > MOST_Z or x * y * z == 0:
        raise ArgumentError(
            f"a block of {_shown(threads)} threads, in a launch of {kernel.name}",
            kernel.loc,
            f"a block has 1 to {MOST_THREADS} threads, at most {MOST_Z} of them along z",
        )
    _check_blocks(kernel, blocks)
    return Grid(kernel, blocks, threads)


def _check_blocks(kernel: Kernel, blocks: tuple[int, int, int]) -> None:
    if any(count > most for count, most in zip(blocks, MOST_BLOCKS)):
        raise ArgumentError(
            f"a grid of {_shown(blocks)} blocks, in a launch of {kernel.name}",
            kernel.loc,
            f"a grid has at most {MOST_BLOCKS[0]} blocks along x, {MOST_BLOCKS[1]} along y and z; "
            "let each thread do more: for i in range(dsl.grid(1), n, dsl.gridsize(1))",
        )


def grid_for(kernel: Kernel, count: Any) -> Grid:
    """A grid of at least `count` threads in one dimension."""
    (count, _, _) = _three(kernel, "forall", count)
    blocks = (-(-count // FORALL_THREADS), 1, 1)
    _check_blocks(kernel, blocks)
    return Grid(kernel, blocks, (FORALL_THREADS, 1, 1))


def _three(kernel: Kernel, what: str, given: Any) -> tuple[int, int, int]:
    import operator

    parts = given if isinstance(given, tuple) else (given,)
    try:
        numbers = [operator.index(part) for part in parts]
    except TypeError:
        numbers = [-1]
    if not 1 <= len(parts) <= 3 or any(n < 0 for n in numbers):
        raise ArgumentError(
            f"{what} are {given!r}, in a launch of {kernel.name}", kernel.loc, "give an int, or a tuple of up to three"
        )
    x, y, z = [*numbers, 1, 1][:3]
    return x, y, z


def _shown(extents: tuple[int, int, int]) -> str:
    return str(extents[0]) if extents[1:] == (1, 1) else str(extents)


def host_of(kernel: Kernel, ones: tuple[bool, ...] = (False,) * 6) -> Kernel:
    """The host code that launches a kernel over a grid of which these extents are 1; the same object each time."""
    found = kernel.__dict__.setdefault("host_code", {})
    if ones not in found:
        found[ones] = _host(kernel, ones)
    return found[ones]  # type: ignore[no-any-return]


def _host(kernel: Kernel, ones: tuple[bool, ...]) -> Kernel:
    from .kernel import kernel as make

    names = _unused(EXTENTS, kernel.params)
    extents = [name for name, one in zip(names, ones) if not one]
    sizes = ["1" if one else name for name, one in zip(names, ones)]
    name = re.sub(r"\W+", "", kernel.name) or "kernel"
    (callee,) = _unused(("kernel",), (*kernel.params, name))
    positional = len(kernel.params) - kernel.keyword_only
    passed = [name if n < positional else f"{name}={name}" for n, name in enumerate(kernel.params)]
    text = (
        f"def {name}({', '.join((*kernel.params, *extents))}): "
        f"{callee}[({', '.join(sizes[:3])}), ({', '.join(sizes[3:])})]({', '.join(passed)})\n"
    )
    made: Kernel = make(source=text, constants={callee: kernel}, **kernel.options)  # type: ignore[assignment]
    made.launched = kernel
    return made


def _unused(names: tuple[str, ...], taken: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"_{name}" if name in taken else name for name in names)
