"""Failure policy of the Jobs of a model."""

from collections.abc import Sequence

from pulumi_kubernetes import batch


def fail_on_exit_codes(exit_codes: Sequence[int], container: str | None) -> batch.v1.PodFailurePolicyArgs:
    """Fail a Job at once for exit codes that a retry cannot change: Kubernetes doubles the wait from retry to retry,
    and a mistyped revision should not take minutes to report. A pod whose node went away does not count as failed.

    Args:
        exit_codes: exit codes that fail the Job.
        container: container that exits with them; ``None`` for any.
    """
    exits = batch.v1.PodFailurePolicyOnExitCodesRequirementArgs(
        container_name=container, operator="In", values=list(exit_codes)
    )
    disrupted = batch.v1.PodFailurePolicyOnPodConditionsPatternArgs(type="DisruptionTarget", status="True")
    return batch.v1.PodFailurePolicyArgs(
        rules=[
            batch.v1.PodFailurePolicyRuleArgs(action="FailJob", on_exit_codes=exits),
            batch.v1.PodFailurePolicyRuleArgs(action="Ignore", on_pod_conditions=[disrupted]),
        ]
    )
