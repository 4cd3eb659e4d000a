"""What is known of EKS: versions of Amazon's add-ons, and whose registry has their images."""

import re

import pytest

from llm_serving import catalog
from llm_serving.catalog import UnknownFact
from llm_serving.spec.aws import AwsClusterSpec

ADDONS = {
    "aws-ebs-csi-driver", "aws-mountpoint-s3-csi-driver", "coredns", "eks-pod-identity-agent", "kube-proxy",
    "metrics-server", "vpc-cni",
}  # fmt: skip


@pytest.mark.parametrize("kubernetes", ["1.35", "1.36", AwsClusterSpec.model_fields["version"].default])
def test_every_add_on_of_a_cluster_has_a_version_for_its_kubernetes(kubernetes: str) -> None:
    versions = catalog.eks_addons(kubernetes)
    assert set(versions) == ADDONS
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+-eksbuild\.\d+", version) for version in versions.values())
    # Its minor version is that of the control plane, or one older (kubernetes.io, "Version Skew Policy").
    assert versions["kube-proxy"].startswith(f"v{kubernetes}.")


def test_a_kubernetes_version_without_add_ons_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownFact) as caught:
        catalog.eks_addons("1.33")
    assert "1.35" in caught.value.nearest


def test_regions_that_are_younger_than_the_first_ones_have_a_registry_of_their_own() -> None:
    assert catalog.eks_registry("us-east-1") == catalog.eks_registry("eu-west-1") == "602401143452"
    assert catalog.eks_registry("us-gov-west-1") == "013241004608"
