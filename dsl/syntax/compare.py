"""Whether two code objects of Python do the same, wherever they stand; and the code that a piece of text would give."""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ast

# The flags of a code that say what it is (*args, **kwargs, generator, coroutine); the others say where it stands.
_KIND = 0x04 | 0x08 | 0x20 | 0x80 | 0x200


def code_of(body: list[ast.stmt], like: CodeType, imports: list[str]) -> CodeType | None:
    """The code of the first function in a body, compiled with the same free variables as `like`.

    The code of `m.f()` depends on whether `m` is imported by the same file.
    """
    import ast

    outer = ast.parse(f"def outer({', '.join(like.co_freevars)}): pass").body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.body = body
    imported = ast.parse(f"import {', '.join(imports)}").body if imports else []
    try:
        module = compile(ast.Module([*imported, outer], []), like.co_filename, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None  # for instance a `yield`, or a name that cannot be a parameter
    function = next(c for c in module.co_consts if isinstance(c, CodeType))
    return next((c for c in function.co_consts if isinstance(c, CodeType)), None)


def same_code(a: CodeType | None, b: CodeType) -> bool:
    """Whether two codes do the same, wherever they stand."""
    if a is None or (a.co_code, a.co_names, a.co_varnames, a.co_freevars, a.co_cellvars) != (
        b.co_code,
        b.co_names,
        b.co_varnames,
        b.co_freevars,
        b.co_cellvars,
    ):
        return False
    if (a.co_argcount, a.co_posonlyargcount, a.co_kwonlyargcount, a.co_flags & _KIND) != (
        b.co_argcount,
        b.co_posonlyargcount,
        b.co_kwonlyargcount,
        b.co_flags & _KIND,
    ):
        return False
    return len(a.co_consts) == len(b.co_consts) and all(map(_same_constant, a.co_consts, b.co_consts))


def _same_constant(a: Any, b: Any) -> bool:
    if isinstance(a, CodeType) and isinstance(b, CodeType):
        return same_code(a, b)
    # Within a lambda's lambda the qualified name is a constant (Python 3.10): it says where, not what.
    if isinstance(a, str) and isinstance(b, str) and "<lambda>" in a and "<lambda>" in b:
        return True
    return type(a) is type(b) and repr(a) == repr(b)  # 0.0 and -0.0 differ; nan is like itself


def positions(code: CodeType | None) -> list[Any]:
    if code is None or not hasattr(code, "co_positions"):
        return []
    return list(code.co_positions())
