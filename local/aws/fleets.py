"""Which machines a fleet gets: the cheapest of those that it is offered and that are to be had; and the account's
capacity reservations.

Karpenter offers machine types and subnets, each with its price as priority (``getOverrides`` in its
``pkg/providers/instance``), and asks EC2 for the cheapest (on demand) or for one that is cheap and likely to stay
(spot). moto takes any, so a request is narrowed to one choice before moto sees it. Refused ones stand in the answer, as
EC2 puts them there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses import EC2Response
from moto.ec2.responses.fleets import Fleets
from moto.ec2.utils import random_fleet_id

from llm_serving.errors import ProblemsError
from local.aws.capacity import Capacity, Machine, Market

_RUNNING = ("pending", "running", "stopping", "stopped")


@dataclass(frozen=True)
class Offer:
    """One machine that a fleet is offered.

    Attributes:
        template: specification of the launch template, as in the request.
        override: what the request says of the machine.
        machine: what it is.
    """

    template: Mapping[str, Any]
    override: Mapping[str, Any]
    machine: Machine

    @property
    def rank(self) -> tuple[float, int]:
        """Dollars an hour, as the caller says; of equal prices (moto has one spot price for all) the smaller machine
        comes first."""
        return float(self.override.get("Priority") or 0), self.machine.vcpus


def install(capacity: Callable[[], Capacity]) -> None:
    """Give moto's EC2 these two operations.

    Args:
        capacity: what machines there are to be had now; what it raises as ``ProblemsError`` is the caller's answer.
    """
    operations: Any = EC2Response  # moto calls the method that is named as the operation
    for operation in (create_fleet, describe_capacity_reservations):
        setattr(operations, operation.__name__, _with_capacity(operation, capacity))


def _with_capacity(
    operation: Callable[[EC2Response, Capacity], ActionResult], capacity: Callable[[], Capacity]
) -> Callable[[EC2Response], ActionResult]:
    def answer(response: EC2Response) -> ActionResult:
        try:
            now = capacity()
        except ProblemsError as error:
            raise EC2ClientError("InvalidCapacityFile", str(error)) from None
        return operation(response, now)

    return answer


def create_fleet(response: EC2Response, capacity: Capacity) -> ActionResult:
    """Answer CreateFleet. A fleet of several machines gets each for itself, and fewer than it wants where there are no
    more, as one of type ``instant`` does."""
    offers = sorted(_offers(response), key=lambda offer: offer.rank)
    if response._get_param("DryRun") or not offers:
        return Fleets.create_fleet(response)
    wanted = response.params["TargetCapacitySpecification"]
    answer: dict[str, Any] = {"FleetId": random_fleet_id(), "Instances": [], "Errors": []}
    running = _running(response.ec2_backend)
    for _ in range(int(wanted["TotalTargetCapacity"])):
        while offers and (refusal := capacity.refusal(offers[0].machine, running)) is not None:
            answer["Errors"].append(_error(offers.pop(0), *refusal))
        if not offers:
            break
        answer["Instances"] += _launch(response, offers[0])
        running.append(offers[0].machine)
    return ActionResult(answer)


def describe_capacity_reservations(response: EC2Response, capacity: Capacity) -> ActionResult:
    """Answer DescribeCapacityReservations: those that the ids and the tags of the request select."""
    ids = response._get_param("CapacityReservationIds", [])
    filters = response._filters_from_querystring()
    tags = {key.removeprefix("tag:"): values for key, values in filters.items() if key.startswith("tag:")}
    running = _running(response.ec2_backend)
    shown = [
        {
            "CapacityReservationId": each.id,
            "OwnerId": response.current_account,
            "InstanceType": each.machine,
            "InstancePlatform": "Linux/UNIX",
            "AvailabilityZone": each.zone,
            "Tenancy": "default",
            "TotalInstanceCount": each.count,
            "AvailableInstanceCount": capacity.free(each, running),
            "State": "active",
            "EndDateType": "unlimited",
            "InstanceMatchCriteria": "targeted",
            "ReservationType": each.type,
            "Tags": [{"Key": key, "Value": value} for key, value in each.tags.items()],
        }
        for each in capacity.reservations
        if (not ids or each.id in ids) and all(each.tags.get(key, "") in values for key, values in tags.items())
    ]
    return ActionResult({"CapacityReservations": shown})


def _offers(response: EC2Response) -> list[Offer]:
    wanted = response._get_param("TargetCapacitySpecification", {})
    spot = wanted.get("DefaultTargetCapacityType") == "spot"
    offers: list[Offer] = []
    for config in response._get_param("LaunchTemplateConfigs", []):
        template = config["LaunchTemplateSpecification"]
        reservation = _reservation(response.ec2_backend, template)
        market: Market = "spot" if spot else "reserved" if reservation else "on-demand"
        for override in config.get("Overrides", []):
            kind = override["InstanceType"]
            machine = Machine(kind, _zone(response.ec2_backend, override), market, _vcpus(kind), reservation)
            offers.append(Offer(template, override, machine))
    return offers


def _launch(response: EC2Response, offer: Offer) -> list[Any]:
    """Let moto launch one machine; its part of the answer."""
    market = "spot" if offer.machine.market == "spot" else "on-demand"  # moto has no fleets of capacity blocks
    response.params["LaunchTemplateConfigs"] = [
        {"LaunchTemplateSpecification": offer.template, "Overrides": [offer.override]}
    ]
    response.params["TargetCapacitySpecification"] = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": market}
    backend = response.ec2_backend
    launched: Any = Fleets.create_fleet(response).result
    instance = backend.get_instance(launched["Instances"][0]["InstanceIds"][0])
    # moto's fleets leave the template's security groups out; Karpenter would replace a node without them.
    interfaces = _data(backend, offer.template).get("NetworkInterfaces") or [{}]
    if groups := interfaces[0].get("Groups"):
        backend.modify_instance_security_groups(instance.id, groups)
    # By these Karpenter tells markets apart (`capacityTypeFromInstance`).
    for request in backend.get_fleet(launched["FleetId"]).spot_requests:
        instance.spot_instance_request_id = request.id
    instance.placement_group_id = (_data(backend, offer.template).get("Placement") or {}).get("GroupId")
    if offer.machine.reservation:
        instance.capacity_reservation_id = offer.machine.reservation
        instance.capacity_reservation_specification = {"CapacityReservationPreference": "capacity-reservations-only"}
    return launched["Instances"]


def _error(offer: Offer, code: str, message: str) -> dict[str, Any]:
    return {
        "ErrorCode": code,
        "ErrorMessage": message,
        "Lifecycle": "spot" if offer.machine.market == "spot" else "on-demand",
        "LaunchTemplateAndOverrides": {"LaunchTemplateSpecification": offer.template, "Overrides": offer.override},
    }


def _running(backend: Any) -> list[Machine]:
    """The machines of a region."""
    machines: list[Machine] = []
    for instance in backend.all_instances():
        if instance.state in _RUNNING:
            reservation = getattr(instance, "capacity_reservation_id", "")
            market: Market = "spot" if instance.lifecycle == "spot" else "reserved" if reservation else "on-demand"
            kind = instance.instance_type
            machines.append(Machine(kind, str(instance.placement), market, _vcpus(kind), reservation))
    return machines


def _data(backend: Any, template: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a launch template says of machines."""
    id = template.get("LaunchTemplateId") or backend.launch_template_name_to_ids.get(template["LaunchTemplateName"])
    known = backend.launch_templates.get(id)
    return known.latest_version().data if known else {}


def _reservation(backend: Any, template: Mapping[str, Any]) -> str:
    """The capacity reservation that a launch template targets, or an empty string."""
    specification = _data(backend, template).get("CapacityReservationSpecification") or {}
    target = specification.get("CapacityReservationTarget") or {}
    return str(target.get("CapacityReservationId") or "")


def _zone(backend: Any, override: Mapping[str, Any]) -> str:
    zone = override.get("AvailabilityZone")
    return zone or (backend.get_subnet(override["SubnetId"]).availability_zone if "SubnetId" in override else "")


def _vcpus(kind: str) -> int:
    return int(((INSTANCE_TYPES.get(kind) or {}).get("VCpuInfo") or {}).get("DefaultVCpus") or 0)
