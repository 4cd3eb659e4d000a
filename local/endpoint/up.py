"""``make up`` of stack ``local``: cluster, images, ``pulumi up``, first answer; and what other commands need of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from local.cluster import ClusterError
from local.endpoint import answer
from local.endpoint.choice import choose
from local.endpoint.images import bring, build, make_models, names_of
from local.endpoint.stages import Stages
from local.endpoint.target import Target
from local.home import kubernetes_plugin
from local.images import Images
from local.pulumi import Runner, up
from stacks.documents import load_yaml
from stacks.settings import NAMESPACE, ExistingSettings, read_settings_file

STACK = "local"

STAGES_BEFORE = 4
"""Stages until ``pulumi`` can run."""


@dataclass(frozen=True)
class Endpoint:
    """The stack on its cluster.

    Attributes:
        runner: runs ``pulumi`` with the cluster's kubeconfig and the settings of this run.
        target: the cluster.
        settings: what the stack's file says.
    """

    runner: Runner
    target: Target
    settings: ExistingSettings


def open_endpoint(runner: Runner, stages: Stages | None = None) -> Endpoint:
    """Start the cluster and make the images be there.

    Raises:
        ClusterError: the cluster or an image is not to be had.
        ImageError: a build fails, or there is no room for it.
        ProblemsError: the settings are refused.
    """
    stages = stages or Stages(STAGES_BEFORE)
    settings = _settings(runner)
    target = _start(runner, settings, stages, scales=_scales(settings))
    builder = Images() if _needs_images(settings) else None
    with stages.stage("model", str(runner.home.root / "models")):
        models = make_models(runner.home)
    with stages.stage("images", "build what changed" if builder else "as the settings name them"):
        built = build(builder, models) if builder else None
    with stages.stage("loading images"):
        if builder is not None and built is not None:
            bring(target, builder, (built.engine, built.loader))
    return _endpoint(runner, target, settings, built.settings() if built else {})


def look_at_endpoint(runner: Runner) -> Endpoint:
    """The stack on its cluster for commands that start no pod: images have the names that a build would give them, and
    nothing is built.

    Raises:
        ClusterError: the cluster is not to be had.
        ProblemsError: the settings are refused.
    """
    settings = _settings(runner)
    target = _start(runner, settings, Stages(1))
    names = names_of(Images(), make_models(runner.home)) if _needs_images(settings) else {}
    return _endpoint(runner, target, settings, names)


def open_cluster(runner: Runner) -> Endpoint:
    """The stack on its cluster for commands that do not run the program, such as destroy.

    Raises:
        ClusterError: the cluster is not to be had.
        ProblemsError: the settings are refused.
    """
    settings = _settings(runner)
    return _endpoint(runner, _start(runner, settings, Stages(1)), settings, {})


def _start(runner: Runner, settings: ExistingSettings, stages: Stages, *, scales: bool = False) -> Target:
    """``scales``: what models need to scale has to be there. A node that runs without it is started again, so that is
    left to commands that change the cluster."""
    target = choose(runner.home, settings.cluster)
    with stages.stage("cluster", target.description):
        target.start(scales=scales)
    return target


def _scales(settings: ExistingSettings) -> bool:
    return any(model.autoscaling for model in settings.models)


def _needs_images(settings: ExistingSettings) -> bool:
    return settings.loader is None or not settings.engine_images


def _endpoint(runner: Runner, target: Target, settings: ExistingSettings, names: dict[str, Any]) -> Endpoint:
    """``names``: the settings that name images; those that the file has itself stay."""
    more = dict(names)
    if settings.engine_images:
        more.pop("engineImages", None)
    if settings.loader is not None:
        more.pop("loader", None)
    cluster = settings.cluster.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    clients = [*cluster.get("clients", ()), *target.clients]
    more["cluster"] = {**cluster, "clients": clients} if clients else cluster
    if _scales(settings):
        said = settings.addons.model_dump(mode="json", by_alias=True, exclude_unset=True)
        more["addons"] = {**target.addons(), **said}
    return Endpoint(
        runner=replace(
            runner,
            more_settings={f"{NAMESPACE}:{key}": value for key, value in more.items()},
            more_environment={"KUBECONFIG": str(target.kubeconfig())},
        ),
        target=target,
        settings=settings,
    )


def bring_up(runner: Runner, args: Sequence[str]) -> int:
    """The whole way; the exit status."""
    stages = Stages(STAGES_BEFORE + 2)
    endpoint = open_endpoint(runner, stages)
    with stages.stage("pulumi up", f"kubernetes plugin: {kubernetes_plugin(runner.home)}"):
        endpoint.runner.prepare(STACK)
        status = up(endpoint.runner, STACK, args)
    if status:
        return status
    with stages.stage("first answer"):
        lines = [_first_answer(endpoint, model.name, model.team) for model in endpoint.settings.models]
    print(f"\n{stages}\n")
    print("\n".join(lines))
    print("\nSee more: make status. Stop: make down (state survives). Remove: make destroy STACK=local.")
    return 0


def _first_answer(endpoint: Endpoint, model: str, team: str) -> str:
    client = endpoint.target.client()
    try:
        service = client.find("v1", "Service", model, team)
        if service is None:
            raise ClusterError(f"there is no Service {model!r} in namespace {team!r}")
        port = int(service["spec"]["ports"][0]["port"])
        base, forward = endpoint.target.reach(team, model, service["spec"]["clusterIP"], port)
        ask = answer.directly(base) if base else answer.through_api_server(client, team, model, port)
        answer.wait(ask, model)
    finally:
        client.close()
    base = base or f"http://localhost:{port}"
    return "\n".join(
        [
            f"{model} answers: {base}/v1",
            *([f"  {forward}"] if forward else []),
            f"  curl --noproxy '*' {base}/v1/chat/completions -H 'Content-Type: application/json' -d '"
            f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}], "max_tokens": 32}}\'',
        ]
    )


def _settings(runner: Runner) -> ExistingSettings:
    path = runner.settings / f"Pulumi.{STACK}.yaml"
    settings = read_settings_file(path)
    if f"{NAMESPACE}:kubeconfig" in load_yaml(path)["config"]:
        raise ClusterError(
            f"{path.name}: {NAMESPACE}:kubeconfig: stack {STACK} takes the cluster that it starts itself or that "
            "KUBECONFIG names, so that models never land on another one (try: leave it out)"
        )
    if not isinstance(settings, ExistingSettings):
        raise ClusterError(
            f"{path.name}: {NAMESPACE}:cloud = {settings.cloud!r}: stack {STACK} is for 'existing' clusters"
        )
    return settings
