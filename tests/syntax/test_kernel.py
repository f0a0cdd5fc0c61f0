"""The kernel object: made, bound, described, copied and pickled."""

from __future__ import annotations

import copy
import inspect
import pickle
import subprocess
import sys
import textwrap
from functools import partial, wraps
from pathlib import Path

import pytest

import dsl
from dsl import errors
from dsl.constants import fingerprint
from dsl.kernel import Kernel, as_kernel

ROOT = Path(__file__).parents[2]
SCALE = 2.0
T = dsl.float32


@dsl.kernel
def scaled(x, y=1.0, *, z=0.0):
    """Scale it."""
    return x * SCALE + y + z


@dsl.kernel(boundscheck=True)
def checked(x):
    return scaled(x)


def plain(x):
    return x


class Model:
    @dsl.kernel
    def method(self, x):
        return x


def test_decorator_forms() -> None:
    assert isinstance(scaled, Kernel) and scaled.options == {}
    assert checked.options == {"boundscheck": True}
    assert dsl.kernel(lambda x: x).name == "<lambda>"
    assert dsl.kernel()(plain).fn is plain
    assert dsl.kernel(checked, fastmath=True).options == {"boundscheck": True, "fastmath": True}
    assert dsl.kernel(staticmethod(plain)).fn is plain


def test_looks_like_its_function() -> None:
    assert scaled.__name__ == "scaled" and scaled.__doc__ == "Scale it." and scaled.__module__ == __name__
    assert str(inspect.signature(scaled)) == "(x, y=1.0, *, z=0.0)"
    assert repr(scaled).startswith("<dsl.kernel scaled(x, y, z) at ") and f"{__file__}:" in repr(scaled)
    assert Model.method.__qualname__ == "Model.method"
    assert scaled.fn(1.0) == 3.0


def test_unknown_option() -> None:
    with pytest.raises(errors.ArgumentError, match="fastmaths"):
        dsl.kernel(fastmaths=True)
    with pytest.raises(errors.ArgumentError, match="source"):
        dsl.kernel(plain, name="x")


def test_bind() -> None:
    assert scaled.bind((1,), {}) == (1, 1.0, 0.0)
    assert scaled.bind((), {"y": 2, "x": 1, "z": 3}) == (1, 2, 3)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "misses 1 argument: x"),
        ((1, 2, 3), {}, "takes 2 positional arguments, 3 given"),
        ((1,), {"x": 2}, "two values for `x`"),
        ((1,), {"w": 2}, "no parameter `w`"),
    ],
)
def test_bind_refused(args, kwargs, message) -> None:
    with pytest.raises(errors.ArgumentError, match=message) as caught:
        scaled.bind(args, kwargs)
    assert isinstance(caught.value, TypeError)
    assert "scaled(x, y, z)" in str(caught.value) and "def scaled" in str(caught.value)


def test_positional_only() -> None:
    k = dsl.kernel(source="def f(x, /, y): return x")
    assert k.bind((1,), {"y": 2}) == (1, 2)
    with pytest.raises(errors.ArgumentError, match="by position only"):
        k.bind((), {"x": 1, "y": 2})


def test_stars_are_refused() -> None:
    with pytest.raises(errors.ArgumentError, match=r"`\*`"):
        as_kernel(lambda *x: x).bind((1,), {})


def test_methods_bind_as_functions_do() -> None:
    model = Model()
    assert model.method.__self__ is model and model.method.__func__ is Model.method


def test_grids() -> None:
    assert repr(scaled[2, 32]) == "scaled[2, 32]" and repr(scaled[(2, 3), (4, 5, 6)]) == "scaled[(2, 3, 1), (4, 5, 6)]"
    assert scaled.forall(257).blocks == (2, 1, 1)
    for extents in (2, (2,), (2, 32, 1), (2, 1.5), (-1, 32), (1, (1, 2, 3, 4)), (1, 1025), (1, 0), (1, (1, 1, 65))):
        with pytest.raises(errors.ArgumentError):
            scaled[extents]


def test_as_kernel() -> None:
    assert as_kernel(scaled) is scaled
    assert as_kernel(plain) is as_kernel(plain) and as_kernel(plain).fn is plain
    made = [as_kernel(lambda x: x * SCALE) for _ in range(3)]
    assert made[0] is made[1] is made[2]  # each time another function object, of the same code
    closures = [as_kernel(lambda x: x * i) for i in range(3)]
    assert len({fingerprint(k) for k in closures}) == 1  # all see the same cell: i is 2 by now
    assert len({fingerprint(as_kernel((lambda a: lambda x: x * a)(a))) for a in range(3)}) == 3


@pytest.mark.parametrize("what", [abs, Model, Model().method, partial(plain), 3, "def f(x): return x", len])
def test_not_a_function(what) -> None:
    with pytest.raises(errors.ArgumentError, match="not a Python function") as caught:
        as_kernel(what)
    assert caught.value.hint


# --- pickling -----------------------------------------------------------------------------------------------------


def again(k: Kernel) -> Kernel:
    return pickle.loads(pickle.dumps(k))


def test_importable_kernels_go_by_name() -> None:
    assert again(scaled) is scaled
    assert again(Model.method) is Model.method
    assert again(as_kernel(plain)) is as_kernel(plain)
    assert copy.copy(scaled) is scaled and copy.deepcopy([scaled])[0] is scaled


def test_others_go_by_text() -> None:
    a, name = 3, "local"
    local = dsl.kernel(lambda x: x * a + SCALE, boundscheck=True)
    made = again(local)
    assert made is not local and made.fn(2) == 8.0
    assert made.source == local.source and made.options == {"boundscheck": True}
    assert fingerprint(made) == fingerprint(local)
    inner = dsl.kernel(source="def f(x, y=a): return x + y")
    outer = dsl.kernel(lambda x: inner.fn(x) + len(name))
    assert again(outer).fn(1) == 9
    assert again(again(outer)).fn(1) == 9


def test_options_of_a_decorated_twice() -> None:
    other = dsl.kernel(scaled, fastmath=True)
    assert again(other).options == {"fastmath": True}
    assert again(dsl.kernel(plain, fastmath=True)).options == {"fastmath": True}


def test_circles() -> None:
    text = "def f(x): return g(x) if x > 0 else 0\ndef g(x): return f(x - 1)"
    f = dsl.kernel(source=text, name="f")
    assert again(f).fn(1) == 0
    assert fingerprint(again(f)) == fingerprint(f)


def test_annotations_and_keyword_only() -> None:
    @dsl.kernel
    def annotated(x: T, *, y: T = 1.0) -> T:
        z: T = x
        return z * y

    made = again(annotated)
    assert made.bind((2,), {}) == (2, 1.0) and made.fn(2) == 2.0
    assert made.resolve("T") is dsl.float32


def test_from_a_script_to_another_process(tmp_path: Path) -> None:
    """A script's kernels, and text that the other process has no file of."""
    (tmp_path / "script.py").write_text(
        textwrap.dedent(
            """
            import pickle, sys, math, dsl
            N = 3
            @dsl.kernel
            def f(x):
                return g(x) + N
            @dsl.kernel
            def g(x):
                return math.floor(x)
            with open(sys.argv[1], "wb") as out:
                pickle.dump([f, dsl.as_kernel(lambda x: f.fn(x))], out)
            """
        )
    )
    pickled = tmp_path / "kernels"
    environment = {"PYTHONPATH": str(ROOT)}
    run = partial(subprocess.run, check=True, env=environment, cwd=tmp_path)
    run([sys.executable, "script.py", str(pickled)])
    (tmp_path / "script.py").unlink()
    f, g = pickle.loads(pickled.read_bytes())
    assert f.source.text.startswith("def f(x):")
    assert errors.source_line(f.source.file, f.source.line) == "def f(x):"
    assert f.resolve("N") == 3 and f.resolve("g").fn(2.5) == 2 and g.fn.__globals__["f"] is f
    assert f(2.5) == 5 and again(f)(3.5) == 6


# --- called -------------------------------------------------------------------------------------------------------


def test_called_as_its_function() -> None:
    assert scaled(2.0) == scaled.fn(2.0) == 5.0
    assert scaled(x=2.0, z=1.0) == 6.0
    assert checked(1.0) == 3.0
    assert dsl.kernel(lambda x: x * x)(3.0) == 9.0


def test_a_global_that_is_rebound_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scaled(1.0) == 3.0
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 5.0)
    assert scaled(1.0) == 6.0
    monkeypatch.undo()
    assert scaled(1.0) == 3.0


def test_errors_of_a_source_text_show_its_lines() -> None:
    k = dsl.kernel(source="def f(x):\n    y = x\n    return y + 'text'\n")
    with pytest.raises(errors.KernelTypeError, match=r">:3:12\n   \|  return y \+ 'text'\n   \|         \^+"):
        k(1.0)


def test_a_wrapper_is_not_taken_for_what_it_wraps() -> None:
    def square(x):
        return x * x

    assert dsl.autodiff(dsl.Reverse, square, dsl.Active(3.0)) == ((6.0,),)
    k = dsl.kernel(square)
    assert dsl.autodiff(dsl.Reverse, k, dsl.Active(3.0)) == ((6.0,),)

    @wraps(k)
    def double(x):
        return 2 * x

    assert dsl.autodiff(dsl.Reverse, double, dsl.Active(3.0)) == ((2.0,),)


def test_name_mangling_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "__secret", 1.0)
    monkeypatch.setitem(globals(), "_Mangles__secret", 2.0)

    class Mangles:
        @dsl.kernel
        def method(x):
            return x * __secret  # noqa: F821

    assert Mangles.method.fn(1.0) == 2.0
    with pytest.raises(errors.KernelNameError, match="`_Mangles__secret` within a class"):
        Mangles.method(1.0)


# --- the package --------------------------------------------------------------------------------------------------


def test_import_is_light() -> None:
    program = """
import sys, dsl
from dsl import kernel, Active, Duplicated, Reverse
@kernel
def f(x): return x
import dsl.constants
try: dsl.constants.fingerprint(f)
except dsl.errors.SourceError: pass
heavy = {"lark", "mlir", "llvmlite", "scipy", "inspect", "rich", "typer"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_functions_named_as_their_modules() -> None:
    """`dsl.kernel` is the function, whichever module was imported when."""
    program = "import dsl.kernel, dsl.options; assert dsl.kernel().__call__; dsl.options.fastmath"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dsl.nothing
    assert "kernel" in dir(dsl)
