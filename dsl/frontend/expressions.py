"""Expressions: each node becomes a `Value`, its operations appended at the insertion point, in Python's order of
evaluation.

Operators on numbers and arrays are the operation library's; here are names, constants, tuples, what short-circuits,
and subscripts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlir import ir

from .. import errors, library, types
from ..syntax import nodes
from . import arrays, elementwise, linalg, mathlib, scalars
from .base import EmitterBase
from .constants import literal
from .scope import Conflict, ObjectValue, StructValue, join
from .values import ELLIPSIS, NEWAXIS, SliceValue, TupleValue, Value, constant

_VALUE = "%value"  # the pseudo-variable through which the value of a conditional expression is merged

# Operations that may run although their result is not wanted: they cannot fail, cost next to nothing, and a derivative
# through them cannot make a NaN on the side that is not taken.
_CHEAP_ARITH = (
    "constant cmpi cmpf andi ori xori addi subi muli negf addf subf select index_cast extsi extui trunci maxsi minsi"
)
_CHEAP = frozenset(("memref.dim", *(f"arith.{name}" for name in _CHEAP_ARITH.split(" "))))
_CHEAP_COUNT = 12

_COMPARISONS = frozenset(("<", "<=", ">", ">=", "==", "!="))


class Unreached(Exception):
    """The rest of the block cannot run, because it reads a variable that is surely unassigned."""

    def __init__(self, error: errors.CompileError) -> None:
        super().__init__(error)
        self.error = error


class Expressions(EmitterBase):
    """The part of the emitter that evaluates expressions."""

    def evaluate(self, node: nodes.Expression) -> Value:
        """The value of an expression, which may be a lazy array expression; `force` makes an array of that."""
        with self.b.at(node.loc):
            return getattr(self, f"_{type(node).__name__.lower()}")(node)  # type: ignore[no-any-return]

    def forced(self, node: nodes.Expression) -> Value:
        """The value of an expression that gets a name, is passed or returned."""
        value = self.evaluate(node)
        with self.b.at(node.loc):
            return value.force(self.b)

    def condition(self, node: nodes.Expression) -> Value:
        """The truth of an expression, a bool_."""
        return self.truth(self.evaluate(node), node)

    def truth(self, value: Value, node: nodes.Expression) -> Value:
        with self.b.at(node.loc):
            if isinstance(value, StructValue) and issubclass(value.cls, tuple):
                return constant(len(value.elements) > 0)
            if isinstance(value, (StructValue, ObjectValue)):
                raise self.b.error("a struct is not a condition", "compare one of its fields")
            return scalars.truth(self.b, value)

    # --- leaves of the tree

    def _constant(self, node: nodes.Constant) -> Value:
        if node.value is Ellipsis:
            raise self.b.error("`...` is only an index", cls=errors.UnsupportedSyntax)
        return literal(self.b, node.value)

    def _name(self, node: nodes.Name) -> Value:
        return self.read(node.id)

    def read(self, name: str) -> Value:
        """The value of a name: a variable of the function, or else a compile-time constant around it."""
        if name not in self.locals:
            if self.outer is not None:
                return self.outer.read(name)
            return literal(self.b, self.unit.resolve(self.kernel, name, self.b.loc))
        value = self.state.vars.get(name)
        if value is None:
            message = f"`{name}` is used before anything was assigned to it"
            hint = f"`{name}` is a variable of this kernel, because the kernel assigns to it; do so before this line"
            raise Unreached(self.b.error(message, hint, errors.KernelNameError))
        if isinstance(value, Conflict):
            raise self.conflict_error(name, value)
        flag = self.state.flags.get(name)
        if flag is not None:
            self.b.check(
                flag, "UnboundLocalError", f"local variable '{name}' is used before anything was assigned to it"
            )
        return value

    # --- after a failure

    def unless_failed(self, emit: Callable[[], Value]) -> Value:
        """A value whose operations are safe only if nothing in the same statement has failed before: else a filler."""
        if not self.b.must_leave:
            return emit()
        type_: types.Type = types.none

        def value() -> Value:
            nonlocal type_
            made = emit().force(self.b)
            type_ = self.type_of(made)
            return made

        def filler() -> Value:
            return self.rebuild(type_, iter([self.filler(leaf) for leaf in types.leaves(type_)]))

        return self.choose(self.negate(self.error_is_set()), value, filler)

    # --- operators

    def _binop(self, node: nodes.BinOp) -> Value:
        left = self.settled(self.evaluate(node.left), node.right)
        return self.binary(node.op, left, self.evaluate(node.right))

    def settled(self, value: Value, *later: nodes.Expression) -> Value:
        """A value that is used after other expressions run: a lazy one is computed first if they may change arrays."""
        if _is_array(value) and value.leaves is None and any(map(self._may_change_arrays, later)):
            return value.force(self.b)
        return value

    def _may_change_arrays(self, node: nodes.Expression) -> bool:
        """Whether evaluating an expression may write to an array: whether it calls anything but library functions."""
        return any(isinstance(n, nodes.Call) and not self._is_pure(n.func) for n in nodes.walk(node))

    def _is_pure(self, function: nodes.Expression) -> bool:
        path = []
        while isinstance(function, nodes.Attribute):
            path.append(function.attr)
            function = function.value
        if not isinstance(function, nodes.Name) or self.is_variable(function.id):
            return False
        try:
            found = self.unit.resolve(self.kernel, function.id, self.b.loc)
            for name in reversed(path):
                found = getattr(found, name)
        except (errors.CompileError, AttributeError):
            return False
        row = mathlib.find(found)
        return found in (len, isinstance) or (row is not None and row.pure) or library.find(found) is not None

    def binary(self, op: str, left: Value, right: Value) -> Value:
        """`left op right`, at the current place."""
        if op == "@":
            return linalg.matmul(self.b, left.force(self.b), right.force(self.b))
        if _is_array(left) or _is_array(right):
            return elementwise.binary(self.b, op, left, right)
        if isinstance(left, TupleValue) and isinstance(right, TupleValue) and op == "+":
            return TupleValue(left.elements + right.elements)
        if op == "*" and isinstance(left, TupleValue) and type(right.const) is int:
            return TupleValue(left.elements * right.const)
        if op == "*" and isinstance(right, TupleValue) and type(left.const) is int:
            return TupleValue(right.elements * left.const)
        if type(left.const) is str and type(right.const) is str and op == "+":
            return literal(self.b, left.const + right.const)
        return scalars.binary(self.b, op, self._plain(left), self._plain(right))

    def _plain(self, value: Value) -> Value:
        """An operand as the library knows it; a struct is refused by its full type."""
        if isinstance(value, (ObjectValue, StructValue)):
            raise self.b.error(f"operators do not take {self.type_of(value)}", "use its fields")
        return value

    def _unaryop(self, node: nodes.UnaryOp) -> Value:
        if node.op == "not":
            test = self.condition(node.operand)
            return constant(not test.const) if test.known else scalars.unary(self.b, "not", test)
        operand = self.evaluate(node.operand)
        if _is_array(operand):
            return elementwise.unary(self.b, node.op, operand)
        return scalars.unary(self.b, node.op, self._plain(operand))

    def _namedexpr(self, node: nodes.NamedExpr) -> Value:
        value = self.forced(node.value)
        self.state.set(node.target.id, value, node.target.loc)
        return value

    # --- what short-circuits

    def _boolop(self, node: nodes.BoolOp) -> Value:
        return self._connect(node.op, node.values)

    def _connect(self, op: str, values: Sequence[nodes.Expression]) -> Value:
        """`a and b and ...`: the first operand that decides, else the last."""
        first = self.forced(values[0])
        if len(values) == 1:
            return first
        test = self.truth(first, values[0])
        goes_on = op == "and"
        if test.known:
            return self._connect(op, values[1:]) if bool(test.const) is goes_on else first

        def rest() -> Value:
            return self._connect(op, values[1:])

        def decided() -> Value:
            # The operand that decides is false for `and`, true for `or`; as a bool it is then known.
            return constant(not goes_on) if first.type is types.bool_ else first

        return self.choose(self.b.ir(test), rest, decided) if goes_on else self.choose(self.b.ir(test), decided, rest)

    def _ifexp(self, node: nodes.IfExp) -> Value:
        test = self.condition(node.test)
        if test.known:
            return self.evaluate(node.body if test.const else node.orelse)
        return self.choose(self.b.ir(test), lambda: self.forced(node.body), lambda: self.forced(node.orelse))

    def choose(self, test: ir.Value, then: Callable[[], Value], orelse: Callable[[], Value]) -> Value:
        """The value of one of two sides; only the one that is taken runs, unless both cost nothing and cannot fail."""
        before = self.state
        op = self.open_branch(test)
        states, values = [], []
        for side, emit in enumerate((then, orelse)):
            self.state = before.copy()
            with ir.InsertionPoint(op.regions[side].blocks[0]):
                values.append(emit())
            states.append(self.state)
        self.state = before
        bound = frozenset(n for s in states for n, v in s.vars.items() if before.vars.get(n) is not v)  # by `:=`
        scalar = all(isinstance(v.type, types.Scalar) for v in values)
        if scalar and not bound and all(_is_cheap(r.blocks[0]) for r in op.regions):
            return self._select(op, values[0], values[1])
        name = _VALUE
        for state, value in zip(states, values):
            state.set(name, value, self.b.loc)
        self.close_branch(op, states[0], states[1], frozenset(before.vars) | bound | {name})
        result = self.state.vars[name]
        self.state.drop(name)
        if isinstance(result, Conflict):
            raise self.conflict_error("the value of this expression", result)
        return result

    def _select(self, op: ir.Operation, first: Value, second: Value) -> Value:
        """Both sides before the scf.if, which becomes a select."""
        for region in op.regions:
            for inner in list(region.blocks[0].operations):
                inner.move_before(op)
        condition = op.operands[0]
        op.erase()
        type_ = join(first, second)
        assert isinstance(type_, types.Scalar)
        left, right = self.leaves_as(first, type_)[0], self.leaves_as(second, type_)[0]
        if type_ is types.bool_ and second.known and not second.const:
            result = ir.Operation.create("arith.andi", [left.type], [condition, left]).result
        elif type_ is types.bool_ and first.known and first.const:
            result = ir.Operation.create("arith.ori", [left.type], [condition, right]).result
        else:
            result = ir.Operation.create("arith.select", [left.type], [condition, left, right]).result
        return Value(type_, (result,), nonneg=first.nonneg and second.nonneg)

    def _compare(self, node: nodes.Compare) -> Value:
        left = self.settled(self.evaluate(node.left), *node.comparators)
        return self._chain(left, node.ops, node.comparators)

    def _chain(self, left: Value, ops: Sequence[str], comparators: Sequence[nodes.Expression]) -> Value:
        """`left op a op b ...`: each operand is evaluated once, and only if the comparison before it held."""
        # A list to search is no array: its elements are compared one by one, as those of a tuple.
        first = comparators[0]
        search = ops[0] in ("in", "not in") and isinstance(first, nodes.List)
        right = self.elements(first) if search else self.evaluate(first)
        result = self._compare_two(ops[0], left, right, comparators[0])
        if len(ops) == 1:
            return result
        if _is_array(result):
            raise self.b.error(
                "a chain of comparisons of arrays has no truth value", "write (a < b) & (b < c)", errors.KernelTypeError
            )
        right = right.force(self.b)
        if result.known:
            return self._chain(right, ops[1:], comparators[1:]) if result.const else result
        return self.choose(
            self.b.ir(result), lambda: self._chain(right, ops[1:], comparators[1:]), lambda: constant(False)
        )

    def _compare_two(self, op: str, left: Value, right: Value, node: nodes.Expression) -> Value:
        if op in ("is", "is not"):
            return constant(self._is_same(left, right) is (op == "is"))
        if op in ("==", "!=") and types.none in (left.type, right.type):
            return constant((left.type == right.type) is (op == "=="))
        if op in ("in", "not in"):
            return self._contains(left, right, node, op == "in")
        if isinstance(left, TupleValue) and isinstance(right, TupleValue) and op in ("==", "!="):
            return self._tuples_equal(left, right, node, op == "==")
        if left.known and right.known and not (_is_number(left) and _is_number(right)):
            return self._compare_constants(op, left.const, right.const)
        if _is_array(left) or _is_array(right):
            return elementwise.compare(self.b, op, left, right)
        return scalars.compare(self.b, op, self._plain(left), self._plain(right))

    def _compare_constants(self, op: str, left: Any, right: Any) -> Value:
        """Strings, dtypes, None: known when compiling."""
        if op in ("==", "!="):
            if isinstance(left, types.Scalar) or isinstance(right, types.Scalar):
                left, right = _as_dtype(left), _as_dtype(right)  # `x.dtype == np.float64`
            return constant(bool(left == right) is (op == "=="))
        if isinstance(left, str) and isinstance(right, str):
            return constant({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[op])
        raise self.b.error(f"`{op}` does not take {type(left).__name__} and {type(right).__name__}")

    def _is_same(self, left: Value, right: Value) -> bool:
        """`left is right`, where that is known when compiling."""
        if left.type == types.none or right.type == types.none:
            return left.type == right.type
        if isinstance(left, ObjectValue) and isinstance(right, ObjectValue):
            if left.number != right.number and self.state.frozen & {left.number, right.number}:
                raise self.b.error("whether these are one object depends on the path taken here")
            return left.number == right.number
        if left.known and right.known and not (_is_number(left) or _is_number(right)):
            return left.const is right.const or (type(left.const) is str and left.const == right.const)
        if left.type is types.bool_ and right.type is types.bool_ and left.known and right.known:
            return left.const is right.const
        raise self.b.error("`is` compares with None, and constants, only", "use `==` for numbers")

    def _contains(self, item: Value, container: Value, node: nodes.Expression, wanted: bool) -> Value:
        if type(item.const) is str and type(container.const) is str:
            return constant((item.const in container.const) is wanted)
        if not isinstance(container, TupleValue):
            raise self.b.error(f"`in` does not take {self.type_of(container)}", "search an array with a loop")
        result = self._one_of(item, container.elements, node)
        if wanted:
            return result
        return constant(not result.const) if result.known else scalars.unary(self.b, "not", result)

    def _one_of(self, item: Value, elements: Sequence[Value], node: nodes.Expression) -> Value:
        if not elements:
            return constant(False)
        first = self._compare_two("==", item, elements[0], node)
        if first.known:
            return first if first.const else self._one_of(item, elements[1:], node)
        return self.choose(self.b.ir(first), lambda: constant(True), lambda: self._one_of(item, elements[1:], node))

    def _tuples_equal(self, left: TupleValue, right: TupleValue, node: nodes.Expression, wanted: bool) -> Value:
        def same(pairs: Sequence[tuple[Value, Value]]) -> Value:
            if not pairs:
                return constant(True)
            first = self._compare_two("==", *pairs[0], node)
            if first.known:
                return same(pairs[1:]) if first.const else first
            return self.choose(self.b.ir(first), lambda: same(pairs[1:]), lambda: constant(False))

        equal = len(left.elements) == len(right.elements)
        result = same(list(zip(left.elements, right.elements))) if equal else constant(False)
        if wanted:
            return result
        return constant(not result.const) if result.known else scalars.unary(self.b, "not", result)

    # --- tuples, lists, subscripts

    def _tuple(self, node: nodes.Tuple) -> Value:
        return TupleValue(tuple(self.spread(node.elts)))

    def spread(self, nodes_: Sequence[nodes.Expression]) -> list[Value]:
        """The values of expressions; of one with `*` its elements."""
        found: list[Value] = []
        for node in nodes_:
            if isinstance(node, nodes.Starred):
                found += self.taken_apart(self.elements(node.value), node)
            else:
                found.append(self.forced(node))
        return found

    def taken_apart(self, value: Value, node: nodes.Starred) -> Sequence[Value]:
        """The elements of a tuple, for `*`."""
        parts = self.parts(value)
        if parts is None or not self._is_sequence(value):
            with self.b.at(node.loc):
                hint = "a tuple, whose length is known; join arrays with np.concatenate"
                raise self.b.error(f"`*` unpacks {self.type_of(value)}, not a tuple", hint)
        return parts

    def _starred(self, node: nodes.Starred) -> Value:
        raise self.b.error("`*` unpacks into a call, a tuple or a list", cls=errors.UnsupportedSyntax)

    def _joinedstr(self, node: nodes.JoinedStr) -> Value:
        raise self.b.error(
            "an f-string is not a value in kernels",
            "it may be the message of an assert or a raise",
            errors.UnsupportedSyntax,
        )

    def elements(self, node: nodes.Expression) -> Value:
        """A list literal as the tuple of its elements, where it is taken apart at once; anything else as it is."""
        if isinstance(node, nodes.List):
            return TupleValue(tuple(self.spread(node.elts)))
        return self.forced(node)

    def _list(self, node: nodes.List) -> Value:
        return arrays.from_elements(self.b, self._nested(node))

    def _nested(self, node: nodes.List) -> list[Any]:
        return [v for e in node.elts for v in ([self._nested(e)] if isinstance(e, nodes.List) else self.spread([e]))]

    def _slice(self, node: nodes.Slice) -> Value:
        raise self.b.error("a slice is only an index", cls=errors.UnsupportedSyntax)

    def _subscript(self, node: nodes.Subscript) -> Value:
        owner = self.evaluate(node.value).force(self.b)
        return self.subscript(owner, node.index, None if self._is_sequence(owner) else self.index(node.index))

    def subscript(self, owner: Value, node: nodes.Expression, index: list[Any] | None) -> Value:
        """`owner[index]`: an element or a view of an array, or an element of a tuple."""
        if index is not None:
            if not _is_array(owner):
                raise self.b.error(f"{self.type_of(owner)} has no elements", "only arrays and tuples are indexed")
            return self.unless_failed(lambda: arrays.load(self.b, owner, index))
        parts = self.parts(owner)
        assert parts is not None
        if isinstance(node, nodes.Slice):
            bounds = [self._known_int(part) for part in (node.lower, node.upper, node.step)]
            if bounds[2] == 0:
                raise self.b.error("the step of a slice is zero", cls=errors.KernelValueError)
            return TupleValue(parts[slice(*bounds)])
        position = self._known_int(node)
        assert position is not None
        if not -len(parts) <= position < len(parts):
            raise self.b.error(
                f"index {position} is out of range for a tuple of length {len(parts)}", cls=errors.KernelIndexError
            )
        return parts[position]

    def _is_sequence(self, value: Value) -> bool:
        """Whether indexing takes an element of a tuple, which must be known when compiling."""
        return isinstance(value, TupleValue) or (isinstance(value, StructValue) and issubclass(value.cls, tuple))

    def _known_int(self, node: nodes.Expression | None) -> int | None:
        if node is None:
            return None
        value = self.evaluate(node)
        if type(value.const) is int:
            return value.const
        if value.type == types.none:
            return None
        with self.b.at(node.loc):
            raise self.b.error(
                "the index of a tuple must be known when compiling",
                "loop over the tuple itself (`for v in t:`), or use an array",
            )

    def index(self, node: nodes.Expression) -> list[Any]:
        """The entries of an array index, in the library's form."""
        items = node.elts if isinstance(node, nodes.Tuple) else [node]
        entries: list[Any] = []
        for item in items:
            if isinstance(item, nodes.Slice):
                bounds = [
                    None if part is None else self._none_or(self.evaluate(part))
                    for part in (item.lower, item.upper, item.step)
                ]
                entries.append(SliceValue(*bounds))
            elif isinstance(item, nodes.Constant) and item.value is Ellipsis:
                entries.append(ELLIPSIS)
            else:
                value = self.evaluate(item)
                if isinstance(value, TupleValue) and not isinstance(node, nodes.Tuple):
                    entries.extend(value.elements)  # x[t] with a tuple t is x[t[0], t[1]]
                else:
                    entries.append(NEWAXIS if value.type == types.none else value)
        return entries

    @staticmethod
    def _none_or(value: Value) -> Value | None:
        return None if value.type == types.none else value


def _is_array(value: Value) -> bool:
    return isinstance(value.type, types.ArrayType)


def _is_number(value: Value) -> bool:
    return isinstance(value.type, types.Scalar)


def _as_dtype(value: Any) -> Any:
    """The scalar type that a constant stands for as a dtype, else the constant itself."""
    try:
        return types.from_dtype(value)
    except TypeError:
        return value


def _is_cheap(block: ir.Block) -> bool:
    operations = list(block.operations)
    return len(operations) <= _CHEAP_COUNT and all(op.operation.name in _CHEAP for op in operations)
