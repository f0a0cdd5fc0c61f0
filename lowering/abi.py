"""What compiled code and its caller agree on, apart from the layout of the slots (see `entry`). Imports nothing."""

from __future__ import annotations

# What the entry function returns.
OK, OUT_OF_MEMORY, BAD_EXTENT = 0, 1, 2
# The variable in which generated code finds the key of its thread-specific jump buffer.
KEY = "dsl.jump_key"


def symbol(entry: str) -> str:
    """The name that the object exports for the kernel `entry`; no C function is called so, whatever its name."""
    return f"dsl.{entry}"
