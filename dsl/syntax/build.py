"""From lark's parse tree to the nodes: one method for each rule of grammar.lark, named as the rule.

Each method takes the tree of its rule and returns its node; the ranges come from the tokens that the rule spans, so
they are those of Python's own `ast`. Of Python's checks after parsing, those that the grammar cannot say are made here.
"""

from __future__ import annotations

import unicodedata
from ast import literal_eval
from collections.abc import Callable
from typing import Any

from lark import Token, Tree

from ..errors import KernelSyntaxError
from . import nodes as n
from .loc import Loc


class Builder:
    """Makes the nodes of one text. `line` and `col` are those of the text's first character in `file`."""

    def __init__(self, file: str, line: int, col: int) -> None:
        self.file = file
        self.line = line - 1
        self.col = col - 1
        self.loops = 0

    # --- places

    def loc(self, start: Tree | Token, end: Tree | Token | None = None) -> Loc:
        a = start.meta if isinstance(start, Tree) else start
        b = a if end is None else end.meta if isinstance(end, Tree) else end
        col = a.column + (self.col if a.line == 1 else 0)
        end_col = b.end_column + (self.col if b.end_line == 1 else 0)
        return Loc(self.file, a.line + self.line, col, b.end_line + self.line, end_col)

    def make(self, tree: Tree | Token) -> Any:
        return getattr(self, tree.data)(tree)  # type: ignore[union-attr]

    def maybe(self, tree: Tree | None) -> Any:
        return None if tree is None else self.make(tree)

    def all(self, trees: list) -> list:
        return [self.make(t) for t in trees]

    # --- functions

    def function(self, tree: Tree) -> n.FunctionDef:
        name, params, returns, suite = tree.children
        made_params = self.maybe(params) or []
        made_returns = self.maybe(returns)
        outer, self.loops = self.loops, 0
        body = self.suite(suite)
        self.loops = outer
        loc = self.loc(tree)._replace(end_line=body[-1].loc.end_line, end_col=body[-1].loc.end_col)
        return n.FunctionDef(_name(name), made_params, body, made_returns, loc=loc)

    def lambda_function(self, tree: Tree) -> n.FunctionDef:
        params, body = tree.children
        value = self.make(body)
        at = self.loc(body)
        whole = self.loc(tree)
        # without the brackets that the parser was given around it
        loc = Loc(self.file, whole.line, whole.col + 1, at.end_line, at.end_col)
        returns: n.Statement = n.Return(value, loc=value.loc)
        return n.FunctionDef("<lambda>", self.maybe(params) or [], [returns], None, loc=loc)

    def lambda_expr(self, tree: Tree) -> n.Lambda:
        params, body = tree.children
        value, loc = self.make(body), self.loc(tree)
        returns: n.Statement = n.Return(value, loc=value.loc)
        return n.Lambda(n.FunctionDef("<lambda>", self.maybe(params) or [], [returns], None, loc=loc), loc=loc)

    def params(self, tree: Tree) -> list[n.Param]:
        found: list[n.Param] = []
        names: dict[str, n.Param] = {}
        kind = "normal"
        for child in tree.children:
            if isinstance(child, Token):
                if child.type == "SLASH":
                    if not found or kind != "normal" or any(p.kind != "normal" for p in found):
                        raise self._bad("`/` must follow the positional-only parameters", child)
                    for p in found:
                        p.kind = "positional_only"
                else:
                    if kind != "normal" or child is tree.children[-1]:
                        raise self._bad("named parameters must follow a bare `*`", child)
                    kind = "keyword_only"
                continue
            param = self.make(child)
            param.kind = kind
            if param.name in names:
                raise KernelSyntaxError(f"parameter `{param.name}` occurs twice", param.loc)
            if kind == "normal" and param.default is None and found and found[-1].default is not None:
                raise KernelSyntaxError(f"parameter `{param.name}` without a default follows one with", param.loc)
            names[param.name] = param
            found.append(param)
        return found

    lambda_params = params

    def param(self, tree: Tree) -> n.Param:
        name, annotation, default = tree.children
        loc = self.loc(name, annotation or name)  # as in `ast`: without the default
        return n.Param(_name(name), self.maybe(annotation), self.maybe(default), loc=loc)

    def lambda_param(self, tree: Tree) -> n.Param:
        name, default = tree.children
        return n.Param(_name(name), None, self.maybe(default), loc=self.loc(name))

    # --- statements

    def suite(self, tree: Tree) -> list[n.Statement]:
        return [self.make(t) for t in tree.children if isinstance(t, Tree)]  # what is left are line ends

    def expr_stmt(self, tree: Tree) -> n.Expr:
        return n.Expr(self.make(tree.children[0]), loc=self.loc(tree))

    def assign(self, tree: Tree) -> n.Assign:
        *targets, value = self.all(tree.children)
        return n.Assign([self.target(t) for t in targets], value, loc=self.loc(tree))

    def aug_assign(self, tree: Tree) -> n.AugAssign:
        target, op, value = tree.children
        place = self.target(self.make(target))
        if isinstance(place, (n.Tuple, n.List)):
            raise KernelSyntaxError("an augmented assignment has one target", place.loc)
        return n.AugAssign(place, str(op)[:-1], self.make(value), loc=self.loc(tree))

    def ann_assign(self, tree: Tree) -> n.AnnAssign:
        target, annotation, *value = tree.children
        place = self.target(self.make(target))
        if isinstance(place, (n.Tuple, n.List)):
            raise KernelSyntaxError("only a single target can be annotated", place.loc)
        made = self.make(value[0]) if value else None
        return n.AnnAssign(place, self.make(annotation), made, loc=self.loc(tree))

    def target(self, node: n.Expression) -> n.Expression:
        """The same node, if it can stand left of an `=`."""
        if isinstance(node, (n.Tuple, n.List)):
            stars = [e for e in node.elts if isinstance(e, n.Starred)]
            if len(stars) > 1:
                raise KernelSyntaxError("two targets with `*` in one assignment", stars[1].loc)
            for e in node.elts:
                self.target(e.value if isinstance(e, n.Starred) else e)
        elif not isinstance(node, (n.Name, n.Attribute, n.Subscript)):
            raise KernelSyntaxError(
                "cannot assign to this expression", node.loc, "assign to a name, an attribute or an element"
            )
        return node

    def return_stmt(self, tree: Tree) -> n.Return:
        return n.Return(self.make(tree.children[0]) if tree.children else None, loc=self.loc(tree))

    def assert_stmt(self, tree: Tree) -> n.Assert:
        test, msg = tree.children
        return n.Assert(self.make(test), self.maybe(msg), loc=self.loc(tree))

    def raise_stmt(self, tree: Tree) -> n.Raise:
        return n.Raise(self.make(tree.children[0]), loc=self.loc(tree))

    def pass_stmt(self, tree: Tree) -> n.Pass:
        return n.Pass(loc=self.loc(tree))

    def break_stmt(self, tree: Tree) -> n.Break:
        if not self.loops:
            raise self._bad("`break` outside a loop", tree)
        return n.Break(loc=self.loc(tree))

    def continue_stmt(self, tree: Tree) -> n.Continue:
        if not self.loops:
            raise self._bad("`continue` outside a loop", tree)
        return n.Continue(loc=self.loc(tree))

    def if_stmt(self, tree: Tree) -> n.If:
        test, suite, rest = tree.children
        made_test = self.make(test)
        body = self.suite(suite)
        orelse = self.maybe(rest) or []
        end = (orelse or body)[-1].loc
        return n.If(made_test, body, orelse, loc=self.loc(tree).to(end))

    def elif_part(self, tree: Tree) -> list[n.Statement]:
        return [self.if_stmt(tree)]

    def else_part(self, tree: Tree) -> list[n.Statement]:
        return self.suite(tree.children[0])

    def for_stmt(self, tree: Tree) -> n.For:
        target, iterable, suite, rest = tree.children
        made_target = self.target(self.make(target))
        made_iter = self.make(iterable)
        body = self._loop(suite)
        orelse = self.maybe(rest) or []
        return n.For(made_target, made_iter, body, orelse, loc=self.loc(tree).to((orelse or body)[-1].loc))

    def while_stmt(self, tree: Tree) -> n.While:
        test, suite, rest = tree.children
        made_test = self.make(test)
        body = self._loop(suite)
        orelse = self.maybe(rest) or []
        return n.While(made_test, body, orelse, loc=self.loc(tree).to((orelse or body)[-1].loc))

    def _loop(self, suite: Tree) -> list[n.Statement]:
        self.loops += 1
        body = self.suite(suite)
        self.loops -= 1
        return body

    # --- operators

    def if_exp(self, tree: Tree) -> n.IfExp:
        body, test, orelse = self.all(tree.children)
        return n.IfExp(test, body, orelse, loc=self.loc(tree))

    def or_op(self, tree: Tree) -> n.BoolOp:
        return n.BoolOp("or", self.all(tree.children), loc=self.loc(tree))

    def and_op(self, tree: Tree) -> n.BoolOp:
        return n.BoolOp("and", self.all(tree.children), loc=self.loc(tree))

    def not_op(self, tree: Tree) -> n.UnaryOp:
        return n.UnaryOp("not", self.make(tree.children[0]), loc=self.loc(tree))

    def unary(self, tree: Tree) -> n.UnaryOp:
        op, operand = tree.children
        return n.UnaryOp(str(op), self.make(operand), loc=self.loc(tree))

    def compare(self, tree: Tree) -> n.Compare:
        left, *rest = tree.children
        ops = [" ".join(map(str, op.children)) for op in rest[::2]]  # type: ignore[union-attr]
        return n.Compare(self.make(left), ops, self.all(rest[1::2]), loc=self.loc(tree))

    def binary(self, tree: Tree) -> n.Expression:
        """A chain of operators of one precedence, operands and operators in turn: binds from the left."""
        return self._chain(tree.children[::2], [str(op) for op in tree.children[1::2]])

    def _chain(self, operands: list, ops: list[str]) -> n.Expression:
        result = self.make(operands[0])
        for op, right in zip(ops, operands[1:]):
            result = n.BinOp(result, op, self.make(right), loc=self.loc(operands[0], right))
        return result

    def _same(op: str) -> Callable[[Builder, Tree], n.Expression]:  # type: ignore[misc]
        return lambda self, tree: self._chain(tree.children, [op] * (len(tree.children) - 1))

    bit_or = _same("|")
    bit_xor = _same("^")
    bit_and = _same("&")

    def named_expr(self, tree: Tree) -> n.NamedExpr:
        name, value = tree.children
        return n.NamedExpr(n.Name(_name(name), loc=self.loc(name)), self.make(value), loc=self.loc(tree))

    # --- calls, elements, attributes

    def call(self, tree: Tree) -> n.Call:
        func, *rest = (t for t in tree.children if t is not None)
        args: list[n.Expression] = []
        keywords: list[n.Keyword] = []
        bare = [t for t in rest if isinstance(t, Tree) and t.data == "bare_generator"]
        if bare and len(rest) > 1:
            raise self._bad("a generator expression beside other arguments stands in brackets", bare[0])
        for item in self.all(rest):
            if isinstance(item, n.Keyword):
                if any(k.arg == item.arg for k in keywords):
                    raise KernelSyntaxError(f"argument `{item.arg}` is given twice", item.loc)
                keywords.append(item)
            elif keywords:
                raise KernelSyntaxError("a positional argument follows a named one", item.loc)
            else:
                args.append(item)
        return n.Call(self.make(func), args, keywords, loc=self.loc(tree))

    def bare_generator(self, tree: Tree) -> n.GeneratorExp:
        return self.generator(tree)

    def keyword(self, tree: Tree) -> n.Keyword:
        name, value = tree.children
        return n.Keyword(_name(name), self.make(value), loc=self.loc(tree))

    def attribute(self, tree: Tree) -> n.Attribute:
        value, name = tree.children
        return n.Attribute(self.make(value), _name(name), loc=self.loc(tree))

    def subscript(self, tree: Tree) -> n.Subscript:
        value, index = self.all(tree.children)
        return n.Subscript(value, index, loc=self.loc(tree))

    def slice(self, tree: Tree) -> n.Slice:
        lower, upper, step = (self.maybe(t) for t in tree.children)
        return n.Slice(lower, upper, step, loc=self.loc(tree))

    # --- atoms

    def paren(self, tree: Tree) -> n.Expression:
        return self.make(tree.children[0])  # as in `ast`, the brackets belong to no node

    def tuple_(self, tree: Tree) -> n.Tuple:
        return n.Tuple(self.all(tree.children), loc=self.loc(tree))

    bare_tuple = target_tuple = index_tuple = tuple_

    def list_(self, tree: Tree) -> n.List:
        return n.List(self.all(tree.children), loc=self.loc(tree))

    def starred(self, tree: Tree) -> n.Starred:
        return n.Starred(self.make(tree.children[0]), loc=self.loc(tree))

    def list_comp(self, tree: Tree) -> n.ListComp:
        elt, *generators = self.all(tree.children)
        return n.ListComp(elt, generators, loc=self.loc(tree))

    def generator(self, tree: Tree) -> n.GeneratorExp:
        elt, *generators = self.all(tree.children)
        return n.GeneratorExp(elt, generators, loc=self.loc(tree))

    def comprehension(self, tree: Tree) -> n.Comprehension:
        target, iterable, *ifs = self.all(tree.children)
        return n.Comprehension(self.target(target), iterable, ifs, loc=self.loc(tree))

    def name(self, tree: Tree) -> n.Name:
        return n.Name(_name(tree.children[0]), loc=self.loc(tree))

    def int_(self, tree: Tree) -> n.Constant:
        return n.Constant(int(str(tree.children[0]), 0), loc=self.loc(tree))

    def float_(self, tree: Tree) -> n.Constant:
        return n.Constant(float(str(tree.children[0])), loc=self.loc(tree))

    def imag(self, tree: Tree) -> n.Constant:
        return n.Constant(complex(0.0, float(str(tree.children[0])[:-1])), loc=self.loc(tree))

    def string(self, tree: Tree) -> n.Constant | n.JoinedStr:
        texts = [_text(t) for t in tree.children]
        if any(t.type == "FSTRING" for t in tree.children):  # type: ignore[union-attr]
            return n.JoinedStr("".join(texts), loc=self.loc(tree))
        return n.Constant("".join(texts), loc=self.loc(tree))

    def none(self, tree: Tree) -> n.Constant:
        return n.Constant(None, loc=self.loc(tree))

    def true(self, tree: Tree) -> n.Constant:
        return n.Constant(True, loc=self.loc(tree))

    def false(self, tree: Tree) -> n.Constant:
        return n.Constant(False, loc=self.loc(tree))

    def ellipsis(self, tree: Tree) -> n.Constant:
        return n.Constant(..., loc=self.loc(tree))

    def _bad(self, message: str, at: Tree | Token) -> KernelSyntaxError:
        return KernelSyntaxError(message, self.loc(at))


def _text(token: Any) -> str:
    """What a string literal says; an f-string with what stands in braces as it is written."""
    if token.type != "FSTRING":
        return str(literal_eval(str(token)))
    quote = min(at for at in (token.find("'"), token.find('"')) if at >= 0)
    prefix = token[:quote].lower().replace("f", "")
    return str(literal_eval(prefix + token[quote:])).replace("{{", "{").replace("}}", "}")


def _name(token: Any) -> str:
    text = str(token)
    return text if text.isascii() else unicodedata.normalize("NFKC", text)  # as Python reads its names
