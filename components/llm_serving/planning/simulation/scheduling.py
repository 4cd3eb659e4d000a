"""Would the scheduler put this pod on that node? A simulation for nodes that do not exist yet.

It knows what decides over GPU workloads: node selector, required node affinity, taints, resources, host
ports, required pod affinity and anti-affinity, hard topology spread. The real scheduler has the last word: it
alone binds pods. What is refused is told in the scheduler's own words.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import cast

from llm_serving.planning.simulation.node_pool import HOSTNAME
from llm_serving.planning.simulation.objects import Object, items, member
from llm_serving.planning.simulation.quantities import parse_quantity

Resources = dict[str, Decimal]
"""Amounts by the name of the resource (``cpu`` in cores, ``memory`` in bytes, ``nvidia.com/gpu``, ``pods``)."""

# Conditions of a machine's first moments, not properties of its pool.
_TRANSIENT_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_CORDON_TAINT = "node.kubernetes.io/unschedulable"

REASON_NODE_AFFINITY = "node(s) didn't match Pod's node affinity/selector"
REASON_ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
REASON_AFFINITY = "node(s) didn't match pod affinity rules"
REASON_TOPOLOGY_SPREAD = "node(s) didn't match pod topology spread constraints"
REASON_HOST_PORTS = "node(s) didn't have free ports for the requested pod ports"

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_ZERO = Decimal(0)


@dataclass
class NodeInfo:
    """A node, real or planned, with the pods on it, as the scheduler looks at it.

    Attributes:
        name: the node's name.
        labels: its labels.
        taints: its taints, without those of a machine that is starting.
        allocatable: what pods may request in all.
        pods: the pods that are bound to it.
    """

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Object]
    allocatable: Mapping[str, Decimal]
    pods: list[Object] = field(default_factory=list[Object])

    @classmethod
    def of_node(cls, node: Object, pods: Iterable[Object]) -> "NodeInfo":
        """A node of the cluster with the pods that are bound to it."""
        return cls(
            name=node["metadata"]["name"],
            labels=member(node, "metadata", "labels"),
            taints=[taint for taint in items(node, "spec", "taints") if not _is_transient(taint)],
            allocatable=_amounts(member(node, "status", "allocatable")),
            pods=list(pods),
        )

    def free(self) -> Resources:
        """What its pods leave of its allocatable resources."""
        left = dict(self.allocatable)
        for pod in self.pods:
            for resource, amount in pod_requests(pod).items():
                left[resource] = left.get(resource, _ZERO) - amount
        return left


def _is_transient(taint: Object) -> bool:
    return taint["key"].startswith(_TRANSIENT_TAINTS) and taint["key"] != _CORDON_TAINT


def pod_requests(pod: Object) -> Resources:
    """What the scheduler counts for a pod: the larger of its containers' sum and each init container's need.

    Source:
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    spec = member(pod, "spec")
    total: Resources = {}
    for container in items(spec, "containers"):
        _add(total, _requests(container))
    sidecars: Resources = {}
    init_peak: Resources = {}
    for container in items(spec, "initContainers"):
        own = _requests(container)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, own)
            own = {}
        for resource in {*own, *sidecars}:
            need = own.get(resource, _ZERO) + sidecars.get(resource, _ZERO)
            init_peak[resource] = max(init_peak.get(resource, _ZERO), need)
    _add(total, sidecars)
    for resource, need in init_peak.items():
        total[resource] = max(total.get(resource, _ZERO), need)
    total.update(_requests(spec))  # resources of the whole pod outrank the sum
    _add(total, _amounts(member(spec, "overhead")))
    return {**total, "pods": Decimal(1)}


def _requests(owner: Object) -> Resources:
    # The API server copies a limit where the request is missing.
    return {**_amounts(member(owner, "resources", "limits")), **_amounts(member(owner, "resources", "requests"))}


def _amounts(quantities: Object) -> Resources:
    return {resource: parse_quantity(quantity) for resource, quantity in quantities.items()}


def _add(total: Resources, more: Resources) -> None:
    for resource, amount in more.items():
        total[resource] = total.get(resource, _ZERO) + amount


def rejection_reasons(pod: Object, node: NodeInfo, all_nodes: Sequence[NodeInfo]) -> list[str]:
    """Why the pod cannot run there, in the scheduler's words; empty where it can.

    Args:
        pod: the pod.
        node: the node in question.
        all_nodes: every node of the cluster, that one included: for rules that look at other pods.
    """
    spec = member(pod, "spec")
    if not matches_node_affinity(spec, node):
        return [REASON_NODE_AFFINITY]
    taint = untolerated_taint(items(spec, "tolerations"), node.taints)
    if taint is not None:
        return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    free = node.free()
    reasons = [
        f"Insufficient {resource}"
        for resource, amount in sorted(pod_requests(pod).items())
        if amount > 0 and amount > free.get(resource, _ZERO)
    ]
    if _host_ports(pod) & {port for other in node.pods for port in _host_ports(other)}:
        reasons.append(REASON_HOST_PORTS)
    if not _anti_affinity_holds(pod, node, all_nodes):
        reasons.append(REASON_ANTI_AFFINITY)
    if not _affinity_holds(pod, node, all_nodes):
        reasons.append(REASON_AFFINITY)
    if not _topology_spread_holds(pod, node, all_nodes):
        reasons.append(REASON_TOPOLOGY_SPREAD)
    return reasons


# Nodes


def matches_node_affinity(spec: Object, node: NodeInfo) -> bool:
    """A pod spec's node selector and required node affinity admit the node."""
    if any(node.labels.get(key) != value for key, value in member(spec, "nodeSelector").items()):
        return False
    node_affinity = member(spec, "affinity", "nodeAffinity")
    if node_affinity.get(_REQUIRED) is None:
        return True
    return any(_term_matches(term, node) for term in items(node_affinity, _REQUIRED, "nodeSelectorTerms"))


def _term_matches(term: Object, node: NodeInfo) -> bool:
    expressions, field_expressions = items(term, "matchExpressions"), items(term, "matchFields")
    if not expressions and not field_expressions:
        return False  # an empty term matches nothing
    fields = {"metadata.name": node.name}
    return all(_expression_matches(e, node.labels) for e in expressions) and all(
        _expression_matches(e, fields) for e in field_expressions
    )


def _expression_matches(expression: Object, labels: Mapping[str, str]) -> bool:
    values = cast(Sequence[str] | None, expression.get("values")) or []
    return requirement_holds(expression["operator"], values, labels.get(expression["key"]))


def requirement_holds(operator: str, values: Collection[str], value: str | None) -> bool:
    """One condition on a label, or on a field of a node.

    Args:
        operator: ``In``, ``NotIn``, ``Exists``, ``DoesNotExist``, ``Gt`` or ``Lt``; any other never holds.
        values: what the value is compared with; one number for ``Gt`` and ``Lt``.
        value: the label's value; ``None`` where it is missing, for which ``NotIn`` holds.
    """
    match operator:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            if value is None or not value.lstrip("-").isdigit():
                return False
            limit = int(next(iter(values)))
            return int(value) > limit if operator == "Gt" else int(value) < limit
        case _:
            return False


def untolerated_taint(tolerations: Sequence[Object], taints: Iterable[Object]) -> Object | None:
    """The first taint that keeps the pod away; ``None`` where all are tolerated."""
    for taint in taints:
        if taint["effect"] != "PreferNoSchedule" and not any(_tolerates(t, taint) for t in tolerations):
            return taint
    return None


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    key = toleration.get("key")
    if key and key != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def _host_ports(pod: Object) -> set[tuple[str, int]]:
    ports = [port for container in items(pod, "spec", "containers") for port in items(container, "ports")]
    return {(port.get("protocol", "TCP"), port["hostPort"]) for port in ports if port.get("hostPort")}


# Other pods


def label_selector_matches(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """A LabelSelector against labels; no selector matches nothing, an empty one everything."""
    if selector is None:
        return False
    return all(labels.get(k) == v for k, v in member(selector, "matchLabels").items()) and all(
        _expression_matches(e, labels) for e in items(selector, "matchExpressions")
    )


def _affinity_term_selects(term: Object, owner: Object, other: Object) -> bool:
    """A pod affinity term of ``owner`` means ``other``. Namespace selectors are read as every namespace."""
    namespaces = term.get("namespaces") or ([] if "namespaceSelector" in term else [_namespace(owner)])
    in_namespace = not namespaces or _namespace(other) in namespaces
    return in_namespace and label_selector_matches(term.get("labelSelector"), _labels(other))


def _namespace(pod: Object) -> str:
    return pod["metadata"].get("namespace", "default")


def _labels(pod: Object) -> Mapping[str, str]:
    return member(pod, "metadata", "labels")


def _required_terms(pod: Object, kind: str) -> Sequence[Object]:
    return items(pod, "spec", "affinity", kind, _REQUIRED)


def _pods_in_domain(node: NodeInfo, topology_key: str, all_nodes: Sequence[NodeInfo]) -> list[Object]:
    domain = node.labels.get(topology_key)
    return [] if domain is None else [p for n in all_nodes if n.labels.get(topology_key) == domain for p in n.pods]


def _anti_affinity_holds(pod: Object, node: NodeInfo, all_nodes: Sequence[NodeInfo]) -> bool:
    for term in _required_terms(pod, "podAntiAffinity"):
        if any(
            _affinity_term_selects(term, pod, other) for other in _pods_in_domain(node, term["topologyKey"], all_nodes)
        ):
            return False
    # What runs already may not want this pod near.
    for other_node in all_nodes:
        for other in other_node.pods:
            for term in _required_terms(other, "podAntiAffinity"):
                domain = node.labels.get(term["topologyKey"])
                same_domain = domain is not None and domain == other_node.labels.get(term["topologyKey"])
                if same_domain and _affinity_term_selects(term, other, pod):
                    return False
    return True


def _affinity_holds(pod: Object, node: NodeInfo, all_nodes: Sequence[NodeInfo]) -> bool:
    for term in _required_terms(pod, "podAffinity"):
        if node.labels.get(term["topologyKey"]) is None:
            return False
        if any(
            _affinity_term_selects(term, pod, other) for other in _pods_in_domain(node, term["topologyKey"], all_nodes)
        ):
            continue
        # The first of a group that wants to be together may go anywhere.
        group_exists = any(_affinity_term_selects(term, pod, other) for n in all_nodes for other in n.pods)
        if group_exists or not _affinity_term_selects(term, pod, pod):
            return False
    return True


def _topology_spread_holds(pod: Object, node: NodeInfo, all_nodes: Sequence[NodeInfo]) -> bool:
    for rule in items(pod, "spec", "topologySpreadConstraints"):
        if rule.get("whenUnsatisfiable") != "DoNotSchedule":
            continue
        key = rule["topologyKey"]
        if key not in node.labels:
            return False
        eligible = [n for n in all_nodes if key in n.labels and matches_node_affinity(pod["spec"], n)]
        matching = Counter({n.labels[key]: 0 for n in eligible})
        for n in eligible:
            neighbours = (other for other in n.pods if _namespace(other) == _namespace(pod))
            matching[n.labels[key]] += sum(
                label_selector_matches(rule.get("labelSelector"), _labels(other)) for other in neighbours
            )
        own_domain = matching[node.labels[key]]
        fewest = min(matching.values(), default=0) if key != HOSTNAME or len(matching) > 1 else own_domain
        if own_domain + 1 - fewest > rule["maxSkew"]:
            return False
    return True
