"""What keeps a model answering while pods come and go: a disruption budget, pods spread apart, and instances on
capacity that is not taken away.

Renders what was decided; how long an instance takes to go is ``planning.disruption``'s, who gives way to whom
``priorities``'.
"""

from collections.abc import Mapping

from pulumi_kubernetes import core, meta, policy

from llm_serving.contract import LABEL_MARKET, PoolScheduling

SPREAD_OVER = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")


def disruption_budget(pods: Mapping[str, str]) -> policy.v1.PodDisruptionBudgetSpecArgs:
    """One instance at a time may be ended by a drain or an upgrade.

    Args:
        pods: labels of the release's pods, of every share.
    """
    return policy.v1.PodDisruptionBudgetSpecArgs(
        max_unavailable=1,
        # Else an instance that never gets ready would hold its node for ever.
        unhealthy_pod_eviction_policy="AlwaysAllow",
        selector=meta.v1.LabelSelectorArgs(match_labels=dict(pods)),
    )


def spread(pods: Mapping[str, str]) -> list[core.v1.TopologySpreadConstraintArgs]:
    """Instances go to zones and nodes that have the fewest of them, where there is a choice: a GPU on the wrong node is
    better than none.

    Args:
        pods: labels of the release's pods, of every share.
    """
    return [
        core.v1.TopologySpreadConstraintArgs(
            max_skew=1,
            topology_key=key,
            when_unsatisfiable="ScheduleAnyway",
            label_selector=meta.v1.LabelSelectorArgs(match_labels=dict(pods)),
        )
        for key in SPREAD_OVER
    ]


def base_affinity(scheduling: PoolScheduling) -> core.v1.AffinityArgs | None:
    """Only nodes that are not taken away, for the instances of a base; ``None`` where all of the pool's nodes stay."""
    if not scheduling.non_preemptible_markets:
        return None
    return core.v1.AffinityArgs(
        node_affinity=core.v1.NodeAffinityArgs(
            required_during_scheduling_ignored_during_execution=core.v1.NodeSelectorArgs(
                node_selector_terms=[
                    core.v1.NodeSelectorTermArgs(
                        match_expressions=[
                            core.v1.NodeSelectorRequirementArgs(
                                key=LABEL_MARKET, operator="In", values=list(scheduling.non_preemptible_markets)
                            )
                        ]
                    )
                ]
            )
        )
    )


def base_notice(scheduling: PoolScheduling) -> int | None:
    """The notice by which instances of a base must be gone: none, where they run on nodes that stay."""
    return None if scheduling.non_preemptible_markets else scheduling.spot_notice_seconds
