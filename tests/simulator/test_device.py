"""The device as a driver: allocation, copies, launches, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from lowering.driver import Driver, DriverError
from lowering.simulator import Device
from lowering.simulator.errors import LaunchError, PtxError

from .kernels import module, ptx
from .running import launch

SAXPY = """
    gpu.func @saxpy(%Y: memref<1000xf32>, %X: memref<1000xf32>, %a: f32, %n: index) kernel {
      %i = gpu.global_id x
      %c = arith.cmpi slt, %i, %n : index
      scf.if %c {
        %x = memref.load %X[%i] : memref<1000xf32>
        %y = memref.load %Y[%i] : memref<1000xf32>
        %m = math.fma %a, %x, %y : f32
        memref.store %m, %Y[%i] : memref<1000xf32>
      }
      gpu.return
    }"""


@pytest.mark.parametrize("chip", ["sm_70", "sm_80", "sm_90", "sm_100"])
def test_saxpy(chip):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 1000)).astype(np.float32)
    want = (np.float64(np.float32(1.7)) * x + y).astype(np.float32)
    launch(ptx(SAXPY, chip), "saxpy", 8, 128, y, x, np.float32(1.7), 1000)
    np.testing.assert_array_equal(y, want)


def test_it_is_a_driver():
    device = Device()
    assert isinstance(device, Driver)
    assert (device.name, device.chip, device.current_stream()) == ("simulator", "sm_80", 0)


def test_memory_is_copied_set_and_freed():
    device = Device()
    a, b = device.alloc(64), device.alloc(64)
    assert a % 256 == b % 256 == 0
    source = np.arange(16, dtype=np.float32)
    device.copy_to_device(a, source)
    device.copy(b, a, 64)
    device.memset(b + 4, 0, 4)
    back = np.empty(16, np.float32)
    device.copy_to_host(back, b)
    source[1] = 0
    np.testing.assert_array_equal(back, source)
    device.free(a)
    with pytest.raises(DriverError, match="not within one allocation"):
        device.copy_to_device(a, source)
    with pytest.raises(DriverError, match="freed before"):
        device.free(a)
    with pytest.raises(DriverError, match="not within one allocation"):
        device.copy_to_host(back, b + 4)


def test_memory_grows_and_is_used_again():
    device = Device(memory=1 << 22)
    first = [device.alloc(1 << 20) for _ in range(3)]
    with pytest.raises(MemoryError):
        device.alloc(1 << 20)
    device.free(first[0])
    device.free(first[1])
    assert device.alloc((2 << 20)) == first[0]  # the two are one range again


def test_no_bytes_are_an_allocation():
    device = Device()
    a = device.alloc(0)
    assert a and a != device.alloc(0)
    device.copy_to_host(np.empty(0), a)
    device.free(a)


def test_launches_are_refused_before_anything_runs():
    device = Device()
    function = device.load(ptx(SAXPY)).function("saxpy")
    assert [size for _, _, size in function.parameters] == [8, 8, 4, 8]
    good = [0, 0, np.float32(1), 0]
    for grid, block, arguments, shared, match in [
        ((0, 1, 1), (1, 1, 1), good, 0, "grid"),
        ((1, 1, 1), (1025, 1, 1), good, 0, "block"),
        ((1, 1, 1), (32, 32, 2), good, 0, "2048 threads"),
        ((1, 1, 1), (1, 1, 1), good[:3], 0, "takes 4 parameters"),
        ((1, 1, 1), (1, 1, 1), [0, 0, 1, 0], 0, "has 4 bytes, the argument has 8"),
        ((1, 1, 1), (1, 1, 1), [0, 0, 1.0, 0], 0, "no kernel argument"),
        ((1, 1, 1), (1, 1, 1), good, 1 << 20, "shared memory"),
    ]:
        with pytest.raises(LaunchError, match=match):
            device.launch(function, grid, block, arguments, shared)
    with pytest.raises(DriverError, match=r"no kernel `saxpi`; it has saxpy"):
        device.load(ptx(SAXPY)).function("saxpi")


def test_modules_give_their_memory_back():
    device = Device()
    text = module("ret;", declarations=".global .align 4 .b32 table[4] = {1, 2, 3, 4};")
    loaded = device.load(text)
    address = loaded.variables["table"]
    back = np.empty(4, np.uint32)
    device.copy_to_host(back, address)
    assert back.tolist() == [1, 2, 3, 4]
    del loaded
    with pytest.raises(DriverError):
        device.copy_to_host(back, address)


def test_required_threads_are_required():
    text = module("ret;").replace("k()", "k() .reqntid 32").replace("8.6", "8.0")
    launch(text, "k", 1, 32)
    with pytest.raises(LaunchError, match="reqntid"):
        launch(text, "k", 1, 64)


def test_text_that_is_not_ptx_is_refused_with_its_line():
    with pytest.raises(PtxError) as error:
        Device().load(module(".reg .b32 %r<2>;\nmov.b32 %r1, %r0\nret;"))
    assert error.value.line == 9
    assert "ret;" in str(error.value)
