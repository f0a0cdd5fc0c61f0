"""The code blocks of README.md and of docs/*.md are run, from top to bottom of each page.

EXPRESSION  # -> TEXT        the repr of the expression must be TEXT
```python raises             the block must raise; the block of text that follows it is the message
"""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, str, int]]:
    """Language, the words after it, text and first line number of each block."""
    text = page.read_text()
    return [(m[1], m[2].strip(), m[3], text.count("\n", 0, m.start(3)) + 1) for m in BLOCK.finditer(text)]


PAGES_WITH_CODE = [page for page in PAGES if any(b[0] == "python" for b in blocks(page))]


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: page.name)
def test_code_blocks(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(page)
    # All code of the page in one file, each block on the page's own lines, so that kernels find their source there.
    lines = [""] * (page.read_text().count("\n") + 1)
    for language, _, text, first in found:
        if language == "python":
            lines[first - 1 : first - 1 + text.count("\n")] = text.splitlines()
    module = ModuleType(page.stem.lower() + "_page")
    file = tmp_path / f"{module.__name__}.py"
    file.write_text("\n".join(lines))
    os.utime(file, (0, 0))  # a file as old as this was surely not changed since its import
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for position, (language, words, text, first) in enumerate(found):
        if language != "python":
            continue
        padded = "\n" * (first - 1) + text
        if words == "raises":
            with pytest.raises(Exception) as error:
                run(padded, file, module)
            assert anonymous(str(error.value)) == anonymous(found[position + 1][2].rstrip())
        else:
            run(padded, file, module)


def anonymous(message: str) -> str:
    """An error without its file's name and line number, which a page cannot know."""
    return re.sub(r"--> \S*?:\d+:(\d+)", r"--> \1", message)


def run(text: str, file: Path, module: ModuleType) -> None:
    """Statement by statement; an expression with an arrow is compared with what stands behind it."""
    lines = text.splitlines()
    for statement in ast.parse(text).body:
        last = lines[statement.end_lineno - 1]
        arrow = last.partition("# ->")[2].strip()
        if isinstance(statement, ast.Expr) and arrow:
            code = compile(ast.Expression(statement.value), str(file), "eval")
            assert repr(eval(code, module.__dict__)) == arrow, f"line {statement.lineno}"
        else:
            exec(compile(ast.Module([statement], []), str(file), "exec"), module.__dict__)


def test_every_example_file_and_page_that_is_linked_exists():
    for page in PAGES:
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)  # `k[1, 32](x)` is no link
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
