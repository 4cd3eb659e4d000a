"""Shared GPUs on EKS: what divides them there."""

from collections.abc import Iterator

from llm_serving.errors import Problem, Suggestion
from llm_serving.spec import SharingStrategy
from llm_serving.spec.aws import AwsPoolSpec, AwsProvisioner


def check_sharing(path: str, pool: AwsPoolSpec) -> Iterator[Problem]:
    """Ways of sharing that nothing on a node of ``pool`` does; ``path`` is the pool's."""
    if pool.sharing is None:
        return
    if pool.sharing.partition is not None:
        reason = "nothing on EKS divides a GPU into MIG instances when a node starts"
        sharing = {"strategy": SharingStrategy.TIME_SHARING.value, "clients": 2}
        edit = {f"/{path}.sharing": sharing, f"/{path}.provisioner": AwsProvisioner.NODE_GROUP.value}
        text = f"strategy {SharingStrategy.TIME_SHARING.value} and clients instead, with provisioner node-group"
        hint = Suggestion(text, edits=[edit])
        yield Problem(f"{path}.sharing.partition", pool.sharing.partition, reason, hint)
    elif pool.provisioner is AwsProvisioner.KARPENTER:
        # NodeOverlay adds resources and changes none (its definition in Karpenter 1.14), so that nothing tells it.
        by_groups = Suggestion(values=[AwsProvisioner.NODE_GROUP.value])
        reason = "Karpenter counts whole GPUs, and would start a node for each pod that shares one"
        yield Problem(f"{path}.provisioner", pool.provisioner.value, reason, by_groups)
