"""Facts with source and date: GPUs, machine types, prices, quotas, model architectures.

Owns the data files in ``data/`` and their loader. Decides nothing: what fits, what it costs and what is
allowed is ``llm_serving.planning``. What is doubtful or missing in the data stands in ``README.md`` beside
this file.
"""

from llm_serving.catalog.errors import UnknownFact
from llm_serving.catalog.loader import (
    CLOUDS,
    accelerator,
    accelerators,
    architecture,
    architectures,
    device,
    engine_memory,
    machine_type,
    machine_types,
    price,
    prices,
    quota_metric,
    regions,
    startup,
)
from llm_serving.catalog.models import (
    Accelerator,
    Architecture,
    Device,
    EngineMemory,
    LocalSsd,
    MachineType,
    Price,
    QuotaMetric,
    Startup,
)

__all__ = [
    "CLOUDS",
    "Accelerator",
    "Architecture",
    "Device",
    "EngineMemory",
    "LocalSsd",
    "MachineType",
    "Price",
    "QuotaMetric",
    "Startup",
    "UnknownFact",
    "accelerator",
    "accelerators",
    "architecture",
    "architectures",
    "device",
    "engine_memory",
    "machine_type",
    "machine_types",
    "price",
    "prices",
    "quota_metric",
    "regions",
    "startup",
]
