"""Kinds: how a type token spells them, which have no namespace, and which of their fields cannot change."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RELEASE = "kubernetes:helm.sh/v3:Release"

# https://kubernetes.io/docs/reference/kubernetes-api/: what the API server serves outside of namespaces.
# Needed where none can be asked; custom resources count as namespaced then.
CLUSTER_SCOPED = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CSINode",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterTrustBundle",
        "ComponentStatus",
        "CustomResourceDefinition",
        "DeviceClass",
        "FlowSchema",
        "IPAddress",
        "IngressClass",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "ResourceSlice",
        "RuntimeClass",
        "ServiceCIDR",
        "StorageClass",
        "StorageVersionMigration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
        "VolumeAttributesClass",
    }
)

# Groups with a dot in their name that are Kubernetes' own: those of which the SDK has kinds. Projects around Kubernetes
# end theirs in k8s.io as well (gateway.networking.k8s.io, leaderworkerset.x-k8s.io); their kinds are custom resources.
_DOTTED_GROUPS = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "auditregistration.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "lifecycle.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "settings.k8s.io",
        "storage.k8s.io",
        "storagemigration.k8s.io",
    }
)

_UNWATCHED = frozenset({"DaemonSet", "Deployment", "Namespace", "Pod", "ReplicationController", "StatefulSet"})
"""Kinds whose deletion ``pulumi.com/skipAwait`` does not wait for either (provider/pkg/metadata/overrides.go)."""

_ALWAYS = ("apiVersion", "kind", "metadata.name", "metadata.namespace")

# https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/persistent-volume-v1/
_VOLUME_SOURCES = (
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
)

# Fields whose change replaces the object: those that the API server calls immutable, and those for which
# pulumi-kubernetes makes a new object (provider/pkg/provider/diff.go, forceNew). Others are found by a dry
# run.
_IMMUTABLE: Mapping[str, tuple[str, ...]] = {
    "ClusterRoleBinding": ("roleRef",),
    "ControllerRevision": ("data",),
    "CSIDriver": ("spec",),
    "CustomResourceDefinition": ("spec.group", "spec.scope", "spec.names.kind", "spec.names.plural"),
    "DaemonSet": ("spec.selector",),
    "Deployment": ("spec.selector",),
    "IngressClass": ("spec.controller",),
    "Job": ("spec.completionMode", "spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "PersistentVolume": (
        *(f"spec.{source}" for source in _VOLUME_SOURCES),
        "spec.storageClassName",
        "spec.volumeMode",
    ),
    "PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.dataSource",
        "spec.dataSourceRef",
        "spec.resources.limits",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeMode",
        "spec.volumeName",
    ),
    "Pod": ("spec",),
    "PriorityClass": ("value", "preemptionPolicy"),
    "ReplicaSet": ("spec.selector",),
    "ResourceQuota": ("spec.scopes",),
    "RoleBinding": ("roleRef",),
    "RuntimeClass": ("handler",),
    "Service": ("spec.clusterIP", "spec.clusterIPs"),
    "StatefulSet": (
        "spec.podManagementPolicy",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "StorageClass": ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
}

# What of a pod the provider changes in place. The API server would take a new image too; the provider makes a new pod.
_POD_MUTABLE = ("spec.activeDeadlineSeconds", "spec.tolerations")

# The real provider replaces them unless a setting or the field says otherwise, so that their users are rolled
# too.
_CONTENT = {"ConfigMap": ("binaryData", "data"), "Secret": ("data", "stringData", "type")}


@dataclass(frozen=True)
class Kind:
    """What a type token means.

    Attributes:
        api_version: as in a manifest.
        kind: as in a manifest.
        patch: the resource changes an object that somebody else owns (``DeploymentPatch``).
    """

    api_version: str
    kind: str
    patch: bool = False

    @classmethod
    def of(cls, token: str, inputs: Mapping[str, Any]) -> "Kind":
        """From a type token; what the inputs say outranks it."""
        _, group_version, name = token.split(":", 2)
        group, _, version = group_version.rpartition("/")
        api_version = version if group in ("core", "") else group_version
        patch = name.endswith("Patch") and inputs.get("kind") != name
        kind = name.removesuffix("Patch") if patch else name
        return cls(_text(inputs.get("apiVersion")) or api_version, _text(inputs.get("kind")) or kind, patch)

    @property
    def core(self) -> bool:
        """It belongs to Kubernetes itself."""
        group = self.api_version.rpartition("/")[0]
        return "." not in group or group in _DOTTED_GROUPS

    @property
    def cluster_scoped(self) -> bool:
        """It has no namespace, as far as can be known without a server."""
        return self.core and self.kind in CLUSTER_SCOPED

    @property
    def goes_unwatched(self) -> bool:
        """``pulumi.com/skipAwait`` holds for its deletion, too."""
        return self.core and self.kind in _UNWATCHED

    def replaces(self, mutable_content: bool) -> "Replaces":
        """Which changes replace an object of this kind.

        Args:
            mutable_content: ConfigMaps and Secrets may change in place.
        """
        if not self.core:
            return Replaces(_ALWAYS)
        content = () if mutable_content else _CONTENT.get(self.kind, ())
        kept = _POD_MUTABLE if self.kind == "Pod" else ()
        return Replaces((*_ALWAYS, *_IMMUTABLE.get(self.kind, ()), *content), kept)


@dataclass(frozen=True)
class Replaces:
    """Whether a change at a property path replaces the object."""

    paths: tuple[str, ...]
    except_paths: tuple[str, ...] = ()

    def __call__(self, pattern: str) -> bool:
        """For a path with ``[*]`` in the place of indexes. A change inside a listed path counts as well."""
        if any(_inside(pattern, path) for path in self.except_paths):
            return False
        if self.except_paths and any(_inside(path, pattern) for path in self.except_paths):
            return False  # a path that contains one which may change decides nothing
        return any(_inside(pattern, path) for path in self.paths)


def _inside(path: str, outer: str) -> bool:
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
