"""Tests of derivatives for users' own kernels.

    dsl.testing.test_forward(f, Duplicated, (x, Duplicated), Const(c))    tangents against central differences
    dsl.testing.test_reverse(f, Active, (x, Duplicated), (s, Active))     gradients, the same way
    dsl.testing.check_gradients(f, x, s)                                  all of it for all activities, as a table
    dsl.testing.verify(seed)                                              the whole system, with a log

The first three are what EnzymeTestUtils is to Enzyme.jl. A failure is an AssertionError that says which argument, which
entry of it, what was expected and what was got.
"""

from __future__ import annotations

from .activities import GradientCheck, check_gradients
from .forward import test_forward
from .protocol import TriadMessage
from .reverse import test_reverse
from .verification import Verification, verify

__all__ = [
    "GradientCheck",
    "TriadMessage",
    "Verification",
    "check_gradients",
    "test_forward",
    "test_reverse",
    "verify",
]
