"""GPU quotas, where somebody sets them: ``<state>/quotas.yaml``, by project, region and Google's name of the
metric.

```yaml
my-project:
  us-central1: {NVIDIA_L4_GPUS: 4, PREEMPTIBLE_NVIDIA_L4_GPUS: 0}
```

What is not named is not limited.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from llm_serving import catalog
from llm_serving.spec import Market
from local.providers.gcp import locations
from local.providers.gcp.cloud import Cloud, GoogleError
from local.providers.gcp.nodes import sizes
from local.providers.store import Record

_POOL = "gcp:container/nodePool:NodePool"


def refuse_excess(cloud: Cloud, id: str, project: str, location: str, machine: str, market: Market, nodes: int) -> None:
    """Refuse a pool whose nodes would take more than the quota.

    Raises:
        GoogleError: 403, as the Compute API answers.
    """
    path = cloud.state_folder.root / "quotas.yaml"
    if not path.exists() or nodes == 0:
        return
    region = locations.region_of(location)
    limits: Mapping[str, Any] = (yaml.safe_load(path.read_text()) or {}).get(project, {}).get(region, {})
    metric, each = demand(machine, market)
    if metric not in limits:
        return
    used = sum(
        _taken(record, metric) for record in cloud.ready(_POOL) if record.id != id and _in(record, project, region)
    )
    if used + each * nodes > limits[metric]:
        raise GoogleError(
            403,
            f"Insufficient quota to satisfy the request: Quota '{metric}' exceeded. Limit: {float(limits[metric])} in "
            f"region {region}. {used:g} are in use, {nodes} nodes of {machine} take {each * nodes:g} more. Ask for "
            "more in the console (IAM & Admin, Quotas), or use another region, market or machine type",
            "quotaExceeded",
        )


def _in(pool: Record, project: str, region: str) -> bool:
    return pool.outputs.get("project") == project and locations.region_of(pool.outputs["location"]) == region


def _taken(pool: Record, metric: str) -> float:
    """What a pool's fewest nodes take of a quota."""
    outputs = pool.outputs
    config = outputs["nodeConfig"]
    market = Market.SPOT if config.get("spot") or config.get("preemptible") else Market.ON_DEMAND
    name, each = demand(config["machineType"], market)
    return each * sizes(outputs, len(outputs["nodeLocations"]))[0] if name == metric else 0.0


def demand(machine: str, market: Market) -> tuple[str, float]:
    """The metric that one machine counts against, and how much of it; an empty name for a machine without
    GPU.
    """
    facts = catalog.machine_type("gcp", machine)
    if not facts.gpus:
        return "", 0
    metric = catalog.quota_metric("gcp", facts.series, market)
    if metric is None:
        return "", 0
    return metric.name, float(facts.gpus if metric.unit == "gpu" else facts.vcpus)
