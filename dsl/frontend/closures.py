"""Functions in a kernel: `def` and `lambda` within its body, and calls of them.

As in Python, such a function reads the variables around it when it is called, not when it is made. It is known when
compiling and has no run-time form: each call is its body, emitted in place, with the variables of the function around
it as they are then. So it lives no longer than that: it can be called, passed to other functions and put into tuples,
but not be returned or put into a field.
"""

from __future__ import annotations

from typing import Any

from .. import errors, types
from ..syntax import nodes
from .base import EmitterBase
from .liveness import Liveness
from .merge import same_constant
from .structs import Structs
from .values import Value


class Closure:
    """A function in a kernel: its tree, and the emission of the function around it."""

    def __init__(self, tree: nodes.FunctionDef, outer: EmitterBase, defaults: dict[str, Any]) -> None:
        from ..syntax.while_tests import with_plain_loops

        self.tree = with_plain_loops(tree)
        self.live = Liveness(self.tree)
        self.outer = outer
        self.defaults = defaults
        self.name = tree.name

    def value(self) -> Value:
        return Value(types.Literal(self), const=self)


class Closures(Structs):
    """The part of the emitter for functions in a kernel."""

    def _functiondef(self, node: nodes.FunctionDef) -> None:
        self.state.set(node.name, self._closure(node).value(), node.loc)

    def _lambda(self, node: nodes.Lambda) -> Value:
        return self._closure(node.function).value()

    def _closure(self, node: nodes.FunctionDef) -> Closure:
        """The function that a `def` or `lambda` makes here: one and the same each time, so that loops settle."""
        defaults: dict[str, Any] = {}
        for param in node.params:
            if param.default is not None:
                value = self.evaluate(param.default)
                if not value.known:
                    with self.b.at(param.default.loc):
                        raise self.b.error(
                            f"the default of `{param.name}` is known at run time only",
                            "let the function read the variable itself, or pass it",
                            errors.UnsupportedSyntax,
                        )
                defaults[param.name] = value.const
        known = self.closures.setdefault(id(node), [])
        for found in known:
            if _same(found.defaults, defaults):
                return found
        known.append(Closure(node, self, defaults))
        return known[-1]

    def call_closure(self, function: Closure, args: list[Value], kwargs: dict[str, Value]) -> Value:
        """The body of a function in a kernel, in place of a call of it."""
        self._refuse_recursion(function)
        params = function.tree.params
        values = self.bound(
            f"{function.name}()",
            [p.name for p in params],
            args,
            kwargs,
            function.defaults,
            sum(p.kind == "keyword_only" for p in params),
            sum(p.kind == "positional_only" for p in params),
        )
        outer = function.outer
        inner = type(self)(self.unit, outer.kernel, function.tree, function.live, self.b)  # type: ignore[call-arg]
        inner.outer, inner.closure = outer, function
        return self.run_inline(inner, values)

    def run_inline(self, inner: Any, values: list[Value]) -> Value:
        raise NotImplementedError

    def _refuse_recursion(self, function: Closure) -> None:
        emitter: EmitterBase | None = self
        while emitter is not None:
            if emitter.closure is function:
                raise self.b.error(
                    f"`{function.name}` calls itself, directly or through others",
                    "write it as a loop",
                    errors.RecursionRefused,
                )
            emitter = emitter.caller

    def closures_in(self, value: Value) -> bool:
        """Whether a value is, or holds, a function of a kernel."""
        return isinstance(value.const, Closure) or any(map(self.closures_in, self.parts(value) or ()))

    def refuse_closure(self, value: Value, what: str) -> None:
        """Raise where a function of a kernel would leave the function that it reads the variables of."""
        if self.closures_in(value):
            raise self.b.error(
                f"a function made inside a kernel {what}",
                "define it outside and give it what it reads as arguments",
                errors.UnsupportedSyntax,
            )


def _same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(same_constant(a[k], b[k]) for k in a)
