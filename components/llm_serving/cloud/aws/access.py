"""Who reaches the control plane of an EKS cluster, and with which kubeconfig."""

import json

import pulumi
import pulumi_aws as aws

from llm_serving.spec.aws import AwsControlPlaneAccess


def endpoints(
    access: AwsControlPlaneAccess, subnet_ids: pulumi.Input[list[pulumi.Input[str]]]
) -> aws.eks.ClusterVpcConfigArgs:
    """The endpoint inside the VPC, and, for ``authorized`` ranges only, a public one."""
    is_public = access.mode == "authorized"
    return aws.eks.ClusterVpcConfigArgs(
        subnet_ids=subnet_ids,
        endpoint_private_access=True,
        endpoint_public_access=is_public,
        # Left out, everybody may connect to a public endpoint.
        public_access_cidrs=[str(network) for network in access.authorized] if is_public else None,
    )


def kubeconfig(name: str, region: str, endpoint: str, certificate: str) -> str:
    """A kubeconfig that holds no credentials: whoever uses it proves who they are with the AWS CLI.

    Args:
        name: name of the cluster; also of context and user.
        region: its region.
        endpoint: URL of the control plane.
        certificate: its authority, base64.
    """
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": {"server": endpoint, "certificate-authority-data": certificate}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "users": [
                {
                    "name": name,
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "aws",
                            "args": ["eks", "get-token", "--cluster-name", name, "--region", region],
                            "installHint": "Install the AWS CLI: "
                            "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
                            "interactiveMode": "Never",
                        }
                    },
                }
            ],
        },
        sort_keys=True,
    )
