"""What the pods of the gateway's parts have in common: how they are asked whether they answer, how they are replaced,
and how long they may take to go."""

from pulumi_kubernetes import apps, core

from llm_serving.planning.disruption import EXIT_SECONDS, PRE_STOP_SECONDS

LONGEST_GRACE_SECONDS = 3600
"""A node's upgrade waits no longer for a pod (GKE documentation, "Node upgrade strategies": one hour)."""

PRE_STOP = core.v1.LifecycleArgs(
    pre_stop=core.v1.LifecycleHandlerArgs(sleep=core.v1.SleepActionArgs(seconds=PRE_STOP_SECONDS))
)
"""It goes on answering until load balancers have learned that it ends."""

ONE_BY_ONE = apps.v1.DeploymentStrategyArgs(
    type="RollingUpdate", rolling_update=apps.v1.RollingUpdateDeploymentArgs(max_surge=1, max_unavailable=0)
)
"""A new pod is ready before an old one goes."""


def grace_period_seconds(request_seconds: int) -> int:
    """Grace period of a pod: load balancers learn that it ends, then its longest request ends."""
    return min(LONGEST_GRACE_SECONDS, PRE_STOP_SECONDS + request_seconds + EXIT_SECONDS)


def http_probe(path: str, port: int | str, period: int, failures: int) -> core.v1.ProbeArgs:
    """A question by HTTP, every so many seconds; so many failures in a row count."""
    return core.v1.ProbeArgs(
        http_get=core.v1.HTTPGetActionArgs(path=path, port=port),
        period_seconds=period,
        timeout_seconds=5,
        failure_threshold=failures,
    )
