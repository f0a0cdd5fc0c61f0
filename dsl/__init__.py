"""A differentiable kernel language in Python."""
