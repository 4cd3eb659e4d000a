"""What only Google Cloud has: the settings of a GKE cluster, of its VPC network and of the bucket of the model cache,
and what a pool on GKE has beside what every pool has."""

from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from llm_serving.arguments import Frozen
from llm_serving.spec.names import ClusterName, PositiveCount
from llm_serving.spec.network import Cidr
from llm_serving.spec.pool import PoolSpec


class GcpReleaseChannel(StrEnum):
    """How early GKE gives a cluster new Kubernetes versions."""

    RAPID = "rapid"
    REGULAR = "regular"
    STABLE = "stable"
    EXTENDED = "extended"


class GcpControlPlaneAccess(Frozen):
    """Who reaches the Kubernetes API.

    Attributes:
        mode: ``dns``: by the DNS endpoint, guarded by the cloud's identity and access management; ``authorized``:
            by a public address from ``authorized`` ranges only; ``private``: from inside the network only.
        authorized: ranges that may connect; needed by ``authorized``, allowed with ``private`` (ranges reached by a
            VPN or a peering), refused with ``dns``.
    """

    mode: Literal["dns", "authorized", "private"] = "dns"
    authorized: tuple[Cidr, ...] = ()


Instant = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$")]
"""RFC 3339 in UTC, for example ``2026-01-03T02:00:00Z``."""


class GcpMaintenanceExclusion(Frozen):
    """A time in which the cloud leaves the cluster as it is, for example around a launch.

    Attributes:
        name: what it is for; unique in the cluster.
        start: first moment.
        end: last moment; GKE allows 30 days for ``all`` and, with scope, until the version's end of support.
        scope: what is left undone: ``all`` upgrades, ``minor`` versions, or ``minor-and-nodes``.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
    start: Instant
    end: Instant
    scope: Literal["all", "minor", "minor-and-nodes"] = "all"


class GcpMaintenanceWindow(Frozen):
    """When the cloud may upgrade the cluster.

    Attributes:
        start: first start, RFC 3339 in UTC, for example ``2026-01-03T02:00:00Z``.
        hours: length of one window; GKE wants at least 4 hours, and 48 within 32 days.
        recurrence: RFC 5545 rule, for example ``FREQ=WEEKLY;BYDAY=SA,SU``.
        exclusions: times in which nothing is upgraded although a window is open.
    """

    start: Instant = "2026-01-03T02:00:00Z"
    hours: Annotated[int, Field(ge=4, le=24)] = 8
    recurrence: Annotated[str, StringConstraints(pattern=r"^FREQ=(DAILY|WEEKLY)(;.+)?$")] = "FREQ=WEEKLY;BYDAY=SA,SU"
    exclusions: tuple[GcpMaintenanceExclusion, ...] = ()


class GcpSystemPool(Frozen):
    """CPU nodes for everything that needs no GPU. Counts are per zone of the cluster.

    Attributes:
        machine_type: the cloud's name of the machine.
        min: fewest nodes a zone.
        max: most nodes a zone.
    """

    machine_type: str = "e2-standard-4"
    min: PositiveCount = 1
    max: PositiveCount = 3


class GcpClusterSpec(Frozen):
    """The cluster of one environment.

    Attributes:
        name: fixed for the life of a stack.
        regional: a control plane in several zones; ``False`` puts it into the first zone (cheaper, for development).
        zones: zones in which nodes may run; all within the stack's region.
        release_channel: how early the cluster gets new Kubernetes versions.
        version: smallest Kubernetes version, or ``None`` for the channel's default.
        access: who reaches the control plane.
        security_group: group ``gke-security-groups@<domain>`` that contains the groups of teams. Without it GKE looks
            up nobody's groups, and viewers and editors may do nothing (GKE documentation, "Configure Google Groups for
            RBAC").
        maintenance: when the cloud may upgrade.
        max_pods_per_node: decides the size of each node's block of pod addresses.
        encrypt_secrets: encrypt Kubernetes Secrets with a key of our own in the cloud's key management service.
        deletion_protection: refuse to delete the cluster; switching it off needs an ``up`` of its own.
        system_pool: nodes for everything that needs no GPU.
    """

    name: ClusterName
    regional: bool = True
    zones: Annotated[tuple[str, ...], Field(min_length=1)]
    release_channel: GcpReleaseChannel = GcpReleaseChannel.REGULAR
    version: str | None = None
    access: GcpControlPlaneAccess = GcpControlPlaneAccess()
    security_group: Annotated[str, StringConstraints(pattern=r"^gke-security-groups@[-.a-z0-9]+$")] | None = None
    maintenance: GcpMaintenanceWindow = GcpMaintenanceWindow()
    max_pods_per_node: Annotated[int, Field(ge=8, le=256)] = 32
    encrypt_secrets: bool = True
    deletion_protection: bool = True
    system_pool: GcpSystemPool = GcpSystemPool()


class GcpNetworkSpec(Frozen):
    """The VPC network of one environment. Ranges are fixed for the life of a stack.

    Attributes:
        nodes: primary range of the node subnet; one address a node.
        pods: range from which every node gets a block for its pods.
        services: range of the cluster's Services.
        proxies: range of the proxies of regional gateways (proxy-only subnet, at least a /26).
        nat_addresses: fixed public addresses from which the network reaches the internet, for allow-lists of others;
            0 leaves number and choice to Cloud NAT.
        flow_log_sampling: share of the node subnet's flows that is logged; 0 logs none.
    """

    nodes: Cidr = IPv4Network("10.0.0.0/20")
    pods: Cidr = IPv4Network("10.64.0.0/14")
    services: Cidr = IPv4Network("10.0.32.0/20")
    proxies: Cidr = IPv4Network("10.0.16.0/23")
    nat_addresses: Annotated[int, Field(ge=0, le=16)] = 0
    flow_log_sampling: Annotated[float, Field(ge=0, le=1)] = 0.1


SHORTEST_SOFT_DELETE_DAYS = 7


def _soft_delete_days(days: int) -> int:
    if 0 < days < SHORTEST_SOFT_DELETE_DAYS:
        raise ValueError(
            f"Cloud Storage keeps deleted objects for {SHORTEST_SOFT_DELETE_DAYS} to 90 days, or, with 0, not at all"
        )
    return days


class GcpModelCacheSpec(Frozen):
    """The Cloud Storage bucket that holds the weights.

    Attributes:
        soft_delete_days: how long deleted objects can be restored: 0, or 7 to 90 (Cloud Storage documentation, "Soft
            delete").
        noncurrent_days: how long an overwritten version of an object is kept.
        force_destroy: let ``pulumi destroy`` delete a bucket that still holds objects.
    """

    soft_delete_days: Annotated[int, Field(ge=0, le=90), AfterValidator(_soft_delete_days)] = 7
    noncurrent_days: Annotated[int, Field(ge=1)] = 14
    force_destroy: bool = False


SPOT_SHUTDOWN_SECONDS = 30
"""What a Spot node of GKE takes to end where nothing else is asked for."""

LONGEST_SPOT_SHUTDOWN_SECONDS = 120

_SPOT_SHUTDOWNS = (SPOT_SHUTDOWN_SECONDS, LONGEST_SPOT_SHUTDOWN_SECONDS)


def _spot_shutdown(value: int) -> int:
    if value not in _SPOT_SHUTDOWNS:
        raise ValueError(f"not one of {', '.join(map(str, _SPOT_SHUTDOWNS))}")
    return value


SpotShutdown = Annotated[int, AfterValidator(_spot_shutdown)]
"""The shutdown grace periods that GKE allows on Spot nodes: 30, its default, and 120 seconds (GKE documentation,
"Customizing node system configuration", ``shutdownGracePeriodSeconds``)."""


class GcpPoolSpec(PoolSpec):
    """A pool on GKE: one node pool for each entry of its capacity, under a ComputeClass of the pool's name.

    Attributes:
        spot_shutdown_seconds: what a spot node takes from its notice to its end. 120 gives requests more time to end.
    """

    spot_shutdown_seconds: SpotShutdown = SPOT_SHUTDOWN_SECONDS
