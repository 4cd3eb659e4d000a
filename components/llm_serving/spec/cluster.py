"""A cluster's own settings, apart from its GPU pools."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from llm_serving.arguments import Frozen
from llm_serving.spec.names import ClusterName, PositiveCount
from llm_serving.spec.network import Cidr


class ReleaseChannel(StrEnum):
    """How early a cluster gets new Kubernetes versions (the names are GKE's)."""

    RAPID = "rapid"
    REGULAR = "regular"
    STABLE = "stable"
    EXTENDED = "extended"


class ControlPlaneAccess(Frozen):
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


class MaintenanceExclusion(Frozen):
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


class MaintenanceWindow(Frozen):
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
    exclusions: tuple[MaintenanceExclusion, ...] = ()


class SystemPool(Frozen):
    """CPU nodes for everything that needs no GPU. Counts are per zone of the cluster.

    Attributes:
        machine_type: the cloud's name of the machine.
        min: fewest nodes a zone.
        max: most nodes a zone.
    """

    machine_type: str = "e2-standard-4"
    min: PositiveCount = 1
    max: PositiveCount = 3


class ClusterSpec(Frozen):
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
    release_channel: ReleaseChannel = ReleaseChannel.REGULAR
    version: str | None = None
    access: ControlPlaneAccess = ControlPlaneAccess()
    security_group: Annotated[str, StringConstraints(pattern=r"^gke-security-groups@[-.a-z0-9]+$")] | None = None
    maintenance: MaintenanceWindow = MaintenanceWindow()
    max_pods_per_node: Annotated[int, Field(ge=8, le=256)] = 32
    encrypt_secrets: bool = True
    deletion_protection: bool = True
    system_pool: SystemPool = SystemPool()
