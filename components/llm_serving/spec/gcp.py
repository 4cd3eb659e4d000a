"""What only Google Cloud has: the settings of a GKE cluster, of its VPC network and of the bucket of the model cache,
and what a pool on GKE has beside what every pool has."""

import re
from calendar import monthrange
from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from llm_serving.arguments import Frozen
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.spec.forms import GCP_NAME, GCP_PROJECT, REGION
from llm_serving.spec.instants import Instant
from llm_serving.spec.names import ClusterName, PoolName, PositiveCount, version_text
from llm_serving.spec.network import Cidr
from llm_serving.spec.pool import PoolSpec

ProjectId = Annotated[str, GCP_PROJECT]
"""Id (not the number) of a Google Cloud project, with the domain in front where the project has one
(``example.com:my-project``)."""

Region = Annotated[str, REGION]
"""A region such as ``us-central1``."""


class GcpReleaseChannel(StrEnum):
    """How early GKE gives a cluster new Kubernetes versions."""

    RAPID = "rapid"
    REGULAR = "regular"
    STABLE = "stable"
    EXTENDED = "extended"


class GcpControlPlaneAccess(Frozen):
    """Who reaches the Kubernetes API."""

    mode: Literal["dns", "authorized", "private"] = "dns"
    """`dns` (guarded by IAM), `authorized` (a public address for some ranges) or `private`.

    ``dns``: by the DNS endpoint, guarded by the cloud's identity and access management, and by a public address from
    ``authorized`` ranges where there are some; ``authorized``: by a public address from ``authorized`` ranges only;
    ``private``: by an address inside the network, from the cluster's nodes and pods and from ``authorized`` ranges.
    """
    authorized: tuple[Cidr, ...] = ()
    """Ranges that may connect to an address of the control plane.

    Needed by ``authorized``, allowed with ``private`` (other subnets, and ranges reached by a VPN or a peering) and
    with ``dns``, which has no address without them.
    """


class GcpMaintenanceExclusion(Frozen):
    """A time in which the cloud leaves the cluster as it is.

    A time in which the cloud leaves the cluster as it is, for example around a launch.
    """

    name: Annotated[str, GCP_NAME]
    """What it is for; unique in the cluster."""
    start: Instant
    """First moment, RFC 3339 in UTC."""
    end: Instant
    """Last moment, RFC 3339 in UTC.

    GKE allows 90 days for ``all``, and the others until the version's end of support.
    """
    scope: Literal["all", "minor", "minor-and-nodes"] = "all"
    """What is left undone: `all` upgrades, `minor` versions, or `minor-and-nodes`."""


_RECURRENCE_PARTS = ("FREQ", "INTERVAL", "BYDAY", "BYMONTH", "BYMONTHDAY", "WKST")
"""Parts of a rule of RFC 5545 that say on which days; the time of day is that of the first window."""


def _check_recurrence(value: str) -> str:
    parts = [part.partition("=") for part in value.split(";")]
    names = [name for name, _, _ in parts]
    plainer = re.sub(r"\s", "", value).upper().removeprefix("RRULE:")

    def refuse(reason: str) -> ProblemsError:
        near = plainer if plainer != value and _is_recurrence(plainer) else "FREQ=WEEKLY;BYDAY=SA,SU"
        return ProblemsError([Problem("", value, reason, Suggestion(values=[near]))])

    if parts[0] not in (("FREQ", "=", "DAILY"), ("FREQ", "=", "WEEKLY")):
        raise refuse("not a rule that begins with FREQ=DAILY or FREQ=WEEKLY")
    for name, equals, said in parts:
        if not equals or not said:
            raise refuse(f"not a rule of RFC 5545: {name!r} has no value")
        if name in ("UNTIL", "COUNT"):
            raise refuse(f"has an end, {name}, after which GKE would find no time for upgrades")
        if name not in _RECURRENCE_PARTS:
            raise refuse(f"not a rule of days: {name} is not one of {', '.join(_RECURRENCE_PARTS)}")
        if names.count(name) > 1:
            raise refuse(f"says {name} twice")
        if name == "BYDAY" and not _DAYS.fullmatch(said):
            # RFC 5545, 3.3.10: a number before a day is for rules of months and years.
            raise refuse("not a rule of days: BYDAY takes MO, TU, WE, TH, FR, SA and SU, with commas between them")
    if not _happens({name: said for name, _, said in parts}):
        raise refuse("not a rule of days: there is no such day in any year")
    return value


def _happens(parts: Mapping[str, str]) -> bool:
    """Whether a year has a day of the rule's months and numbers: whoever looks for the first one would not end."""
    if not parts.keys() & {"BYMONTH", "BYMONTHDAY"}:
        return True
    try:
        months = [int(month) for month in parts.get("BYMONTH", "1,2,3,4,5,6,7,8,9,10,11,12").split(",")]
        days = [int(day) for day in parts.get("BYMONTHDAY", "1").split(",")]
    except ValueError:
        return False
    lengths = {month: monthrange(2024, month)[1] for month in months if 1 <= month <= 12}
    return any(1 <= abs(day) <= length for day in days for length in lengths.values())


_DAYS = re.compile("(MO|TU|WE|TH|FR|SA|SU)(,(MO|TU|WE|TH|FR|SA|SU))*")


def _is_recurrence(value: str) -> bool:
    try:
        return bool(_check_recurrence(value))
    except ProblemsError:
        return False


class GcpMaintenanceWindow(Frozen):
    """When the cloud may upgrade the cluster."""

    start: Instant = "2026-01-03T02:00:00Z"
    """First start, RFC 3339 in UTC.

    First start, RFC 3339 in UTC, for example ``2026-01-03T02:00:00Z``.
    """
    hours: Annotated[int, Field(ge=4, le=24)] = 8
    """Length of one window.

    GKE wants at least 4 hours, and 48 in every 92 days.
    """
    recurrence: Annotated[str, AfterValidator(_check_recurrence)] = "FREQ=WEEKLY;BYDAY=SA,SU"
    """RFC 5545 rule, for example `FREQ=WEEKLY;BYDAY=SA,SU`."""
    exclusions: tuple[GcpMaintenanceExclusion, ...] = ()
    """Times in which nothing is upgraded although a window is open."""


class GcpSystemPool(Frozen):
    """CPU nodes for everything that needs no GPU. Counts are per zone of the cluster."""

    machine_type: str = "e2-standard-4"
    """The cloud's name of the machine."""
    min: PositiveCount = 1
    """Nodes a zone that the pool starts with and that stay. Where it grows later, nodes come with pods."""
    max: PositiveCount = 3
    """Most nodes a zone."""


_VERSION = re.compile(r"1\.\d{1,2}(\.\d{1,2}(-gke\.\d+)?)?", re.ASCII)


def _check_version(value: str) -> str:
    if not _VERSION.fullmatch(value):
        reason = "not a version of GKE: 1.<minor>, 1.<minor>.<patch> or 1.<minor>.<patch>-gke.<build>"
        near = value.strip().removeprefix("v")
        values = [near if _VERSION.fullmatch(near) else "1.35"]
        raise ProblemsError([Problem("", value, reason, Suggestion(values=values, removal=True))])
    return value


KubernetesVersion = Annotated[str, BeforeValidator(version_text), AfterValidator(_check_version)]


_SECURITY_GROUP = re.compile(r"gke-security-groups@([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z]{2,}")


def _check_security_group(value: str) -> str:
    # GKE documentation, "Configure Google Groups for RBAC": the name is fixed.
    if not _SECURITY_GROUP.fullmatch(value):
        named = f"gke-security-groups@{value.rpartition('@')[2].strip().lower()}"
        near = Suggestion(values=[named] if _SECURITY_GROUP.fullmatch(named) else ())
        reason = "not the group that GKE looks into: its name is gke-security-groups, in your domain"
        domain = Suggestion("gke-security-groups@<your domain>", needs=Needs.FACT)
        raise ProblemsError([Problem("", value, reason, near or domain)])
    return value


class GcpClusterSpec(Frozen):
    """The cluster of one environment."""

    name: ClusterName
    """Fixed for the life of a stack."""
    regional: bool = True
    """A control plane in several zones; `false` puts it into the first zone.

    ``False`` puts it into the first zone (cheaper, for development).
    """
    zones: Annotated[tuple[str, ...], Field(min_length=1)]
    """Zones in which nodes may run.

    All within the stack's region.
    """
    release_channel: GcpReleaseChannel = GcpReleaseChannel.REGULAR
    """How early the cluster gets new Kubernetes versions: `rapid`, `regular`, `stable` or `extended`."""
    version: KubernetesVersion | None = None
    """Smallest Kubernetes version; the channel's default if left out.

    Smallest Kubernetes version, or ``None`` for the channel's default.
    """
    access: GcpControlPlaneAccess = GcpControlPlaneAccess()
    """Who reaches the control plane."""
    security_group: Annotated[str, AfterValidator(_check_security_group)] | None = None
    """Group `gke-security-groups@<domain>` that contains the groups of teams; without it GKE looks up nobody's.

    Without it GKE looks up nobody's groups, and viewers and editors may do nothing (GKE documentation, "Configure
    Google Groups for RBAC").
    """
    maintenance: GcpMaintenanceWindow = GcpMaintenanceWindow()
    """When the cloud may upgrade."""
    max_pods_per_node: Annotated[int, Field(ge=8, le=256)] = 32
    """Decides the size of each node's block of pod addresses."""
    encrypt_secrets: bool = True
    """Encrypt Kubernetes Secrets with a key of our own.

    Encrypt Kubernetes Secrets with a key of our own in the cloud's key management service.
    """
    deletion_protection: bool = True
    """Refuse to delete the cluster and its key; switching it off needs an `up` of its own."""
    system_pool: GcpSystemPool = GcpSystemPool()
    """Nodes for everything that needs no GPU."""


class GcpNetworkSpec(Frozen):
    """Ranges of the network and how it meets the internet. Ranges are fixed for the life of a stack.

    The VPC network of one environment.
    """

    nodes: Cidr = IPv4Network("10.0.0.0/20")
    """Primary range of the node subnet; one address a node."""
    pods: Cidr = IPv4Network("10.64.0.0/14")
    """Range from which every node gets a block for its pods."""
    services: Cidr = IPv4Network("10.0.32.0/20")
    """Range of the cluster's Services; `34.118.224.0/20` is GKE's own, which takes nothing of the network."""
    proxies: Cidr = IPv4Network("10.0.16.0/23")
    """Range of the proxies of regional gateways (proxy-only subnet, at least a /26)."""
    nat_addresses: Annotated[int, Field(ge=0, le=16)] = 0
    """Fixed public addresses from which the network reaches the internet; 0 leaves the choice to the cloud.

    Fixed public addresses from which the network reaches the internet, for allow-lists of others; 0 leaves number and
    choice to Cloud NAT.
    """
    flow_log_sampling: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the node subnet's flows that is logged; 0 logs none."""


SHORTEST_SOFT_DELETE_DAYS = 7


def _soft_delete_days(days: int) -> int:
    if 0 < days < SHORTEST_SOFT_DELETE_DAYS:
        reason = (
            f"Cloud Storage keeps deleted objects for {SHORTEST_SOFT_DELETE_DAYS} to 90 days, or, with 0, not at all"
        )
        raise ProblemsError([Problem("", days, reason, Suggestion(values=[SHORTEST_SOFT_DELETE_DAYS, 0]))])
    return days


class GcpModelCacheSpec(Frozen):
    """Settings of the model cache.

    The Cloud Storage bucket that holds the weights.
    """

    soft_delete_days: Annotated[int, Field(ge=0, le=90), AfterValidator(_soft_delete_days)] = 7
    """How long deleted objects can be restored; 0, or 7 to 90.

    How long deleted objects can be restored: 0, or 7 to 90 (Cloud Storage documentation, "Soft delete").
    """
    noncurrent_days: Annotated[int, Field(ge=1, le=3650)] = 14
    """How long an overwritten version of an object is kept."""
    force_destroy: bool = False
    """Let a destroy delete a bucket that still holds objects, and its key.

    Let ``pulumi destroy`` delete a bucket that still holds objects.
    """


SPOT_SHUTDOWN_SECONDS = 30
"""What a Spot node of GKE takes to end by default."""

LONGEST_SPOT_SHUTDOWN_SECONDS = 120

_SPOT_SHUTDOWNS = (SPOT_SHUTDOWN_SECONDS, LONGEST_SPOT_SHUTDOWN_SECONDS)


def _spot_shutdown(value: int) -> int:
    if value not in _SPOT_SHUTDOWNS:
        raise ValueError(f"not one of {', '.join(map(str, _SPOT_SHUTDOWNS))}")
    return value


SpotShutdown = Annotated[int, AfterValidator(_spot_shutdown), Field(json_schema_extra={"enum": list(_SPOT_SHUTDOWNS)})]
"""The shutdown grace periods that GKE allows on Spot nodes: 30, its default, and 120 seconds (GKE documentation,
"Customizing node system configuration", ``shutdownGracePeriodSeconds``)."""


class GcpRegistrySpec(Frozen):
    """A registry of images that is there already: that of the prepared project, one for all environments."""

    project: ProjectId | None = None
    """Id of its project; the stack's own where it is left out."""
    region: Region | None = None
    """Its region; the stack's own where it is left out. Images are streamed from the cluster's own region only."""
    name: ClusterName = "llm-serving"
    """Name of its repository."""
    pull_through: ClusterName | None = None
    """Name of a remote repository of Docker Hub beside it, through which nodes pull engines and stream them."""


class GcpPoolSpec(PoolSpec):
    """A pool: all of its capacity has the same GPU and the same number of GPUs a node.

    On GKE it is one node pool for each entry of its capacity, under a ComputeClass of the pool's name.
    """

    name: PoolName
    """Name of the pool and of the ComputeClass."""
    spot_shutdown_seconds: SpotShutdown = SPOT_SHUTDOWN_SECONDS
    """What a spot node takes from its notice to its end: 30 (the default) or 120, which needs GKE
    1.35.0-gke.1171000.

    120 gives requests more time to end.
    """
