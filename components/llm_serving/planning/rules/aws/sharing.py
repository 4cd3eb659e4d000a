"""Shared GPUs on EKS: what divides them there."""

from collections.abc import Iterator

from llm_serving.errors import Problem
from llm_serving.spec import SharingStrategy
from llm_serving.spec.aws import AwsPoolSpec, AwsProvisioner


def check_sharing(path: str, pool: AwsPoolSpec) -> Iterator[Problem]:
    """Ways of sharing that nothing on a node of ``pool`` does; ``path`` is the pool's."""
    if pool.sharing is None:
        return
    if pool.sharing.partition is not None:
        reason = "nothing on EKS divides a GPU into MIG instances when a node starts"
        hint = f"strategy {SharingStrategy.TIME_SHARING.value} and clients instead, with provisioner node-group"
        yield Problem(f"{path}.sharing.partition", pool.sharing.partition, reason, hint)
    elif pool.provisioner is AwsProvisioner.KARPENTER:
        # NodeOverlay adds resources and changes none (its definition in Karpenter 1.14), so that nothing tells it.
        reason = "Karpenter counts whole GPUs, and would start a node for each pod that shares one"
        yield Problem(f"{path}.provisioner", pool.provisioner.value, reason, AwsProvisioner.NODE_GROUP.value)
