"""Says whether NetworkPolicies allow a connection, straight from the API reference of networking.k8s.io/v1.

Slow and plain on purpose, and written without a look at the enforcer: it walks the raw objects for each
connection and knows neither sets of addresses nor tables.
"""

import ipaddress
from dataclasses import dataclass


@dataclass(frozen=True)
class Connection:
    """A new connection between two addresses; the port is the one connected to."""

    source: str
    target: str
    protocol: str
    port: int


def allowed(connection, policies, pods, namespaces):
    """Both ends agree: egress of the source, ingress of the target.

    Args:
        connection: what is attempted.
        policies: NetworkPolicy objects.
        pods: the node's Pod objects.
        namespaces: Namespace objects.
    """
    source, target = pod_at(connection.source, pods), pod_at(connection.target, pods)
    if source is not None and source is target:
        return True
    for pod, direction, peer in ((source, "Egress", connection.target), (target, "Ingress", connection.source)):
        if pod is None:
            continue
        applying = [p for p in policies if applies(p, pod, direction)]
        if not applying:
            continue
        key, side = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        rules = [(policy, rule) for policy in applying for rule in policy["spec"].get(key) or []]
        if not any(allows(rule, side, policy, peer, connection, target, pods, namespaces) for policy, rule in rules):
            return False
    return True


def pod_at(address, pods):
    """The pod that has the address and takes part in the pods' network."""
    for pod in pods:
        if pod["spec"].get("hostNetwork") or pod["status"].get("phase") in ("Succeeded", "Failed"):
            continue
        if pod["status"].get("podIP") == address:
            return pod
    return None


def applies(policy, pod, direction):
    """The policy selects the pod and is about the direction."""
    types = policy["spec"].get("policyTypes")
    if not types:
        types = ["Ingress", "Egress"] if policy["spec"].get("egress") else ["Ingress"]
    same = policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return same and direction in types and selects(policy["spec"]["podSelector"], pod["metadata"])


def selects(selector, metadata):
    """A label selector matches an object's labels."""
    labels = metadata.get("labels") or {}
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for expression in selector.get("matchExpressions") or []:
        key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
        holds = {
            "In": key in labels and labels[key] in values,
            "NotIn": key not in labels or labels[key] not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }[operator]
        if not holds:
            return False
    return True


def allows(rule, side, policy, peer, connection, target, pods, namespaces):
    """The rule matches the other side's address and the port."""
    peers, ports = rule.get(side) or [], rule.get("ports") or []
    return (not peers or any(is_peer(p, policy, peer, pods, namespaces) for p in peers)) and (
        not ports or any(is_port(p, connection, target) for p in ports)
    )


def is_peer(peer, policy, address, pods, namespaces):
    if "ipBlock" in peer:
        block = peer["ipBlock"]
        inside = ipaddress.ip_address(address)
        return inside in ipaddress.ip_network(block["cidr"]) and not any(
            inside in ipaddress.ip_network(cidr) for cidr in block.get("except") or []
        )
    pod = pod_at(address, pods)
    if pod is None:
        return False
    if "namespaceSelector" in peer:
        namespace = next((n for n in namespaces if n["metadata"]["name"] == pod["metadata"]["namespace"]), None)
        if namespace is None or not selects(peer["namespaceSelector"], namespace["metadata"]):
            return False
    elif pod["metadata"]["namespace"] != policy["metadata"]["namespace"]:
        return False
    return selects(peer.get("podSelector") or {}, pod["metadata"])


def is_port(port, connection, target):
    if port.get("protocol", "TCP") != connection.protocol:
        return False
    wanted = port.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        if target is None:
            return False
        for container in target["spec"]["containers"]:
            for declared in container.get("ports") or []:
                if declared.get("name") == wanted and declared.get("protocol", "TCP") == connection.protocol:
                    return declared["containerPort"] == connection.port
        return False
    return wanted <= connection.port <= port.get("endPort", wanted)
