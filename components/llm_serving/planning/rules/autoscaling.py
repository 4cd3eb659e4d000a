"""Autoscaling: bounds that hold each other, schedules that KEDA can read, signals that can be measured."""

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from llm_serving.addons.addon import AddonProvider
from llm_serving.addons.table import DCGM_EXPORTER
from llm_serving.errors import LEAVE_OUT, Needs, Problem, Suggestion, nearest
from llm_serving.metrics.engines import engine_metrics
from llm_serving.metrics.series import SCRAPE_INTERVAL_SECONDS
from llm_serving.planning.addons import gpu_exporter_provider, pools_that_need
from llm_serving.planning.autoscaling import Cron, interruption, parse_cron
from llm_serving.planning.replicas import releases_of
from llm_serving.planning.rules.objectives import nearest_counted
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import AddonSource, AddonsSpec, AutoscalingSpec, ModelSpec, ScheduleSpec, ServiceClass, Task


def check_autoscaling(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``models[].autoscaling`` and what goes with it."""
    yield from check_addons(stack.addons, stack.models)
    yield from _gpu_nodes(stack)
    for index, model in enumerate(stack.models):
        path = f"models[{index}]"
        yield from _base(path, model)
        if model.autoscaling is not None:
            yield from _bounds(path, model, model.autoscaling)
            yield from _sleep(path, model, stack)
            yield from _cap(path, model, model.autoscaling)
            yield from _objective(path, model, model.autoscaling, stack)
            yield from _bounds_of_objective(path, model, model.autoscaling, stack)
            for number, schedule in enumerate(model.autoscaling.schedules):
                yield from _schedule(f"{path}.autoscaling.schedules[{number}]", schedule, model.autoscaling)


def _objective(path: str, model: ModelSpec, scaling: AutoscalingSpec, stack: StackShape) -> Iterator[Problem]:
    """Models that make vectors or scores have no first token: the signal would stay empty."""
    if scaling.ttft_seconds is None:
        return
    releases = (stack.releases.get((model.name, version)) for _, version in releases_of(model))
    if any(release is not None and release.task is not Task.GENERATE for release in releases):
        reason = "the model writes no text, so there is no first token to wait for"
        yield Problem(
            f"{path}.autoscaling.ttftSeconds",
            scaling.ttft_seconds,
            reason,
            Suggestion("leave it out: queueDepth scales", removal=True),
        )


def check_addons(addons: AddonsSpec, models: Sequence[ModelSpec]) -> Iterator[Problem]:
    """Everything about ``addons``: where a model scales, somebody answers for Prometheus."""
    if addons.alertmanager_url is not None and addons.monitoring is AddonSource.EXISTING:
        reason = "whom a Prometheus of somebody else's tells of alerts is in its own settings"
        yield Problem("addons.alertmanagerUrl", addons.alertmanager_url, reason, LEAVE_OUT)
    url, path = addons.prometheus_url, "addons.prometheusUrl"
    if addons.prometheus_auth is not None and url is None:
        reason = "without meaning for the Prometheus that this stack installs, which asks nobody who they are"
        yield Problem(
            "addons.prometheusAuth", None, reason, Suggestion("leave it out, or addons.prometheusUrl", removal=True)
        )
    if url is not None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or url.endswith("/") or parts.query:
            reason = "not a base URL: KEDA puts /api/v1/query behind it"
            base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
            has_host = parts.scheme in ("http", "https") and parts.netloc
            yield Problem(path, url, reason, Suggestion(values=[base if has_host else _EXAMPLE_URL]))
        if addons.monitoring is AddonSource.INSTALL:
            reason = "is another Prometheus than the one that addons.monitoring installs"
            instead = Suggestion(removal=True, edits=[{"monitoring": AddonSource.EXISTING.value}])
            yield Problem(path, url, reason, instead)
    elif addons.monitoring is AddonSource.EXISTING and any(model.autoscaling is not None for model in models):
        reason = "required where a model scales and Prometheus is somebody else's"
        instead = Suggestion(values=[_EXAMPLE_URL], edits=[{"monitoring": AddonSource.INSTALL.value}])
        yield Problem(path, None, reason, instead)


_EXAMPLE_URL = "http://prometheus.monitoring.svc:9090"


def _gpu_nodes(stack: StackShape) -> Iterator[Problem]:
    """A DaemonSet finds nodes by their labels alone: it asks for no GPU."""
    if gpu_exporter_provider(stack.addons, stack.cloud) is not AddonProvider.STACK:
        return
    needed = pools_that_need(DCGM_EXPORTER, stack.models, stack.pools)
    for index, pool in enumerate(stack.pools):
        if pool in needed and stack.cloud.exporter_nodes(pool) is None:
            reason = (
                "required where a model without the launcher scales by gpuUtilization: NVIDIA's exporter finds its "
            )
            labels = 'labels of the nodes, such as nvidia.com/gpu.present: "true"; or addons.dcgmExporter: existing'
            hint = Suggestion(labels, edits=[{"/addons.dcgmExporter": AddonSource.EXISTING.value}])
            yield Problem(f"pools[{index}].nodeSelector", None, f"{reason}nodes by their labels", hint)


def note_autoscaling(stack: StackShape) -> Iterator[Problem]:
    """What will disappoint, although nothing is refused."""
    provider = gpu_exporter_provider(stack.addons, stack.cloud)
    for index, model in enumerate(stack.models):
        spec, path = model.autoscaling, f"models[{index}].autoscaling"
        if spec is None:
            continue
        if spec.min == spec.max:
            more = Suggestion("replicas alone, or more", values=[spec.max + 1])
            yield Problem(f"{path}.max", spec.max, "equal to min: nothing is ever added", more)
        if spec.polling_seconds < SCRAPE_INTERVAL_SECONDS:
            reason = f"engines are scraped every {SCRAPE_INTERVAL_SECONDS} s, so some readings say nothing new"
            yield Problem(
                f"{path}.pollingSeconds", spec.polling_seconds, reason, Suggestion(values=[SCRAPE_INTERVAL_SECONDS])
            )
        is_measured = model.engine.launcher or provider is not AddonProvider.USER
        if spec.gpu_utilization is not None and not is_measured:
            reason = "nothing of this stack measures it: the launcher would, and the engine runs without it"
            exporter = "leave it out, or NVIDIA's exporter in the Prometheus that scales, with honorLabels"
            hint = Suggestion(exporter, removal=True)
            yield Problem(f"{path}.gpuUtilization", spec.gpu_utilization, reason, hint)
        if model.replicas > 1 and model.replicas != spec.min:
            reason = "without meaning beside autoscaling, which starts with its min"
            instead = Suggestion(edits=[{"": None, "autoscaling.min": model.replicas}])
            yield Problem(f"models[{index}].replicas", model.replicas, reason, instead)


def _base(path: str, model: ModelSpec) -> Iterator[Problem]:
    """That the base is no more than the fewest instances is a rule about capacity (``disruption``)."""
    base, most = model.on_demand_base, model.most_replicas
    if base is not None and model.autoscaling is not None and base == model.fewest_replicas >= most:
        reason = f"with at most {most} instance(s) nothing is left to scale"
        instead = Suggestion(edits=[{"autoscaling.max": most + 1}, {"autoscaling": None, "replicas": base}])
        yield Problem(f"{path}.onDemandBase", base, reason, instead)


def _bounds(path: str, model: ModelSpec, spec: AutoscalingSpec) -> Iterator[Problem]:
    if spec.max < spec.min:
        either = Suggestion(values=[spec.min], edits=[{"min": spec.max}])
        yield Problem(f"{path}.autoscaling.max", spec.max, f"less than min ({spec.min})", either)
    canary = model.releases.canary
    if canary is not None and canary.replicas > spec.max:
        reason = f"more than autoscaling.max ({spec.max}), which holds for each release"
        yield Problem(f"{path}.releases.canary.replicas", canary.replicas, reason, Suggestion(values=[spec.max]))


def _sleep(path: str, model: ModelSpec, stack: StackShape) -> Iterator[Problem]:
    """A model without instances needs somebody who notices that it is asked, and who may wait."""
    if not model.may_sleep:
        return
    if stack.gateway is None:
        reason = "nobody would answer, and nothing wakes the model when a request comes: that takes a gateway"
        yield Problem(f"{path}.autoscaling.min", 0, reason, Suggestion("a gateway, or at least 1", values=[1]))
    if model.service_class is ServiceClass.CRITICAL:
        reason = "whoever asks first waits for a cold start, and the model is critical"
        calmer = [{f"/{path}.serviceClass": ServiceClass.STANDARD.value}]
        yield Problem(f"{path}.autoscaling.min", 0, reason, Suggestion(values=[1], edits=calmer))


def _cap(path: str, model: ModelSpec, spec: AutoscalingSpec) -> Iterator[Problem]:
    """An instance that refuses requests before ``queueDepth`` of them wait never has the queue that would add one."""
    cap = model.engine.max_queued_requests
    if cap is not None and cap <= spec.queue_depth:
        reason = f"requests beyond it are refused, so never more than queueDepth ({spec.queue_depth:g}) wait"
        yield Problem(f"{path}.engine.maxQueuedRequests", cap, reason, Suggestion(values=[int(spec.queue_depth) + 1]))


def _bounds_of_objective(path: str, model: ModelSpec, spec: AutoscalingSpec, stack: StackShape) -> Iterator[Problem]:
    """The engine's histogram can tell whether the objective is kept."""
    release = stack.releases.get((model.name, model.releases.stable))
    bounds = None if release is None else engine_metrics(release.engine.name).time_to_first_token_bounds
    counted = None if spec.ttft_seconds is None else nearest_counted(spec.ttft_seconds, bounds)
    if bounds is None or counted is None:
        return
    reason = f"the engine counts times to the first token from {bounds[0]:g} to {bounds[1]:g} seconds"
    yield Problem(f"{path}.autoscaling.ttftSeconds", spec.ttft_seconds, reason, Suggestion(values=[counted]))


def _schedule(path: str, schedule: ScheduleSpec, spec: AutoscalingSpec) -> Iterator[Problem]:
    if schedule.replicas > spec.max:
        yield Problem(
            f"{path}.replicas", schedule.replicas, f"more than max ({spec.max})", Suggestion(values=[spec.max])
        )
    elif schedule.replicas < spec.min:
        reason = f"less than min ({spec.min}), which holds at all times"
        yield Problem(f"{path}.replicas", schedule.replicas, reason, Suggestion(values=[min(spec.min + 1, spec.max)]))
    known = available_timezones()
    # A machine without the data base knows none; KEDA brings its own.
    if known and schedule.timezone not in known:
        reason = "not a name in the IANA time zone data base"
        close = nearest(schedule.timezone, known)
        yield Problem(f"{path}.timezone", schedule.timezone, reason, close or Suggestion(values=["Etc/UTC"]))
    moments: list[Cron] = []
    for name, expression in (("start", schedule.start), ("end", schedule.end)):
        try:
            cron = parse_cron(expression)
        except ValueError as error:
            yield Problem(f"{path}.{name}", expression, str(error), Suggestion(values=[_WORKING_HOURS[name]]))
            continue
        if not cron.happens:
            reason = "there is no such day in any year"
            yield Problem(f"{path}.{name}", expression, reason, Suggestion(values=[_WORKING_HOURS[name]]))
            continue
        moments.append(cron)
    match moments:
        case [start, end] if start == end:
            reason = "the same moment as start, so that the window has no end"
            yield Problem(f"{path}.end", schedule.end, reason, _later(schedule.end))
        case [start, end] if reason := interruption(start, end):
            name, expression = ("end", schedule.end) if reason.startswith("end ") else ("start", schedule.start)
            yield Problem(f"{path}.{name}", expression, reason, _once_a_day(path, schedule, expression))
        case _:
            pass


_WORKING_HOURS = {"start": "0 8 * * mon-fri", "end": "0 18 * * mon-fri"}


def _later(expression: str) -> Suggestion:
    """The end of the same hour; where it is that, a matter of the reader's."""
    minute, _, rest = expression.partition(" ")
    if not minute.isdigit() or minute == "59":
        return Suggestion("a later hour; or autoscaling.min, for all day", needs=Needs.CHOICE)
    return Suggestion(values=[f"59 {rest}"])


def _once_a_day(path: str, schedule: ScheduleSpec, expression: str) -> Suggestion:
    """The nearest expression that happens once on each of its days; where it does already, the days of the start for
    both."""
    minute, hour, *days = expression.split()
    once = " ".join([minute if minute.isdigit() else "0", hour if hour.isdigit() else "8", *days])
    if once != expression:
        return Suggestion(values=[once])
    days, moment = schedule.start.split()[2:], schedule.end.split()[:2]
    return Suggestion(edits=[{f"/{path}.end": " ".join([*moment, *days])}])
