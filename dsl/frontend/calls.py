"""Calls: of builtins, methods, struct classes, the functions of the operation library, kernels and plain functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

from mlir import ir

from .. import errors, library, types
from ..annotations import Annotation, Const
from ..foreign import Foreign
from ..functions import checkpointed
from ..grids import host_of
from ..syntax import nodes
from . import arrays, casts, constants, derivatives, foreign, mathlib, parallel, scalars
from .apart import keep_given_apart
from .closures import Closure
from .comprehensions import Comprehensions
from .derivatives import AnnotatedValue
from .launches import Launched
from .scalars import describe
from .scope import ObjectValue, StructValue
from .structs import spelling
from .values import TupleValue, Value, constant

if TYPE_CHECKING:
    from .unit import Function

_REFUSED: dict[object, str] = {
    print: "kernels do not print; return the value, or run the undecorated function",
    range: "range is only what a `for` runs over",
    zip: "zip is only what a `for` runs over",
    enumerate: "enumerate is only what a `for` runs over",
    reversed: "reversed is only what a `for` runs over",
    checkpointed: "it stands around what a `for` runs over: for t in dsl.checkpointed(range(n)); a `while` loop cannot "
    "be checkpointed, since how often it runs is not known beforehand",
    list: "use an array (dsl.zeros) or a tuple",
    dict: "use a dataclass or a NamedTuple",
    set: "use an array",
    str: "strings are compile-time constants only",
    open: "kernels do no input or output",
    input: "kernels do no input or output",
    sorted: "sort outside of the kernel",
    map: "write a loop",
    filter: "write a loop",
    eval: "write the code itself",
    exec: "write the code itself",
    getattr: "write the attribute itself",
    setattr: "write the attribute itself",
}


class Calls(Comprehensions):
    """The part of the emitter for calls."""

    def _call(self, node: nodes.Call) -> Value:
        function = node.func
        if isinstance(function, nodes.Attribute):
            owner = self.evaluate(function.value)
            if not (isinstance(owner.type, types.Literal) and owner.known):
                args, kwargs = self._arguments(node)
                with self.b.at(node.loc):
                    return self._method(owner, function.attr, args, kwargs)
        launched = self.launched(function)
        if launched is not None:
            args, kwargs = self._arguments(node)
            with self.b.at(node.loc):
                return self.launch(launched, args, kwargs)
        callee = self.evaluate(function)
        if not callee.known or not isinstance(callee.type, types.Literal):
            raise self.b.error(f"`{spelling(function)}` is {self.type_of(callee)}, which cannot be called")
        if derivatives.is_autodiff(callee.const) and len(node.args) > 1:
            launched = self.launched(node.args[1])
            if launched is not None:
                return self._of_grid(callee.const, launched, node)
        if len(node.args) == 1 and isinstance(node.args[0], nodes.GeneratorExp) and not node.keywords:
            with self.b.at(node.args[0].loc):
                made = self.over_generator(callee.const, node.args[0])
            if made is not None:
                return made
        args, kwargs = self._arguments(node)
        return self.call_function(callee.const, args, kwargs)

    def _of_grid(self, autodiff: Any, launched: Launched, node: nodes.Call) -> Value:
        """The derivative of `k[blocks, threads]`: of host code that launches, with the extents as constants."""
        mode, _, *others = node.args
        args, kwargs = self._arguments(nodes.Call(node.func, [mode, *others], node.keywords, loc=node.loc))
        extents = [*launched.blocks, *launched.threads]
        ones = tuple(extent.known and extent.const == 1 for extent in extents)
        host = constants.literal(self.b, host_of(launched.kernel, ones))
        rest = [AnnotatedValue(Const, extent, ()) for extent, one in zip(extents, ones) if not one]
        with self.b.at(node.loc):
            result = self.call_function(autodiff, [args[0], host, *args[1:], *rest], kwargs)
        if not args[0].const.reverse or not isinstance(result, TupleValue):
            return result
        *value, gradients = result.elements
        own = self.parts(gradients)
        assert own is not None
        return TupleValue((*value, TupleValue(tuple(own[: len(own) - len(rest)]))))

    def _arguments(self, node: nodes.Call) -> tuple[list[Value], dict[str, Value]]:
        nodes_ = [*node.args, *(k.value for k in node.keywords)]
        values: list[Value] = []
        for number, arg in enumerate(nodes_):
            if isinstance(arg, nodes.Starred):
                values += self.spread([arg])
            else:
                values.append(self.settled(self.evaluate(arg), *nodes_[number + 1 :]))
        count = len(values) - len(node.keywords)
        return values[:count], {k.arg: value for k, value in zip(node.keywords, values[count:])}

    # --- methods

    def _method(self, owner: Value, name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
        if isinstance(owner, AnnotatedValue):  # func.val(x.val) in a rule
            callee = self.attribute(owner, name)
            if callee.known:
                return self.call_function(callee.const, args, kwargs)
        if isinstance(owner.type, types.ArrayType):
            method = arrays.method(self.b, owner, name)
            if method is not None:
                return method(self.b, owner, args, kwargs)
            raise self.b.error(f"arrays have no method `{name}` in kernels", cls=errors.KernelAttributeError)
        if isinstance(owner, (ObjectValue, StructValue)):
            return self._struct_method(owner, name, args, kwargs)
        if isinstance(owner.type, types.Scalar):
            if name in ("conjugate", "conj") and not args and not kwargs:
                if owner.type.kind != "c":
                    return owner
                return Value(
                    owner.type,
                    (ir.Operation.create("complex.conj", [self.b.type(owner.type)], [self.b.ir(owner)]).result,),
                )
            if name == "item" and not args and not kwargs and not owner.type.weak:
                weak = {"b": types.bool_, "i": types.pyint, "u": types.pyint, "f": types.pyfloat, "c": types.pycomplex}
                return casts.convert(self.b, owner, weak[owner.type.kind])
        raise self.b.error(f"{self.type_of(owner)} has no method `{name}` in kernels", cls=errors.KernelAttributeError)

    def _struct_method(
        self, owner: ObjectValue | StructValue, name: str, args: list[Value], kwargs: dict[str, Value]
    ) -> Value:
        names = types.field_names(owner.cls)
        if name in names:
            field = self._field(owner, name)
            if field.known and isinstance(field.type, types.Literal):
                return self.call_function(field.const, args, kwargs)
            raise self.b.error(f"field `{name}` is {self.type_of(field)}, which cannot be called")
        parts = self.parts(owner)
        assert parts is not None
        if name == "_replace" and issubclass(owner.cls, tuple) and not args:
            return self.construct(owner.cls, [], {**dict(zip(names, parts)), **kwargs})
        member = owner.cls.__dict__.get(name)
        if isinstance(member, FunctionType):
            return self.call_function(member, [owner, *args], kwargs)
        if isinstance(member, staticmethod):
            return self.call_function(member.__func__, args, kwargs)
        raise self.b.error(f"{owner.cls.__name__} has no method `{name}`", cls=errors.KernelAttributeError)

    # --- functions

    def call_function(self, function: Any, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """`function(*args, **kwargs)` for an object that is known when compiling."""
        if (
            isinstance(function, types.Scalar)
            and not kwargs
            and len(args) == 1
            and isinstance(args[0].type, types.Scalar)
        ):
            return casts.convert(self.b, args[0], function)
        if isinstance(function, Closure):
            given, named = self.forced_arguments(args, kwargs)
            return self.unless_failed(lambda: self.call_closure(function, given, named))
        own = _OWN.get(function) if _hashable(function) else None
        if own is not None:
            return own(self, args, kwargs)
        if _hashable(function) and function in _REFUSED:
            raise self.b.error(
                f"`{function.__name__}` cannot be called in a kernel", _REFUSED[function], errors.UnsupportedSyntax
            )
        if getattr(function, "__name__", "") == "ignore_derivatives" and _home(function) == "dsl":
            return self._stop(args, kwargs)
        if getattr(function, "__name__", "") == "within_autodiff" and _home(function) == "dsl":
            return self._within(args, kwargs)
        if isinstance(function, type) and issubclass(function, Annotation):
            return self.annotate(function, args, kwargs)
        if derivatives.is_autodiff(function):
            return self.differentiate(args, kwargs)
        row = mathlib.find(function)
        if row is not None:
            return mathlib.call(self.b, row, args, kwargs)
        if isinstance(function, Foreign):
            return self._foreign(function, args, kwargs)
        if parallel.find(function) is not None:
            return parallel.call(self.b, function, args, kwargs)
        if types.is_struct_class(function):
            return self.construct(function, *self.forced_arguments(args, kwargs))
        written = library.find(function)
        if written is not None:
            function, ndim = written
            first = args[0].type if args else None
            if ndim and isinstance(first, types.ArrayType) and first.ndim != ndim:
                what = f"{function.__name__}() takes an array of {ndim} dimension here, not {describe(first)}"
                raise self.b.error(what, "loop over the rows, or take .ravel() first")
        kernel = self.unit.as_kernel(function)
        if kernel is not None:
            given, named = self.forced_arguments(args, kwargs)
            return self.unless_failed(lambda: self.call_kernel(kernel, given, named))
        name = getattr(function, "__name__", None) or repr(function)
        module = getattr(function, "__module__", None)
        shown = name if module in (None, "builtins") else f"{module}.{name}"
        raise self.b.error(f"`{shown}` cannot be called in a kernel", mathlib_hint(name), errors.UnsupportedSyntax)

    def _stop(self, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """`ignore_derivatives(v)`: the value, through which no derivative flows."""
        if len(args) != 1 or kwargs:
            raise self.b.error("ignore_derivatives takes one value")
        value = args[0].force(self.b)
        parts = self.parts(value)
        if parts is not None:
            stopped = [self._stop([part], {}) for part in parts]
            if isinstance(value, TupleValue):
                return TupleValue(tuple(stopped))
            assert isinstance(value, (StructValue, ObjectValue))
            return self.construct(value.cls, stopped, {})
        if value.known or not isinstance(value.type, (types.Scalar, types.ArrayType)):
            return value
        operand = self.b.ir(value)
        return Value(
            value.type, (ir.Operation.create("autodiff.stop", [operand.type], [operand]).result,), nonneg=value.nonneg
        )

    def _within(self, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """`within_autodiff()`: the derivative engine answers."""
        if args or kwargs:
            raise self.b.error("within_autodiff takes nothing")
        return Value(types.bool_, (ir.Operation.create("autodiff.within", [self.b.type(types.bool_)], []).result,))

    # --- builtins that ask about values

    def _len(self, args: list[Value], kwargs: dict[str, Value]) -> Value:
        if len(args) != 1 or kwargs:
            raise self.b.error(f"len takes one argument, {len(args) + len(kwargs)} given")
        value = args[0]
        if type(value.const) is str:
            return constant(len(value.const))
        if self._is_sequence(value):
            return constant(len(self.parts(value) or ()))
        if isinstance(value.type, types.ArrayType) and value.type.ndim > 0:
            return arrays.dim(self.b, value, 0)
        raise self.b.error(f"{self.type_of(value)} has no len")

    def _isinstance(self, args: list[Value], kwargs: dict[str, Value]) -> Value:
        if len(args) != 2 or kwargs:
            raise self.b.error("isinstance takes a value and a class")
        value, asked = args
        classes = asked.const if isinstance(asked.const, tuple) else (asked.const,)
        if not asked.known or not all(isinstance(c, type) for c in classes):
            raise self.b.error("the class of isinstance must be known when compiling")
        return constant(issubclass(self._class_of(value), classes))

    def _class_of(self, value: Value) -> type:
        """The Python class that a value of this type has when the function runs undecorated."""
        import numpy as np

        if isinstance(value, (ObjectValue, StructValue, AnnotatedValue)):
            return value.cls
        if isinstance(value.type, types.ArrayType):
            return np.ndarray
        if isinstance(value, TupleValue):
            return tuple
        if isinstance(value.type, types.Scalar):
            if value.type.weak:
                return {"i": int, "f": float, "c": complex}[value.type.kind]
            # An argument that is a float arrives as float64, as does a NumPy float64, which is a float too; and so on.
            return {"bool": bool, "int64": int, "float64": np.float64, "complex128": np.complex128}.get(
                value.type.name, value.type.dtype.type
            )
        return type(value.const)

    def _tuple_of(self, args: list[Value], kwargs: dict[str, Value]) -> Value:
        if len(args) == 1 and not kwargs and self._is_sequence(args[0]):
            return TupleValue(tuple(self.parts(args[0]) or ()))
        if not args and not kwargs:
            return TupleValue(())
        raise self.b.error("tuple(...) takes a tuple", "write the elements: (a, b)")

    def _bool_of(self, args: list[Value], kwargs: dict[str, Value]) -> Value:
        if kwargs or len(args) > 1:
            raise self.b.error("bool takes one argument")
        if not args:
            return constant(False)
        if isinstance(args[0], StructValue) and issubclass(args[0].cls, tuple):
            return constant(len(args[0].elements) > 0)
        return scalars.truth(self.b, args[0])

    # --- kernels

    def call_kernel(self, kernel: Any, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """Call another kernel: its specialisation for the types of the arguments, or, where need be, its body right
        here.
        """
        self.unit.refuse_recursion(kernel, self.b.loc)
        what = f"{kernel.name}()"
        values = self.bound(
            what, kernel.params, args, kwargs, kernel.defaults, kernel.keyword_only, kernel.positional_only
        )
        objects = [o.number for v in values for o in self.objects_in(v)]
        arg_types = tuple(self.type_of(v) for v in values)
        function = None
        closures = any(map(self.closures_in, values))
        if len(set(objects)) == len(objects) and not closures:
            function = self.unit.specialise(kernel, arg_types, self.b.loc, self.b.device)
        if function is None:
            if kernel.rules:
                what = "a function made inside a kernel" if closures else "one struct twice"
                hint = "define it outside" if closures else "give it a copy"
                raise self.b.error(f"{kernel.name}, which has rules, gets {what}", hint)
            return self.inline(kernel, values)
        results = self._called(function, values, arg_types)
        value = self.rebuild(function.result_type, results)
        for back in function.writebacks:
            target = values[back.argument]
            for name in back.path[:-1]:
                target = self.attribute(target, name)
            assert isinstance(target, ObjectValue)
            field = target.slot(back.path[-1])
            self.store_attribute(target, back.path[-1], self.rebuild(back.type, results))
            assert field in self.state.vars
        return value

    def _called(
        self, function: Function, values: Sequence[Value], arg_types: Sequence[types.Type]
    ) -> Iterator[ir.Value]:
        """The results of a call of a function of the module."""
        leaves = [leaf for value, type_ in zip(values, arg_types) for leaf in self.leaves_as(value, type_)]
        keep_given_apart(self.b, function.apart, leaves)
        if function.raises:
            leaves.append(self.b.error_cell)
            self.b.raises += 1
            self.b.must_leave = True
        callee = {"callee": ir.FlatSymbolRefAttr.get(function.symbol)}
        return iter(list(ir.Operation.create("func.call", function.results, leaves, attributes=callee).results))

    def _foreign(self, foreign_: Foreign, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """A call of a foreign function; if it has rules, by way of a function of the module that carries them."""
        if not foreign_.rules:
            return foreign.call(self.b, foreign_, args, kwargs)
        given = foreign.arguments(self.b, foreign_, args, kwargs)
        function = self.unit.foreign(foreign_, self.b.loc)
        arg_types = [p.type for p in foreign_.signature.parameters]
        return self.rebuild(function.result_type, self._called(function, given, arg_types))

    def inline(self, kernel: Any, values: list[Value]) -> Value:
        """Emit the body of a kernel in place of a call; it works on the caller's objects themselves."""
        with self.unit.calling(kernel):
            return self.run_inline(self.unit.emitter(kernel, self.b), values)

    def run_inline(self, inner: Any, values: list[Value]) -> Value:
        """What another body returns that is emitted here."""
        raised = self.b.raises
        inner.parameter_objects = self.parameter_objects
        inner.caller = self
        inner.state.vars = {name: slot for name, slot in self.state.vars.items() if name.startswith("#")}
        inner.state.frozen = set(self.state.frozen)
        outer = self.b.boundscheck
        self.b.boundscheck = self.unit.boundscheck(inner.kernel)
        value = inner.run(values)
        self.b.boundscheck = outer
        self.state.vars.update((name, slot) for name, slot in inner.state.vars.items() if name.startswith("#"))
        self.state.frozen |= inner.state.frozen
        self.b.must_leave = self.b.must_leave or self.b.raises > raised
        return self._revived(value)

    def _revived(self, value: Value) -> Value:
        """What a callee returned, with new objects for the structs that it made."""
        if isinstance(value, TupleValue):
            return TupleValue(tuple(map(self._revived, value.elements)))
        if isinstance(value, StructValue):
            elements = tuple(map(self._revived, value.elements))
            if types.is_mutable_class(value.cls):
                return self.new_object(value.cls, elements)
            return StructValue(value.cls, elements)
        return value


def _home(function: Any) -> str:
    """The package that a function comes from."""
    return (getattr(function, "__module__", None) or "").partition(".")[0]


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def mathlib_hint(name: str) -> str:
    """What to say of a function that kernels do not know."""
    import difflib

    known = [f"{module}.{found}" for module in ("math", "np") for found in mathlib.known_names(module)]
    near = difflib.get_close_matches(f"np.{name}", known, 3, 0.75)
    hint = "kernels call other kernels, plain functions, and many functions of math and NumPy"
    return f"{hint}, such as {', '.join(near)}" if near else hint


_OWN: dict[object, Any] = {
    len: Calls._len,
    isinstance: Calls._isinstance,
    tuple: Calls._tuple_of,
    bool: Calls._bool_of,
}
