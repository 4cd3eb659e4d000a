"""The report of a stack as sections: location, pools, nodes, models and their pods, endpoints, cost."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from llm_serving.planning.cost import HOURS_PER_MONTH
from llm_serving.planning.gateway import Exposure
from llm_serving.planning.replicas import NOT_IN_FORCE
from llm_serving.spec import BudgetSpec, Market
from stacks.report.cluster_view import NodeView, PodState
from stacks.report.sections import Column, Part, Section, Sentence, prose, usd, usd_sum
from stacks.report.stack_report import (
    CapacityReport,
    CostReport,
    GatewayReport,
    QuantizationReport,
    ServedReport,
    StackReport,
)

_STYLES = {
    PodState.READY: "green",
    PodState.STARTING: "yellow",
    PodState.WAITING_FOR_CAPACITY: "yellow",
    PodState.FAILING: "red",
}


def summary_sections(report: StackReport) -> Iterator[Part]:
    """Everything that a report has."""
    yield _stack(report)
    yield _pools(report.pools)
    if report.nodes is not None:
        yield _nodes(report.nodes)
    yield _models(report.models, behind_gateway=report.gateway is not None)
    if report.gateway is not None:
        yield _gateway(report.gateway)
    if report.quantizations:
        yield quantizations_section(report.quantizations)
    pods = [(served, pod) for served in report.models for pod in served.pods or ()]
    if pods:
        rows = [
            (served.model, served.release, Text(pod.state, style=_STYLES[pod.state]), pod.node or "none")
            for served, pod in pods
        ]
        yield Section("Pods of models", ("model", "release", prose("state"), "node"), rows)
    if report.cost is not None:
        yield _cost(report.cost)
    yield from (Sentence(f"note: {note}") for note in report.notes)
    yield from (Sentence(f"warning: {line}", "yellow") for line in report.warnings)
    yield from (Sentence(f"error: {line}", "bold red") for line in report.errors)


def quantizations_section(quantizations: Sequence[QuantizationReport], *, explained: bool = False) -> Section:
    """What is quantized, and where the result lies; ``explained``: with why."""
    rows = [
        (
            each.name,
            f"{each.base} {each.base_release}",
            each.scheme,
            each.pool,
            str(each.gpus),
            f"{each.memory_gib:g}",
            f"{each.quantization}: {each.repository} at {each.revision}",
        )
        for each in quantizations
    ]
    columns = ("name", "of", "scheme", "pool", "GPUs", "GiB", prose("result, as a release names it"))
    notes = [
        f"{each.name}: {name.replace('_', ' ')}: {reason}"
        for each in quantizations
        for name, reason in (each.reasons.items() if explained else ())
    ]
    return Section("Quantizations", columns, rows, notes=notes)


def instance_range(fewest: int, most: int) -> str:
    """A number of instances: one, or the fewest and the most."""
    return str(fewest) if fewest == most else f"{fewest}-{most}"


def month_range(cost: CostReport) -> str:
    """Cost of a month: of the fewest nodes, and of the most."""
    fewest = usd_sum(cost.min_usd_per_month, complete=cost.min_complete)
    return f"{fewest} at minimum, {usd_sum(cost.max_usd_per_month, complete=cost.max_complete)} at maximum"


def _stack(report: StackReport) -> Section:
    addresses = {
        "registry": report.registry,
        "model cache": report.model_cache,
        "control plane": report.control_plane,
    }
    rows = list({"settings": report.settings, **report.location}.items())
    notes = [f"{name}: {address}" for name, address in addresses.items() if address is not None]
    return Section("Stack", ("what", prose("value")), rows, notes=notes)


def _pools(pools: tuple[CapacityReport, ...]) -> Section:
    is_counted = any(capacity.nodes is not None for capacity in pools)
    return Section(
        "Pools",
        ("pool", "GPU", "market", "machine", "GPUs a node", "min-max nodes", *(("nodes now",) if is_counted else ())),
        [
            (
                capacity.pool,
                capacity.accelerator,
                capacity.market,
                capacity.machine_type or "",
                str(capacity.gpus_per_node),
                str(capacity.max_nodes) if not capacity.machine_type else f"{capacity.min_nodes}-{capacity.max_nodes}",
                *(("" if capacity.nodes is None else str(capacity.nodes),) if is_counted else ()),
            )
            for capacity in pools
        ],
    )


def _nodes(nodes: tuple[NodeView, ...]) -> Section:
    return Section(
        "Nodes",
        ("node", "pool", "machine", "zone", "market", "GPUs", "ready"),
        [
            (
                node.name,
                node.pool or "system",
                node.machine_type,
                node.zone,
                node.market,
                str(node.gpus),
                Text("yes", style="green") if node.ready else Text("no", style="red"),
            )
            for node in nodes
        ],
    )


def _models(models: tuple[ServedReport, ...], *, behind_gateway: bool) -> Section:
    rows = [
        (
            served.model,
            served.release,
            served.role.value,
            served.pool,
            f"{instance_range(served.min_instances, served.max_instances)} x {served.gpus_per_instance}",
            f"{served.kv_cache_gib:.1f}",
            f"{served.max_concurrency:.1f} x {served.context_length}",
        )
        for served in models
    ]
    columns = ("model", "release", "role", "pool", "instances x GPUs", "KV cache GiB", "requests")
    who = "for the gateway alone" if behind_gateway else "inside the cluster"
    return Section("Models", columns, rows, notes=[note for served in models for note in _about(served, who)])


def _about(served: ServedReport, who: str) -> Iterator[str]:
    name = f"{served.model} {served.release}"
    if served.weight is not None:
        yield f"{name}: canary, weight {served.weight} %" + ("" if served.weight_in_force else f" {NOT_IN_FORCE}")
    if served.url is not None:
        yield f"{name}: {served.url} ({who})"
    elif served.why and served.pods is None:
        yield f"{name}, GPUs an instance: {served.why}"


def _gateway(gateway: GatewayReport) -> Section:
    rows = [
        (part.part, part.namespace, instance_range(part.min_pods, part.max_pods), _short_image(part.image))
        for part in gateway.parts
    ]
    notes = [f"{gateway.url} ({_EXPOSURES[gateway.exposure]})"] if gateway.url else []
    notes += [f"address of its load balancer: {gateway.address}"] if gateway.address else []
    notes += [f"DNS must have: {gateway.record}"] if gateway.record else []
    notes.append(f"keys: {gateway.keys}")
    notes += [
        f"hosted: {each.name} answers {', '.join(each.teams)} for {', '.join(each.models)} where nothing inside does; "
        f"their requests leave the cluster for {each.url}, {_spending(each.budget)} at most"
        for each in gateway.hosted
    ]
    return Section("Gateway", ("part", "namespace", "pods", "image"), rows, notes=notes)


def _spending(budget: BudgetSpec) -> str:
    usd = [] if budget.usd is None else [f"{budget.usd:g} USD"]
    tokens = [] if budget.tokens is None else [f"{budget.tokens} tokens"]
    return f"{' and '.join([*usd, *tokens])} in {budget.days} days"


_EXPOSURES = {
    Exposure.CLUSTER: "inside the cluster",
    Exposure.PRIVATE: "inside the private network",
    Exposure.PUBLIC: "public",
    Exposure.EXISTING: "by a Gateway that is there",
}


def _short_image(reference: str) -> str:
    """An image without its registry, and with the beginning of its digest."""
    name, _, digest = reference.rpartition("/")[2].partition("@")
    return f"{name}@{digest[:_DIGEST_SHOWN]}" if digest else name


_DIGEST_SHOWN = len("sha256:") + 12


def _cost(cost: CostReport) -> Section:
    """Of the nodes that are there, and from the fewest to the most."""
    present, complete = cost.now_usd_per_hour, cost.now_complete
    is_counted = present is not None and complete is not None
    floor = "at minimum: nodes that the fewest instances take, most preferred capacity first, and that a pool keeps"

    def with_now(before: tuple[Column | str, ...], now: str, after: tuple[str, ...]) -> tuple[Any, ...]:
        return (*before, now, *after) if is_counted else (*before, *after)

    return Section(
        "Cost an hour (USD)",
        with_now(("pool", prose("capacity"), "one node"), "now", ("at minimum", "at maximum")),
        [
            with_now(
                (line.pool, f"{line.market} {line.machine_type}", usd(line.usd_per_hour)),
                usd(line.usd_per_hour_now),
                (usd(line.min_usd_per_hour), usd(line.max_usd_per_hour)),
            )
            for line in cost.lines
        ],
        totals=[
            with_now(
                ("sum", "", ""),
                usd_sum(present or 0, complete=bool(complete)),
                (
                    usd_sum(cost.min_usd_per_hour, complete=cost.min_complete),
                    usd_sum(cost.max_usd_per_hour, complete=cost.max_complete),
                ),
            ),
        ],
        notes=[
            f"a month of {HOURS_PER_MONTH} hours: {month_range(cost)}",
            *([floor] if any(line.min_nodes and line.market != Market.RESERVATION for line in cost.lines) else []),
            *(f"unknown price, left out of sums with >=: {line}" for line in cost.unknown),
            f"left out: {', '.join(cost.left_out)}",
        ],
    )
