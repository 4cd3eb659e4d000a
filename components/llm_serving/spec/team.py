"""Teams that share a cluster."""

from llm_serving.arguments import Frozen
from llm_serving.spec.names import Count, NamespaceName


class TeamSpec(Frozen):
    """A team: one namespace, one GPU quota, the groups that may look and the groups that may change.

    Attributes:
        name: also the namespace.
        gpu_quota: most GPUs that the team's pods may ask for; ``None`` for what its models can reach: maxima, what a
            change of release starts beside them, canaries, a Job that compiles, and placeholders.
        viewers: groups (as the cloud names them) with read access to the namespace, Secrets excluded.
        editors: groups that may also change workloads.
    """

    name: NamespaceName
    gpu_quota: Count | None = None
    viewers: tuple[str, ...] = ()
    editors: tuple[str, ...] = ()
