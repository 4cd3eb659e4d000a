"""Functions of the local AWS: what a program can look up.

What depends on account and region alone is answered without the account's API, so that a preview starts none.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from llm_serving.errors import Problem, ProblemsError, nearest
from llm_serving.planning.clouds.aws import dns_suffix
from local.providers.aws import regions
from local.providers.aws.cloud import AwsError, Cloud
from local.providers.properties import Properties
from local.providers.simulated import functions as simulated

_CLUSTER = "aws:eks/cluster:Cluster"


def call(cloud: Cloud, token: str, arguments: Properties) -> Properties:
    """Run a function.

    Raises:
        ProblemsError: the arguments are not those that the SDK knows.
        CloudError: the SDK or the local cloud has no such function, or the cloud refuses.
    """
    functions = {name: partial(function, cloud) for name, function in _FUNCTIONS.items()}
    return simulated.call(cloud.sdk, "AWS", functions, token, arguments)


def _region(cloud: Cloud, arguments: Mapping[str, Any], key: str = "region") -> str:
    region = str(arguments.get(key) or cloud.region({}))
    if region not in regions.regions():
        raise ProblemsError([Problem(key, region, "no such region", nearest(region, regions.regions()))])
    return region


def _get_caller_identity(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    return {
        "id": cloud.account,
        "accountId": cloud.account,
        "arn": f"arn:{cloud.partition}:iam::{cloud.account}:user/local",
        "userId": "AIDALOCALLOCALLOCALLO",
    }


def _get_region(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    region = _region(cloud, {**arguments, "region": arguments.get("region") or arguments.get("name")})
    return {
        "id": region,
        "region": region,
        "name": region,
        "description": region,
        "endpoint": f"ec2.{region}.{dns_suffix(region)}",
    }


def _get_partition(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    suffix = dns_suffix(cloud.region({}))
    return {
        "id": cloud.partition,
        "partition": cloud.partition,
        "dnsSuffix": suffix,
        "reverseDnsPrefix": ".".join(reversed(suffix.split("."))),
    }


def _get_availability_zones(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    region = _region(cloud, arguments)
    hidden = {*(arguments.get("excludeNames") or ()), *(arguments.get("excludeZoneIds") or ())}
    pairs = zip(regions.zones(region), regions.zone_ids(region), strict=True)
    shown = [(name, zone) for name, zone in pairs if not {name, zone} & hidden]
    if arguments.get("state") not in (None, "available"):
        shown = []
    return {
        "id": region,
        "region": region,
        "names": [name for name, _ in shown],
        "zoneIds": [zone for _, zone in shown],
        "groupNames": [region],
    }


def _get_managed_prefix_list(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    """Of the lists that AWS keeps, those of services with gateway endpoints."""
    region = _region(cloud, arguments)
    lists = [f"com.amazonaws.{region}.{service}" for service in _PREFIX_LISTS]
    wanted = arguments.get("name")
    name = next((each for each in lists if wanted == each or arguments.get("id") == regions.prefix_list_id(each)), None)
    if name is None:
        raise AwsError(
            "ec2",
            "DescribeManagedPrefixLists",
            "InvalidPrefixListID.NotFound",
            f"no managed prefix list matches {wanted or arguments.get('id')}; the local AWS has {', '.join(lists)}",
        )
    id = regions.prefix_list_id(name)
    return {
        "id": id,
        "name": name,
        "region": region,
        "arn": f"arn:{cloud.partition}:ec2:{region}:aws:prefix-list/{id}",
        "addressFamily": "IPv4",
        "ownerId": "AWS",
        "maxEntries": 0,
        "version": 0,
        "entries": [{"cidr": block, "description": "default"} for block in _PREFIX_LISTS[name.rpartition(".")[2]]],
        "tags": {},
    }


_PREFIX_LISTS = {
    "s3": ("3.5.0.0/19", "52.216.0.0/15", "54.231.0.0/16"),
    "dynamodb": ("3.218.180.0/23", "3.218.182.0/24", "52.94.0.0/22", "52.119.224.0/20"),
}
"""Ranges of services with gateway endpoints: those of us-east-1, as moto 5.2.5 has them for every region."""


def _get_cluster(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    record = cloud.look_up(_CLUSTER, str(arguments["name"]))
    if record is None:
        raise AwsError(
            "eks", "DescribeCluster", "ResourceNotFoundException", f"No cluster found for name: {arguments['name']}."
        )
    schema = cloud.sdk.function("aws:eks/getCluster:getCluster")
    outputs = {key: record.outputs[key] for key in schema.outputs if key in record.outputs} if schema else {}
    authority = record.outputs.get("certificateAuthority")
    return {**outputs, "id": record.id, "certificateAuthorities": [authority] if authority else []}


_FUNCTIONS: Mapping[str, Callable[[Cloud, Mapping[str, Any]], Properties]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": _get_caller_identity,
    "aws:index/getRegion:getRegion": _get_region,
    "aws:index/getPartition:getPartition": _get_partition,
    "aws:index/getAvailabilityZones:getAvailabilityZones": _get_availability_zones,
    "aws:ec2/getManagedPrefixList:getManagedPrefixList": _get_managed_prefix_list,
    "aws:eks/getCluster:getCluster": _get_cluster,
}
