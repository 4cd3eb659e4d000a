"""IAM roles: each for one service or one service account of Kubernetes."""

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from llm_serving.component import child


def role(
    owner: pulumi.Resource,
    name: str,
    *,
    role_name: str,
    trust: pulumi.Input[dict[str, Any]],
    policy: pulumi.Input[dict[str, Any]] | None = None,
    managed_policies: Sequence[str] = (),
    tags: dict[str, str],
) -> tuple[aws.iam.Role, list[pulumi.CustomResource]]:
    """A role, and what must be there before it may do what it is for.

    Args:
        owner: the component.
        name: name of the resources.
        role_name: name of the role.
        trust: document that says who may take it.
        policy: document that says what it may do.
        managed_policies: ARNs of policies that AWS keeps.
        tags: tags of the role.
    """
    made = aws.iam.Role(
        name,
        name=role_name,
        assume_role_policy=pulumi.Output.json_dumps(trust),
        tags=tags,
        opts=child(owner),
    )
    rights: list[pulumi.CustomResource] = [
        aws.iam.RolePolicyAttachment(
            f"{name}-{arn.rpartition('/')[2]}", role=made.name, policy_arn=arn, opts=child(owner)
        )
        for arn in managed_policies
    ]
    if policy is not None:
        rights.append(
            aws.iam.RolePolicy(name, role=made.name, policy=pulumi.Output.json_dumps(policy), opts=child(owner))
        )
    return made, rights
