"""What expressions are while a kernel is compiled (`Value`), and where their operations go (`Builder`).

A value has a type of `dsl.types` and either the MLIR values of its leaves, or a Python constant from which they are
made when they are needed. The operation library (scalars, mathlib, arrays, elementwise, reductions, linalg) takes and
returns `Value`s; it appends operations at the ambient MLIR insertion point, with the ambient location, and asks the
`Builder` for the rest. The visitor (see emitter) owns names, scopes, control flow and tuples.
It relies on this of the library:

    scalars.binary(b, op, left, right)      scalars.unary(b, op, operand)      scalars.compare(b, op, left, right)
    scalars.truth(b, value) -> Value        a bool_; what `if`, `not`, `and`, `or` ask of a scalar
    casts.convert(b, value, scalar) -> Value          what `np.float32(x)` does, and what joins and annotations do
    elementwise.binary / unary / compare    the same where an operand is an array; they return a lazy Value
    mathlib.find(python_object)             the row of a function such as math.sin, np.sin, abs, dsl.zeros, or None
    mathlib.call(b, row, args, kwargs) -> Value       args: list[Value], kwargs: dict[str, Value]
    arrays.load(b, array, index) -> Value             index: Values, SliceValues, ELLIPSIS, NEWAXIS; a view or scalar
    arrays.store(b, array, index, value)              element or slice, with broadcasting
    arrays.from_elements(b, nested list of Values) -> Value       a list literal
    arrays.attribute(b, array, name) -> Value | None              shape size ndim dtype T real imag ...
    arrays.method(b, array, name) -> callable(b, array, args, kwargs) | None      sum mean copy reshape ...
    linalg.matmul(b, left, right) -> Value

The visitor calls `value.force(b)` before a value gets a name, is passed or is returned: lazy array expressions become
arrays then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlir import ir

from .. import errors, types

if TYPE_CHECKING:
    from mlir.ir import Type as IrType  # by other names, as the classes here have a method `ir`
    from mlir.ir import Value as IrValue

    from ..syntax.loc import Loc


class _Unknown:
    """The constant of a value that is known only at run time."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


class Value:
    """A typed value: `leaves` (one MLIR value a leaf of the type) or `const`, a Python object known when compiling,
    or both.

    `nonneg` says of an int that it is never negative, so that indexing need not test for wrapping. A scalar of type
    bool_ is an i1; in memory it is an i8. An array's leaf may have a more precise layout than `type.mlir` says (a
    slice with unit inner stride): the visitor casts it where types must agree. Immutable; subclasses: TupleValue
    here, StructValue in structs, lazy array expressions in elementwise.
    """

    __slots__ = ("const", "leaves", "nonneg", "type")

    def __init__(
        self, type_: types.Type, leaves: tuple[IrValue, ...] | None = None, const: Any = UNKNOWN, nonneg: bool = False
    ) -> None:
        self.type = type_
        self.leaves = leaves
        self.const = const
        self.nonneg = nonneg or (type(const) is int and const >= 0)

    @property
    def known(self) -> bool:
        """Whether the value is known when compiling."""
        return self.const is not UNKNOWN

    @property
    def ir(self) -> IrValue:
        """The one leaf of a value that has been emitted; `Builder.ir` also makes constants."""
        assert self.leaves is not None and len(self.leaves) == 1, f"{self} has no single leaf"
        return self.leaves[0]

    def force(self, b: Builder) -> Value:
        """The value itself, or, for a lazy array expression, the array that it has been computed into."""
        return self

    def __repr__(self) -> str:
        return f"Value({self.type}, const={self.const!r})" if self.known else f"Value({self.type})"


class TupleValue(Value):
    """A tuple: its elements are values by themselves, each of which may be a constant."""

    __slots__ = ("elements",)

    def __init__(self, elements: tuple[Value, ...]) -> None:
        const = tuple(e.const for e in elements) if all(e.known for e in elements) else UNKNOWN
        super().__init__(types.TupleType(tuple(e.type for e in elements)), None, const)
        self.elements = elements

    def force(self, b: Builder) -> Value:
        forced = tuple(e.force(b) for e in self.elements)
        return self if all(x is y for x, y in zip(forced, self.elements)) else TupleValue(forced)


class SliceValue:
    """`lower:upper:step` in an index; None for a part that is left out."""

    __slots__ = ("lower", "step", "upper")

    def __init__(self, lower: Value | None, upper: Value | None, step: Value | None) -> None:
        self.lower, self.upper, self.step = lower, upper, step


ELLIPSIS = "..."  # in an index: as many full slices as are missing
NEWAXIS = "newaxis"  # in an index: a new dimension of size 1


def constant(value: Any) -> Value:
    """The value of a Python object that is known when compiling: numbers are weak, as literals are."""
    cls = type(value)
    if cls is bool:
        return Value(types.bool_, const=value)
    if cls is int:
        return Value(types.pyint, const=value)
    if cls is float:
        return Value(types.pyfloat, const=value)
    if cls is complex:
        return Value(types.pycomplex, const=value)
    if value is None:
        return Value(types.none, const=None)
    if cls is tuple:
        return TupleValue(tuple(map(constant, value)))
    typed = types.typeof(value)
    return Value(typed, const=value)


class Record:
    """One place where a kernel may raise: the exception's class name, its message, where."""

    __slots__ = ("exc", "loc", "message")

    def __init__(self, exc: str, message: str, loc: Loc) -> None:
        self.exc, self.message, self.loc = exc, message, loc

    def as_dict(self) -> dict[str, Any]:
        return {
            "exc": self.exc,
            "message": self.message,
            "file": self.loc.file,
            "line": self.loc.line,
            "col": self.loc.col,
        }


class Shared:
    """What all functions of one module share: the module, its error records, the C functions it declares."""

    def __init__(self, module: ir.Module, options: Any) -> None:
        self.module = module
        self.options = options
        self.boundscheck = bool(getattr(options, "boundscheck", False))
        self.records: list[Record] = []
        self.declared: dict[str, IrType] = {}
        self._types: dict[str, IrType] = {}
        self._record_ids: dict[tuple[str, str, Any], int] = {}

    def type(self, text: str) -> IrType:
        """An MLIR type by its spelling."""
        found = self._types.get(text)
        if found is None:
            found = self._types[text] = ir.Type.parse(text)
        return found

    def record(self, exc: str, message: str, loc: Loc) -> int:
        """The number that the error cell gets for this error: 1 + its place in the table."""
        key = (exc, message, loc)
        found = self._record_ids.get(key)
        if found is None:
            self.records.append(Record(exc, message, loc))
            found = self._record_ids[key] = len(self.records)
        return found


class Builder:
    """Where the operations of one function go. Wherever it takes or gives a plain MLIR value it says `ir`."""

    def __init__(self, shared: Shared, loc: Loc, error_cell: IrValue | None, device: bool = False) -> None:
        self.shared = shared
        self.device = device  # whether this is code of a thread of a grid
        self.boundscheck = shared.boundscheck
        self.loc = loc
        self.error_cell = error_cell  # memref<1xi64>
        self.raises = 0  # how often this function stored to the error cell
        self.must_leave = False  # a hard check was emitted since the visitor last looked
        #: Which two arguments of the function must share no memory, and what it is an error of; to be asked where it is
        #: called. None: nobody can be asked to.
        self.apart: dict[tuple[int, int], str] | None = None

    # --- places

    @contextmanager
    def at(self, loc: Loc) -> Iterator[None]:
        """Operations made inside get this place, and errors name it."""
        outer, self.loc = self.loc, loc
        with ir.Location.file(loc.file, loc.line, loc.col):
            try:
                yield
            finally:
                self.loc = outer

    def error(
        self, message: str, hint: str = "", cls: type[errors.CompileError] = errors.KernelTypeError
    ) -> errors.CompileError:
        """A compile error at the current place, to be raised by the caller."""
        return cls(message, self.loc, hint)

    # --- types and constants

    def type(self, type_: types.Scalar | types.ArrayType) -> IrType:
        """The MLIR type of a leaf."""
        return self.shared.type(type_.mlir)

    def storage(self, type_: types.Scalar) -> IrType:
        """The MLIR element type of arrays of these."""
        return self.shared.type(type_.storage)

    def index(self, value: int) -> IrValue:
        """A constant of MLIR's index type."""
        return self._constant("index", value)

    def i1(self, value: bool) -> IrValue:
        return self._constant("i1", int(value))

    def i64(self, value: int) -> IrValue:
        return self._constant("i64", value)

    def _constant(self, type_text: str, value: int) -> IrValue:
        type_ = self.shared.type(type_text)
        return ir.Operation.create(
            "arith.constant", [type_], attributes={"value": ir.IntegerAttr.get(type_, value)}
        ).result

    def number(self, value: Any, type_: types.Scalar) -> IrValue:
        """The constant `value` as an MLIR value of a scalar type; integers must fit."""
        mlir_type = self.type(type_)
        attribute: ir.Attribute
        if type_.kind == "c":
            value = complex(value)
            part = self.shared.type("f32" if type_.bits == 64 else "f64")
            attribute = ir.ArrayAttr.get([ir.FloatAttr.get(part, value.real), ir.FloatAttr.get(part, value.imag)])
            return ir.Operation.create("complex.constant", [mlir_type], attributes={"value": attribute}).result
        if type_.kind == "f":
            attribute = ir.FloatAttr.get(mlir_type, float(value))
        elif type_.kind == "b":
            attribute = ir.IntegerAttr.get(mlir_type, int(bool(value)))
        else:
            value = int(value)
            low, high = (0, 2**type_.bits) if type_.kind == "u" else (-(2 ** (type_.bits - 1)), 2 ** (type_.bits - 1))
            if not low <= value < high:
                raise self.error(
                    f"the integer {value} does not fit {type_.strong}",
                    "use a float, or a type that holds it",
                    errors.KernelValueError,
                )
            if value >= 2 ** (type_.bits - 1):
                value -= 2**type_.bits  # MLIR integers are signless
            attribute = ir.IntegerAttr.get(mlir_type, value)
        return ir.Operation.create("arith.constant", [mlir_type], attributes={"value": attribute}).result

    def ir(self, value: Value) -> IrValue:
        """The MLIR value of a scalar or an array; a constant is made here."""
        if value.leaves is not None:
            return value.ir
        if value.known and isinstance(value.type, types.Scalar):
            return self.number(value.const, value.type)
        forced = value.force(self)
        if forced.leaves is None:
            raise self.error(f"{value.type} has no value at run time")
        return forced.ir

    # --- errors at run time

    def check(self, ok: IrValue, exc: str, message: str, soft: bool = False) -> None:
        """Where `ok` (an i1) is false at run time, record an error at the current place; the first one of a call wins.

        The function is left after the current statement. What the statement still does must be safe, but its values
        do not matter. A soft check does not leave: all that follows must be safe whatever happens (bounds checks,
        which guard).
        """
        from mlir.dialects import arith, scf

        number = self.shared.record(exc, message, self.loc)
        self.raises += 1
        self.must_leave = self.must_leave or not soft
        failed = arith.XOrIOp(ok, self.i1(True)).result
        branch = scf.IfOp(failed)
        with ir.InsertionPoint(branch.then_block):
            self.store_error(self.i64(number))
            scf.YieldOp([])

    def store_error(self, number: IrValue) -> None:
        """Put an error number into the cell unless one is there."""
        from mlir.dialects import arith, memref

        self.raises += 1
        zero = self.index(0)
        old = memref.LoadOp(self.error_cell, [zero]).result
        first = arith.CmpIOp(arith.CmpIPredicate.eq, old, self.i64(0)).result
        memref.StoreOp(arith.SelectOp(first, number, old).result, self.error_cell, [zero])

    # --- C functions

    def declare(
        self,
        name: str,
        params: list[IrType],
        results: list[IrType],
        readonly: Sequence[int] = (),
        marks: Sequence[str] = (),
    ) -> None:
        """Make sure that the module has a private declaration of a C function, which writes none of the `readonly`
        arrays among its parameters.
        """
        type_ = ir.FunctionType.get(params, results)
        if name not in self.shared.declared:
            with ir.InsertionPoint(self.shared.module.body):
                ir.Operation.create(
                    "func.func",
                    attributes={
                        "sym_name": ir.StringAttr.get(name),
                        "function_type": ir.TypeAttr.get(type_),
                        "sym_visibility": ir.StringAttr.get("private"),
                        "arg_attrs": _argument_attributes(len(params), readonly),
                        **{mark: ir.UnitAttr.get() for mark in marks},
                    },
                    regions=1,
                )
            self.shared.declared[name] = type_
        elif self.shared.declared[name] != type_:
            found = f"{self.shared.declared[name]} and as {type_}"
            raise self.error(f"a kernel calls {name} as {found}", "give one of the functions another name")

    def call_c(self, name: str, args: list[IrValue], result: IrType) -> IrValue:
        """Call a C function, declaring it."""
        self.declare(name, [a.type for a in args], [result])
        return ir.Operation.create(
            "func.call", [result], args, attributes={"callee": ir.FlatSymbolRefAttr.get(name)}
        ).result


def _argument_attributes(count: int, readonly: Sequence[int]) -> ir.Attribute:
    marked = ir.DictAttr.get({"llvm.readonly": ir.UnitAttr.get()})
    return ir.ArrayAttr.get([marked if k in readonly else ir.DictAttr.get({}) for k in range(count)])
