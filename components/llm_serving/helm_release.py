"""A Helm release as this package makes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_kubernetes import helm

from llm_serving.addons.addon import Chart
from llm_serving.component import child

INSTALL_SECONDS = 600
"""How long the workloads of a chart may take to be ready; a system node may have to start first."""


def helm_release(
    parent: pulumi.Resource,
    name: str,
    chart: Chart,
    namespace: pulumi.Input[str],
    values: pulumi.Input[Mapping[str, Any]],
    after: Sequence[pulumi.Resource] = (),
    *,
    skip_crds: bool = False,
) -> helm.v3.Release:
    """The release of ``chart``, or none of it.

    Args:
        parent: the component.
        name: of the resource, behind that of the component.
        chart: what is installed.
        namespace: a namespace that exists.
        values: what the chart is told.
        after: what has to be there before.
        skip_crds: leave out the definitions in the chart's folder ``crds``, which another chart brings.
    """
    return helm.v3.Release(
        name,
        name=chart.release,
        namespace=namespace,
        chart=chart.name,
        version=chart.version,
        repository_opts=None if chart.repository is None else helm.v3.RepositoryOptsArgs(repo=chart.repository),
        values=values,
        skip_crds=skip_crds or None,
        # A release that failed is taken back: left half installed, the next attempt would refuse to touch it.
        atomic=True,
        max_history=5,
        timeout=INSTALL_SECONDS,
        opts=child(
            parent,
            depends_on=list(after),
            custom_timeouts=pulumi.CustomTimeouts(create=f"{2 * INSTALL_SECONDS}s", update=f"{2 * INSTALL_SECONDS}s"),
        ),
    )
