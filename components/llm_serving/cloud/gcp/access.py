"""Who reaches the control plane of a GKE cluster, and with which kubeconfig."""

import json

import pulumi_gcp as gcp

from llm_serving.spec.gcp import GcpControlPlaneAccess


def control_plane_endpoints(access: GcpControlPlaneAccess) -> gcp.container.ClusterControlPlaneEndpointsConfigArgs:
    """The endpoints that exist: the DNS endpoint, addresses, or both (GKE documentation, "Customize your network
    isolation": each is switched by itself)."""
    by_dns = access.mode == "dns"
    return gcp.container.ClusterControlPlaneEndpointsConfigArgs(
        dns_endpoint_config=gcp.container.ClusterControlPlaneEndpointsConfigDnsEndpointConfigArgs(
            allow_external_traffic=by_dns
        ),
        ip_endpoints_config=gcp.container.ClusterControlPlaneEndpointsConfigIpEndpointsConfigArgs(
            enabled=_has_address(access)
        ),
    )


def private_cluster(access: GcpControlPlaneAccess) -> gcp.container.ClusterPrivateClusterConfigArgs:
    """Nodes are private in every mode; a public address of the control plane exists for ``authorized`` ranges only.

    Where there is no address at all, whether it is private is GKE's to say (:func:`drift`).
    """
    return gcp.container.ClusterPrivateClusterConfigArgs(
        enable_private_nodes=True,
        enable_private_endpoint=access.mode == "private" if _has_address(access) else None,
    )


def drift(access: GcpControlPlaneAccess) -> list[str]:
    """Properties about access that GKE fills in by itself."""
    return [] if _has_address(access) else ["privateClusterConfig.enablePrivateEndpoint"]


def _has_address(access: GcpControlPlaneAccess) -> bool:
    """Whether the control plane is reached by an address, beside its DNS endpoint or without one."""
    return access.mode != "dns" or bool(access.authorized)


def authorized_networks(
    access: GcpControlPlaneAccess,
) -> gcp.container.ClusterMasterAuthorizedNetworksConfigArgs | None:
    """Ranges that may connect to an address of the control plane. An empty list is a list: nobody from outside the
    node subnet. Addresses of Google Cloud's other customers are not let in.

    The list counts for the public address alone, unless it is enforced on the private one too (GKE documentation,
    "Customize your network isolation", ``--enable-authorized-networks-on-private-endpoint``)."""
    if not _has_address(access):
        return None
    return gcp.container.ClusterMasterAuthorizedNetworksConfigArgs(
        cidr_blocks=[
            gcp.container.ClusterMasterAuthorizedNetworksConfigCidrBlockArgs(cidr_block=str(block))
            for block in access.authorized
        ],
        gcp_public_cidrs_access_enabled=False,
        private_endpoint_enforcement_enabled=access.mode == "private",
    )


def kubeconfig(name: str, endpoint: str, certificate: str | None) -> str:
    """A kubeconfig that holds no credentials: whoever uses it proves who they are with ``gke-gcloud-auth-plugin``.

    Args:
        name: name of the cluster; also of context and user.
        endpoint: host of the control plane.
        certificate: its authority, base64; ``None`` for the DNS endpoint, whose certificate is publicly trusted.
    """
    cluster = {"server": f"https://{endpoint}"}
    if certificate is not None:
        cluster["certificate-authority-data"] = certificate
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [{"name": name, "cluster": cluster}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "users": [
                {
                    "name": name,
                    "user": {
                        "exec": {
                            "apiVersion": "client.authentication.k8s.io/v1beta1",
                            "command": "gke-gcloud-auth-plugin",
                            "installHint": "Install gke-gcloud-auth-plugin: "
                            "https://cloud.google.com/kubernetes-engine/docs/how-to/cluster-access-for-kubectl",
                            "interactiveMode": "Never",
                            "provideClusterInfo": True,
                        }
                    },
                }
            ],
        },
        sort_keys=True,
    )
