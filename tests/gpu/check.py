"""Whether what a launch did to its arguments is what the oracle of its case does to them."""

import numpy as np

from .corpus import Case


def arrays_of(value):
    """The arrays in an argument: itself, or the fields of a struct."""
    if isinstance(value, np.ndarray):
        return [value]
    if hasattr(value, "__dataclass_fields__"):
        return [a for name in value.__dataclass_fields__ for a in arrays_of(getattr(value, name))]
    if isinstance(value, tuple):
        return [a for part in value for a in arrays_of(part)]
    return []


def expected(case: Case) -> list[np.ndarray]:
    """The arrays of a case's arguments after the oracle."""
    args = case.arguments()
    with np.errstate(all="ignore"):
        case.oracle(*args)
    return arrays_of(args)


def check(case: Case, found: list[np.ndarray]) -> None:
    """Compare all arrays; those that the kernel only reads must be what they were."""
    for got, want in zip(found, expected(case), strict=True):
        assert got.dtype == want.dtype
        if want.dtype.kind in "biu":
            np.testing.assert_array_equal(got, want, case.name)
        else:
            wide = np.complex128 if want.dtype.kind == "c" else np.float64  # bfloat16 has no kind of NumPy's
            got, want = got.astype(wide), want.astype(wide)
            scale = float(np.max(np.abs(want), initial=1e-30))
            np.testing.assert_allclose(got, want, case.rtol, case.rtol * scale, err_msg=case.name)
