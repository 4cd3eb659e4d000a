"""The settings of an EKS cluster: its version, who reaches and who rules it, its system pool, pods a node."""

from collections.abc import Iterator
from datetime import date, timedelta
from ipaddress import IPv4Network

from llm_serving import catalog
from llm_serving.errors import LEAVE_OUT, Needs, Problem, Suggestion, nearest_or_few
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.rules.system_pool import check_system_pool
from llm_serving.spec.aws import AwsClusterSpec, AwsControlPlaneAccess

EVERYONE = IPv4Network("0.0.0.0/0")

MOST_AUTHORIZED = 40
"""Public endpoint access ranges a cluster (EKS documentation, "View and manage Amazon EKS service quotas")."""

WARNING_DAYS = 90
"""How long before the end of a version's standard support it is noted."""

SMALL_VCPUS = 30
MOST_PODS_OF_SMALL = 110
"""Pods that EKS recommends at most on a node of fewer than 30 vCPUs; 250 on others
(github.com/awslabs/amazon-eks-ami, ``max-pods-calculator.sh``)."""


def check_cluster(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``cluster``, but for its zones, which belong to the network."""
    cluster = stack.aws.cluster
    if cluster is None:
        return
    yield from check_system_pool(stack.cloud, cluster.system_pool)
    yield from _version(cluster.version, stack.today)
    yield from _access(cluster.access)
    yield from _administrators(cluster, stack.aws.account)


def note_cluster(stack: StackShape) -> Iterator[Problem]:
    """What is allowed and may surprise: a version that ends soon, a control plane that is open to everybody, many pods
    on small nodes."""
    cluster = stack.aws.cluster
    if cluster is None:
        return
    yield from _end_of_support(cluster.version, stack.today)
    for index, network in enumerate(cluster.access.authorized):
        if network == EVERYONE:
            path = f"cluster.access.authorized[{index}]"
            instead = Suggestion("mode private", edits=[{"/cluster.access": {"mode": "private"}}])
            yield Problem(path, str(network), "lets everybody reach the control plane", instead)
    if cluster.max_pods_per_node > MOST_PODS_OF_SMALL:
        names = {cluster.system_pool.machine_type, *(e.machine_type for pool in stack.aws.pools for e in pool.capacity)}
        machines = (machine for machine in catalog.machine_types(stack.cloud.name) if machine.name in names)
        small = [machine.name for machine in machines if machine.vcpus < SMALL_VCPUS]
        if small:
            most = Suggestion(values=[MOST_PODS_OF_SMALL])
            reason = f"EKS recommends at most {MOST_PODS_OF_SMALL} pods on nodes as small as {', '.join(small)}"
            yield Problem("cluster.maxPodsPerNode", cluster.max_pods_per_node, reason, most)


def _version(version: str, today: date | None) -> Iterator[Problem]:
    known = catalog.eks_addon_versions()
    path, support = "cluster.version", catalog.eks_version(version)
    if support is not None and today is not None and today > support.extended_until:
        reason = f"EKS ended its support, the extended one too, on {support.extended_until}"
        yield Problem(path, version, reason, Suggestion(values=known[-1:]))
    elif version not in known:
        reason = "not a version of EKS whose add-ons are known here"
        yield Problem(path, version, reason, nearest_or_few(version, known))


def _end_of_support(version: str, today: date | None) -> Iterator[Problem]:
    support = catalog.eks_version(version)
    if support is None or today is None:
        return
    later = [other for other in catalog.eks_addon_versions() if _number(other) > _number(version)]
    hint = Suggestion(values=later)
    if today > support.standard_until:
        reason = f"its standard support ended on {support.standard_until}: EKS upgrades such clusters by itself"
        yield Problem("cluster.version", version, reason, hint)
    elif today + timedelta(days=WARNING_DAYS) >= support.standard_until:
        reason = f"its standard support ends on {support.standard_until}, and EKS then upgrades the cluster by itself"
        yield Problem("cluster.version", version, reason, hint)


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _access(access: AwsControlPlaneAccess) -> Iterator[Problem]:
    ranges = [str(network) for network in access.authorized]
    path = "cluster.access.authorized"
    if len(ranges) > MOST_AUTHORIZED:
        reason = f"EKS takes at most {MOST_AUTHORIZED}"
        instead = Suggestion("larger ranges, or mode private", edits=[{"mode": "private", "authorized": None}])
        yield Problem(path, f"{len(ranges)} ranges", reason, instead)
    for index, network in enumerate(ranges):
        if network in ranges[:index]:
            yield Problem(f"{path}[{index}]", network, "named twice", LEAVE_OUT)
    if access.mode == "authorized" and not ranges:
        reason = "mode authorized lets in the ranges of this list only, and it is empty"
        text = "the ranges of your runners and administrators, or mode private"
        yield Problem(path, None, reason, Suggestion(text, edits=[{"mode": "private"}]))
    if access.mode == "private" and ranges:
        reason = "the control plane has no public address with mode private, so these ranges would have no effect"
        yield Problem(path, ranges, reason, Suggestion(removal=True, edits=[{"mode": "authorized"}]))


def _administrators(cluster: AwsClusterSpec, account: str) -> Iterator[Problem]:
    principals = [administrator.principal for administrator in cluster.administrators]
    if not principals:
        reason = "nobody could make an object on the cluster: EKS lets in whom it is told, and not who made it"
        text = f'the role that runs Pulumi: [{{principal: "arn:aws:iam::{account or "<account>"}:role/<its name>"}}]'
        yield Problem("cluster.administrators", None, reason, Suggestion(text, needs=Needs.FACT))
    for index, principal in enumerate(principals):
        if principal in principals[:index]:
            yield Problem(f"cluster.administrators[{index}]", principal, "named twice", LEAVE_OUT)
    for index, kind in enumerate(cluster.log_types):
        if kind in cluster.log_types[:index]:
            yield Problem(f"cluster.logTypes[{index}]", kind.value, "named twice", LEAVE_OUT)
