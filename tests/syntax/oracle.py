"""Python's own parser as the oracle of ours: from an `ast` to our nodes, places included."""

from __future__ import annotations

import ast
from typing import Any

from dsl.syntax import nodes as n

_BINARY = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.MatMult: "@", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
}  # fmt: skip
_UNARY = {ast.UAdd: "+", ast.USub: "-", ast.Invert: "~", ast.Not: "not"}
_COMPARE = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is",
    ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip


def expected(text: str, file: str = "f", prefix: str = "") -> n.FunctionDef:
    """What our parser should make of a text that Python accepts; `prefix` makes an indented text Python."""
    tree = ast.parse(prefix + text)
    statement = tree.body[0]
    if prefix:
        statement = statement.body[0]
    return Converter((prefix + text).splitlines(), file, prefix.count("\n")).function(statement)


class Converter:
    def __init__(self, lines: list[str], file: str, skip: int) -> None:
        self.lines, self.file, self.skip = lines, file, skip

    def column(self, line: int, offset: int) -> int:
        return len(self.lines[line - 1].encode()[:offset].decode()) + 1

    def loc(self, node: Any) -> n.Loc:
        return n.Loc(
            self.file,
            node.lineno - self.skip,
            self.column(node.lineno, node.col_offset),
            node.end_lineno - self.skip,
            self.column(node.end_lineno, node.end_col_offset),
        )

    def __call__(self, node: Any) -> Any:
        if node is None:
            return None
        if isinstance(node, list):
            return [self(x) for x in node]
        made = getattr(self, type(node).__name__)(node)
        made.loc = self.loc(node)
        if isinstance(made, (n.If, n.For, n.While, n.FunctionDef)):
            made.loc = self.to_end(made.loc, getattr(made, "orelse", None) or made.body)
        return made

    def to_end(self, loc: n.Loc, body: list[n.Statement]) -> n.Loc:
        """A block ends where its last statement does; Python's tree says so too, but for a `;` after it."""
        return loc.to(body[-1].loc)

    def function(self, statement: ast.stmt) -> n.FunctionDef:
        if isinstance(statement, ast.Expr):
            node = statement.value
            assert isinstance(node, ast.Lambda)
            body = self(node.body)
            return n.FunctionDef(
                "<lambda>", self.params(node.args), [n.Return(body, loc=body.loc)], None, loc=self.loc(node)
            )
        assert isinstance(statement, ast.FunctionDef)
        body = self(statement.body)
        loc = self.to_end(self.loc(statement), body)
        return n.FunctionDef(statement.name, self.params(statement.args), body, self(statement.returns), loc=loc)

    def params(self, args: ast.arguments) -> list[n.Param]:
        positional = [*args.posonlyargs, *args.args]
        defaults = [None] * (len(positional) - len(args.defaults)) + args.defaults
        made = []
        for i, (a, d) in enumerate(zip(positional, defaults)):
            kind = "positional_only" if i < len(args.posonlyargs) else "normal"
            made.append(n.Param(a.arg, self(a.annotation), self(d), kind, loc=self.loc(a)))
        for a, d in zip(args.kwonlyargs, args.kw_defaults):
            made.append(n.Param(a.arg, self(a.annotation), self(d), "keyword_only", loc=self.loc(a)))
        return made

    # expressions, without their places
    # fmt: off

    def Name(self, e): return n.Name(e.id, loc=None)
    def Constant(self, e): return n.Constant(e.value, loc=None)
    def BinOp(self, e): return n.BinOp(self(e.left), _BINARY[type(e.op)], self(e.right), loc=None)
    def UnaryOp(self, e): return n.UnaryOp(_UNARY[type(e.op)], self(e.operand), loc=None)
    def BoolOp(self, e): return n.BoolOp("and" if isinstance(e.op, ast.And) else "or", self(e.values), loc=None)
    def Compare(self, e):
        return n.Compare(self(e.left), [_COMPARE[type(o)] for o in e.ops], self(e.comparators), loc=None)
    def IfExp(self, e): return n.IfExp(self(e.test), self(e.body), self(e.orelse), loc=None)
    def Call(self, e): return n.Call(self(e.func), self(e.args), self(e.keywords), loc=None)
    def keyword(self, e): return n.Keyword(e.arg, self(e.value), loc=None)
    def Attribute(self, e): return n.Attribute(self(e.value), e.attr, loc=None)
    def Subscript(self, e): return n.Subscript(self(e.value), self(e.slice), loc=None)
    def Slice(self, e): return n.Slice(self(e.lower), self(e.upper), self(e.step), loc=None)
    def Tuple(self, e): return n.Tuple(self(e.elts), loc=None)
    def List(self, e): return n.List(self(e.elts), loc=None)

    def Starred(self, e): return n.Starred(self(e.value), loc=None)
    def NamedExpr(self, e): return n.NamedExpr(self(e.target), self(e.value), loc=None)
    def ListComp(self, e): return n.ListComp(self(e.elt), [self.comprehension(g) for g in e.generators], loc=None)
    def GeneratorExp(self, e):
        return n.GeneratorExp(self(e.elt), [self.comprehension(g) for g in e.generators], loc=None)
    def comprehension(self, g):
        target, iterable, ifs = self(g.target), self(g.iter), self(g.ifs)
        return n.Comprehension(target, iterable, ifs, loc=target.loc.to((ifs or [iterable])[-1].loc))  # begins at `for`
    def Lambda(self, e):
        body, loc = self(e.body), self.loc(e)
        returns = [n.Return(body, loc=body.loc)]
        return n.Lambda(n.FunctionDef("<lambda>", self.params(e.args), returns, None, loc=loc), loc=None)

    # statements

    def FunctionDef(self, s): return self.function(s)
    def Raise(self, s): return n.Raise(self(s.exc), loc=None)
    def Assign(self, s): return n.Assign(self(s.targets), self(s.value), loc=None)
    def AugAssign(self, s): return n.AugAssign(self(s.target), _BINARY[type(s.op)], self(s.value), loc=None)
    def AnnAssign(self, s): return n.AnnAssign(self(s.target), self(s.annotation), self(s.value), loc=None)
    def If(self, s): return n.If(self(s.test), self(s.body), self(s.orelse), loc=None)
    def For(self, s): return n.For(self(s.target), self(s.iter), self(s.body), self(s.orelse), loc=None)
    def While(self, s): return n.While(self(s.test), self(s.body), self(s.orelse), loc=None)
    def Break(self, s): return n.Break(loc=None)
    def Continue(self, s): return n.Continue(loc=None)
    def Return(self, s): return n.Return(self(s.value), loc=None)
    def Pass(self, s): return n.Pass(loc=None)
    def Assert(self, s): return n.Assert(self(s.test), self(s.msg), loc=None)
    def Expr(self, s): return n.Expr(self(s.value), loc=None)
