"""Answers that moto does not give: capacity reservations, and the parameters under which AWS publishes EKS images."""

import json
import re
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from local.aws.capacity import Capacity, Machine, Reservation
from local.aws.fleet import members

ACCOUNT = "123456789012"
"""moto's account."""

# moto's own images stand for those of EKS: Karpenter tells variants apart by the image's id, so each needs its own.
_AL2023 = {
    ("x86_64", "standard"): "ami-0d27e0fb3bac4d724",
    ("x86_64", "nvidia"): "ami-03c3da4cfa8e8943a",
}
_BOTTLEROCKET = {"": "ami-07518cc94bb750af3", "-nvidia": "ami-0a9b24137b7e0ba09"}
_PARAMETER = re.compile(
    r"/aws/service/eks/optimized-ami/[\d.]+/amazon-linux-2023/(?P<arch>\w+)/(?P<variant>\w+)/.+/image_id"
    r"|/aws/service/bottlerocket/aws-k8s-[\d.]+(?P<flavour>-nvidia)?/x86_64/.+/image_id"
)


def image(parameter: str) -> str | None:
    """The image that a public parameter names, ``None`` for one that the local AWS does not have (arm64, Neuron)."""
    match = _PARAMETER.fullmatch(parameter)
    if match is None:
        return None
    if match["arch"]:
        return _AL2023.get((match["arch"], match["variant"]))
    return _BOTTLEROCKET.get(match["flavour"] or "")


def parameter(name: str, region: str) -> str | None:
    """The answer of GetParameter for an image, as JSON."""
    value = image(name)
    if value is None:
        return None
    arn = f"arn:aws:ssm:{region}::parameter{name}"
    return json.dumps(
        {"Parameter": {"Name": name, "Type": "String", "Value": value, "Version": 1, "ARN": arn, "DataType": "text"}}
    )


def capacity_reservations(
    parameters: Mapping[str, str], capacity: Capacity, running: Sequence[Machine], request_id: str
) -> str:
    """The answer of DescribeCapacityReservations: those that the ids and tags of the request select."""
    ids = members(parameters, "CapacityReservationId")
    tags = _tag_filters(parameters)
    chosen = [
        each
        for each in capacity.reservations
        if (not ids or each.id in ids) and all(each.tags.get(key) in values for key, values in tags.items())
    ]
    items = "".join(_reservation(each, capacity.free(each, running)) for each in chosen)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<DescribeCapacityReservationsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
        f"<requestId>{request_id}</requestId><capacityReservationSet>{items}</capacityReservationSet>"
        "</DescribeCapacityReservationsResponse>"
    )


def _tag_filters(parameters: Mapping[str, str]) -> dict[str, list[str]]:
    return {
        value.removeprefix("tag:"): members(parameters, f"{key.removesuffix('.Name')}.Value")
        for key, value in parameters.items()
        if re.fullmatch(r"Filter\.\d+\.Name", key) and value.startswith("tag:")
    }


def _reservation(each: Reservation, free: int) -> str:
    values = {
        "capacityReservationId": each.id,
        "ownerId": ACCOUNT,
        "instanceType": each.machine,
        "instancePlatform": "Linux/UNIX",
        "availabilityZone": each.zone,
        "tenancy": "default",
        "totalInstanceCount": str(each.count),
        "availableInstanceCount": str(free),
        "state": "active",
        "endDateType": "unlimited",
        "instanceMatchCriteria": "targeted",
        "reservationType": each.type,
    }
    tags = "".join(
        f"<item><key>{escape(key)}</key><value>{escape(value)}</value></item>" for key, value in each.tags.items()
    )
    fields = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in values.items())
    return f"<item>{fields}<tagSet>{tags}</tagSet></item>"
