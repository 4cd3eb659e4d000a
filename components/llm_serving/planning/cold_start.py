"""How long it takes until a new instance answers: stage by stage, so that a measurement can replace each of
them."""

from math import ceil

from llm_serving import catalog
from llm_serving.arguments import Frozen
from llm_serving.catalog import Device
from llm_serving.spec.names import Count

WEIGHTS_BYTES_PER_SECOND = 16.06e9 / (61 + 33)
"""From the bucket to the GPU: 61 s of download and 33 s of loading for Llama 3.1 8B (16.06 GB) on L40S
(tensorfuse, 2026). Tuned caches are several times faster; this is the cautious end."""


class ColdStart(Frozen):
    """Stages of a cold start in seconds, one after the other.

    Attributes:
        node_start: a machine is bought and its GPU driver ready (catalog, ``startup.csv``); 0 for existing
            nodes.
        image_pull: the engine's image arrives (catalog, ``startup.csv``).
        weights: the weights come from the cache to the GPUs: :data:`WEIGHTS_BYTES_PER_SECOND`.
        engine_init: the engine compiles, captures graphs and warms up (catalog, ``devices.csv``).
    """

    node_start: Count
    image_pull: Count
    weights: Count
    engine_init: Count

    @property
    def total(self) -> int:
        """Seconds from the pending pod to the first answer."""
        return self.node_start + self.image_pull + self.weights + self.engine_init


def cold_start(cloud: str, device: Device, weight_bytes: float) -> ColdStart:
    """Estimate for an instance on this device with this many bytes of weights, all of its GPUs together."""
    start = catalog.startup(cloud)
    return ColdStart(
        node_start=start.node_start_seconds,
        image_pull=start.image_pull_seconds,
        weights=ceil(weight_bytes / WEIGHTS_BYTES_PER_SECOND),
        engine_init=device.init_seconds,
    )
