"""``make up`` of stack ``local``: cluster, images, ``pulumi up``, first answer; and what other commands need of it."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from llm_serving.arguments import plain_set
from llm_serving.gateway.names import EDGE_SERVICE
from llm_serving.spec import Task
from local import kubernetes_plugin
from local.cluster import ClusterError
from local.endpoint.cluster_choice import choose_cluster
from local.endpoint.first_answer import (
    directly,
    request_for,
    through_api_server,
    wait_for_answer,
    wait_for_refusal,
)
from local.endpoint.gateway_access import ClientKey, client_key, gateway_settings
from local.endpoint.images import build, gateway_images, image_settings, load_missing, make_models
from local.endpoint.serving_clusters import ServingCluster
from local.images import LocalImages
from local.stack_runner import StackRunner, up
from stacks.documents import load_yaml
from stacks.releases import RELEASES, read_releases
from stacks.settings import NAMESPACE, ExistingSettings, read_settings_file

STACK = "local"

STAGES_BEFORE = 4
"""Stages until ``pulumi`` can run."""


@dataclass
class Stages:
    """Progress of a run: a line when a stage begins, its time when it ends, and all of them at the end.

    Attributes:
        count: how many there will be.
        done: what each took, in seconds, in order.
    """

    count: int
    done: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, what: str = "") -> Iterator[None]:
        """One stage; ``what`` says more in its first line."""
        print(f"[{len(self.done) + 1}/{self.count}] {name}{': ' if what else ''}{what}", flush=True)
        start = time.monotonic()
        try:
            yield
        finally:
            self.done[name] = time.monotonic() - start

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in self.done.items())
        return f"{parts}; together {sum(self.done.values()):.0f} s"


@dataclass(frozen=True)
class Endpoint:
    """The stack on its cluster.

    Attributes:
        runner: runs ``pulumi`` with the cluster's kubeconfig and the settings of this run.
        cluster: what it is served on.
        settings: what the stack's file says.
        key: this machine's key; ``None`` where the stack has no gateway.
    """

    runner: StackRunner
    cluster: ServingCluster
    settings: ExistingSettings
    key: ClientKey | None = None


def open_endpoint(runner: StackRunner, stages: Stages | None = None) -> Endpoint:
    """Start the cluster and make the images be there.

    Raises:
        ClusterError: the cluster or an image is not to be had.
        ImageError: a build fails, or there is no room for it.
        ProblemsError: the settings are refused.
    """
    stages = stages or Stages(STAGES_BEFORE)
    settings = _settings(runner)
    cluster = _start(runner, settings, stages, scales=_scales(settings))
    images = LocalImages() if _needs_images(settings) else None
    with stages.stage("model", str(runner.state.root / "models")):
        models = make_models(runner.state)
    with stages.stage("images", "build what changed" if images else "as the settings name them"):
        built = build(images, models, gateway_images(settings)) if images else None
    with stages.stage("loading images"):
        if images is not None and built is not None:
            load_missing(cluster, images, built.all)
    return _endpoint(runner, cluster, settings, built.settings() if built else {})


def look_at_endpoint(runner: StackRunner) -> Endpoint:
    """The stack on its cluster for commands that start no pod: images have the names that a build would give them, and
    nothing is built.

    Raises:
        ClusterError: the cluster is not to be had.
        ProblemsError: the settings are refused.
    """
    settings = _settings(runner)
    cluster = _start(runner, settings, Stages(1))
    names: dict[str, Any] = {}
    if _needs_images(settings):
        names = image_settings(LocalImages(), make_models(runner.state), gateway_images(settings))
    return _endpoint(runner, cluster, settings, names)


def open_cluster(runner: StackRunner) -> Endpoint:
    """The stack on its cluster for commands that do not run the program, such as destroy.

    Raises:
        ClusterError: the cluster is not to be had.
        ProblemsError: the settings are refused.
    """
    settings = _settings(runner)
    return _endpoint(runner, _start(runner, settings, Stages(1)), settings, {})


def _start(runner: StackRunner, settings: ExistingSettings, stages: Stages, *, scales: bool = False) -> ServingCluster:
    """``scales``: what models need to scale has to be there. A node that runs without it is started again, so that is
    left to commands that change the cluster."""
    cluster = choose_cluster(runner.state, settings.cluster)
    with stages.stage("cluster", cluster.description):
        cluster.start(scales=scales, has_gateway=settings.gateway is not None)
    return cluster


def _scales(settings: ExistingSettings) -> bool:
    return any(model.autoscaling for model in settings.models)


def _needs_images(settings: ExistingSettings) -> bool:
    return settings.loader is None or not settings.engine_images or bool(gateway_images(settings))


def _endpoint(
    runner: StackRunner, cluster: ServingCluster, settings: ExistingSettings, names: dict[str, Any]
) -> Endpoint:
    """``names``: settings that name images. Those that the file has itself stay."""
    more = dict(names)
    if settings.engine_images:
        more.pop("engineImages", None)
    if settings.loader is not None:
        more.pop("loader", None)
    of_cluster = settings.cluster.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    clients = [*of_cluster.get("clients", ()), *cluster.clients]
    more["cluster"] = {**of_cluster, "clients": clients} if clients else of_cluster
    if there := cluster.addons(scales=_scales(settings), has_gateway=settings.gateway is not None):
        of_addons = settings.addons.model_dump(mode="json", by_alias=True, exclude_unset=True)
        more["addons"] = {**there, **of_addons}
    key = None
    if settings.gateway is not None:
        key = client_key(runner.state)
        in_file = load_yaml(runner.settings / f"Pulumi.{STACK}.yaml")["config"][f"{NAMESPACE}:gateway"]
        more["gateway"] = gateway_settings(in_file, key, settings.teams[0].name)
    if "images" in more:
        # Those of the file stay.
        more["images"] |= {name: plain_set(image) for name, image in settings.images.items()}
    return Endpoint(
        key=key,
        runner=replace(
            runner,
            more_settings={f"{NAMESPACE}:{key}": value for key, value in more.items()},
            more_environment={"KUBECONFIG": str(cluster.kubeconfig())},
        ),
        cluster=cluster,
        settings=settings,
    )


def bring_up(runner: StackRunner, args: Sequence[str], stages: Stages | None = None) -> int:
    """The whole way; the exit status. ``stages``, where given, keeps what each took."""
    stages = stages or Stages(STAGES_BEFORE + 2)
    endpoint = open_endpoint(runner, stages)
    with stages.stage("pulumi up", f"kubernetes plugin: {kubernetes_plugin.describe(runner.state)}"):
        endpoint.runner.prepare(STACK)
        status = up(endpoint.runner, STACK, args)
    if status:
        return status
    with stages.stage("first answer"):
        known = read_releases(RELEASES)
        tasks = [known[model.name, model.releases.stable].spec.task for model in endpoint.settings.models]
        models = zip(endpoint.settings.models, tasks, strict=True)
        lines = [
            _first_answer(endpoint, _front(endpoint, model.name, model.team), model.name, t) for model, t in models
        ]
    print(f"\n{stages}\n")
    print("\n".join(lines))
    print("\nSee more: make status. Stop: make down (state survives). Remove: make destroy STACK=local.")
    return 0


@dataclass(frozen=True)
class _Front:
    """The Service that clients ask.

    Attributes:
        service: its name.
        namespace: where it is.
        key: what they show; ``None`` where a model is asked without one.
    """

    service: str
    namespace: str
    key: ClientKey | None = None


def _front(endpoint: Endpoint, model: str, team: str) -> _Front:
    gateway = endpoint.settings.gateway
    if gateway is None:
        return _Front(model, team)
    return _Front(EDGE_SERVICE, gateway.namespace, endpoint.key)


def _first_answer(endpoint: Endpoint, front: _Front, model: str, task: Task) -> str:
    client = endpoint.cluster.client()
    try:
        service = client.find("v1", "Service", front.service, front.namespace)
        if service is None:
            raise ClusterError(f"there is no Service {front.service!r} in namespace {front.namespace!r}")
        port = int(service["spec"]["ports"][0]["port"])
        base, forward = endpoint.cluster.service_address(
            front.namespace, front.service, service["spec"]["clusterIP"], port
        )
        if base:
            wait_for_answer(directly(base, front.key and front.key.text), model, task=task)
        elif front.key is None:
            wait_for_answer(through_api_server(client, front.namespace, front.service, port), model, task=task)
        else:
            # The API server takes the header with the key for itself: that the gateway asks for one is all it tells.
            wait_for_refusal(through_api_server(client, front.namespace, front.service, port))
    finally:
        client.close()
    base = base or f"http://localhost:{port}"
    path, body = request_for(task, model, max_tokens=32)
    key = "" if front.key is None else f' -H "Authorization: Bearer {_shown(front.key)}"'
    data = "" if body is None else f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'"
    return "\n".join(
        [
            f"{model} answers: {base}/v1",
            *([f"  {forward}"] if forward else []),
            f"  curl --noproxy '*' {base}{path}{key}{data}",
        ]
    )


def _shown(key: ClientKey) -> str:
    """The key itself once, when it is new; later, what reads it."""
    return key.text if key.is_new else f"$(cat {key.file})"


def _settings(runner: StackRunner) -> ExistingSettings:
    path = runner.settings / f"Pulumi.{STACK}.yaml"
    settings = read_settings_file(path)
    if f"{NAMESPACE}:kubeconfig" in load_yaml(path)["config"]:
        raise ClusterError(
            f"{path.name}: {NAMESPACE}:kubeconfig: stack {STACK} takes the cluster that it starts itself or that "
            "KUBECONFIG names, so that models never land on another one (try: leave it out)"
        )
    if settings.cloud != "existing":
        raise ClusterError(
            f"{path.name}: {NAMESPACE}:cloud = {settings.cloud!r}: stack {STACK} is for 'existing' clusters"
        )
    return settings
