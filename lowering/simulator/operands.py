"""Operands bound to a function's registers and variables: closures that read and write them.

A reader is `read(batch, threads) -> array` in the layout of `threads.py`; a writer is `write(batch, threads, values)`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from . import special, types
from .errors import PtxError
from .syntax import Address, Float, Function, Instruction, Int, Name, Not, Operand, Unit

if TYPE_CHECKING:
    from .state import Batch
    from .threads import Threads

Reader = Callable[["Batch", "Threads"], np.ndarray]
Writer = Callable[["Batch", "Threads", np.ndarray], None]


class Scope:
    """Where the operands of one function's instructions are found.

    `registers` gives each register of the function its number in the batch, `symbols` are the variables that have
    addresses, `return_register` holds where threads go when the function returns. `instruction` is the one being
    decoded.
    """

    def __init__(
        self, unit: Unit, function: Function, registers: dict[str, int], symbols: set[str], return_register: int
    ):
        self.unit, self.function = unit, function
        self.registers, self.symbols, self.return_register = registers, symbols, return_register
        self.instruction: Instruction
        # Variables by which parameters are passed: bytes of each thread, known by name only.
        self.call_parameters = {v.name: v for v in function.variables.values() if v.space == "param"}
        # What a compare-and-swap is tried on: its first guess may be read plainly, since the swap then checks it.
        self.swapped = {
            operand
            for i in function.body
            if i.opcode.startswith("atom.") and ".cas." in i.opcode
            for operand in i.operands
            if isinstance(operand, Address)
        }
        if not function.kernel:
            self.call_parameters |= {v.name: v for v in function.parameters + function.results}

    def error(self, message: str) -> PtxError:
        i = self.instruction
        return PtxError(message, i.line, i.text, i.place)

    def expect(self, *counts: int) -> None:
        """Refuse an instruction with another number of operands."""
        if len(self.instruction.operands) not in counts:
            raise self.error(f"`{self.instruction.opcode}` takes {' or '.join(map(str, counts))} operands")

    # --- reading

    def reader(self, operand: Operand, type: str, narrowing: bool = False) -> Reader:
        """Values of the type. With `narrowing` the register may be wider, and its low bits are taken."""
        if isinstance(operand, Name) and operand.name in self.registers and not operand.offset:
            return self._register(operand.name, type, narrowing)
        if isinstance(operand, Not) and type == "pred":
            read = self._register(operand.name, "pred", False)
            return lambda m, t: ~read(m, t)
        if isinstance(operand, Name):
            return self._named(operand, type)
        constant = self.constant(operand, type)
        return lambda m, t: constant

    def constant(self, operand: Operand, type: str) -> np.ndarray:
        """An immediate operand, as an array of one element."""
        dtype, size = types.dtype(type), types.size(type)
        if isinstance(operand, Int):
            if type in ("f32", "f64"):
                return np.array([operand.value], dtype)
            if type == "pred":
                return np.array([operand.value != 0])
            if type in ("f16", "bf16"):
                raise self.error(f"an integer where a .{type} is needed")
            return np.array([operand.value & ((1 << 8 * size) - 1)], types.bits(type)).view(dtype)
        if isinstance(operand, Float):
            if type in ("f32", "f64", "f16"):
                return np.array([operand.value], dtype)
            if type == "bf16":
                from .arithmetic.small import to_bf16

                return to_bf16(np.array([operand.value]))
            if size == 4:
                raw = operand.bits if operand.width == 32 else None
                if raw is None:
                    raw = struct.unpack("<I", struct.pack("<f", operand.value))[0]
                return np.array([raw], np.uint32).view(dtype)
            if size == 8:
                return np.array([operand.value], np.float64).view(dtype)
        raise self.error(f"this operand cannot be a .{type}")

    def _register(self, name: str, type: str, narrowing: bool) -> Reader:
        if name not in self.registers:
            raise self.error(f"{name} is not a register of `{self.function.name}`")
        number = self.registers[name]
        declared = self.function.registers[name]
        dtype = types.dtype(type)
        if (declared == "pred") != (type == "pred"):
            raise self.error(f"{name} is a .{declared}, not a .{type}")
        if types.size(declared) != types.size(type):
            if not (narrowing and types.size(declared) > types.size(type)):
                raise self.error(f"{name} is a .{declared}, which a .{type} does not fit")
            wide, narrow = types.bits(declared), types.bits(type)

            def read_low(m: Batch, t: Threads) -> np.ndarray:
                values = m.registers[number].view(wide)
                if not t.dense and values.size != 1:
                    values = values[t.index]
                return values.astype(narrow).view(dtype)

            return read_low

        def read(m: Batch, t: Threads) -> np.ndarray:
            values = m.registers[number]
            if values.dtype is not dtype:
                values = values.view(dtype)
            return values if t.dense or values.size == 1 else values[t.index]

        return read

    def _named(self, operand: Name, type: str) -> Reader:
        """A special register, or the address of a variable."""
        value = special.find(operand.name)
        dtype, size = types.dtype(type), types.size(type)
        if value is not None and not operand.offset:

            def read_special(m: Batch, t: Threads) -> np.ndarray:
                values = value(m)
                if values.dtype.itemsize != size:
                    values = values.astype(types.bits(type))
                return (values if t.dense or values.size == 1 else values[t.index]).view(dtype)

            return read_special
        if operand.name not in self.symbols:
            raise self.error(f"{operand.name} is not known in `{self.function.name}`")
        name, offset = operand.name, operand.offset
        function = self.function.name

        def read_address(m: Batch, t: Threads) -> np.ndarray:
            address = m.address_of(function, name) + offset
            return np.array([address & ((1 << 8 * size) - 1)], types.bits(type)).view(dtype)

        return read_address

    # --- writing

    def writer(self, operand: Operand, type: str, widening: bool = False) -> Writer:
        """Into a register of the type's width. With `widening` it may be wider: the value is extended by its sign."""
        if not isinstance(operand, Name) or operand.offset:
            raise self.error("the destination must be a register")
        if operand.name == "_":
            return lambda m, t, values: None
        if operand.name not in self.registers:
            raise self.error(f"{operand.name} is not a register of `{self.function.name}`")
        number = self.registers[operand.name]
        declared = self.function.registers[operand.name]
        if (declared == "pred") != (type == "pred"):
            raise self.error(f"{operand.name} is a .{declared}, not a .{type}")
        if types.size(declared) == types.size(type):
            return _writer(number)
        if not (widening and types.size(declared) > types.size(type)):
            raise self.error(f"{operand.name} is a .{declared}, which a .{type} does not fit")
        store = _writer(number)
        wide = (types.SIGNED if type[0] == "s" else types.UNSIGNED)[types.size(declared)]
        narrow = types.dtype(type) if type[0] == "s" else types.bits(type)
        return lambda m, t, values: store(m, t, values.view(narrow).astype(wide))

    # --- addresses

    def address(self, operand: Operand) -> Reader:
        """The address that `[base+offset]` stands for, as unsigned 64-bit values."""
        if not isinstance(operand, Address):
            raise self.error("the operand must be an address in [ ]")
        offset = operand.offset
        if operand.base is None:
            fixed = np.array([offset & (2**64 - 1)], np.uint64)
            return lambda m, t: fixed
        if operand.base not in self.registers:
            return self.reader(Name(operand.base, offset), "u64")
        declared = self.function.registers[operand.base]
        if types.size(declared) not in (4, 8) or declared == "pred":
            raise self.error(f"{operand.base} is a .{declared}, which cannot be an address")
        if types.size(declared) == 8:
            read = self._register(operand.base, "u64", False)
            if not offset:
                return read
            displacement = np.uint64(offset & (2**64 - 1))
            return lambda m, t: read(m, t) + displacement
        short = self._register(operand.base, "u32", False)
        displacement = np.uint64(offset & (2**64 - 1))
        return lambda m, t: short(m, t).astype(np.uint64) + displacement


def _writer(number: int) -> Writer:
    def write(m: Batch, t: Threads, values: np.ndarray) -> None:
        if t.whole:
            m.registers[number] = values
            return
        old = m.registers[number]
        if old.size == 1:
            old = m.registers[number] = np.repeat(old, m.n)
        if values.dtype is not old.dtype:
            values = values.view(old.dtype)
        if t.dense:
            np.copyto(old, values, where=t.mask)
        else:
            old[t.index] = values

    return write


def put(write: Writer, m: Batch, t: Threads, values: np.ndarray) -> None:
    """Write values that are laid out over the set's own threads, as memory gives them."""
    if t.dense and not t.whole and values.size != 1:
        wide = np.zeros(t.n, values.dtype)
        wide[t.index] = values
        values = wide
    write(m, t, values)
