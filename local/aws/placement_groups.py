"""Placement groups, which moto lacks: their records, by which Karpenter finds them. Where in a data centre a machine
is, nobody knows here."""

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, EC2_RESOURCE_TO_PREFIX
from moto.moto_api._internal import mock_random

_NOUN, _PREFIX = "placement-group", "pg"


def install() -> None:
    """Give moto's EC2 these operations, and let it tag what they make."""
    EC2_RESOURCE_TO_PREFIX[_NOUN], EC2_PREFIX_TO_RESOURCE[_PREFIX] = _PREFIX, _NOUN
    operations: Any = EC2Response  # moto calls the method that is named as the operation
    for operation in (create_placement_group, describe_placement_groups, delete_placement_group):
        setattr(operations, operation.__name__, operation)


def create_placement_group(response: EC2Response) -> ActionResult:
    """Answer CreatePlacementGroup."""
    groups, name = _groups(response), str(response._get_param("GroupName"))
    if name in groups:
        raise EC2ClientError("InvalidPlacementGroup.Duplicate", f"The Placement Group '{name}' already exists.")
    id = f"{_PREFIX}-{mock_random.get_random_hex(17)}"
    arn = f"arn:{response.partition}:ec2:{response.region}:{response.current_account}:{_NOUN}/{name}"
    given = {key: response._get_param(key) for key in ("PartitionCount", "SpreadLevel")}
    groups[name] = {
        "GroupName": name,
        "GroupId": id,
        "GroupArn": arn,
        "State": "available",
        "Strategy": response._get_param("Strategy") or "cluster",
        **{key: value for key, value in given.items() if value is not None},
    }
    tags = {
        tag["Key"]: tag["Value"]
        for specification in response._get_param("TagSpecifications", [])
        for tag in specification.get("Tags", [])
    }
    if tags:
        response.ec2_backend.create_tags([id], tags)
    return ActionResult({"PlacementGroup": _shown(response, groups[name])})


def describe_placement_groups(response: EC2Response) -> ActionResult:
    """Answer DescribePlacementGroups: those that names or ids select, or all."""
    groups = _groups(response)
    names, ids = response._get_param("GroupNames", []), response._get_param("GroupIds", [])
    known = {each["GroupId"] for each in groups.values()}
    for unknown in [*(name for name in names if name not in groups), *(id for id in ids if id not in known)]:
        raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The Placement Group '{unknown}' is unknown.")
    chosen = [
        _shown(response, each)
        for each in groups.values()
        if (not names or each["GroupName"] in names) and (not ids or each["GroupId"] in ids)
    ]
    return ActionResult({"PlacementGroups": chosen})


def delete_placement_group(response: EC2Response) -> ActionResult:
    """Answer DeletePlacementGroup: one with instances stays."""
    groups, name = _groups(response), str(response._get_param("GroupName"))
    if name not in groups:
        raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The Placement Group '{name}' is unknown.")
    id = groups[name]["GroupId"]
    used = [
        instance.id
        for instance in response.ec2_backend.all_instances()
        if instance.state in ("pending", "running", "stopping", "stopped")
        and getattr(instance, "placement_group_id", None) == id
    ]
    if used:
        raise EC2ClientError("InvalidPlacementGroup.InUse", f"The placement group {name} is in use.")
    del groups[name]
    return EmptyResult()


def _groups(response: EC2Response) -> dict[str, dict[str, Any]]:
    """Of a region, by name."""
    return vars(response.ec2_backend).setdefault("placement_groups", {})


def _shown(response: EC2Response, group: dict[str, Any]) -> dict[str, Any]:
    tags = response.ec2_backend.describe_tags(filters={"resource-id": [group["GroupId"]]})
    return {**group, "Tags": [{"Key": tag["key"], "Value": tag["value"]} for tag in tags]}
