"""The report of a model as sections: releases, an instance and its cost, cold start, drain, scaling."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from llm_serving.addons.addon import AddonProvider
from llm_serving.planning.disruption import EXIT_SECONDS
from llm_serving.planning.placement import ModelPlan
from llm_serving.planning.replicas import NOT_IN_FORCE
from llm_serving.spec import AutoscalingSpec, Quantization
from stacks.report.explain_report import DrainReport, LauncherReport, ModelReport, ReleaseReport
from stacks.report.releases import HASH_DIGITS
from stacks.report.sections import Part, Section, Sentence, prose, usd
from stacks.report.summary import instance_range

_WHY = ("what", "value", prose("why"))


def model_sections(model: ModelReport) -> Iterator[Part]:
    """Everything about one model."""
    yield _model(model)
    yield _releases(model.releases)
    for alike in _group(model.releases, lambda release: release.instance):
        yield _instance(alike[0].instance, _versions(alike))
    yield _cost(model)
    for alike in _group(model.releases, lambda release: release.instance.cold_start):
        yield from _cold_start(alike[0], _versions(alike))
    yield _launcher(model.releases)
    yield _drain(model.drain)
    yield _scaling(model)
    yield _scheduling(model)
    yield from (Sentence(f"note: {note}") for note in model.notes)


def _model(model: ModelReport) -> Section:
    node = model.node
    rows = [
        ("team, namespace", model.team),
        ("pool", f"{model.pool}: {model.accelerator}; {', then '.join(model.capacity) or 'existing nodes'}"),
        ("a node", f"{node.gpus} x {node.gpu_label}, {node.cpu:g} cores, {node.memory_gib:g} GiB for pods"),
    ]
    return Section(f"Model {model.name}", ("what", prose("value")), rows)


def _releases(releases: Sequence[ReleaseReport]) -> Section:
    """What each release pins, and the part that it plays."""
    rows = [
        (
            release.version,
            release.role.value,
            f"{release.engine.value} {release.engine_version}",
            release.quantization,
            str(release.context_length),
            instance_range(release.min_instances, release.max_instances),
        )
        for release in releases
    ]
    notes: list[str] = []
    for release in releases:
        if release.weight is not None:
            in_force = "" if release.weight_in_force else f" {NOT_IN_FORCE}"
            notes.append(f"{release.version}: canary, weight {release.weight} %{in_force}")
        notes.append(f"{release.version}: hash {release.sha256[:HASH_DIGITS]}")
        notes.append(f"{release.version}: image {release.image}")
        if release.quantization != Quantization.NONE:
            notes.append(f"{release.version}: quality {_quality(release)}")
        notes.append(f"{release.version}: weights {release.repository} at {release.revision[:HASH_DIGITS]}")
    columns = ("release", "role", "engine", "quantization", "context", "instances")
    return Section("Releases", columns, rows, notes=notes)


def _quality(release: ReleaseReport) -> str:
    """What the quantization costs, by published scores in percent of those of the 16-bit weights."""
    if not release.quality:
        return f"in {release.quantization}: not measured, as far as is known here"
    texts: list[str] = []
    for _, rows in groupby(release.quality, key=lambda row: (row.checkpoint, row.source, row.date)):
        alike = list(rows)
        scores = ", ".join(f"{row.score_percent:g} % in {row.benchmark}" for row in alike)
        first = alike[0]
        other = "" if first.checkpoint == release.repository else "of another checkpoint, "
        texts.append(f"{scores} ({other}{first.checkpoint}, {first.source}, {first.date})")
    return f"of the 16-bit weights': {'; '.join(texts)}"


def _instance(plan: ModelPlan, versions: str) -> Section:
    reasons = {name: reason for name, reason in plan.reasons.items() if name != "cold_start"}
    rows = [(_label(name), _value_text(plan, name), reason) for name, reason in reasons.items()]
    return Section(f"One instance of {versions}", _WHY, rows)


_SPELLINGS = {"kv": "KV", "gib": "GiB", "cpu": "cores", "shm": "/dev/shm", "gpus": "GPUs", "gpu": "GPU"}


def _label(field: str) -> str:
    return " ".join(_SPELLINGS.get(word, word) for word in field.split("_"))


def _value_text(plan: ModelPlan, name: str) -> str:
    """The value that a reason belongs to; some reasons are notes and belong to none."""
    value: Any = getattr(plan, name, "")
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cost(model: ModelReport) -> Section:
    cost = model.cost
    workloads = "all releases" + (f" and {model.placeholders} placeholder(s)" if model.placeholders else "")
    remark = f"{workloads}, all of them on that capacity; a node that is partly empty costs as much as a full one"
    priced = {f"{line.market} {line.machine_type}".strip(): line.note for line in cost.capacity}
    return Section(
        "Cost an hour of the instances' share of their nodes (USD)",
        (
            "market",
            "machine",
            "one instance",
            prose(f"fewest: {cost.min_gpus} GPUs"),
            prose(f"most: {cost.max_gpus} GPUs"),
        ),
        [
            (line.market, line.machine_type, usd(line.instance), usd(line.fewest), usd(line.most))
            for line in cost.capacity
        ],
        notes=[remark, *(f"{capacity}: {note}" for capacity, note in sorted(priced.items()) if note)],
    )


def _cold_start(release: ReleaseReport, versions: str) -> Iterator[Part]:
    """The budget, stage by stage, and where each stage is measured. Sources are numbered under the table."""
    start = release.instance.cold_start
    sources = list(dict.fromkeys(f"{stage.basis.value}: {stage.source}; {stage.date}" for stage in start.stages))
    rows: list[tuple[str, ...]] = []
    for stage in start.stages:
        number = sources.index(f"{stage.basis.value}: {stage.source}; {stage.date}") + 1
        shorter = [
            f"{cut.setting}: {cut.seconds} s ({cut.basis.value})" + (f"; {cut.note}" if cut.note else "")
            for cut in stage.shortcuts
        ]
        rows.append((_stage(stage.name.value), str(stage.seconds), stage.way, f"[{number}]", "\n".join(shorter)))
    yield Section(
        f"Cold start of {versions}, seconds, estimated",
        ("stage", "s", "way", "estimate", prose("shorter by")),
        rows,
        totals=[
            ("total", str(start.total), "", "", f"an instance must answer in {release.startup_timeout_seconds:g} s")
        ],
        notes=[f"[{number}] {source}" for number, source in enumerate(sources, 1)],
    )
    yield Sentence(f"Cold start of {versions}, measured: PromQL, seconds", "bold")
    for stage in start.stages:
        yield Sentence(f"{_stage(stage.name.value)}: {stage.measured_by or 'nothing measures it'}", "")
    yield Sentence(f"from the container's start: {start.measured_by or 'nothing measures it: no launcher'}", "")


def _stage(name: str) -> str:
    return name.replace("-", " ")


def _launcher(releases: Sequence[ReleaseReport]) -> Section:
    """What runs each release's engine, and what of that is there with it."""
    rows: list[tuple[str, ...]] = []
    for release in releases:
        launcher = release.launcher
        own_way = f"{release.engine.value}'s own way, not counted"
        if launcher.comes_with is None:
            rows.append((release.version, "none", own_way, "none", "none"))
            continue
        came = "inside the image" if launcher.comes_with == "image" else "comes with the release"
        rows.append(
            (
                release.version,
                came if launcher.version is None else f"{launcher.version}, {came}",
                "end, or are refused or ended with an error, and counted" if launcher.counts_drain else own_way,
                "one request" if launcher.warm_up else "none",
                "utilization, by NVML" if launcher.gpu_signal else "none: no GPU",
            )
        )
    columns = ("release", prose("launcher"), prose("requests when an instance ends"), prose("warm-up"))
    return Section("Launcher", (*columns, prose("GPU signal")), rows)


def _drain(drain: DrainReport) -> Section:
    """Second by second, against what the cloud gives an instance."""
    asked = {True: "default", False: "asked for"}
    rows = [
        (
            "preStop",
            str(drain.pre_stop),
            f"{asked[drain.pre_stop_is_default]}: load balancers hear of the end; new requests are served",
        ),
        (
            "shutdown timeout",
            str(drain.shutdown_timeout),
            f"{asked[drain.shutdown_timeout_is_default]}: running requests end",
        ),
        ("grace period", str(drain.grace_period), f"both, and {EXIT_SECONDS} s to exit"),
    ]
    if drain.notice is None:
        rows.append(("the cloud's notice", "none", "nodes of this pool are not taken away"))
    else:
        spare = f"{drain.notice - drain.grace_period} s to spare"
        why = f"the shortest termination notice in the pool (spot); {spare}"
        rows.append(("the cloud's notice", str(drain.notice), why))
    if drain.longest_request is not None:
        cut = "may be cut: its stream ends with an error, and is counted"
        why = cut if drain.longest_is_cut else "ends within the timeout"
        rows.append(("the longest request", str(drain.longest_request), why))
    return Section("Drain, seconds", ("what", "s", prose("why")), rows)


def _scaling(model: ModelReport) -> Section:
    """How many instances there are, and what changes their number."""
    rows: list[tuple[str, ...]] = []
    for release in model.releases:
        spec = release.autoscaling
        by = "fixed" if spec is None else "\n".join(_signals(spec, release.launcher, model))
        rows.append(
            (
                f"{release.version} ({release.role.value})",
                instance_range(release.min_instances, release.max_instances),
                str(release.base_instances),
                by,
            )
        )
    notes = ["on a base: on capacity that is not taken away"] if any(r.base_instances for r in model.releases) else []
    columns = ("release", "instances", prose("on a base"), prose("scaled by"))
    return Section("Number of instances", columns, rows, notes=notes)


_EXPORTERS = {
    AddonProvider.STACK: "NVIDIA's exporter does, which is installed",
    AddonProvider.CLOUD: "the exporter that the cloud runs does, and Prometheus reads it",
    AddonProvider.USER: "only where Prometheus has NVIDIA's exporter",
}


def _signals(spec: AutoscalingSpec, launcher: LauncherReport, model: ModelReport) -> Iterator[str]:
    yield f"more than {spec.queue_depth:g} waiting requests an instance"
    if spec.ttft_seconds is not None:
        yield f"time to first token (p95) over {spec.ttft_seconds:g} s, while requests wait"
    if spec.gpu_utilization is not None and model.has_gpu:
        told = "" if launcher.gpu_signal else f"; no launcher reports it: {_EXPORTERS[model.gpu_exporter]}"
        yield f"GPU utilization over {spec.gpu_utilization} %, while requests wait{told}"
    for schedule in spec.schedules:
        yield f"at least {schedule.replicas} from {schedule.start} to {schedule.end} ({schedule.timezone})"
    if spec.may_sleep:
        yield f"the first one while somebody asks the gateway; none after {spec.idle_seconds} s without a request"
    pace = spec.pace
    yield f"up: {pace.up_percent} % in 15 s after {pace.up_seconds} s of demand"
    yield f"down: {pace.down_percent} % a minute after {pace.down_seconds} s of lull"
    read, url = f"signals are read every {spec.polling_seconds} s", model.prometheus_url
    yield read if url is None else f"{read} from {url}, which must read PodMonitors"


def _scheduling(model: ModelReport) -> Section:
    """What gives way to what."""
    held = "hold nodes ready; give way to an instance"
    rows = [
        ("priority", model.service_class.value, "batch gives way first, critical last"),
        (
            "placeholders",
            str(model.placeholders),
            held if model.placeholders else "warmPool.placeholders would hold nodes ready",
        ),
        (
            "surge",
            str(model.surge),
            "started beside those that they replace" if model.surge else "one ends before its successor starts",
        ),
    ]
    return Section("Scheduling", _WHY, rows)


def _group(releases: Sequence[ReleaseReport], key: Callable[[ReleaseReport], Any]) -> list[list[ReleaseReport]]:
    """The releases in groups with the same ``key``."""
    groups: list[list[ReleaseReport]] = []
    for release in releases:
        group = next((group for group in groups if key(group[0]) == key(release)), None)
        if group is None:
            groups.append([release])
        else:
            group.append(release)
    return groups


def _versions(releases: Sequence[ReleaseReport]) -> str:
    return ", ".join(release.version for release in releases)
