"""Everything that was decided for a model, and why: releases, an instance, cold start, drain, scaling, cost.

Rendering only. What is shown was decided by ``planning`` or stands in the settings.
"""

from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from llm_serving.catalog import accelerator
from llm_serving.planning.cold_start import ColdStart
from llm_serving.planning.disruption import EXIT_SECONDS, longer_than_window, plan_drain
from llm_serving.planning.instance_cost import capacity_costs, gpu_range
from llm_serving.planning.placement import ModelPlan
from llm_serving.planning.replicas import describe_role, plan_replicas
from llm_serving.spec import AutoscalingSpec, EngineName, ModelSpec, Pool
from stacks.report.releases import HASH_DIGITS
from stacks.report.summary import replica_range
from stacks.report.tables import plain_table, usd
from stacks.settings import NAMESPACE, ServedModel, ServedRelease, Stack


def explain_model(stack: Stack, model: ServedModel) -> Group:
    """All tables of one model."""
    pool = next(pool for pool in stack.settings.pools if pool.name == model.spec.pool)
    return Group(
        _model(model, pool),
        releases_table(model),
        *_instances(model),
        *_cold_starts(model),
        launcher_table(stack, model),
        drain_table(model.spec, stack.cloud.spot_notice_seconds(pool)),
        scaling_table(model, stack.settings.addons.prometheus_url),
        scheduling_table(model.spec),
        *_costs(stack, model, pool),
        *_notes(stack, model),
    )


def _model(model: ServedModel, pool: Pool) -> Table:
    table = plain_table(f"Model {model.spec.name}", "what", "value")
    table.add_row("team, namespace", model.spec.team)
    markets = ", then ".join(f"{entry.market.value} {entry.machine_type}" for entry in pool.capacity)
    table.add_row("pool", f"{pool.name}: {pool.accelerator}; {markets or 'existing nodes'}")
    node = model.node
    table.add_row("a node", f"{node.gpus} x {node.accelerator}, {node.cpu:g} cores, {node.memory_gib:g} GiB for pods")
    return table


def releases_table(model: ServedModel) -> Table:
    """What each release pins, and the part that it plays."""
    table = plain_table(
        "Releases", "role", "release", "hash", "engine", "weights", "quantization", "context", "instances"
    )
    for served, instances in zip(model.releases, plan_replicas(model.spec), strict=True):
        spec = served.release.spec
        table.add_row(
            describe_role(model.spec.releases, served.role),
            spec.version,
            served.release.sha256[:HASH_DIGITS],
            f"{spec.engine.name.value} {spec.engine.version}\n{spec.image.reference}",
            f"{spec.model.repository}\n{spec.model.revision[:HASH_DIGITS]}",
            spec.quantization.value,
            str(spec.context_length),
            replica_range(instances),
        )
    return table


def _instances(model: ServedModel) -> Iterator[Table]:
    """One instance of each release; releases that are planned alike share a table."""
    for releases in _group_releases(model, lambda served: served.plan):
        plan = releases[0].plan
        table = plain_table(f"One instance of {_versions(releases)}", "what", "value", "why")
        for name, reason in plan.reasons.items():
            if name != "cold_start":
                table.add_row(_label(name), _value_text(plan, name), reason)
        yield table


_SPELLINGS = {"kv": "KV", "gib": "GiB", "cpu": "cores", "shm": "/dev/shm", "gpus": "GPUs", "gpu": "GPU"}


def _label(field: str) -> str:
    return " ".join(_SPELLINGS.get(word, word) for word in field.split("_"))


def _value_text(plan: ModelPlan, name: str) -> str:
    """The value that a reason belongs to; some reasons are notes and belong to none."""
    value: Any = getattr(plan, name, "")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cold_starts(model: ServedModel) -> Iterator[RenderableType]:
    for releases in _group_releases(model, lambda served: served.plan.cold_start):
        yield cold_start_table(releases[0].plan.cold_start, _versions(releases))


def cold_start_table(start: ColdStart, versions: str) -> Group:
    """The budget, stage by stage, and where each stage is measured."""
    title = f"Cold start of {versions}, seconds, estimated"
    table = plain_table(title, "stage", "s", "way", "estimate", "shorter by")
    measured = plain_table(f"Cold start of {versions}, measured", "stage", "PromQL, seconds")
    for stage in start.stages:
        name = stage.name.value.replace("-", " ")
        shorter = [
            f"{cut.setting}: {cut.seconds} s ({cut.basis.value})" + (f"; {cut.note}" if cut.note else "")
            for cut in stage.shortcuts
        ]
        estimate = f"{stage.basis.value}: {stage.source}; {stage.date}"
        table.add_row(name, str(stage.seconds), stage.way, estimate, "\n".join(shorter))
        measured.add_row(name, stage.measured_by or "nothing measures it")
    table.add_section()
    table.add_row("total", str(start.total), "", "time-outs wait twice as long", "")
    measured.add_section()
    measured.add_row("from the container's start", start.measured_by or "nothing measures it: no launcher")
    return Group(table, measured)


def launcher_table(stack: Stack, model: ServedModel) -> Table:
    """What runs each release's engine, and what of that is there with it."""
    table = plain_table("Launcher", "release", "launcher", "requests when an instance ends", "warm-up", "GPU signal")
    version = stack.settings.launcher.version
    for served in model.releases:
        spec = served.release.spec
        if not model.spec.engine.launcher:
            table.add_row(spec.version, "none", f"{spec.engine.name.value}'s own way, not counted", "none", "none")
            continue
        came = "comes with the release" if version is None else f"{version}, comes with the release"
        has_drain = spec.engine.name is EngineName.VLLM
        table.add_row(
            spec.version,
            "inside the image" if spec.image.launcher else came,
            "end, or are refused or ended with an error, and counted"
            if has_drain
            else f"{spec.engine.name.value}'s own way, not counted",
            "one request" if model.spec.engine.warm_up else "none: engine.warmUp",
            "utilization, by NVML" if _has_gpu(model) else "none: no GPU",
        )
    return table


def drain_table(spec: ModelSpec, notice: int | None) -> Table:
    """The end of an instance, second by second, against what the cloud gives it."""
    drain = plan_drain(spec.drain, notice)
    table = plain_table("Drain, seconds", "what", "s", "why")
    origin = "asked for" if spec.drain.pre_stop_seconds else "default"
    table.add_row("preStop", str(drain.pre_stop), f"{origin}: load balancers hear of the end; new requests are served")
    origin = "asked for" if spec.drain.shutdown_timeout_seconds else "default"
    table.add_row("shutdown timeout", str(drain.shutdown_timeout), f"{origin}: running requests end")
    table.add_row("grace period", str(drain.grace_period), f"both, and {EXIT_SECONDS} s to exit")
    if notice is None:
        table.add_row("the cloud's notice", "none", "nodes of this pool are not taken away")
    else:
        spare = f"{notice - drain.grace_period} s to spare"
        table.add_row("the cloud's notice", str(notice), f"the shortest termination notice in the pool (spot); {spare}")
    longest = spec.drain.longest_request_seconds
    if longest is not None:
        is_cut = longer_than_window(spec.drain, drain)
        reason = "may be cut: its stream ends with an error, and is counted" if is_cut else "ends within the timeout"
        table.add_row("the longest request", str(longest), reason)
    return table


def scaling_table(model: ServedModel, prometheus_url: str | None) -> Table:
    """How many instances there are, and what changes their number.

    Args:
        model: the model.
        prometheus_url: the Prometheus of somebody else that is asked; ``None`` for that of the stack.
    """
    table = plain_table("Number of instances", "release", "instances", "scaled by")
    for instances in plan_replicas(model.spec):
        by = (
            "fixed"
            if instances.autoscaling is None
            else "\n".join(_signals(instances.autoscaling, model, prometheus_url))
        )
        base = f", {instances.base} of them on capacity that is not taken away" if instances.base else ""
        table.add_row(f"{instances.version} ({instances.role.value})", f"{replica_range(instances)}{base}", by)
    return table


def _has_gpu(model: ServedModel) -> bool:
    return accelerator(model.node.accelerator).resource is not None


def _signals(spec: AutoscalingSpec, model: ServedModel, prometheus_url: str | None) -> Iterator[str]:
    yield f"more than {spec.queue_depth:g} waiting requests an instance"
    if spec.ttft_seconds is not None:
        yield f"time to first token (p95) over {spec.ttft_seconds:g} s, while requests wait"
    if spec.gpu_utilization is not None and _has_gpu(model):
        told = (
            ""
            if model.spec.engine.launcher
            else "; no launcher reports it: only where Prometheus has NVIDIA's exporter"
        )
        yield f"GPU utilization over {spec.gpu_utilization} %, while requests wait{told}"
    for schedule in spec.schedules:
        yield f"at least {schedule.replicas} from {schedule.start} to {schedule.end} ({schedule.timezone})"
    pace = spec.pace
    yield f"up: {pace.up_percent} % in 15 s after {pace.up_seconds} s of demand"
    yield f"down: {pace.down_percent} % a minute after {pace.down_seconds} s of lull"
    read = f"signals are read every {spec.polling_seconds} s"
    yield read if prometheus_url is None else f"{read} from {prometheus_url}, which must read PodMonitors"


def scheduling_table(spec: ModelSpec) -> Table:
    """What gives way to what."""
    table = plain_table("Scheduling", "what", "value", "why")
    table.add_row("priority", spec.service_class.value, "batch gives way first, critical last")
    placeholders = spec.warm_pool.placeholders
    why = (
        "hold nodes ready; give way to an instance" if placeholders else "warmPool.placeholders would hold nodes ready"
    )
    table.add_row("placeholders", str(placeholders), why)
    surge = "started beside those that they replace" if spec.surge else "one ends before its successor starts"
    table.add_row("surge", str(spec.surge), surge)
    return table


def _costs(stack: Stack, model: ServedModel, pool: Pool) -> Iterator[RenderableType]:
    gpus = [served.plan.gpus for served in model.releases]
    fewest, most = gpu_range(model.spec, gpus)
    title = "Cost an hour of the model's share of its nodes (USD)"
    table = plain_table(title, "market", "machine", "one instance", f"fewest: {fewest} GPUs", f"most: {most} GPUs")
    costs = capacity_costs(stack.cloud, stack.settings.region, pool, model.spec, gpus)
    for cost in costs:
        table.add_row(cost.market, cost.machine_type, usd(cost.instance), usd(cost.fewest), usd(cost.most))
    yield table
    notes = {f"{cost.market} {cost.machine_type}: {cost.note}".strip() for cost in costs if cost.note}
    placeholders = model.spec.warm_pool.placeholders
    workloads = "all releases" + (f" and {placeholders} placeholder(s)" if placeholders else "")
    yield Text(
        f"{workloads}, all of them on that capacity; a node that is partly empty costs as much as a full one",
        style="dim",
    )
    for note in sorted(notes):
        yield Text(note, style="dim")


def _notes(stack: Stack, model: ServedModel) -> Iterator[Text]:
    path = f"{NAMESPACE}:models[{stack.models.index(model)}]"
    for note in stack.notes:
        if note.path == path or note.path.startswith(f"{path}."):
            yield Text(f"note: {note}", style="dim")


def _group_releases(model: ServedModel, key: Callable[[ServedRelease], Any]) -> list[list[ServedRelease]]:
    """The releases in groups with the same ``key``."""
    groups: list[list[ServedRelease]] = []
    for served in model.releases:
        group = next((group for group in groups if key(group[0]) == key(served)), None)
        if group is None:
            groups.append([served])
        else:
            group.append(served)
    return groups


def _versions(releases: list[ServedRelease]) -> str:
    return ", ".join(served.release.spec.version for served in releases)
