"""The LALR tables of grammar.lark, computed once and kept in tables.bin beside this file.

Computing them takes a third of a second, reading them a hundredth. The file carries a stamp of the grammar and of
lark's version: where the stamp is another, the tables are computed anew in memory. After a change of the grammar:

    python -m dsl.syntax.tables
"""

from __future__ import annotations

import hashlib
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import lark

from .indent import PythonIndenter

GRAMMAR = Path(__file__).parent.parent / "grammar.lark"
TABLES = Path(__file__).parent / "tables.bin"


def stamp(grammar: str) -> str:
    """What the tables depend on."""
    return hashlib.sha256(f"{lark.__version__}\n{grammar}".encode()).hexdigest()


def compute(grammar: str) -> lark.Lark:
    """The parser from the text of the grammar."""
    # The basic lexer, so that a keyword is a keyword wherever it stands.
    return lark.Lark(
        grammar,
        parser="lalr",
        lexer="basic",
        postlex=PythonIndenter(),
        start=["function", "lambda_function"],
        propagate_positions=True,
        maybe_placeholders=True,
        source_path=GRAMMAR.name,
    )


def pack(grammar: str) -> bytes:
    """What tables.bin holds."""
    saved = BytesIO()
    compute(grammar).save(saved)
    content: dict[str, Any] = pickle.loads(saved.getvalue())
    return pickle.dumps({"stamp": stamp(grammar), **content}, protocol=4)


def load() -> lark.Lark:
    """The parser, from tables.bin if that was made from this grammar by this lark."""
    grammar = GRAMMAR.read_text(encoding="utf-8")
    try:
        content = pickle.loads(TABLES.read_bytes())
        if content["stamp"] == stamp(grammar):
            return lark.Lark._load_from_dict(content["data"], content["memo"], postlex=PythonIndenter())
    except Exception:  # absent, cut short, or of a lark that reads them differently: the grammar is the authority
        pass
    return compute(grammar)


if __name__ == "__main__":
    TABLES.write_bytes(pack(GRAMMAR.read_text(encoding="utf-8")))
    print(f"wrote {TABLES.name}: {TABLES.stat().st_size} bytes")
