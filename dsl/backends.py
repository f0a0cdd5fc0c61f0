"""Where arrays live and what runs kernels on them: `dsl.register_backend(name, backend)`.

NumPy's arrays are the host's. A backend adds arrays of another kind: it says which they are, where their elements are,
and which driver (`lowering.driver.Driver`) loads PTX and launches there. CUDA and the simulator are backends like any
other, registered here.

    class Mine:
        def owns(self, cls): return cls is MyArray
        def interface(self, array): return {"shape": ..., "typestr": "<f8", "data": (address, False), "strides": None}
        def driver(self, array): return my_driver

    dsl.register_backend("mine", Mine())
    k[1, 32](MyArray(...))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from .errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

    from lowering.driver import Driver

    from .device_memory import Memory


class Backend(Protocol):
    """Arrays of one kind."""

    def owns(self, cls: type) -> bool:
        """Whether values of this class are such arrays."""
        ...

    def interface(self, array: Any) -> dict[str, Any]:
        """`shape`, `typestr`, `data` (address, read-only) and `strides` in bytes or None, as NumPy's array interface
        has them. The address is the driver's.
        """
        ...

    def driver(self, array: Any) -> Driver:
        """The device that the array is on, the same object each time."""
        ...

    # A backend may also have this, which is what results on the device need (`Memory` is of `dsl.device_memory`):
    #
    #     def array(self, driver, memory, address, shape, dtype, strides): ...
    #
    # An array of its kind, at an address within `memory`, which it keeps alive; strides are in bytes.


_METHODS = ("owns", "interface", "driver")
_backends: dict[str, Backend] = {}
_known: dict[type, Backend | None] = {}


def register_backend(name: str, backend: Backend) -> None:
    """Let kernels be called with the arrays of a backend; a name that is taken gets the new one.

    Raises ArgumentError, before anything changes, where `backend` lacks a method of `Backend`.
    """
    missing = [method for method in _METHODS if not callable(getattr(backend, method, None))]
    if not isinstance(name, str) or missing:
        what = f"it has no {', '.join(missing)}" if missing else f"its name is {name!r}"
        raise ArgumentError(f"that is no backend: {what}", hint="a backend has owns, interface and driver")
    _backends[name] = backend
    _known.clear()


def backend_of(cls: type) -> Backend | None:
    """The backend that arrays of a class belong to, the last one registered first; None on the host."""
    if cls not in _known:
        _known[cls] = next((b for b in reversed(_backends.values()) if b.owns(cls)), None)
    return _known[cls]


class _Simulator:
    """Arrays of `dsl.simulator`."""

    _interface = "__simulated_array_interface__"

    def owns(self, cls: type) -> bool:
        return hasattr(cls, self._interface)

    def interface(self, array: Any) -> dict[str, Any]:
        return dict(getattr(array, self._interface))

    def driver(self, array: Any) -> Driver:
        found: Driver = array.device
        return found

    def array(
        self, driver: Any, memory: Memory, address: int, shape: tuple[int, ...], dtype: np.dtype, strides: Any
    ) -> Any:
        from .simulator import over

        return over(driver, memory, address, shape, dtype, strides)


_LEGACY = 1  # how the interface calls CUDA's default stream, whose handle is 0


class _Cuda:
    """Arrays that say by `__cuda_array_interface__` where they are: CuPy's, PyTorch's, Numba's. They run by CuPy."""

    _interface = "__cuda_array_interface__"

    def __init__(self) -> None:
        self._devices: dict[int, Any] = {}

    def owns(self, cls: type) -> bool:
        return hasattr(cls, self._interface)

    def interface(self, array: Any) -> dict[str, Any]:
        """As the array says, once the work of its own stream is done where that is not the one that calls go to."""
        found = self._of(array)
        stream = found.get("stream")
        if stream is not None:
            driver = self.driver(array)
            if stream not in (driver.current_stream() or _LEGACY, driver.current_stream()):
                driver.synchronize(stream)
        return found

    def driver(self, array: Any) -> Driver:
        """The device that the array's memory is on; of an empty array, CuPy's current one."""
        from lowering.cuda import Device, usable

        cuda = usable().cuda
        address = self._of(array)["data"][0]
        number = int(cuda.runtime.pointerGetAttributes(address).device if address else cuda.Device().id)
        if number not in self._devices:
            self._devices[number] = Device(number)
        found: Driver = self._devices[number]
        return found

    def _of(self, array: Any) -> dict[str, Any]:
        """PyTorch's tensors have the attribute wherever they are, and raise where it has no meaning."""
        try:
            return dict(getattr(array, self._interface))
        except (AttributeError, RuntimeError, TypeError) as error:
            raise ArgumentError(
                f"a {type(array).__name__} does not say where on a GPU it is: {error}",
                hint="move it to the GPU and detach it from other libraries' derivatives, or pass a NumPy array",
            ) from None

    def array(
        self, driver: Any, memory: Memory, address: int, shape: tuple[int, ...], dtype: np.dtype, strides: Any
    ) -> Any:
        """CuPy's, whatever the arguments were: other libraries take it without a copy."""
        return driver.array(memory, address, shape, dtype, strides)


register_backend("cuda", _Cuda())
register_backend("simulator", _Simulator())
