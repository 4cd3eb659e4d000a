"""What the Jobs of a model have in common: when they give up."""

from collections.abc import Sequence

from pulumi_kubernetes import batch


def give_up_on(statuses: Sequence[int], container: str | None) -> batch.v1.PodFailurePolicyArgs:
    """Fail a Job at once where trying again cannot help; Kubernetes waits longer from try to try, and somebody who
    mistyped a revision should not. A pod whose node went away has not failed.

    Args:
        statuses: exit statuses of such a failure.
        container: whose; ``None`` for any container's.
    """
    hopeless = batch.v1.PodFailurePolicyOnExitCodesRequirementArgs(
        container_name=container, operator="In", values=list(statuses)
    )
    disrupted = batch.v1.PodFailurePolicyOnPodConditionsPatternArgs(type="DisruptionTarget", status="True")
    return batch.v1.PodFailurePolicyArgs(
        rules=[
            batch.v1.PodFailurePolicyRuleArgs(action="FailJob", on_exit_codes=hopeless),
            batch.v1.PodFailurePolicyRuleArgs(action="Ignore", on_pod_conditions=[disrupted]),
        ]
    )
