"""What every node of a managed node group has in common, system or GPU."""

import base64
import json
from collections.abc import Sequence
from email.message import Message
from email.mime.multipart import MIMEMultipart
from typing import Any

import pulumi
import pulumi_aws as aws

from llm_serving.component import child

NODE_GROUP_TIMEOUTS = pulumi.CustomTimeouts(create="60m", update="120m", delete="60m")
"""AWS's provider waits 60 minutes by default; a drain that honours disruption budgets takes up to 15 minutes for each
node before it fails (EKS documentation, "Understand each phase of node updates")."""

SYSTEM_DISK_GB = 100
"""Of nodes for pods without GPU."""


def user_data(*configs: dict[str, Any]) -> str:
    """User data of an AL2023 node, base64: what nodeadm adds to what EKS says of the cluster (EKS documentation,
    "Customize managed nodes with launch templates").

    Args:
        configs: the ``spec`` of each ``NodeConfig``.
    """
    document = MIMEMultipart(boundary="//")
    for spec in configs:
        part = Message()
        part["Content-Type"] = "application/node.eks.aws"
        part.set_payload(json.dumps({"apiVersion": "node.eks.aws/v1alpha1", "kind": "NodeConfig", "spec": spec}))
        document.attach(part)
    return base64.b64encode(document.as_bytes()).decode()


def launch_template(
    owner: pulumi.Resource,
    name: str,
    *,
    volumes: Sequence[tuple[str, int]],
    throughput: int | None = None,
    tags: dict[str, str],
    user_data: str,
    **more: Any,
) -> aws.ec2.LaunchTemplate:
    """A node on encrypted disks whose pods get no identity but their own: the role of the node is one network hop away
    from them, and only one is allowed.

    ``volumes``: device and size in GiB of each; ``throughput``: theirs in MiB/s, gp3's own where it is left out.
    ``more`` goes to the SDK's class as it is, which refuses what it does not know.
    """
    return aws.ec2.LaunchTemplate(
        name,
        update_default_version=True,
        block_device_mappings=[
            aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
                device_name=device,
                ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                    volume_size=size,
                    volume_type="gp3",
                    throughput=throughput,
                    encrypted="true",
                    delete_on_termination="true",
                ),
            )
            for device, size in volumes
        ],
        metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(
            http_endpoint="enabled",
            http_tokens="required",
            http_put_response_hop_limit=1,
            instance_metadata_tags="disabled",
        ),
        tag_specifications=[
            aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=tags)
            for kind in ("instance", "network-interface", "volume")
            if tags
        ],
        user_data=user_data,
        tags=tags,
        opts=child(owner),
        **more,
    )
