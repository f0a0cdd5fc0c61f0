"""The memories of the machine: bytes, what of them is allocated, and the checks of an access.

All addresses are ints of 64 bits. Shared and local memory have addresses of their own from 0; in generic addresses they
are found in windows above global memory.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import types
from .errors import DataRace, Misaligned, OutOfBounds, ReadOnlyWrite, UninitialisedRead
from .ranges import Ranges

if TYPE_CHECKING:
    from .races import History, Races
    from .state import Batch
    from .syntax import Instruction
    from .threads import Threads

GLOBAL_BASE = 0x7000_0000_0000
SHARED_WINDOW = 0x7D00_0000_0000
LOCAL_WINDOW = 0x7E00_0000_0000
WINDOWS = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW}
_GUARD = 256  # bytes that nothing owns, between allocations
_INITIALISED = {n: t.type(int.from_bytes(b"\1" * n, "little")) for n, t in types.UNSIGNED.items()}


@dataclass(frozen=True)
class Access:
    """What an instruction does to memory: `lanes` elements of `element` bytes, one after the other."""

    instruction: Instruction
    element: int
    lanes: int = 1
    kind: str = "plain"  # plain; strong: volatile, relaxed and the like; atomic: read and write; constant: ld.nc

    @property
    def nbytes(self) -> int:
        return self.element * self.lanes


class Memory:
    """Bytes that threads access."""

    space = ""

    def __init__(self, nbytes: int):
        self.races: Races | None = None
        self.initialised: np.ndarray | None = None
        self._resize(nbytes)

    def _resize(self, nbytes: int) -> None:
        old = getattr(self, "bytes", None)
        self.bytes = np.zeros(-(-nbytes // 16) * 16, np.uint8)
        if old is not None:
            self.bytes[: old.size] = old
        self.views = {n: self.bytes.view(t) for n, t in types.UNSIGNED.items()}

    def offsets(self, m: Batch, t: Threads, address: np.ndarray, access: Access, writes: bool) -> np.ndarray:
        """Where in `bytes` the threads' addresses are, after the checks of bounds and alignment."""
        raise NotImplementedError

    # --- what instructions do

    def load(self, m: Batch, t: Threads, address: np.ndarray, access: Access) -> list[np.ndarray]:
        """The elements, as unsigned ints: for every thread of the set, or one value if they all read one address."""
        offsets = self.offsets(m, t, address, access, False)
        if self.initialised is not None:
            self.check_initialised(m, t, offsets, access)
        if self.races is not None:
            self._record_read(m, t, offsets, access)
        view = self.views[access.element]
        index = offsets >> (access.element.bit_length() - 1)
        return [view[index + k] if k else view[index] for k in range(access.lanes)]

    def store(self, m: Batch, t: Threads, address: np.ndarray, access: Access, values: list[np.ndarray]) -> None:
        """The elements come as unsigned ints, laid out over the set."""
        offsets = self.offsets(m, t, address, access, True)
        if offsets.size != t.count:
            offsets = np.broadcast_to(offsets, (t.count,))
        view = self.views[access.element]
        index = offsets >> (access.element.bit_length() - 1)
        racy = self.races is not None
        if racy:
            self._check_write(m, t, offsets, access, index, values)
        for k, value in enumerate(values):
            view[index + k if k else index] = value
        if self.initialised is not None:
            flags = self.initialised.view(types.UNSIGNED[access.element])
            for k in range(access.lanes):
                flags[index + k] = _INITIALISED[access.element]
        if racy:
            self._check_met(m, t, offsets, access, index, values)

    def check_initialised(self, m: Batch, t: Threads, offsets: np.ndarray, access: Access) -> None:
        assert self.initialised is not None
        flags = self.initialised.view(types.UNSIGNED[access.element])
        index = offsets >> (access.element.bit_length() - 1)
        for k in range(access.lanes):
            bad = flags[index + k] != _INITIALISED[access.element]
            if bad.any():
                at = np.flatnonzero(bad)
                raise m.fault(
                    UninitialisedRead,
                    f"{access.nbytes} bytes of {self.space} memory are read that nothing has written",
                    t,
                    int(at[0]),
                    access.instruction,
                    address=self.address_at(m, t, offsets, int(at[0])),
                    space=self.space,
                    count=len(at),
                )

    # --- races

    def since(self, m: Batch) -> int:
        """All accesses up to this time are ordered before now, for every thread that can access this memory."""
        return 0

    def _record_read(self, m: Batch, t: Threads, offsets: np.ndarray, access: Access) -> None:
        races, since = self.races, self.since(m)
        assert races is not None
        m.clock.tick(access.instruction)
        if offsets.size != t.count:  # one address: two threads stand for all unless somebody wrote there
            if not (races.writes.latest > since or races.atomics.latest > since):
                t = t.pick(np.array([0, t.count - 1])) if t.count > 1 else t
            offsets = np.broadcast_to(offsets, (t.count,))
        threads = m.thread_numbers[t.index]
        for granules in races.granules(offsets, access.nbytes):
            self._check(m, t, races.writes, granules, threads, access, "reads", "wrote")
            if access.kind == "constant" and races.writes.used and (races.writes.codes[granules] != 0).any():
                at = int(np.flatnonzero(races.writes.codes[granules])[0])
                raise m.fault(
                    ReadOnlyWrite,
                    "a non-coherent load reads what this launch has written",
                    t,
                    at,
                    access.instruction,
                    address=self.address_at(m, t, offsets, at),
                    space=self.space,
                )
            if access.kind != "strong":
                self._check(m, t, races.atomics, granules, threads, access, "reads", "updated atomically")
                races.reads.defer(granules, threads, since)

    def _check_write(
        self,
        m: Batch,
        t: Threads,
        offsets: np.ndarray,
        access: Access,
        index: np.ndarray,
        values: list[np.ndarray],
    ) -> None:
        races = self.races
        assert races is not None
        m.clock.tick(access.instruction)
        threads = m.thread_numbers[t.index]
        for granules in races.granules(offsets, access.nbytes):
            self._check(m, t, races.reads, granules, threads, access, "writes", "read")
            if access.kind != "strong":
                self._check(m, t, races.atomics, granules, threads, access, "writes", "updated atomically")
            found = races.writes.conflicts(granules, threads, self.since(m))
            if found is not None:
                view = self.views[access.element]
                differs = np.zeros(len(found), bool)
                for k, value in enumerate(values):
                    new = value if value.size == 1 else value[found]
                    differs |= view[index[found] + k] != new
                if differs.any():
                    self._race(m, t, races.writes, granules, found[differs], access, "writes", "wrote")
            (races.atomics if access.kind == "strong" else races.writes).add(granules, threads, m.clock.now)

    def _check_met(
        self,
        m: Batch,
        t: Threads,
        offsets: np.ndarray,
        access: Access,
        index: np.ndarray,
        values: list[np.ndarray],
    ) -> None:
        """Threads that wrote different values to one place in this very instruction."""
        if access.kind == "strong":
            return
        view = self.views[access.element]
        for k, value in enumerate(values):
            lost = view[index + k if k else index] != value
            if lost.any():
                at = int(np.flatnonzero(lost)[0])
                others = np.flatnonzero(offsets == offsets[at])
                other = int(others[others != at][-1])
                raise m.fault(
                    DataRace,
                    f"two threads write different values to one place in {self.space} memory",
                    t,
                    at,
                    access.instruction,
                    address=self.address_at(m, t, offsets, at),
                    space=self.space,
                    other=(int(m.thread_numbers[t.index[other]]), access.instruction),
                )

    def record_atomic(self, m: Batch, t: Threads, offsets: np.ndarray, access: Access) -> None:
        """Checks and notes an atomic update."""
        races = self.races
        if races is None:
            return
        m.clock.tick(access.instruction)
        threads = m.thread_numbers[t.index]
        for granules in races.granules(offsets, access.nbytes):
            self._check(m, t, races.writes, granules, threads, access, "updates atomically", "wrote")
            self._check(m, t, races.reads, granules, threads, access, "updates atomically", "read")
            races.atomics.add(granules, threads, m.clock.now)

    def _check(
        self,
        m: Batch,
        t: Threads,
        history: History,
        granules: np.ndarray,
        threads: np.ndarray,
        access: Access,
        does: str,
        did: str,
    ) -> None:
        found = history.conflicts(granules, threads, self.since(m))
        if found is not None:
            self._race(m, t, history, granules, found, access, does, did)

    def _race(
        self,
        m: Batch,
        t: Threads,
        history: History,
        granules: np.ndarray,
        found: np.ndarray,
        access: Access,
        does: str,
        did: str,
    ) -> None:
        at = int(found[0])
        assert self.races is not None
        offset = granules[at : at + 1] << self.races.shift
        raise m.fault(
            DataRace,
            f"a thread {does} {self.space} memory that another one {did}, with no barrier between",
            t,
            at,
            access.instruction,
            address=self.address_at(m, t, np.broadcast_to(offset, (t.count,)), at),
            space=self.space,
            count=len(found),
            other=history.who(int(granules[at]), int(m.thread_numbers[t.index[at]])),
        )

    def address_at(self, m: Batch, t: Threads, offsets: np.ndarray, position: int) -> int:
        """The address, in its own space, behind an offset into `bytes`."""
        return int(offsets[position if offsets.size > 1 else 0])

    # --- checks of alignment

    def _check_aligned(self, m: Batch, t: Threads, address: np.ndarray, access: Access) -> np.ndarray:
        low = np.uint64(access.nbytes - 1)
        if np.bitwise_or.reduce(address) & low:
            if m.launch.checks.alignment:
                at = np.flatnonzero(address & low)
                raise m.fault(
                    Misaligned,
                    f"{access.nbytes} bytes are accessed at {self.space} address {int(address[at[0]]):#x}, "
                    f"which is no multiple of {access.nbytes}",
                    t,
                    int(at[0]),
                    access.instruction,
                    address=int(address[at[0]]),
                    space=self.space,
                    count=len(at) if address.size > 1 else t.count,
                )
            address = address & ~low
        return address


class GlobalMemory(Memory):
    """The device's memory: allocations that never touch, so that an access past the end of one is seen."""

    space = "global"

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.ranges = Ranges()
        self.free_list: list[tuple[int, int]] = []  # (offset, bytes), by offset
        self.top = _GUARD
        super().__init__(1 << 16)

    def alloc(self, nbytes: int, read_only: bool = False) -> int:
        """The address of new memory, filled with ones: a float read of there is NaN."""
        room = -(-nbytes // 256) * 256 + _GUARD
        for k, (offset, free) in enumerate(self.free_list):
            if free >= room:
                if free > room:
                    self.free_list[k] = (offset + room, free - room)
                else:
                    del self.free_list[k]
                break
        else:
            offset = self.top
            if offset + room > self.capacity:
                raise MemoryError(f"{nbytes} bytes do not fit into the simulated device's {self.capacity} bytes")
            self.top += room
            if self.top > self.bytes.size:
                self._resize(min(max(self.top, 2 * self.bytes.size), self.capacity))
        self.bytes[offset : offset + nbytes] = 0xFF
        self.ranges.add(GLOBAL_BASE + offset, nbytes, read_only)
        return GLOBAL_BASE + offset

    def free(self, address: int) -> None:
        nbytes = self.ranges.remove(address)
        entry = (address - GLOBAL_BASE, -(-nbytes // 256) * 256 + _GUARD)
        insort(self.free_list, entry)
        k = self.free_list.index(entry)
        if k + 1 < len(self.free_list) and sum(self.free_list[k]) == self.free_list[k + 1][0]:
            self.free_list[k : k + 2] = [(entry[0], entry[1] + self.free_list[k + 1][1])]
        if k and sum(self.free_list[k - 1]) == self.free_list[k][0]:
            before = self.free_list[k - 1]
            self.free_list[k - 1 : k + 1] = [(before[0], before[1] + self.free_list[k][1])]

    def slice(self, address: int, nbytes: int) -> np.ndarray | None:
        """The bytes of a range within one allocation; None if it is not."""
        start = self.ranges.find(address) if nbytes else self.ranges.find(address) or GLOBAL_BASE
        if start is None or (nbytes and address + nbytes > start + self.ranges.sizes[start]):
            return None
        return self.bytes[address - GLOBAL_BASE : address - GLOBAL_BASE + nbytes]

    def offsets(self, m: Batch, t: Threads, address: np.ndarray, access: Access, writes: bool) -> np.ndarray:
        bad = self.ranges.outside(address, access.nbytes, writes)
        if bad is not None:
            at = np.flatnonzero(bad)
            first = int(address[at[0]])
            inside = self.ranges.find(first)
            fixed = writes and inside is not None and inside in self.ranges.read_only
            if m.launch.checks.read_only if fixed else m.launch.checks.bounds:
                does = "write" if writes else "read"
                raise m.fault(
                    ReadOnlyWrite if fixed else OutOfBounds,
                    f"a write to constant memory at {first:#x}"
                    if fixed
                    else f"{does} of {access.nbytes} bytes at global address {first:#x}, {self.ranges.describe(first)}",
                    t,
                    int(at[0]),
                    access.instruction,
                    address=first,
                    space="global",
                    count=len(at) if address.size > 1 else t.count,
                )
            address = np.where(bad, np.uint64(GLOBAL_BASE), address)  # the guard at the start
        return (self._check_aligned(m, t, address, access) - np.uint64(GLOBAL_BASE)).view(np.int64)

    def address_at(self, m: Batch, t: Threads, offsets: np.ndarray, position: int) -> int:
        return super().address_at(m, t, offsets, position) + GLOBAL_BASE


class OwnMemory(Memory):
    """Shared memory, a part for each block, or local memory, a part for each thread."""

    def __init__(self, space: str, parts: int, nbytes: int, ranges: Ranges, part_of: np.ndarray, checked: bool):
        self.space, self.ranges = space, ranges
        self.stride = -(-nbytes // 16) * 16 + 16
        self.stores = 0
        super().__init__(parts * self.stride)
        self.starts = part_of * np.int64(self.stride)
        self.bytes[:] = 0xFF
        self.initialised = np.zeros(self.bytes.size, np.uint8) if checked else None

    def offsets(self, m: Batch, t: Threads, address: np.ndarray, access: Access, writes: bool) -> np.ndarray:
        bad = self.ranges.outside(address, access.nbytes, False)
        if bad is not None:
            at = np.flatnonzero(bad)
            first = int(address[at[0]])
            if m.launch.checks.bounds:
                raise m.fault(
                    OutOfBounds,
                    f"{'write' if writes else 'read'} of {access.nbytes} bytes at {self.space} address {first:#x}, "
                    f"{self.ranges.describe(first)}",
                    t,
                    int(at[0]),
                    access.instruction,
                    address=first,
                    space=self.space,
                    count=len(at) if address.size > 1 else t.count,
                )
            address = np.where(bad, np.uint64(self.stride - 16), address)  # the guard at the end
        address = self._check_aligned(m, t, address, access)
        return address.view(np.int64) + (self.starts if t.whole else self.starts[t.index])

    def address_at(self, m: Batch, t: Threads, offsets: np.ndarray, position: int) -> int:
        at = super().address_at(m, t, offsets, position)
        return at % self.stride

    def since(self, m: Batch) -> int:
        return m.whole_barrier

    def store(self, m: Batch, t: Threads, address: np.ndarray, access: Access, values: list[np.ndarray]) -> None:
        super().store(m, t, address, access, values)
        if self.initialised is not None and self.space == "shared":
            self.stores += 1
            if self.stores & (self.stores - 1) == 0:  # now and then: is all of it written by now?
                flags = self.initialised.reshape(-1, self.stride)
                ranges = ((start, start + self.ranges.sizes[start]) for start in self.ranges.starts)
                if all(flags[:, first:end].all() for first, end in ranges):
                    self.initialised = None

    def forget(self, t: Threads, start: int, nbytes: int) -> None:
        """What these threads have in a range counts as not written."""
        if self.initialised is not None:
            self.initialised.reshape(-1, self.stride)[t.index, start : start + nbytes] = 0
