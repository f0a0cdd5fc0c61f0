"""PTX, resources and packages for other hosts, without a device; what cannot be compiled for one."""

import json

import numpy as np
import pytest

import dsl
from dsl import errors, types
from lowering.nvptx import tools

from .test_device import needs_ptxas
from .test_language import atomics, lanes, mirrored, saxpy

VECTOR = types.ArrayType(types.float32, 1)
STRIDED = types.ArrayType(types.float64, 2, contiguous=False)


def test_parameters_are_plain():
    text = saxpy.ptx(types.float32, VECTOR, VECTOR, chip="sm_90")
    head = text[text.index(".visible .entry saxpy(") : text.index(")\n{")]
    kinds = [line.split()[1] for line in head.splitlines() if ".param" in line]
    assert kinds == [".f32", ".u64", ".u64", ".u64", ".u64"]
    assert ".target sm_90" in text and "ld.global" in text and "fma.rn.f32" in text


def test_shared_memory_is_addressed_as_such():
    text = mirrored.ptx(np.ones(64))
    assert "st.shared.b64" in text and "ld.shared.b64" in text and "bar.sync" in text


def test_read_only_arrays_go_through_the_read_only_cache():
    assert "ld.global.nc" in saxpy.ptx(1.0, np.ones(3), np.ones(3))
    assert "ld.global.nc" not in dsl.kernel(saxpy, strict_aliasing=False).ptx(1.0, np.ones(3), np.ones(3))


@dsl.kernel
def add_product(x, y, z):
    i = dsl.grid(1)
    z[i] = x[i] * y[i] + z[i]


def test_contraction_is_an_option():
    args = (np.ones(3),) * 3
    assert "fma.rn.f64" in add_product.ptx(*args)
    text = dsl.kernel(add_product, contract=False).ptx(*args)
    assert "fma.rn.f64" not in text and "mul.rn.f64" in text and "add.rn.f64" in text


@needs_ptxas
def test_resources():
    found = mirrored.resources(np.ones(64), chip="sm_80")
    assert found.kernel == "mirrored" and found.shared_bytes == 512 and found.spill_stores == 0 < found.registers


@needs_ptxas
@pytest.mark.parametrize("chip", ["sm_70", "sm_80", "sm_90", "sm_100"])
def test_warps_and_atomics_assemble(chip):
    if not tools.takes(chip):
        pytest.skip(f"this ptxas does not know {chip}: skipped")
    tools.resources(lanes.ptx(np.ones(32), np.ones((6, 32)), chip=chip), chip)
    for dtype in (np.int32, np.int64, np.uint32, np.uint64):
        tools.resources(atomics.ptx(*(np.ones(5, dtype),) * 3, chip=chip), chip)


def test_sass():
    args = (np.float32(1), np.ones(3, np.float32), np.ones(3, np.float32))
    if tools.find("nvdisasm") is None:
        with pytest.raises(errors.CompileError, match=r"nvdisasm is not installed(.|\n)*pip install"):
            saxpy.sass(*args)
    else:
        assert "FFMA" in saxpy.sass(*args, chip="sm_90")


def test_a_package(tmp_path):
    package = saxpy.compile((types.float64, STRIDED_1D, VECTOR_64), chip="sm_90")
    package.save(tmp_path / "saxpy.ptx")
    assert (tmp_path / "saxpy.ptx").read_text() == package.ptx
    launch = json.loads((tmp_path / "saxpy.json").read_text())
    assert launch["kernel"] == "saxpy" and launch["chip"] == "sm_90" and launch["shared_bytes"] == 0
    assert [a["name"] for a in launch["arguments"]] == ["a", "x", "y"]
    assert [(p.get("argument"), p["kind"]) for p in launch["parameters"]] == [
        ("a", "number"),
        ("x", "pointer"),
        ("x", "size"),
        ("x", "stride"),
        ("y", "pointer"),
        ("y", "size"),
    ]


STRIDED_1D = types.ArrayType(types.float64, 1, contiguous=False)
VECTOR_64 = types.ArrayType(types.float64, 1)


@pytest.mark.parametrize("options", [{"chip": "sm_91"}, {"chip": "volta"}, {"target": "rocm"}])
def test_unknown_targets(options):
    with pytest.raises(errors.DslError, match=r"there is no chip|the target is"):
        saxpy.compile((types.float32, VECTOR, VECTOR), **options)


@dsl.kernel
def gamma_of(x):
    i = dsl.grid(1)
    x[i] = dsl.grid_dim.x * x[i] ** 1.5


def test_the_ptx_of_a_launch():
    assert ".entry gamma_of" in gamma_of[1, 32].ir("ptx", np.ones(3))
