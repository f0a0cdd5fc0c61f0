"""Sparse Jacobians: where their entries are, directions that several columns or rows can share, and the entries.

    jacobian_sparsity(Forward, f, x)          where entries are, at x, as a scipy.sparse.csr_array of bools
    colour(Forward, pattern)                  columns (Reverse: rows) with the same number share one direction
    jacobian(Forward, f, x, sparsity=...)     the entries (in transforms; this module does it)

A pattern is found by derivatives of NaN. Derivatives are linear in their directions, and NaN times whatever a partial
derivative is, is NaN: so it goes wherever the direction has an influence by the control flow that is taken at x. A
block of columns is asked for at once; where it has entries it is divided, and blocks that have no row in common are
asked for together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .annotations import Const
from .errors import ArgumentError
from .generated import differentiated, into_kernel, plain
from .kernel import kernel
from .modes import Mode
from .placed import on_device
from .shadows import check_chunk, continuous, copied, count, of_numbers, rebuilt, typeof
from .syntax.loc import Loc
from .transforms import CHUNK, check_mode, given_arguments, in_form_of, output, pull, push

#: In how many blocks columns (or rows) are asked for first, and in how many a block with entries is divided.
_BLOCKS, _PARTS = 32, 4

#: Which rows (or columns) become NaN where these blocks of columns (or rows) are: a row for each block.
_Probe = Callable[["list[np.ndarray]"], np.ndarray]


def jacobian_sparsity(mode: Mode, f: Any, *args: Any, chunk: int = CHUNK) -> Any:
    """Where the Jacobian of a function by each of its arguments has entries: a `scipy.sparse.csr_array` of bools.

    Its rows are the numbers in the result of f, its columns those in the argument, in their order (of arrays: C
    order). Of several arguments there is a tuple, with None for each Const. The pattern holds for all points at which
    the control flow of f is the one that it is here; it may have entries whose value is zero. Forward and Reverse find
    the same; Forward costs about as many derivatives as a row has entries, times the logarithm of the number of
    columns; Reverse the same of columns and rows. ArgumentError where the numbers are complex.

    >>> import dsl, numpy as np
    >>> dsl.jacobian_sparsity(dsl.Forward, lambda x: x[1:] * x[:-1], np.ones(3)).toarray().astype(int)
    array([[1, 1, 0],
           [0, 1, 1]])
    """
    problem = _Problem(mode, f, args, chunk)
    patterns = problem.detect()
    return patterns[0] if len(patterns) == 1 else tuple(patterns)


def colour(mode: Mode, pattern: Any) -> np.ndarray:
    """A colour for each column (Reverse: row) of a pattern, from 0; those of one colour have no row (column) in common.

    `pattern` is a matrix, from scipy.sparse or an array, whose entries that are not zero count. `jacobian` takes one
    direction a colour: the smaller `colour(mode, pattern).max() + 1` tells the better mode.

    >>> import dsl, numpy as np
    >>> dsl.colour(dsl.Forward, np.tri(4) - np.tri(4, k=-2))
    array([0, 1, 0, 1])
    """
    rows = _matrix(pattern)
    return _colours(rows.T.tocsr() if mode.reverse else rows)


def sparse_jacobian(mode: Mode, f: Any, args: tuple[Any, ...], chunk: int, sparsity: Any, dense: bool) -> Any:
    """`jacobian` with a pattern: see there."""
    problem = _Problem(mode, f, args, chunk)
    known = isinstance(sparsity, str)
    if known and sparsity != "detect":
        raise ArgumentError(f"sparsity is {sparsity!r}", problem.of.loc, "write sparsity='detect', or give a pattern")
    patterns = problem.detect() if known else problem.checked(sparsity)
    return problem.output(
        [None if p is None else problem.entries(k, p, not known) for k, p in enumerate(patterns)], dense
    )


class _Problem:
    """A function at a point: products with its Jacobians in one mode, whatever form arguments and result have."""

    def __init__(self, mode: Mode, f: Any, args: tuple[Any, ...], chunk: int):
        check_mode(mode, "jacobian")
        check_chunk(chunk)
        self.mode, self.f, self.chunk = mode, f, chunk
        self.of, args = differentiated(f, args)
        if on_device(args):
            raise ArgumentError(
                f"a sparse Jacobian of {self.of.name} is asked for with arrays on a device",
                self.of.loc,
                "copy them to the host, or leave out `sparsity`",
            )
        self.given = given_arguments(self.of, args)
        self.out = self.of(*(copied(plain(x)) for x in self.given))
        self.type = typeof(self.out)
        moving = [x for x in self.given if not isinstance(x, Const)]
        for value in (self.out, *moving):
            _check_numbers(value, self.of.loc)
        self.rows = count(self.out)
        self.into = into_kernel(self.of, self.type, len(self.given)) if mode.reverse else None

    def columns(self, argument: int) -> int:
        return count(self.given[argument])

    def products(self, argument: int, directions: np.ndarray) -> np.ndarray:
        """The derivatives along directions, a row each: of the result (Forward), by the argument (Reverse)."""
        width = min(self.chunk, len(directions))
        found = np.empty((len(directions), self.columns(argument) if self.mode.reverse else self.rows))
        like = self.out if self.mode.reverse else self.given[argument]
        for start in range(0, len(directions), width or 1):
            part = directions[start : start + width]
            seeds = [of_numbers(like, row) for row in part]
            seeds += [of_numbers(like, np.zeros(count(like))) for _ in range(width - len(part))]
            if self.into is not None:
                # (Other arguments are held: one at a time has a pattern.)
                held = [x if k == argument else Const(plain(x)) for k, x in enumerate(self.given)]
                made = pull(self.mode, self.into, held, self.out, seeds)[argument]
            else:
                _, made = push(self.mode, self.of, self.given, argument, seeds)
            for row, value in zip(found[start:], made):
                row[:] = _numbers(value)
        return found

    # patterns ---------------------------------------------------------------------------------------------------------
    def detect(self) -> list[Any]:
        return [None if isinstance(x, Const) else self._detected(k) for k, x in enumerate(self.given)]

    def _detected(self, argument: int) -> Any:
        columns = self.columns(argument)
        lines, others = (self.rows, columns) if self.mode.reverse else (columns, self.rows)

        def probe(blocks: list[np.ndarray]) -> np.ndarray:
            directions = np.zeros((len(blocks), lines))
            for direction, block in zip(directions, blocks):
                direction[block] = np.nan
            return np.isnan(self.products(argument, directions))

        found = _divided(probe, lines, others)
        return (found.T if self.mode.reverse else found).tocsr()

    def checked(self, sparsity: Any) -> list[Any]:
        """Patterns that were given, one an argument."""
        several = len(self.given) > 1
        if several and not (isinstance(sparsity, (tuple, list)) and len(sparsity) == len(self.given)):
            raise ArgumentError(
                f"sparsity is no tuple of {len(self.given)} patterns, one for each argument", self.of.loc,
                "write None for a Const, or sparsity='detect'",
            )  # fmt: skip
        patterns: list[Any] = []
        for k, (x, pattern) in enumerate(zip(self.given, sparsity if several else [sparsity])):
            if isinstance(x, Const):
                patterns.append(None)
                continue
            matrix = _matrix(pattern)
            shape = (self.rows, self.columns(k))
            if matrix.shape != shape:
                raise ArgumentError(
                    f"the pattern has shape {matrix.shape}, the Jacobian by argument {k} {shape}",
                    self.of.loc, "rows are the numbers in the result, columns those in the argument",
                )  # fmt: skip
            patterns.append(matrix)
        return patterns

    # entries ----------------------------------------------------------------------------------------------------------
    def entries(self, argument: int, pattern: Any, check: bool) -> Any:
        """The Jacobian by one argument, as a csr_array: a direction a colour, and a random one to check by."""
        from scipy import sparse

        reverse = self.mode.reverse
        lines = pattern.T.tocsr() if reverse else pattern
        colours = _colours(lines)
        number = int(colours.max(initial=-1)) + 1
        directions = np.zeros((number + check, lines.shape[1]))
        directions[colours, np.arange(lines.shape[1])] = 1.0
        if check:
            rng = np.random.default_rng(lines.nnz)
            directions[number] = rng.uniform(0.5, 1.5, lines.shape[1]) * rng.choice([-1.0, 1.0], lines.shape[1])
        found = self.products(argument, directions)
        inner = np.repeat(np.arange(lines.shape[0]), np.diff(lines.indptr))
        values = found[colours[lines.indices], inner]
        made = sparse.csr_array((values, lines.indices, lines.indptr), shape=lines.shape)
        if check:
            self._check(made, directions[number], found[number])
        dtype = np.result_type(*(np.asarray(v).dtype for x in (self.out, self.given[argument]) for v in _leaves(x)))
        return (made.T if reverse else made).tocsr().astype(dtype)

    def _check(self, made: Any, direction: np.ndarray, found: np.ndarray) -> None:
        """Refuse a pattern by which the derivative along a random direction is not what it is."""
        expected, scale = made @ direction, abs(made) @ abs(direction)
        precision = max(np.finfo(np.asarray(v).dtype).eps for v in _leaves(self.out))
        with np.errstate(invalid="ignore"):
            wrong = ~(abs(found - expected) <= precision ** (2 / 3) * scale)
        wrong &= np.isfinite(found) | np.isfinite(expected)
        if wrong.any():
            at = int(np.argmax(wrong))
            what = "column" if self.mode.reverse else "row"
            raise ArgumentError(
                f"the sparsity pattern misses entries in {what} {at} of the Jacobian of {self.of.name}: its product "
                f"with a random vector is {found[at]:.6g}, by the entries of the pattern {expected[at]:.6g}",
                self.of.loc, "give sparsity='detect', or a pattern that holds for the control flow at this point",
            )  # fmt: skip

    def output(self, matrices: list[Any], dense: bool) -> Any:
        if dense:
            made = zip(self.given, matrices)
            matrices = [None if m is None else self._dense(x, m.toarray()) for x, m in made]
        return output(self.mode, self.out, matrices, self.f)

    def _dense(self, x: Any, matrix: np.ndarray) -> Any:
        """In the form of the result, each part in the form of `x`."""
        blocks, start = [], 0
        for leaf in _leaves(self.out):
            part = matrix[start : start + np.size(leaf)]
            blocks.append(in_form_of(x, part.reshape((*np.shape(leaf), matrix.shape[1]))))
            start += np.size(leaf)
        return rebuilt(self.type, self.out, iter(blocks), None)


# --- numbers ------------------------------------------------------------------------------------------------------


def _leaves(value: Any) -> list[Any]:
    return continuous(typeof(value), value)


def _numbers(value: Any) -> np.ndarray:
    """All numbers in a value, in order."""
    return np.concatenate([np.ravel(leaf) for leaf in _leaves(value)] or [np.zeros(0)])


def _check_numbers(value: Any, loc: Loc) -> None:
    leaves = _leaves(value)
    if any(np.iscomplexobj(leaf) for leaf in leaves):
        raise ArgumentError("a sparse Jacobian of complex numbers", loc, "write real and imaginary parts as floats")
    arrays = [id(leaf) for leaf in leaves if isinstance(leaf, np.ndarray)]
    if len(set(arrays)) != len(arrays):
        raise ArgumentError("one array is in the value twice", loc, "pass it once, or a copy")


def _matrix(pattern: Any) -> Any:
    """A pattern as a csr_array of bools, its indices sorted, no zeros in it."""
    from scipy import sparse

    if not sparse.issparse(pattern) and np.ndim(pattern) != 2:
        raise ArgumentError(
            f"a sparsity pattern with {np.ndim(pattern)} dimensions", None,
            "a pattern is a matrix: a row a number in the result, a column a number in the argument",
        )  # fmt: skip
    made = sparse.csr_array(pattern).astype(bool)
    made.sum_duplicates()
    made.eliminate_zeros()
    return made


# --- patterns -----------------------------------------------------------------------------------------------------


def _divided(probe: _Probe, lines: int, others: int) -> Any:
    """The pattern, with a column for each of the `lines` numbers that can be asked for."""
    from scipy import sparse

    blocks = [block for block in np.array_split(np.arange(lines), min(_BLOCKS, lines) or 1) if len(block)]
    pattern = sparse.csr_array(probe(blocks).T) if blocks else sparse.csr_array((others, 0), dtype=bool)
    while any(len(block) > 1 for block in blocks):
        colours = _colours(pattern)
        parts = [np.array_split(block, min(_PARTS, len(block))) for block in blocks]
        sizes = np.array([len(divided) for divided in parts])
        first = np.cumsum(sizes) - sizes
        rows, columns = [], []
        where = pattern.tocoo()
        order = np.argsort(colours[where.col], kind="stable")
        bounds = np.searchsorted(colours[where.col][order], np.arange(colours.max(initial=-1) + 2))
        for c in range(len(bounds) - 1):
            mine = order[bounds[c] : bounds[c + 1]]
            owner = np.full(others, -1)
            owner[where.row[mine]] = where.col[mine]
            of_colour = [parts[b] for b in np.flatnonzero(colours == c)]
            together = [
                np.concatenate([p[t] for p in of_colour if t < len(p)]) for t in range(max(map(len, of_colour)))
            ]
            for t, hit in enumerate(probe(together)):
                (there,) = np.nonzero(hit)
                if (owner[there] < 0).any():
                    raise ArgumentError("the function is not the same at each call", None, "it has no Jacobian")
                there = there[t < sizes[owner[there]]]  # (a row may be NaN whatever is asked for)
                rows.append(there)
                columns.append(first[owner[there]] + t)
        blocks = [part for divided in parts for part in divided]
        at = (np.concatenate(rows or [np.zeros(0, int)]), np.concatenate(columns or [np.zeros(0, int)]))
        pattern = sparse.csr_array((np.ones(len(at[0]), bool), at), shape=(others, len(blocks)))
    return pattern


def _colours(rows: Any) -> np.ndarray:
    """For each column of a csr_array, the first colour that no column with a row in common has; full columns first."""
    columns = rows.tocsc()
    colours = np.full(rows.shape[1], -1)
    order = np.argsort(-np.diff(columns.indptr), kind="stable")
    integers = [np.asarray(a, np.int64) for a in (rows.indptr, rows.indices, columns.indptr, columns.indices)]
    _greedy(order, *integers, colours)
    return colours


@kernel
def _greedy(order, row_starts, row_columns, column_starts, column_rows, colours):
    """(Curtis, Powell & Reid 1974.)"""
    taken_by = np.full(len(colours) + 1, -1)
    for j in order:
        for a in range(column_starts[j], column_starts[j + 1]):
            row = column_rows[a]
            for b in range(row_starts[row], row_starts[row + 1]):
                other = colours[row_columns[b]]
                if other >= 0:
                    taken_by[other] = j
        free = 0
        while taken_by[free] == j:
            free += 1
        colours[j] = free
