"""`python -m dialects.rules`: docs/rules.md from the tables, on standard output."""

from dialects.rules.documentation import page

print(page(), end="")
