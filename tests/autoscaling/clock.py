"""Fifteen seconds in one: the rendered objects, with every period in them a fifteenth as long.

The cluster of these tests is as much faster: its Prometheus scrapes, and its HPA controller compares, once a second
instead of every fifteen. So what takes minutes on a real cluster takes seconds, in the same order and proportions.
"""

import copy
import re
from typing import Any

SPEED = 15
SYNC_SECONDS = 1
"""So often the HPA controller compares; what it saw last may be as old as that."""
_WINDOW = re.compile(r"\[(\d+)s(?::(\d+)s)?\]")
"""A range of PromQL, with the step of a subquery."""


def quickened(scaled_object: dict[str, Any]) -> dict[str, Any]:
    """A ScaledObject as the component renders it, for a cluster that is :data:`SPEED` times as fast."""
    thing = copy.deepcopy(scaled_object)
    spec = thing["spec"]
    spec["pollingInterval"] = _faster(spec["pollingInterval"])
    for period in {"cooldownPeriod", "initialCooldownPeriod"} & spec.keys():
        spec[period] = _faster(spec[period])
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    for direction in behavior.values():
        direction["stabilizationWindowSeconds"] //= SPEED
        for policy in direction["policies"]:
            policy["periodSeconds"] = _faster(policy["periodSeconds"])
    for trigger in spec["triggers"]:
        query = trigger["metadata"].get("query")
        if query is not None:
            trigger["metadata"]["query"] = _WINDOW.sub(_shortened, query)
    return thing


def down_seconds(quick: dict[str, Any]) -> int:
    """How long a lull must last before a ScaledObject takes instances away."""
    behavior = quick["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return behavior["scaleDown"]["stabilizationWindowSeconds"]


def _shortened(window: "re.Match[str]") -> str:
    parts = [f"{_faster(int(seconds))}s" for seconds in window.groups() if seconds is not None]
    return f"[{':'.join(parts)}]"


def _faster(seconds: int) -> int:
    return max(1, seconds // SPEED)
