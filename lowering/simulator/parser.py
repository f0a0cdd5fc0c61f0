"""`parse`: the text of a PTX module to its tree."""

from __future__ import annotations

import re
import struct
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import types
from .errors import PtxError
from .syntax import (
    Address,
    Float,
    Function,
    Group,
    Initial,
    Instruction,
    Int,
    Name,
    Not,
    Operand,
    Pair,
    Place,
    Unit,
    Variable,
    Vector,
)

if TYPE_CHECKING:
    from lark import Lark, Tree


def parse(text: str) -> Unit:
    """The tree of a PTX text; PtxError with the line where it is not PTX, or not PTX that the simulator knows."""
    from lark.exceptions import UnexpectedInput

    text = text.rstrip("\0")
    try:
        tree = _parser().parse(text)
    except UnexpectedInput as error:
        line = getattr(error, "line", 0) or 0
        lines = text.splitlines()
        shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        failure = PtxError("this is not PTX that the simulator can read", line, shown)
    else:
        return _Builder(text).unit(tree)
    raise failure


@lru_cache(maxsize=1)
def _parser() -> Lark:
    from lark import Lark

    grammar = Path(__file__).with_name("grammar.lark").read_text()
    return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=True, propagate_positions=False)


def _integer(token: str) -> int:
    digits = token.replace("+", "").replace(" ", "").rstrip("U")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("-")
    octal = len(digits) > 1 and digits[0] == "0" and digits[1] in "01234567"
    return sign * int(digits, 8 if octal else 0)


class _Builder:
    """From lark's tree to ours."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.files: dict[int, str] = {}

    def unit(self, tree: Tree) -> Unit:
        unit = Unit("", "", {}, {})
        # `.file` may stand behind its uses.
        for node in tree.find_data("file"):
            self.files[int(node.children[0])] = str(node.children[1])[1:-1]
        for item in tree.children:
            kind = getattr(item, "data", None)
            if kind == "version":
                unit.version = str(item.children[0])
            elif kind == "target":
                unit.target = str(item.children[0])
            elif kind == "variables":
                for variable in self.variables(item):
                    unit.variables[variable.name] = variable
            elif kind == "function":
                function = self.function(item)
                if function.defined or function.name not in unit.functions:
                    unit.functions[function.name] = function
            elif kind == "alias":
                raise PtxError(".alias is not known to the simulator", item.children[0].line)
        return unit

    # --- declarations

    def variables(self, tree: Tree) -> list[Variable]:
        """The variables of one declaration. Registers come with the space "reg"."""
        external, space, type, align, lanes = False, "", "", 0, 1
        declared = []
        for child in tree.children:
            if child is None:
                continue
            kind = getattr(child, "type", None) or child.data
            if kind == "LINKING":
                external = external or child == ".extern"
            elif kind == "SPACE":
                space = str(child)[1:]
            elif kind == "TYPE":
                type = str(child)[1:]
            elif kind == "VECTOR":
                lanes = int(child[2:])
            elif kind == "align":
                align = _integer(child.children[0])
            elif kind in ("declarator", "counted_register"):
                declared.append(child)
        if type == "b128":
            raise PtxError("the type .b128 is not known to the simulator", declared[0].children[0].line)
        made = []
        for child in declared:
            name = str(child.children[0])
            if child.data == "counted_register":
                for number in range(int(child.children[1].strip("<> "))):
                    made.append(Variable(f"{name}{number}", space, type, 1, types.size(type), 0))
                continue
            count = lanes
            for extent in child.children[1:-1]:
                given = extent.children[0]
                count *= _integer(given) if given is not None else 0
            size = count * types.size(type)
            initial = child.children[-1]
            made.append(
                Variable(
                    name,
                    space,
                    type,
                    count,
                    size,
                    max(align, types.size(type) * lanes),
                    external,
                    tuple(self.initial(initial)) if initial is not None else (),
                )
            )
        return made

    def initial(self, tree: Tree) -> list[Initial]:
        values: list[Initial] = []
        for child in tree.children:
            if child is None:
                continue
            if child.data == "initial":
                values += self.initial(child)
            elif child.data == "generic":
                name, offset = self.operand(child.children[0]), child.children[1]
                values.append(Name(name.name, name.offset + (_integer(offset) if offset is not None else 0)))
            else:
                values.append(self.operand(child))
        return values

    # --- functions

    def function(self, tree: Tree) -> Function:
        function: Function | None = None
        kernel, before = False, list[Variable]()
        for child in tree.children:
            kind = getattr(child, "type", None) or child.data
            if kind == "KIND":
                kernel = child == ".entry"
            elif kind == "NAME":
                function = Function(str(child), kernel, child.line, results=before)
            elif kind == "parameters":
                listed = [v for c in child.children if c is not None for v in self.variables(c)]
                if function is None:
                    before = listed
                else:
                    function.parameters = listed
            elif kind == "function_attribute" and child.children and child.children[0].type == "BOUNDS":
                extents = tuple(_integer(c) for c in child.children[1:])
                if child.children[0] == ".maxntid":
                    function.maximum_threads = extents  # type: ignore[union-attr]
                elif child.children[0] == ".reqntid":
                    function.required_threads = extents  # type: ignore[union-attr]
            elif kind == "body":
                assert function is not None
                function.defined = True
                _Body(self, function).statements(child.children)
        assert function is not None
        return function

    def place(self, tree: Tree) -> Place | None:
        file, line, column = (_integer(c) for c in tree.children[:3])
        outer = None
        if len(tree.children) > 5 and tree.children[5] is not None:
            at, at_line, at_column = (_integer(c) for c in tree.children[5:8])
            outer = Place(self.files.get(at, "?"), at_line, at_column)
        return Place(self.files.get(file, "?"), line, column, outer) if line else None

    # --- operands

    def operand(self, tree: Tree, rename: Any = str) -> Any:
        kind, children = tree.data, tree.children
        if kind == "name":
            return Name(rename(children[0]), _integer(children[1]) if children[1] is not None else 0)
        if kind == "number":
            return _number(children[0])
        if kind == "address":
            return Address(rename(children[0]), _integer(children[1]) if children[1] is not None else 0)
        if kind == "absolute_address":
            return Address(None, _integer(children[0]))
        if kind == "vector":
            return Vector(tuple(self.operand(c, rename) for c in children))
        if kind == "group":
            return Group(tuple(self.operand(c, rename) for c in children if c is not None))
        if kind == "not":
            return Not(rename(children[1]))
        assert kind == "pair"
        return Pair(rename(children[0]), rename(children[1]))


def _number(token: Any) -> Operand:
    text = str(token)
    if token.type == "FLOAT_BITS":
        bits = int(text[2:], 16)
        if text[1] in "fF":
            return Float(struct.unpack("<f", struct.pack("<I", bits))[0], bits, 32)
        return Float(struct.unpack("<d", struct.pack("<Q", bits))[0], bits, 64)
    if token.type == "DECIMAL":
        return Float(float(text))
    return Int(_integer(text))


class _Body:
    """The statements of one function, its inner scopes flattened."""

    def __init__(self, builder: _Builder, function: Function) -> None:
        self.builder, self.function = builder, function
        self.scopes: list[dict[str, str]] = []
        self.place: Place | None = None
        self.last_label = ""

    def rename(self, name: Any) -> str:
        for scope in reversed(self.scopes):
            if name in scope:
                return scope[name]
        return str(name)

    def statements(self, trees: list[Any]) -> None:
        function = self.function
        for tree in trees:
            kind = tree.data
            if kind == "instruction":
                self.instruction(tree)
            elif kind == "label":
                self.last_label = re.sub(r"\s*:$", "", str(tree.children[0]))
                function.labels[self.last_label] = len(function.body)
            elif kind == "variables":
                self.declare(tree)
            elif kind == "loc":
                self.place = self.builder.place(tree)
            elif kind == "scope":
                self.scopes.append({})
                self.statements(tree.children[1:-1])
                self.scopes.pop()
            elif kind == "branch_targets":
                function.tables[self.last_label] = tuple(map(str, tree.children))

    def declare(self, tree: Tree) -> None:
        function = self.function
        for variable in self.builder.variables(tree):
            if self.scopes:
                inner = variable.name
                while variable.name in function.registers or variable.name in function.variables:
                    variable.name += "'"
                self.scopes[-1][inner] = variable.name
            if variable.space == "reg":
                function.registers[variable.name] = variable.type
            else:
                function.variables[variable.name] = variable

    def instruction(self, tree: Tree) -> None:
        guard, opcode, *operands = tree.children
        line = opcode.line
        source = self.builder.lines[line - 1]
        start = opcode.column - 1
        end = source.find(";", start)
        text = source[start : end + 1] if end >= 0 else source[start:]
        self.function.body.append(
            Instruction(
                str(opcode),
                tuple(self.builder.operand(o, self.rename) for o in operands if o is not None),
                line,
                self.rename(guard.children[1]) if guard is not None else None,
                guard is not None and guard.children[0] is not None,
                self.place,
                re.sub(r"\s+", " ", text).strip(),
            )
        )
