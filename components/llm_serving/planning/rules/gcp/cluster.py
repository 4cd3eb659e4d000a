"""The settings of a GKE cluster: system pool, access to the control plane, maintenance, groups."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from llm_serving.errors import LEAVE_OUT, Needs, Problem, Suggestion
from llm_serving.planning.rules.gcp.maintenance import check_maintenance, note_maintenance
from llm_serving.planning.rules.stack import StackShape
from llm_serving.planning.rules.system_pool import check_system_pool
from llm_serving.spec.gcp import GcpControlPlaneAccess

EVERYONE = IPv4Network("0.0.0.0/0")


def check_cluster(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``cluster``."""
    cluster = stack.gcp.cluster
    if cluster is None:
        return
    yield from check_system_pool(stack.cloud, cluster.system_pool)
    yield from _access(cluster.access)
    yield from check_maintenance(cluster.maintenance)


def note_cluster(stack: StackShape) -> Iterator[Problem]:
    """What is allowed and may surprise: a control plane that is open to everybody, teams whose groups are not looked
    up, long times without security patches."""
    cluster = stack.gcp.cluster
    if cluster is None:
        return
    for index, network in enumerate(cluster.access.authorized):
        if network == EVERYONE:
            path = f"cluster.access.authorized[{index}]"
            yield Problem(path, str(network), "lets everybody reach the control plane", _NO_ADDRESSES)
    if not cluster.security_group and any(team.viewers or team.editors for team in stack.teams):
        reason = "without it GKE looks up nobody's groups, so the viewers and editors of teams may do nothing"
        yield Problem(
            "cluster.securityGroup", None, reason, Suggestion("gke-security-groups@<your domain>", needs=Needs.FACT)
        )
    yield from note_maintenance(cluster.maintenance)


MOST_AUTHORIZED = 100
"""GKE documentation, "Add authorized networks for control plane access", of clusters with private nodes."""


_NO_ADDRESSES = Suggestion("larger ranges, or none and mode: dns", edits=[{"/cluster.access": {"mode": "dns"}}])


def _access(access: GcpControlPlaneAccess) -> Iterator[Problem]:
    ranges = [str(network) for network in access.authorized]
    if len(ranges) > MOST_AUTHORIZED:
        reason = f"GKE takes at most {MOST_AUTHORIZED}"
        yield Problem("cluster.access.authorized", f"{len(ranges)} ranges", reason, _NO_ADDRESSES)
    for index, network in enumerate(ranges):
        if network in ranges[:index]:
            yield Problem(f"cluster.access.authorized[{index}]", network, "named twice", LEAVE_OUT)
    if access.mode == "authorized" and not ranges:
        yield Problem(
            "cluster.access.authorized",
            None,
            "mode authorized lets in the ranges of this list only, and it is empty",
            Suggestion("the ranges of your runners and administrators, or mode: dns", edits=[{"mode": "dns"}]),
        )
