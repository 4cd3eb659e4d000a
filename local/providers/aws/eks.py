"""What EKS has: versions, add-ons, policies; and how a cluster of the account is found on this machine."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from local.providers.aws.cloud import AwsError, Cloud
from local.providers.aws.types import DATA

CLUSTER = "aws:eks/cluster:Cluster"
ROLE = "aws:iam/role:Role"
ADMISSION_PLUGINS = ("ExtendedResourceToleration",)
"""EKS turns it on (EKS documentation, "View Amazon EKS platform versions")."""


@cache
def facts() -> Mapping[str, Any]:
    """``data/eks.yaml``."""
    return yaml.safe_load((DATA / "eks.yaml").read_text(encoding="utf-8"))


def directory(cloud: Cloud, known: Mapping[str, Any], name: str) -> Path:
    """The folder of a cluster's control plane."""
    return cloud.state_folder.cluster(cloud.account, cloud.region(known), name)


def release(version: str) -> tuple[int, ...]:
    """A version in order: ``1.35`` as (1, 35)."""
    return tuple(int(part) for part in version.split(".")[:2])


def refuse_without_cluster(cloud: Cloud, operation: str, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """The outputs of the cluster that a resource belongs to.

    Raises:
        AwsError: there is no such cluster, or it is not active.
    """
    record = cloud.look_up(CLUSTER, str(known["clusterName"]))
    if record is None:
        name = known["clusterName"]
        raise AwsError("eks", operation, "ResourceNotFoundException", f"No cluster found for name: {name}.")
    return record.outputs


def refuse_role(cloud: Cloud, operation: str, arn: str, service: str, reason: str) -> None:
    """Refuse a role that is not there or does not trust a service; one of another account is taken on trust.

    Raises:
        AwsError: 400, with ``reason``.
    """
    account, _, name = arn.partition(":iam::")[2].partition(":role/")
    if account != cloud.account:
        return
    try:
        answer = cloud.ask("iam", "get_role", cloud.region({}), RoleName=name.rpartition("/")[2])
        trust = answer["Role"]["AssumeRolePolicyDocument"]
    except AwsError:
        trust = {}
    if not any(service in _principals(statement) for statement in trust.get("Statement", ())):
        raise AwsError("eks", operation, "InvalidParameterException", f"{reason} (role {arn})")


def _principals(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal")
    services = principal.get("Service") if isinstance(principal, Mapping) else None
    return [services] if isinstance(services, str) else list(services or ())


def is_json_object(text: str) -> bool:
    """Whether a text is a JSON or YAML object, as configurations of add-ons are."""
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        try:
            return isinstance(yaml.safe_load(text), dict)
        except yaml.YAMLError:
            return False
