"""Readings of NVIDIA GPUs through NVML; nothing where there is no GPU or no library for it."""

import importlib
from dataclasses import dataclass
from typing import Any


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
    """Reads the GPUs. Not safe for several threads at once."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._absent = False

    def read(self) -> list[Gpu]:
        """All GPUs; an empty list where there is none."""
        nvml = self._library()
        if nvml is None:
            return []
        try:
            return [self._one(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
        except nvml.NVMLError:
            return []

    def _library(self) -> Any:
        if self._nvml is None and not self._absent:
            try:
                nvml = importlib.import_module("pynvml")
            except ImportError:
                self._absent = True
                return None
            try:
                nvml.nvmlInit()
            except nvml.NVMLError:
                self._absent = True
                return None
            self._nvml = nvml
        return self._nvml

    @staticmethod
    def _one(nvml: Any, index: int) -> Gpu:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        try:
            utilization = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        except nvml.NVMLError:
            utilization = None
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            used, total = int(memory.used), int(memory.total)
        except nvml.NVMLError:
            used = total = None
        return Gpu(index, utilization, used, total)
