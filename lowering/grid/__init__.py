"""Grid kernels on the CPU: `gpu.launch` and `scf.parallel` become functions that run ranges of blocks, on threads.

launches.py    the pass: a launch → a function over block numbers and a call of the pool
parallel.py    the same for scf.parallel
calls.py       calls inside launches are inlined
regions.py     where a block's threads have to wait for each other, and the pieces between
fission.py     a block's threads as loops over those pieces, with arrays for what lives across them
coordinates.py what gpu.thread_id and its like are there
exchanges.py   what the threads of a warp get from each other
parts.py       what the functions are handed, and how they are called
order.py       by what in a launch the order of its blocks can be seen
sums.py        sums of floats that may be made in chunks, so that results never differ
windows.py     which part of an array a range of blocks may reach
chunks.py      launches with such sums: chunks whose windows do not meet, or that have copies of their own
pool.py        LLVM IR that runs a function over ranges on several threads
"""

from .launches import lower
from .parts import mark_distinct
from .pool import runtime

__all__ = ["lower", "mark_distinct", "runtime"]
