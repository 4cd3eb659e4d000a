"""Would the scheduler put this pod on that node? A simulation for nodes that do not exist yet.

It knows what decides over GPU workloads: node selector, required node affinity, taints, resources, host
ports, required pod affinity and anti-affinity, hard topology spread. The real scheduler has the last word: it
alone binds pods. What is refused is told in the scheduler's own words.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from local.cluster.pools import HOSTNAME
from local.cluster.quantity import quantity

Object = Mapping[str, Any]

# Conditions of a machine's first moments, not properties of its pool.
_PASSING_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_LASTING_TAINTS = ("node.kubernetes.io/unschedulable",)

SELECTOR = "node(s) didn't match Pod's node affinity/selector"
TAINTED = "node(s) had untolerated taint(s)"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
AFFINITY = "node(s) didn't match pod affinity rules"
SPREAD = "node(s) didn't match pod topology spread constraints"
PORTS = "node(s) didn't have free ports for the requested pod ports"


@dataclass
class Place:
    """A node, real or planned, with what is on it."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, Any]]
    allocatable: Mapping[str, Decimal]
    pods: list[Object] = field(default_factory=list)

    @classmethod
    def of_node(cls, node: Object, pods: Iterable[Object]) -> "Place":
        """A node of the cluster with the pods that are bound to it."""
        status, spec = node.get("status") or {}, node.get("spec") or {}
        return cls(
            name=node["metadata"]["name"],
            labels=node["metadata"].get("labels") or {},
            taints=[t for t in spec.get("taints") or [] if not _passing(t)],
            allocatable={k: quantity(v) for k, v in (status.get("allocatable") or {}).items()},
            pods=list(pods),
        )

    def free(self) -> dict[str, Decimal]:
        """What is left of its resources."""
        left = dict(self.allocatable)
        for pod in self.pods:
            for resource, amount in requests(pod).items():
                left[resource] = left.get(resource, Decimal(0)) - amount
        return left


def _passing(taint: Mapping[str, Any]) -> bool:
    return taint["key"].startswith(_PASSING_TAINTS) and taint["key"] not in _LASTING_TAINTS


def requests(pod: Object) -> dict[str, Decimal]:
    """What the scheduler counts for a pod: the larger of its containers' sum and each init container's need.

    Source:
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    spec = pod["spec"]
    total: Counter[str] = Counter()
    for container in spec.get("containers") or []:
        _add(total, _asked(container))
    sidecars: Counter[str] = Counter()
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or []:
        asked = _asked(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, asked)
            asked = {}
        for resource in {*asked, *sidecars}:
            need = asked.get(resource, Decimal(0)) + sidecars[resource]
            peak[resource] = max(peak.get(resource, Decimal(0)), need)
    _add(total, sidecars)
    for resource, need in peak.items():
        total[resource] = max(total[resource], need)  # type: ignore[assignment]
    for resource, amount in _asked(spec).items():  # resources of the whole pod outrank the sum
        total[resource] = amount  # type: ignore[assignment]
    _add(total, {k: quantity(v) for k, v in (spec.get("overhead") or {}).items()})
    return {**{k: Decimal(v) for k, v in total.items()}, "pods": Decimal(1)}


def _asked(holder: Mapping[str, Any]) -> dict[str, Decimal]:
    resources = holder.get("resources") or {}
    # The API server copies a limit where the request is missing.
    return {k: quantity(v) for k, v in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items()}


def _add(total: Counter[str], more: Mapping[str, Any]) -> None:
    for resource, amount in more.items():
        total[resource] += amount


def obstacles(pod: Object, place: Place, places: Sequence[Place]) -> list[str]:
    """Why the pod cannot run there, in the scheduler's words; empty where it can.

    Args:
        pod: the pod.
        place: the node in question.
        places: every node of the cluster, that one included: for rules that look at other pods.
    """
    spec = pod["spec"]
    if not selects(spec, place):
        return [SELECTOR]
    taint = untolerated(spec.get("tolerations") or [], place.taints)
    if taint is not None:
        return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    found: list[str] = []
    free = place.free()
    found += [
        f"Insufficient {resource}"
        for resource, amount in sorted(requests(pod).items())
        if amount > 0 and amount > free.get(resource, Decimal(0))
    ]
    if _host_ports(pod) & {port for other in place.pods for port in _host_ports(other)}:
        found.append(PORTS)
    if not _anti_affinity_holds(pod, place, places):
        found.append(ANTI_AFFINITY)
    if not _affinity_holds(pod, place, places):
        found.append(AFFINITY)
    if not _spread_holds(pod, place, places):
        found.append(SPREAD)
    return found


# Nodes


def selects(spec: Mapping[str, Any], place: Place) -> bool:
    """The pod's node selector and required node affinity admit the node."""
    if any(place.labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term_matches(term, place) for term in required.get("nodeSelectorTerms") or [])


def _term_matches(term: Mapping[str, Any], place: Place) -> bool:
    expressions = term.get("matchExpressions") or []
    by_field = term.get("matchFields") or []
    if not expressions and not by_field:
        return False  # an empty term matches nothing
    names = {"metadata.name": place.name}
    return all(_expression_matches(e, place.labels) for e in expressions) and all(
        _expression_matches(e, names) for e in by_field
    )


def _expression_matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.lstrip("-").isdigit() and int(value) > int(values[0])
        case "Lt":
            return value is not None and value.lstrip("-").isdigit() and int(value) < int(values[0])
        case _:
            return False


def untolerated(
    tolerations: Sequence[Mapping[str, Any]], taints: Iterable[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The first taint that keeps the pod away, if any."""
    for taint in taints:
        if taint["effect"] != "PreferNoSchedule" and not any(_tolerates(t, taint) for t in tolerations):
            return taint
    return None


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    key = toleration.get("key")
    if key and key != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def _host_ports(pod: Object) -> set[tuple[str, int]]:
    containers = pod["spec"].get("containers") or []
    ports = [port for container in containers for port in container.get("ports") or []]
    return {(port.get("protocol", "TCP"), port["hostPort"]) for port in ports if port.get("hostPort")}


# Other pods


def label_selector_matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """A LabelSelector against labels; no selector matches nothing, an empty one everything."""
    if selector is None:
        return False
    return all(labels.get(k) == v for k, v in (selector.get("matchLabels") or {}).items()) and all(
        _expression_matches(e, labels) for e in selector.get("matchExpressions") or []
    )


def _term_selects(term: Mapping[str, Any], owner: Object, other: Object) -> bool:
    """A pod affinity term of ``owner`` means ``other``. Namespace selectors are read as every namespace."""
    namespaces = term.get("namespaces") or ([] if "namespaceSelector" in term else [_namespace(owner)])
    inside = not namespaces or _namespace(other) in namespaces
    return inside and label_selector_matches(term.get("labelSelector"), _labels(other))


def _namespace(pod: Object) -> str:
    return pod["metadata"].get("namespace", "default")


def _labels(pod: Object) -> Mapping[str, str]:
    return pod["metadata"].get("labels") or {}


def _required(pod: Object, kind: str) -> list[Mapping[str, Any]]:
    rules = (pod["spec"].get("affinity") or {}).get(kind) or {}
    return rules.get("requiredDuringSchedulingIgnoredDuringExecution") or []


def _near(place: Place, key: str, places: Sequence[Place]) -> list[Object]:
    """The pods in the same domain of a topology."""
    domain = place.labels.get(key)
    return [] if domain is None else [pod for p in places if p.labels.get(key) == domain for pod in p.pods]


def _anti_affinity_holds(pod: Object, place: Place, places: Sequence[Place]) -> bool:
    for term in _required(pod, "podAntiAffinity"):
        if any(_term_selects(term, pod, other) for other in _near(place, term["topologyKey"], places)):
            return False
    # What runs already may not want this pod near.
    for elsewhere in places:
        for other in elsewhere.pods:
            for term in _required(other, "podAntiAffinity"):
                key = term["topologyKey"]
                same = place.labels.get(key) is not None and place.labels.get(key) == elsewhere.labels.get(key)
                if same and _term_selects(term, other, pod):
                    return False
    return True


def _affinity_holds(pod: Object, place: Place, places: Sequence[Place]) -> bool:
    for term in _required(pod, "podAffinity"):
        if place.labels.get(term["topologyKey"]) is None:
            return False
        if any(_term_selects(term, pod, other) for other in _near(place, term["topologyKey"], places)):
            continue
        # The first of a group that wants to be together may go anywhere.
        somewhere = any(_term_selects(term, pod, other) for p in places for other in p.pods)
        if somewhere or not _term_selects(term, pod, pod):
            return False
    return True


def _spread_holds(pod: Object, place: Place, places: Sequence[Place]) -> bool:
    for rule in pod["spec"].get("topologySpreadConstraints") or []:
        if rule.get("whenUnsatisfiable") != "DoNotSchedule":
            continue
        key = rule["topologyKey"]
        if key not in place.labels:
            return False
        eligible = [p for p in places if key in p.labels and selects(pod["spec"], p)]
        matching: Counter[str] = Counter({p.labels[key]: 0 for p in eligible})
        for p in eligible:
            same = (o for o in p.pods if _namespace(o) == _namespace(pod))
            matching[p.labels[key]] += sum(label_selector_matches(rule.get("labelSelector"), _labels(o)) for o in same)
        here = matching[place.labels[key]]
        fewest = min(matching.values(), default=0) if key != HOSTNAME or len(matching) > 1 else here
        if here + 1 - fewest > rule["maxSkew"]:
            return False
    return True
