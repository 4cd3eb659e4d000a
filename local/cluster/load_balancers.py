"""Addresses for Services of type LoadBalancer, which on a real cloud its controller gives.

The addresses are of the range for documentation (RFC 5737), so that nothing is ever sent to a stranger; an
internal load balancer gets a private one. Nobody listens there: what a cluster without containers can tell is
that an address was given.
"""

import hashlib
import ipaddress
from collections.abc import Iterable

from llm_serving.planning.simulation.objects import Object, items

_EXTERNAL = ipaddress.ip_network("203.0.113.0/24")
_INTERNAL = ipaddress.ip_network("10.127.0.0/24")
# https://cloud.google.com/kubernetes-engine/docs/concepts/service-load-balancer-parameters and
# https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/guide/service/annotations/
_INTERNAL_ANNOTATIONS = {
    "networking.gke.io/load-balancer-type": "internal",
    "cloud.google.com/load-balancer-type": "internal",
    "service.beta.kubernetes.io/aws-load-balancer-scheme": "internal",
}


def is_waiting(service: Object) -> bool:
    """It wants an address and has none."""
    spec = service.get("spec") or {}
    ours = spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")
    return ours and not service["metadata"].get("deletionTimestamp") and not addresses([service])


def addresses(services: Iterable[Object]) -> set[str]:
    """The addresses that services have."""
    entries = (entry for service in services for entry in items(service, "status", "loadBalancer", "ingress"))
    return {entry["ip"] for entry in entries if entry.get("ip")}


def address(service: Object, taken: set[str]) -> str:
    """An address for a service: the one that it asks for, else one that stays the same while it is free.

    Raises:
        LookupError: every address is taken.
    """
    wanted = (service.get("spec") or {}).get("loadBalancerIP")
    if wanted:
        return wanted
    noted = service["metadata"].get("annotations") or {}
    internal = any(noted.get(key, "").lower() == value for key, value in _INTERNAL_ANNOTATIONS.items())
    hosts = list((_INTERNAL if internal else _EXTERNAL).hosts())
    name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
    start = int(hashlib.sha256(name.encode()).hexdigest(), 16)
    for offset in range(len(hosts)):
        candidate = str(hosts[(start + offset) % len(hosts)])
        if candidate not in taken:
            return candidate
    raise LookupError(f"no address is left for the load balancer of {name}: {len(hosts)} are given out")
