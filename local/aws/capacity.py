"""What machines the local AWS has: everything, but for what a file says.

The file is read again for every fleet:

```yaml
missing: # EC2 answers InsufficientInstanceCapacity; patterns as in a shell, default any
  - {machine: "g6.*", zone: us-east-1a, market: spot} # spot, on-demand or reserved
quotas: # EC2 answers VcpuLimitExceeded where running machines and the new one have more vCPUs
  - {machine: "p*", market: on-demand, vcpus: 192}
reservations: # capacity reservations that the account has; type default or capacity-block
  - {id: cr-0123456789abcdef0, machine: p5.48xlarge, zone: us-east-1a, count: 2, type: default}
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from llm_serving.arguments import Frozen, parse
from llm_serving.errors import Problem, ProblemsError

Market = Literal["spot", "on-demand", "reserved"]


@dataclass(frozen=True)
class Machine:
    """One machine that runs, or that is asked for.

    Attributes:
        type: instance type.
        zone: availability zone by name.
        market: on which terms.
        vcpus: its vCPUs, which quotas count.
        reservation: id of the capacity reservation that it takes, or an empty string.
    """

    type: str
    zone: str
    market: Market
    vcpus: int
    reservation: str = ""


class Missing(Frozen):
    """Machines that EC2 does not have now."""

    machine: str = "*"
    zone: str = "*"
    market: Market | Literal["*"] = "*"

    def holds(self, machine: Machine) -> bool:
        """It is about this machine."""
        return (
            fnmatchcase(machine.type, self.machine)
            and fnmatchcase(machine.zone, self.zone)
            and self.market in ("*", machine.market)
        )


class Quota(Frozen):
    """vCPUs at most that machines of these types may have together on one market."""

    machine: str
    vcpus: Annotated[int, Field(ge=0, strict=True)]
    market: Literal["spot", "on-demand"] = "on-demand"

    def counts(self, machine: Machine) -> bool:
        """The machine draws on it. A reserved one counts as on demand, as AWS counts it."""
        market = "spot" if machine.market == "spot" else "on-demand"
        return fnmatchcase(machine.type, self.machine) and market == self.market


class Reservation(Frozen):
    """A capacity reservation of the account."""

    id: Annotated[str, Field(pattern=r"^cr-[0-9a-f]{8,17}$")]
    machine: str
    zone: str
    count: Annotated[int, Field(ge=1, strict=True)]
    type: Literal["default", "capacity-block"] = "default"
    tags: Mapping[str, str] = Field(default_factory=dict)


class Capacity(Frozen):
    """What the file says."""

    missing: Sequence[Missing] = ()
    quotas: Sequence[Quota] = ()
    reservations: Sequence[Reservation] = ()

    @classmethod
    def parse(cls, text: str, source: str) -> "Capacity":
        """From the text of the file; an empty one says nothing.

        Raises:
            ProblemsError: it is not well-formed; ``source`` stands in front.
        """
        try:
            data: Any = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise ProblemsError([Problem("", None, f"not readable as YAML: {error}")], source) from None
        if not isinstance(data, dict):
            raise ProblemsError([Problem("", None, "not an object", "missing: [...]")], source)
        return parse(cls, data, source)

    def refusal(self, machine: Machine, running: Sequence[Machine]) -> tuple[str, str] | None:
        """Error code and message with which EC2 refuses a machine, or ``None`` where it is to be had."""
        if machine.reservation:
            reservation = next((each for each in self.reservations if each.id == machine.reservation), None)
            if reservation is None:
                return "InvalidCapacityReservationId.NotFound", f"{machine.reservation} does not exist"
            if self.free(reservation, running) < 1:
                return "ReservationCapacityExceeded", f"{machine.reservation} has no capacity left for this instance"
        if any(missing.holds(machine) for missing in self.missing):
            return (
                "InsufficientInstanceCapacity",
                f"We currently do not have sufficient {machine.type} capacity in the Availability Zone you requested "
                f"({machine.zone})",
            )
        for quota in self.quotas:
            used = sum(each.vcpus for each in running if quota.counts(each))
            if quota.counts(machine) and used + machine.vcpus > quota.vcpus:
                code = "MaxSpotInstanceCountExceeded" if quota.market == "spot" else "VcpuLimitExceeded"
                return (
                    code,
                    f"You have requested more vCPU capacity than your current vCPU limit of {quota.vcpus} allows for "
                    "the instance bucket that the specified instance type belongs to",
                )
        return None

    @staticmethod
    def free(reservation: Reservation, running: Sequence[Machine]) -> int:
        """Machines that a reservation still has."""
        return reservation.count - sum(each.reservation == reservation.id for each in running)
