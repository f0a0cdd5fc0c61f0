"""The CUDA driver against a fake CuPy: no GPU, and no CuPy, is behind these tests.

The fake has the names of CuPy that the driver uses, as CuPy documents them; the simulator does the work. It shows
that the driver asks for the right things in the right order; what CuPy and a GPU make of them it cannot show.
"""

import ctypes
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import dsl
from dsl import Active, Duplicated, Reverse, backends
from lowering.driver import DriverError
from lowering.simulator import Device


class Nothing:
    """A context manager that does nothing, with the attributes that it is given."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class FakeCupy(ModuleType):
    def __init__(self):
        super().__init__("cupy")
        self.simulator, self.log = Device("sm_80"), []
        self.ndarray, self.cuda = Array, self._cuda()
        self.empty = lambda shape, dtype: self.asarray(np.empty(shape, dtype))

    def asarray(self, values, stream=1):
        memory = self._alloc(values.nbytes or 1)
        if values.size:
            self.simulator.copy_to_device(memory.ptr, np.ascontiguousarray(values))
        made = Array(values.shape, values.dtype, memory, None)
        made.cupy, made.stream = self, stream
        return made

    def _alloc(self, nbytes):
        self.log.append("alloc")
        address = self.simulator.alloc(nbytes)
        kept = SimpleNamespace(ptr=address)
        kept.end = Ended(self.simulator, address)
        return kept

    def _cuda(self):
        class Failed(Exception):
            pass

        fake, simulator = self, self.simulator

        class Module:
            def load(self, image):
                assert isinstance(image, bytes)
                self.module = simulator.load(image.rstrip(b"\0").decode())

            def get_function(self, name):
                function = self.module.function(name)

                def call(grid, block, args, shared_mem=0, stream=None):
                    fake.log.append("launch")
                    simulator.launch(function, grid, block, args, shared_mem)

                return call

        def memcpy(target, source, nbytes, kind, stream):
            host = (ctypes.c_uint8 * nbytes).from_address({1: source, 2: target}.get(kind, ctypes.addressof(buffer)))
            if kind == 3:
                simulator.copy(target, source, nbytes)
            elif kind == 1:
                simulator.copy_to_device(target, np.frombuffer(host, np.uint8))
            else:
                simulator.copy_to_host(np.frombuffer(host, np.uint8), source)

        buffer = ctypes.create_string_buffer(1 << 16)
        properties = {"maxThreadsPerBlock": 1024, "maxThreadsDim": (1024, 1024, 64), "maxGridSize": (1 << 30,) * 3}
        runtime = SimpleNamespace(
            CUDARuntimeError=Failed,
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda number: {**properties, "sharedMemPerBlock": 49152, "warpSize": 32},
            pointerGetAttributes=lambda address: SimpleNamespace(device=0),
            memcpyHostToDevice=1, memcpyDeviceToHost=2, memcpyDeviceToDevice=3,
            memcpyAsync=memcpy,
            memsetAsync=lambda address, value, size, stream: simulator.memset(address, value, size),
            streamSynchronize=lambda stream: self.log.append(("wait", stream)),
        )  # fmt: skip
        return SimpleNamespace(
            Device=lambda number=0: Nothing(id=0, compute_capability="86"),
            ExternalStream=lambda ptr: Nothing(ptr=ptr),
            get_current_stream=lambda: Nothing(ptr=0),
            function=SimpleNamespace(Module=Module),
            driver=SimpleNamespace(CUDADriverError=DriverError),
            memory=SimpleNamespace(OutOfMemoryError=MemoryError),
            runtime=runtime,
            alloc=self._alloc,
            UnownedMemory=lambda ptr, size, owner, device_id: SimpleNamespace(ptr=ptr, owner=owner, cupy=self),
            MemoryPointer=lambda whole, offset: SimpleNamespace(ptr=whole.ptr + offset, whole=whole, cupy=whole.cupy),
        )


class Ended:
    """Gives memory back when nobody refers to it."""

    def __init__(self, simulator, address):
        self.simulator, self.address = simulator, address

    def __del__(self):
        self.simulator.free(self.address)


class Array:
    """As cupy.ndarray(shape, dtype, memptr, strides)."""

    def __init__(self, shape, dtype, memory, strides):
        self.shape, self.dtype, self.memory, self.strides = shape, np.dtype(dtype), memory, strides
        self.cupy, self.stream = getattr(memory, "cupy", None), 1

    @property
    def __cuda_array_interface__(self):
        found = {"shape": self.shape, "typestr": self.dtype.str, "data": (self.memory.ptr, False), "version": 3}
        return {**found, "strides": self.strides, "stream": self.stream}

    def get(self):
        made = np.empty(self.shape, self.dtype)
        self.cupy.simulator.copy_to_host(made, self.memory.ptr)
        return made


@pytest.fixture
def cupy(monkeypatch):
    made = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", made)
    monkeypatch.setattr(backends._backends["cuda"], "_devices", {})
    return made


@dsl.kernel
def square(y, x):
    i = dsl.grid(1)
    if i < len(x):
        y[i] = x[i] * x[i]


@dsl.kernel
def loss(x):
    y = np.empty_like(x)
    square[1, 32](y, x)
    return np.sum(y), 2 * y


X = np.arange(1.0, 6.0)


def test_launches_results_and_derivatives(cupy):
    y, x = cupy.asarray(np.zeros(5)), cupy.asarray(X)
    square[1, 32](y, x)
    assert y.get().tolist() == (X * X).tolist()
    total, doubled = loss(x)
    assert total == (X * X).sum() and doubled.get().tolist() == (2 * X * X).tolist()
    dx = cupy.asarray(np.zeros(5))
    dsl.autodiff(Reverse, lambda x: loss(x)[0], Active, Duplicated(x, dx))
    assert dx.get().tolist() == (2 * X).tolist()
    assert dsl.gradient(Reverse, lambda x: loss(x)[0], x).get().tolist() == (2 * X).tolist()


def test_memory_is_given_back(cupy):
    x = cupy.asarray(X)
    loss(x)
    before = len(cupy.simulator._own)
    _, kept = loss(x)
    assert len(cupy.simulator._own) == before + 1
    del kept
    assert len(cupy.simulator._own) == before


def test_another_stream_is_waited_for(cupy):
    """Version 3 of the interface says on which stream an array is ready."""
    y, x = cupy.asarray(np.zeros(5)), cupy.asarray(X, stream=77)
    square[1, 32](y, x)
    assert cupy.log.index(("wait", 77)) < cupy.log.index("launch")
    assert ("wait", 1) not in cupy.log


def test_the_chip_is_one_that_is_known(cupy):
    from lowering import cuda

    assert backends._backends["cuda"].driver(cupy.asarray(X)).chip == "sm_86"
    assert cuda._chip("88") == "sm_87" and cuda._chip("999") == "sm_121"
    with pytest.raises(DriverError, match="too old"):
        cuda._chip("61")


def test_arrays_that_are_not_on_a_gpu(cupy):
    class Tensor:
        @property
        def __cuda_array_interface__(self):
            raise AttributeError("not on a GPU")

    with pytest.raises(dsl.errors.ArgumentError, match="a Tensor does not say where on a GPU it is: not on a GPU"):
        square[1, 32](Tensor(), Tensor())


def test_on_hardware():
    try:
        import cupy

        assert cupy.cuda.runtime.getDeviceCount()
    except Exception:
        pytest.skip("needs hardware: there is no GPU here")
    y, x = cupy.zeros(5), cupy.asarray(X)
    square[1, 32](y, x)
    assert cupy.asnumpy(y).tolist() == (X * X).tolist()
