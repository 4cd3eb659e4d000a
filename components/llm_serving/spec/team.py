"""Teams that share a cluster."""

from llm_serving.arguments import Frozen
from llm_serving.spec.kubernetes import GroupName
from llm_serving.spec.names import Count, NamespaceName


class TeamSpec(Frozen):
    """A team: one namespace, one GPU quota, the groups that may look and the groups that may change."""

    name: NamespaceName
    """Also the namespace."""
    gpu_quota: Count | None = None
    """Most GPUs that the team's pods may ask for, where the team names it itself.

    ``None`` for what its models can reach: maxima, what a change of release starts beside them, canaries, a Job that
    compiles, and placeholders; and for what its quantizations take.
    """
    client_namespaces: tuple[NamespaceName, ...] = ()
    """Namespaces whose pods ask the team's models, beside its own; of a stack with a gateway, ask the gateway."""
    viewers: tuple[GroupName, ...] = ()
    """Groups (as the cloud names them) with read access to the namespace, Secrets excluded."""
    editors: tuple[GroupName, ...] = ()
    """Groups that may also change workloads."""
    editors_exec: bool = False
    """Editors may run commands in the team's pods, for example `nvidia-smi`; false by default.

    Whoever may reads what the pods read, the token of their cloud identity included.
    """
    stays_in_cluster: bool = False
    """What its keys ask never leaves the cluster: no hosted provider may stand in for a model; false by default."""
