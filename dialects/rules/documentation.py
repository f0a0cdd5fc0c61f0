"""The documentation of the rules, docs/rules.md: one line an op, from the tables themselves."""

from __future__ import annotations

from dialects.rules import libm, structured
from dialects.rules.rule import Rule
from dialects.rules.table import INACTIVE, REFUSED, RULES

_HEAD = """\
# Derivative rules

Written by `python -m dialects.rules` from the tables in `dialects/rules/`; a test holds it to them. For each op: the
partial derivative of its result by each operand (`x0`, `x1`, ...; `r0` is the result itself), and what holds where the
function has a kink or a singularity. Both forward and reverse mode come from these, and second derivatives from
applying them to the ops that they emit. An op in none of these lists stops differentiation with an error, if a
derivative would have to flow through it.

With strong zero, a zero tangent or cotangent times an infinite partial is 0.

In reverse mode, what the uses of a value add to its cotangent may be added up in any order (`dialects/order.py`).
"""

_COMPLEX = """\
A complex value counts as the pair of its parts. Where partials are given, the function is holomorphic, and the reverse
multiplies by their conjugates; `t` is the tangent or the cotangent.
"""
_C_FUNCTIONS = """\
Each of them also in its f32 form, as `lgammaf`. `polygamma_0` is the digamma function; the derivative of `polygamma_m`
is `polygamma_<m + 1>`. Functions of the same names that a module itself defines are differentiated as what they are.
"""
_VECTORS = """\
## Vectors

Every row above also holds element by element for vectors. These ops move elements around or add them up; they are what
derivatives in several directions at once are made of.
"""


def page() -> str:
    """The whole page, as Markdown."""
    return "\n".join(
        [
            _HEAD,
            *_section("Ops", {name: rule for name, rule in RULES.items() if not _is_complex(name)}),
            *_section("Complex numbers", {name: rule for name, rule in RULES.items() if _is_complex(name)}),
            _COMPLEX,
            *_section("C functions", libm.RULES),
            _C_FUNCTIONS,
            _VECTORS,
            "| op | derivative |\n| --- | --- |",
            *(f"| `{name}` | `{text}` |" for name, text in structured.FORMULAS.items()),
            "\n## Without derivative\n",
            "Nothing flows through these: their results are no floats, or are constant between steps.\n",
            ", ".join(f"`{name}`" for name in sorted(INACTIVE | libm.INACTIVE)) + ", and all of `index`.\n",
            "## Refused\n",
            *(f"- `{name}`: {why}." for name, why in REFUSED.items()),
            "",
        ]
    )


def _is_complex(name: str) -> bool:
    return name.startswith("complex.")


def _section(title: str, rules: dict[str, Rule]) -> list[str]:
    lines = [f"## {title}\n", "| op | derivative | at kinks and edges |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | `{rule.text()}` | {rule.note} |" for name, rule in sorted(rules.items())]
    return [*lines, ""]
