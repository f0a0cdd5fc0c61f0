"""np.einsum: sums of products of elements that letters name, as one loop nest."""

from __future__ import annotations

from collections.abc import Sequence

from mlir import ir
from mlir.dialects import arith

from .. import errors, types
from . import arithmetic, casts, elementwise
from .creation import filled
from .elementwise import is_array, operand
from .memory import Indices, Size, array_type, as_index, load_element, nest, nest_carrying, same_size, store_element
from .scalars import describe
from .values import Builder, Value, constant

MISMATCH = "einsum: one letter stands for dimensions of different sizes"


def einsum(b: Builder, subscripts: Value, *operands: Value) -> Value:
    """np.einsum("ij,jk->ik", A, B): of any number of arrays; ellipses are not known here."""
    if type(subscripts.const) is not str:
        raise b.error("einsum() takes the subscripts as a string known when compiling, then the arrays")
    given, wanted = _letters(b, subscripts.const, len(operands))
    parts = []
    for letters, value in zip(given, operands):
        if not is_array(value) or array_type(value).ndim != len(letters):
            raise b.error(
                f"einsum(): `{letters}` is for an array of {len(letters)} dimensions, not {describe(value.type)}",
                cls=errors.KernelValueError,
            )
        parts.append(operand(b, value.force(b)))
    dtype: types.Scalar = array_type(operands[0]).dtype
    for value in operands[1:]:
        dtype = types.promote(dtype, array_type(value).dtype)
    if dtype.kind == "b" or casts.is_half(dtype):
        raise b.error(f"einsum() of {dtype} is not supported", "convert with .astype")
    sizes = _sizes(b, given, [own for _, own in parts])
    summed = [letter for letter in sizes if letter not in wanted]

    def product(places: dict[str, ir.Value]) -> ir.Value:
        total: ir.Value | None = None
        for letters, (node, _) in zip(given, parts):
            factor = casts.coerce(b, node.element(b, [places[letter] for letter in letters]), dtype)
            total = factor if total is None else arithmetic.multiply(b, total, factor, dtype)
        assert total is not None
        return total

    if not wanted:

        def step(indices: Indices, carried: list[ir.Value]) -> list[ir.Value]:
            return [arithmetic.add(b, carried[0], product(dict(zip(summed, indices))), dtype)]

        return Value(dtype, tuple(nest_carrying(b, [sizes[s] for s in summed], [b.number(0, dtype)], step)))
    result = filled(b, dtype, [sizes[letter] for letter in wanted], constant(0))
    order = _order(given, wanted, summed)

    def body(indices: Indices) -> None:
        places = dict(zip(order, indices))
        at = [places[letter] for letter in wanted]
        old = load_element(b, result.ir, at, dtype)
        store_element(b, arithmetic.add(b, old, product(places), dtype), result.ir, at, dtype)

    nest(b, [sizes[letter] for letter in order], body)
    return result


def _letters(b: Builder, text: str, count: int) -> tuple[list[str], str]:
    """The letters of each operand and of the result."""
    left, arrow, right = text.replace(" ", "").partition("->")
    given = left.split(",")
    every = "".join(given)
    wanted = right if arrow else "".join(sorted(c for c in set(every) if every.count(c) == 1))
    bad = [c for c in every + wanted if not c.isalpha()]
    if bad:
        raise b.error(f"einsum() does not know {bad[0]!r} in the subscripts {text!r}", "letters, commas and one ->")
    if len(given) != count:
        raise b.error(f"einsum(): the subscripts are for {len(given)} arrays, and {count} were given")
    if len(set(wanted)) != len(wanted) or not set(wanted) <= set(every):
        raise b.error(f"einsum(): the result {wanted!r} names a letter twice, or one that no array has")
    return given, wanted


def _sizes(b: Builder, given: Sequence[str], shapes: Sequence[list[Size]]) -> dict[str, Size]:
    """The size that each letter stands for; all are 0 after a ValueError where one stands for two."""
    sizes: dict[str, Size] = {}
    ok: ir.Value | None = None
    for letters, own in zip(given, shapes):
        for letter, size in zip(letters, own):
            known = sizes.setdefault(letter, size)
            if same_size(known, size):
                continue
            if isinstance(known, int) and isinstance(size, int):
                raise b.error(f"{MISMATCH}: {letter} for {known} and {size}", cls=errors.KernelValueError)
            same = arith.cmpi(arith.CmpIPredicate.eq, as_index(b, known), as_index(b, size))
            ok = same if ok is None else arith.andi(ok, same)
    if ok is None:
        return sizes
    return dict(zip(sizes, elementwise.guard_sizes(b, ok, list(sizes.values()), MISMATCH)))


def _order(given: Sequence[str], wanted: str, summed: Sequence[str]) -> list[str]:
    """The letters from the outermost loop to the innermost, along which memory is read in order: the last letter of the
    result if an operand ends with it too, else one that is summed.
    """
    last = wanted[-1]
    if any(letters.endswith(last) for letters in given):
        return [*wanted[:-1], *summed, last]
    return [*wanted, *summed]
