"""Readings of NVIDIA GPUs through NVML, the library of the driver; nothing where there is no driver.

By ``ctypes``, because Python's bindings (``nvidia-ml-py``) are in some images of engines only, and the library is
wherever a GPU is. Names and layouts are those of NVML's API reference (https://docs.nvidia.com/deploy/nvml-api/).
"""

import contextlib
import ctypes
from dataclasses import dataclass

LIBRARIES = ("libnvidia-ml.so.1", "/usr/local/nvidia/lib64/libnvidia-ml.so.1")
"""Where the driver's library is: on the loader's path, or where GKE mounts it (its documentation, "Run GPUs in GKE
Standard node pools", "About the CUDA libraries")."""


class _Utilization(ctypes.Structure):
    """nvmlUtilization_t, in percent."""

    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class _Memory(ctypes.Structure):
    """nvmlMemory_t, in bytes."""

    _fields_ = [
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    ]


@dataclass(frozen=True)
class Gpu:
    """One GPU that the container sees.

    Attributes:
        index: NVML's number of it.
        utilization: percent of the last sample period in which a kernel ran; ``None`` where the GPU does not say, as
            one that is split into MIG instances.
        used, total: bytes of memory; ``None`` likewise.
    """

    index: int
    utilization: float | None
    used: int | None
    total: int | None


class Gpus:
    """Reads the GPUs. Not safe for several threads at once.

    Args:
        libraries: names of NVML, of which the first that is there is used.
    """

    def __init__(self, libraries: tuple[str, ...] = LIBRARIES) -> None:
        self._libraries = libraries
        self._nvml: ctypes.CDLL | None = None
        self._absent = False

    def read(self) -> list[Gpu]:
        """All GPUs; an empty list where there is none."""
        nvml = self._library()
        count = ctypes.c_uint()
        if nvml is None or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
            return []
        return [self._one(nvml, index) for index in range(count.value)]

    def _library(self) -> ctypes.CDLL | None:
        if self._nvml is None and not self._absent:
            nvml = next((loaded for name in self._libraries if (loaded := _load(name)) is not None), None)
            if nvml is None or nvml.nvmlInit_v2():
                self._absent = True
            else:
                self._nvml = nvml
        return self._nvml

    @staticmethod
    def _one(nvml: ctypes.CDLL, index: int) -> Gpu:
        """Every function of NVML returns 0 where it did what it is for."""
        device, utilization, memory = ctypes.c_void_p(), _Utilization(), _Memory()
        if nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(device)):
            return Gpu(index, None, None, None)
        is_busy_known = not nvml.nvmlDeviceGetUtilizationRates(device, ctypes.byref(utilization))
        is_memory_known = not nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory))
        return Gpu(
            index,
            float(utilization.gpu) if is_busy_known else None,
            memory.used if is_memory_known else None,
            memory.total if is_memory_known else None,
        )


def _load(name: str) -> ctypes.CDLL | None:
    with contextlib.suppress(OSError):
        return ctypes.CDLL(name)
    return None
