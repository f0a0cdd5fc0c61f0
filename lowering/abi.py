"""What compiled code and its caller agree on, apart from the layout of the slots (see `entry`)."""

from __future__ import annotations

from collections.abc import Iterable

# What an entry function returns; to DISAGREEMENT the place in the source is added, if it is known (see `place`).
OK, OUT_OF_MEMORY, BAD_EXTENT, DISAGREEMENT = 0, 1, 2, 3
# The words that generated code and this process share, in a variable of this name: the key of the thread-specific jump
# buffer, the address of the C library's function for the size of a block (0: there is none), how many bytes of freed
# blocks to keep for the next call, how many are kept, the kept blocks, and how many threads a launch may use; then
# what threads that wait for work have in common (see `grid.pool`): the function that shares work out, the list of jobs,
# how many threads were started, how often work was shared out, and, each with room enough for C's, a lock and two
# conditions.
SHARED = "dsl.shared"
JUMP_KEY, USABLE_SIZE, KEEP_LIMIT, KEPT, BLOCKS = range(5)
BLOCK_COUNT = 64
THREADS = BLOCKS + BLOCK_COUNT
POOL, JOBS, STARTED, SHARED_OUT = range(THREADS + 1, THREADS + 5)
LOCK, WAKE, DONE = range(SHARED_OUT + 1, SHARED_OUT + 49, 16)
SHARED_WORDS = DONE + 16
#: The function that an object with launches in it exports for `POOL`.
RUN_POOL = "dsl.pool.share"


def symbol(entry: str) -> str:
    """The name that the object exports for the kernel `entry`; no C function is called so, whatever its name."""
    return f"dsl.{entry}"


# The C function that host code of grid kernels calls (see nvptx.host), and what the first of its words says.
DEVICE = "dsl_device"
LAUNCH_CALL, ALLOC_CALL, FREE_CALL, READ_CALL, WRITE_CALL = range(5)
FAILED = -1

_LINES = 2**20


def place(file: str, line: int) -> int:
    """A place in the source as a number: the line, with what tells most files apart."""
    return int.from_bytes(file.encode(), "big") % 1021 * _LINES + line % _LINES


def file_and_line(number: int, files: Iterable[str] = ()) -> tuple[str | None, int]:
    """The place again; the file is None unless it is the only one of `files` that it can be."""
    line = number % _LINES
    found = [file for file in files if place(file, line) == number]
    return found[0] if len(found) == 1 else None, line
