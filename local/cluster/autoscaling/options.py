"""What is decided about autoscaling when a cluster gets it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AutoscalingOptions:
    """What to ask of KEDA and its Prometheus.

    Attributes:
        scrape: scrape configurations as in Prometheus' own file. The one of kube-state-metrics comes with the cluster;
            one whose ``kubernetes_sd_configs`` is :data:`PODS` scrapes pods of the cluster itself.
        rules: groups of recording and alerting rules as in Prometheus' own rule files.
        scrape_seconds: how often Prometheus scrapes and evaluates.
        sync_seconds: how often the HPA controller compares; 15 on clusters of a cloud.
    """

    scrape: tuple[dict[str, Any], ...] = ()
    rules: tuple[dict[str, Any], ...] = ()
    scrape_seconds: int = 5
    sync_seconds: int = 5

    def __post_init__(self) -> None:
        for name in ("scrape_seconds", "sync_seconds"):
            value = getattr(self, name)
            if not 1 <= value <= 60:
                raise ValueError(f"{name} is {value}, and must be from 1 to 60")
        names = [str(job.get("job_name", "")) for job in self.scrape]
        wrong = _first_wrong(names)
        if wrong is not None:
            raise ValueError(f"scrape: job name {wrong!r} is empty, given twice or {KUBE_STATE_METRICS!r}")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "AutoscalingOptions":
        """Read back what a file holds of them."""
        several = {name: tuple(data[name]) for name in ("scrape", "rules")}
        return cls(**{**data, **several})


KUBE_STATE_METRICS = "kube-state-metrics"
PODS = {"role": "pod"}
"""Discovery of the cluster's own pods, as Prometheus writes it."""


def _first_wrong(names: Iterable[str]) -> str | None:
    seen = {"", KUBE_STATE_METRICS}
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
