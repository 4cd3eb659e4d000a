"""Which machine a fleet of one gets: the cheapest of those that it is offered and that are to be had.

Karpenter offers machine types and subnets, each with its price as priority (``getOverrides`` in its
``pkg/providers/instance``), and asks EC2 for the cheapest (on demand) or for one that is cheap and likely to stay
(spot). moto takes any; so the request is narrowed to one choice before moto sees it, and the refused ones are put into
the answer as EC2 puts them there.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from local.aws.capacity import Capacity, Machine, Market

Parameters = dict[str, str]
"""Parameters of a request in EC2's query protocol."""
_PREFIX = "LaunchTemplateConfigs."
_OVERRIDE = re.compile(r"LaunchTemplateConfigs\.(\d+)\.Overrides\.(\d+)\.(\w+)$")


@dataclass(frozen=True)
class Choice:
    """One machine that a fleet is offered.

    Attributes:
        config: number of the launch template among those of the request.
        override: members of the offer by their names in the request.
        machine: what it is.
    """

    config: str
    override: Mapping[str, str]
    machine: Machine

    @property
    def price(self) -> float:
        """Dollars an hour, as the caller says."""
        return float(self.override.get("Priority", "inf"))


@dataclass(frozen=True)
class Refusal:
    """A choice that is not to be had."""

    choice: Choice
    code: str
    message: str


@dataclass(frozen=True)
class Decision:
    """What a fleet gets.

    Attributes:
        choice: the machine, or ``None`` where none of the offered ones is to be had.
        refused: cheaper ones that are not to be had.
    """

    choice: Choice | None
    refused: Sequence[Refusal]


def choices(
    parameters: Mapping[str, str], vcpus: Callable[[str], int], reservation: Callable[[str], str]
) -> list[Choice]:
    """What a request offers, the cheapest first.

    Args:
        parameters: of CreateFleet.
        vcpus: vCPUs of an instance type.
        reservation: the capacity reservation that a launch template, by id or name, targets, or an empty string.
    """
    offered: dict[tuple[str, str], Parameters] = {}
    for key, value in parameters.items():
        if match := _OVERRIDE.match(key):
            offered.setdefault((match[1], match[2]), {})[match[3]] = value
    spot = parameters.get("TargetCapacitySpecification.DefaultTargetCapacityType") == "spot"
    made: list[Choice] = []
    for (config, _), override in offered.items():
        specification = f"{_PREFIX}{config}.LaunchTemplateSpecification."
        named = [parameters.get(f"{specification}LaunchTemplate{key}") for key in ("Id", "Name")]
        target = reservation(next(filter(None, named), ""))
        market: Market = "spot" if spot else "reserved" if target else "on-demand"
        kind, zone = override.get("InstanceType", ""), override.get("AvailabilityZone", "")
        made.append(Choice(config, override, Machine(kind, zone, market, vcpus(kind), target)))
    return sorted(made, key=lambda choice: choice.price)


def decide(offered: Sequence[Choice], capacity: Capacity, running: Sequence[Machine]) -> Decision:
    """The first choice that is to be had."""
    refused: list[Refusal] = []
    for choice in offered:
        refusal = capacity.refusal(choice.machine, running)
        if refusal is None:
            return Decision(choice, refused)
        refused.append(Refusal(choice, *refusal))
    return Decision(None, refused)


def narrowed(parameters: Mapping[str, str], choice: Choice, tag: str) -> Parameters:
    """The request with this choice alone, in words that moto knows.

    Args:
        parameters: of CreateFleet.
        choice: what it is to get.
        tag: key of the instance's tag that keeps its capacity reservation.
    """
    kept = {key: value for key, value in parameters.items() if not key.startswith(_PREFIX)}
    specification = f"{_PREFIX}{choice.config}.LaunchTemplateSpecification."
    for key, value in parameters.items():
        if key.startswith(specification):
            kept[f"{_PREFIX}1.LaunchTemplateSpecification.{key.removeprefix(specification)}"] = value
    kept |= {f"{_PREFIX}1.Overrides.1.{key}": value for key, value in choice.override.items()}
    if choice.machine.market != "spot":  # moto has no fleet of capacity blocks
        kept["TargetCapacitySpecification.DefaultTargetCapacityType"] = "on-demand"
    if choice.machine.reservation:
        _tag(kept, tag, choice.machine.reservation)
    return kept


def _tag(parameters: Parameters, key: str, value: str) -> None:
    """Add a tag to the instances."""
    specification = next(
        (name.removesuffix(".ResourceType") for name, kind in parameters.items() if kind == "instance"
         and re.fullmatch(r"TagSpecification\.\d+\.ResourceType", name)),
        "",
    )  # fmt: skip
    if not specification:
        specifications = {name.split(".")[1] for name in parameters if name.startswith("TagSpecification.")}
        specification = f"TagSpecification.{len(specifications) + 1}"
        parameters[f"{specification}.ResourceType"] = "instance"
    tags = {name.split(".")[3] for name in parameters if name.startswith(f"{specification}.Tag.")}
    parameters[f"{specification}.Tag.{len(tags) + 1}.Key"] = key
    parameters[f"{specification}.Tag.{len(tags) + 1}.Value"] = value


def errors(refused: Sequence[Refusal]) -> str:
    """The refused choices as EC2's answer lists them."""
    return f"<errorSet>{''.join(map(_error, refused))}</errorSet>" if refused else ""


def _error(refusal: Refusal) -> str:
    override = refusal.choice.override
    members = "".join(
        f"<{key[:1].lower()}{key[1:]}>{escape(value)}</{key[:1].lower()}{key[1:]}>" for key, value in override.items()
    )
    lifecycle = "spot" if refusal.choice.machine.market == "spot" else "on-demand"
    return (
        f"<item><errorCode>{refusal.code}</errorCode><errorMessage>{escape(refusal.message)}</errorMessage>"
        f"<lifecycle>{lifecycle}</lifecycle>"
        f"<launchTemplateAndOverrides><overrides>{members}</overrides></launchTemplateAndOverrides></item>"
    )


def unfulfilled(refused: Sequence[Refusal], request_id: str) -> str:
    """The whole answer where nothing is to be had."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<CreateFleetResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>{request_id}</requestId><fleetId>fleet-{request_id}</fleetId>{errors(refused)}"
        "</CreateFleetResponse>"
    )


def with_errors(answer: str, refused: Sequence[Refusal]) -> str:
    """moto's answer with the refused choices."""
    end = "</CreateFleetResponse>"
    return answer.replace(end, f"{errors(refused)}{end}") if refused else answer


def members(parameters: Mapping[str, str], prefix: str) -> list[Any]:
    """The values of a list parameter: ``CapacityReservationId.1``, ``.2`` and so on."""
    numbered = [(int(key.rpartition(".")[2]), value) for key, value in parameters.items()
                if re.fullmatch(rf"{re.escape(prefix)}\.\d+", key)]  # fmt: skip
    return [value for _, value in sorted(numbered)]
