"""A model that answers: the component that other teams use.

Owns the objects of one model on one cluster: service account, chat templates, the objects of each release
(``serving.release``), and the Service in front of the stable one. Leaves alone: the weights (they are in the cache
before a pod starts), who may reach the Services, and every decision: sizes come from ``planning``, everything that
changes answers from the release, everything of a cloud as data from the contract.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, NotRequired, TypedDict, TypeVar

import pulumi
from pulumi_kubernetes import apps, core, meta

from llm_serving.arguments import parse
from llm_serving.component import Frozen, child, refusing, token, validated
from llm_serving.contract import SHARE_BASE, ContractModel, ModelCacheVolume, PoolScheduling, WorkloadIdentityBinding
from llm_serving.errors import Problem, ProblemsError
from llm_serving.metrics.engines import engine_metrics
from llm_serving.planning.drain import Drain, longest_drain, plan_drain
from llm_serving.planning.host import Sidecar
from llm_serving.planning.instances import Instances, plan_instances
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import ModelPlan, plan_model
from llm_serving.serving import compile_cache
from llm_serving.serving.arguments import LoaderArgs, ModelArgs, NodeShapeArgs, ReleaseArgs
from llm_serving.serving.disruption import base_notice
from llm_serving.serving.engines import Engine, engine
from llm_serving.serving.labels import SHARE_MAIN, model_labels, release_labels
from llm_serving.serving.placeholders import placeholder_deployment
from llm_serving.serving.pod import MODELS, TEMPLATE_FILE, Instance, Surroundings
from llm_serving.serving.release import ReleaseObjects, serve_release, service_spec, workload_name
from llm_serving.serving.rollout import plan_rollout
from llm_serving.serving.scaling_queries import unmeasured_objectives
from llm_serving.spec import LoaderSpec, ModelSpec, ReleaseSpec


class ModelServiceArgs(TypedDict):
    """Arguments of `ModelService`."""

    model: ModelArgs
    """Which release is served, where, how many."""
    releases: list[ReleaseArgs]
    """The releases that `model.releases` names, in any order."""
    release_hashes: dict[str, str]
    """Hash of each release's file, by version; pods carry it, and a change replaces them."""
    node: NodeShapeArgs
    """A node of the pool."""
    namespace: pulumi.Input[str]
    """The team's namespace."""
    scheduling: pulumi.Input[dict[str, Any]]
    """How a pod gets onto the pool's nodes: output `scheduling` of a pool."""
    cache: pulumi.Input[dict[str, Any]]
    """Volume with the weights: output `volume` of a model cache."""
    identity: pulumi.Input[dict[str, Any]]
    """Who the pods are: output `binding` of a workload identity."""
    prometheus_url: NotRequired[pulumi.Input[str]]
    """Where Prometheus answers queries: output `prometheusUrl` of the addons. Needed where `model.autoscaling` is
    given."""
    loader: NotRequired[LoaderArgs]
    """What filled the cache: every instance asks it first whether the weights are whole. Left out: it trusts them."""
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class _CompiledOptions(TypedDict, total=False):
    launcher_options: tuple[str, ...]
    more_environment: Mapping[str, str]


class ModelServiceInputs(Frozen):
    """Arguments of :class:`ModelService`, validated."""

    model: ModelSpec
    releases: tuple[ReleaseSpec, ...]
    release_hashes: dict[str, str]
    node: NodeShape
    namespace: Any
    scheduling: Any
    cache: Any
    identity: Any
    prometheus_url: Any = None
    loader: LoaderSpec | None = None
    labels: dict[str, str] = {}


class ModelService(pulumi.ComponentResource):
    """One model, served with an OpenAI-compatible API inside the cluster."""

    service_name: pulumi.Output[str]
    """Name of the Service in front of the stable release."""
    url: pulumi.Output[str]
    """Base URL of the stable release's API inside the cluster, ending in `/v1`."""
    release_urls: pulumi.Output[dict[str, str]]
    """Base URL of each release's API inside the cluster, by version."""
    deployment_name: pulumi.Output[str]
    """Name of the stable release's Deployment, or LeaderWorkerSet."""
    release: pulumi.Output[str]
    """Version of the stable release."""

    def __init__(self, name: str, args: ModelServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(ModelServiceInputs, args, "ModelService", name)
        source = f"ModelService {name!r}"
        with refusing(source):
            instances = _decide(inputs)
        super().__init__(token("ModelService"), name, {}, opts)
        model, stable = inputs.model, instances[0]
        shared = _Shared(inputs, source)
        labels = model_labels(model, inputs.labels)
        account = core.v1.ServiceAccount(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                namespace=inputs.namespace,
                labels=labels,
                name=shared.identity.apply(lambda identity: identity.service_account),
                annotations=shared.identity.apply(lambda identity: identity.annotations),
            ),
            automount_service_account_token=False,
            opts=child(self),
        )

        def serve(instance: Instance, after: list[pulumi.Resource]) -> ReleaseObjects:
            around = shared.around(instance, _chat_template(self, instance, inputs))
            return serve_release(self, instance, around, inputs.namespace, after, inputs.prometheus_url)

        first = serve(stable, [account])
        front = core.v1.Service(
            name,
            metadata=meta.v1.ObjectMetaArgs(name=model.name, namespace=inputs.namespace, labels=labels),
            spec=service_spec(stable),
            # A new stable release answers before requests are sent to it.
            opts=child(self, depends_on=list(first.workloads)),
        )
        # The one that was stable before shrinks only when requests go elsewhere.
        served = [first, *(serve(other, [account, front]) for other in instances[1:])]
        if model.warm_pool.placeholders:
            around = shared.around(stable, None)
            room = placeholder_deployment(model, around, inputs.namespace, inputs.labels, model.warm_pool.image)
            apps.v1.Deployment(f"{name}-placeholder", room, opts=child(self))

        def url(service: core.v1.Service, instance: Instance, name: str) -> pulumi.Output[str]:
            found = service.metadata.apply(lambda metadata: metadata.name or name)
            return pulumi.Output.format("http://{0}.{1}.svc:{2}/v1", found, inputs.namespace, instance.engine.port)

        self.service_name = front.metadata.apply(lambda found: found.name or model.name)
        self.url = url(front, stable, model.name)
        urls = [
            url(objects.service, instance, instance.count.name)
            for instance, objects in zip(instances, served, strict=True)
        ]
        versions = [instance.release.version for instance in instances]
        self.release_urls = pulumi.Output.all(*urls).apply(lambda found: dict(zip(versions, found, strict=True)))
        self.deployment_name = pulumi.Output.from_input(workload_name(stable.count))
        self.release = pulumi.Output.from_input(stable.release.version)
        self.register_outputs(
            {
                "serviceName": self.service_name,
                "url": self.url,
                "releaseUrls": self.release_urls,
                "deploymentName": self.deployment_name,
                "release": self.release,
            }
        )


def _chat_template(parent: pulumi.Resource, instance: Instance, inputs: ModelServiceInputs) -> core.v1.ConfigMap | None:
    if instance.release.chat_template is None:
        return None
    # No name of its own: a new template is a new ConfigMap, and pods keep the one that they started with.
    return core.v1.ConfigMap(
        f"{instance.count.name}-chat-template",
        metadata=meta.v1.ObjectMetaArgs(
            namespace=inputs.namespace, labels=release_labels(inputs.model, instance.release, inputs.labels)
        ),
        data={TEMPLATE_FILE: instance.release.chat_template},
        immutable=True,
        opts=child(parent),
    )


M = TypeVar("M", bound=ContractModel)


def _decide(inputs: ModelServiceInputs) -> tuple[Instance, ...]:
    """Everything that needs no cloud, for each release, the stable one first.

    Raises:
        ProblemsError: paths are those of the component's arguments.
    """
    model = inputs.model
    given = {release.version: release for release in inputs.releases}
    problems = [
        *_other_releases(inputs),
        *_unmeasured(inputs),
        *_misleading_name(model, [engine(r.engine.name) for r in inputs.releases]),
    ]
    if problems:
        raise ProblemsError(problems)
    return tuple(_instance(inputs, given[count.version], count) for count in plan_instances(model))


def _instance(inputs: ModelServiceInputs, release: ReleaseSpec, count: Instances) -> Instance:
    model = inputs.model
    adapter = engine(release.engine.name)
    if adapter.files_folder is not None:
        reason = (
            f"{adapter.name} needs files in {adapter.files_folder}, which no pod of ours has: it is rendered, not run"
        )
        raise ProblemsError([Problem("releases.engine.name", adapter.name.value, reason, "vllm")])
    metrics = engine_metrics(adapter.name)
    if model.autoscaling is not None and (problems := list(unmeasured_objectives(metrics, model.autoscaling))):
        raise ProblemsError([problem.under("model.autoscaling") for problem in problems])
    with _under("model"):
        plan = plan_model(model, release, inputs.node)
    return Instance(
        model=model,
        release=release,
        count=count,
        release_hash=inputs.release_hashes[release.version],
        plan=plan,
        rollout=plan_rollout(model, count.most, plan.cold_start_seconds, longest_drain(model.drain)),
        engine=adapter,
        labels=inputs.labels,
        loader=inputs.loader,
        **_compiled(model, release, inputs.node),
    )


def _compiled(model: ModelSpec, release: ReleaseSpec, node: NodeShape) -> _CompiledOptions:
    """What starts an engine from what `CompileCache` left in the model cache."""
    if not model.compile_cache:
        return {}
    folder = f"{MODELS}/{compile_cache.folder_of(release, node.accelerator)}"
    return {
        "launcher_options": tuple(compile_cache.read_options(folder)),
        "more_environment": compile_cache.environment(),
    }


def _unmeasured(inputs: ModelServiceInputs) -> list[Problem]:
    if inputs.model.autoscaling is None or inputs.prometheus_url is not None:
        return []
    return [Problem("prometheusUrl", None, "required where model.autoscaling is given", "an address of Prometheus")]


def _other_releases(inputs: ModelServiceInputs) -> list[Problem]:
    """The releases that are given are those that the model names, each with its hash."""
    model, wanted = inputs.model, inputs.model.releases.versions
    problems: list[Problem] = []
    for index, release in enumerate(inputs.releases):
        path = f"releases[{index}]"
        if release.name != model.name:
            problems.append(Problem(f"{path}.name", release.name, "is a release of another model", model.name))
        if release.version not in wanted:
            reason = "is not a release that model.releases names"
            problems.append(Problem(f"{path}.version", release.version, reason, ", ".join(wanted)))
        elif release.version not in inputs.release_hashes:
            problems.append(Problem(f"releaseHashes.{release.version}", None, "required, but not given"))
    found = {release.version for release in inputs.releases}
    problems += [
        Problem("releases", None, f"release {version}, which model.releases names, is not given")
        for version in wanted
        if version not in found
    ]
    return problems


def _misleading_name(model: ModelSpec, adapters: list[Engine]) -> list[Problem]:
    """Kubernetes puts ``<SERVICE>_PORT`` into pods that ask for service links; engines read variables of their own
    prefix, so a Service of that name breaks engines that others run in the namespace."""
    for prefix in sorted({adapter.environment_prefix for adapter in adapters}):
        if f"{model.name.upper().replace('-', '_')}_".startswith(f"{prefix}_"):
            reason = f"gives a Service whose environment variables start with {prefix}_, which the engine reads"
            return [Problem("model.name", model.name, reason, f"served-by-{model.name}")]
    return []


class _Shared:
    """What comes from other components, read and compared with what was asked for. It may not be known before the
    deployment, so a refusal surfaces when the first object that needs it is registered."""

    def __init__(self, inputs: ModelServiceInputs, source: str) -> None:
        self._model, self._node, self._source = inputs.model, inputs.node, source
        self._scheduling = self._reading(PoolScheduling, "scheduling", inputs.scheduling, self._same_pool)
        self._cache = self._reading(ModelCacheVolume, "cache", inputs.cache, lambda _: [])
        identity = self._reading(WorkloadIdentityBinding, "identity", inputs.identity, lambda _: [])
        self.identity: pulumi.Output[WorkloadIdentityBinding] = pulumi.Output.all(identity, inputs.namespace).apply(
            lambda both: _in_namespace(both[0], both[1], source)
        )
        self._drain = {
            SHARE_MAIN: self._scheduling.apply(lambda found: self._drain_in_time(found.spot_notice_seconds)),
        }
        if inputs.model.on_demand_base:
            self._drain[SHARE_BASE] = self._scheduling.apply(lambda found: self._drain_in_time(base_notice(found)))

    def around(self, instance: Instance, template: core.v1.ConfigMap | None) -> Surroundings:
        """The surroundings of one release's pods."""
        return Surroundings(
            scheduling=self._scheduling,
            cache=self._cache,
            identity=self.identity,
            plan=self._cache.apply(lambda cache: self._plan_beside(instance, cache)),
            drain=self._drain,
            chat_template=None if template is None else template.metadata.apply(lambda found: found.name or ""),
        )

    def _reading(
        self, contract: type[M], field: str, given: Any, check: Callable[[M], list[Problem]]
    ) -> pulumi.Output[M]:
        def read(data: Any) -> M:
            with refusing(self._source), _under(field):
                found = parse(contract, data)
                problems = check(found)
                if problems:
                    raise ProblemsError(problems)
            return found

        return pulumi.Output.from_input(given).apply(read)

    def _same_pool(self, scheduling: PoolScheduling) -> list[Problem]:
        model, node = self._model, self._node
        return _differences(
            ("pool", scheduling.pool, model.pool, "is another pool than model.pool"),
            ("accelerator", scheduling.accelerator, node.accelerator, "is another GPU than node.accelerator"),
        )

    def _plan_beside(self, instance: Instance, cache: ModelCacheVolume) -> ModelPlan:
        pinned = self._model.model_copy(update={"tensor_parallelism": instance.plan.tensor_parallelism})
        with refusing(self._source), _under("model"):
            sidecar = Sidecar(cache.sidecar_cpu, cache.sidecar_memory_gib)
            return plan_model(pinned, instance.release, self._node, sidecar)

    def _drain_in_time(self, notice_seconds: int | None) -> Drain:
        with refusing(self._source), _under("model"):
            return plan_drain(self._model.drain, notice_seconds)


def _in_namespace(identity: WorkloadIdentityBinding, namespace: str, source: str) -> WorkloadIdentityBinding:
    with refusing(source), _under("identity"):
        problems = _differences(("namespace", identity.namespace, namespace, "is another namespace than the model's"))
        if problems:
            raise ProblemsError(problems)
    return identity


def _differences(*compared: tuple[str, str, str, str]) -> list[Problem]:
    return [Problem(path, found, reason, wanted) for path, found, wanted, reason in compared if found != wanted]


@contextmanager
def _under(prefix: str) -> Generator[None]:
    try:
        yield
    except ProblemsError as error:
        raise ProblemsError([problem.under(prefix) for problem in error.problems]) from None
