"""One call on the host and on the simulator: what comes back and what is left in arrays has to agree."""

from __future__ import annotations

import numpy as np

import dsl
from dsl import simulator as sim
from dsl.annotations import Annotation, Ref
from dsl.structs import make_struct
from dsl.types import field_names, is_struct_class


def mapped(value, leaf):
    """A value with `leaf(array)` for each array in it; annotations, tuples and structs are made anew."""
    if isinstance(value, (np.ndarray, sim.Array)):
        return leaf(value)
    if isinstance(value, Annotation):
        names = ("val", "dval") if hasattr(value, "dval") else ("val",)
        return type(value)(*(mapped(getattr(value, name), leaf) for name in names))
    if isinstance(value, Ref):
        return Ref(mapped(value.value, leaf))
    if is_struct_class(type(value)):
        names = field_names(type(value))
        return make_struct(type(value), names, tuple(mapped(getattr(value, name), leaf) for name in names))
    return tuple(mapped(part, leaf) for part in value) if isinstance(value, tuple) else value


def numbers(value):
    """All numbers in a value, in order, as arrays on the host."""
    found = []

    def walk(value):
        if isinstance(value, Annotation):
            walk(value.val)
            walk(getattr(value, "dval", None))
        elif isinstance(value, Ref):
            walk(value.value)
        elif is_struct_class(type(value)):
            for name in field_names(type(value)):
                walk(getattr(value, name))
        elif isinstance(value, tuple):
            for part in value:
                walk(part)
        elif isinstance(value, sim.Array):
            found.append(value.get())
        elif value is not None and not isinstance(value, type):
            found.append(np.asarray(value))

    walk(value)
    return found


def on_host(value):
    return mapped(value, lambda array: array.copy())


def on_simulator(value):
    return mapped(value, sim.asarray)


def same(call, *args, rtol=1e-12):
    """`call` of the arguments on the host and of copies on the simulator; returns the result of the former. Arrays that
    are returned on the simulator have to be there.
    """
    here, there = on_host(args), on_simulator(args)
    wanted, found = call(*here), call(*there)
    assert not any(isinstance(leaf, np.ndarray) for leaf in leaves(found))
    for a, b in zip(numbers((found, *there)), numbers((wanted, *here)), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol, rtol * max(1.0, float(np.abs(b).max(initial=0))))
    return wanted


def leaves(value):
    return [leaf for part in value for leaf in leaves(part)] if isinstance(value, tuple) else [value]


def derivative(mode, f, *args, **kwargs):
    """`same` for a derivative; annotations of results are classes, which go through as they are."""
    return same(lambda *given: dsl.autodiff(mode, f, *given), *args, **kwargs)
