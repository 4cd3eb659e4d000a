"""A model that answers: the component that other teams use.

Owns the objects of one model on one cluster: service account, chat templates, the objects of each release
(``serving.release``), and the Service in front of the stable one. Leaves alone: the weights (they are in the cache
before a pod starts), who may reach the Services, and every decision: sizes come from ``planning``, everything that
changes answers from the release, everything of a cloud as data from the contract.
"""

from typing import Any, NotRequired, TypedDict

import pulumi
from pulumi_kubernetes import apps, core, meta

from llm_serving.component import (
    Frozen,
    child,
    credential_problems,
    parse_output,
    raising_input_errors,
    token,
    validated,
)
from llm_serving.contract import SHARE_BASE, ModelCacheVolume, PoolScheduling, WorkloadIdentityBinding
from llm_serving.errors import Problem, ProblemsError, Suggestion, problems_under
from llm_serving.metrics.engines import engine_metrics
from llm_serving.planning.clouds import cloud_named
from llm_serving.planning.disruption import Drain, longest_drain, plan_drain
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import ModelPlan, plan_model
from llm_serving.planning.replicas import ReleaseReplicas, placeholder_name, plan_replicas
from llm_serving.planning.timeouts import timeout_problems
from llm_serving.serving import compile_cache, launcher
from llm_serving.serving.arguments import (
    EgressArgs,
    ImagePullArgs,
    LoaderArgs,
    ModelArgs,
    NodeShapeArgs,
    PrometheusAuthArgs,
    ReleaseArgs,
)
from llm_serving.serving.disruption import base_notice
from llm_serving.serving.engines import InferenceEngine, engine
from llm_serving.serving.environment import check_environment, driver_variables, more_variables
from llm_serving.serving.labels import SHARE_MAIN, model_labels, release_labels
from llm_serving.serving.placeholders import placeholder_deployment
from llm_serving.serving.pod import MODELS, TEMPLATE_FILE, PodContext, ReleasePlan, engine_files, plan_with_sidecar
from llm_serving.serving.release import (
    ReleaseObjects,
    await_annotations_of_service,
    serve_release,
    service_spec,
    workload_name,
)
from llm_serving.serving.rollout import plan_rollout
from llm_serving.serving.scaled_object import PrometheusServer
from llm_serving.serving.scaling_queries import unmeasured_objectives
from llm_serving.spec import (
    EgressSpec,
    ImagePullSpec,
    LoaderSpec,
    ModelSpec,
    PrometheusAuthSpec,
    ReleaseSpec,
    release_hash,
)
from llm_serving.spec.names import NamespaceName, Semver


class ModelServiceArgs(TypedDict):
    """Arguments of `ModelService`."""

    model: ModelArgs
    """Which release is served, where, how many."""
    releases: list[ReleaseArgs]
    """The releases that `model.releases` names, in any order."""
    release_hashes: NotRequired[dict[str, str]]
    """Hash of each release's file, by version; pods carry it, and a change replaces them. Left out: the hash of what
    the release says (`llm_serving.spec.release_hash`)."""
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
    prometheus_auth: NotRequired[PrometheusAuthArgs]
    """How KEDA proves to Prometheus who it is; that of `TeamNamespace`."""
    gateway_namespace: NotRequired[str]
    """Namespace of the gateway that wakes the model. Needed where `model.autoscaling.min` is 0."""
    loader: NotRequired[LoaderArgs]
    """What filled the cache: every instance asks it first whether the weights are whole. Left out: it trusts them."""
    egress: NotRequired[EgressArgs]
    """The way out that the site prescribes; that of `TeamNamespace`."""
    launcher_version: NotRequired[str]
    """Launcher that comes with the releases: a version that the package carries. Left out: the newest, which an upgrade
    of the package may replace, and its pods with it."""
    image_pull: NotRequired[ImagePullArgs]
    """Credentials for the registries of images; those of `TeamNamespace`."""
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class ModelServiceInputs(Frozen):
    """Arguments of :class:`ModelService`, validated."""

    model: ModelSpec
    releases: tuple[ReleaseSpec, ...]
    node: NodeShape
    namespace: Any
    scheduling: Any
    cache: Any
    identity: Any
    release_hashes: dict[str, str] = {}
    prometheus_url: Any = None
    prometheus_auth: PrometheusAuthSpec | None = None
    gateway_namespace: NamespaceName | None = None
    loader: LoaderSpec | None = None
    egress: EgressSpec | None = None
    launcher_version: Semver | None = None
    image_pull: ImagePullSpec | None = None
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
        with raising_input_errors(source):
            plans = _plan_releases(inputs)
        super().__init__(token("ModelService"), name, {}, opts)
        model, stable = inputs.model, plans[0]
        outputs = _ContractInputs(inputs, source)
        labels = model_labels(model, inputs.labels)
        account = core.v1.ServiceAccount(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                namespace=inputs.namespace,
                labels=labels,
                name=outputs.identity.apply(lambda identity: identity.service_account),
                annotations=outputs.identity.apply(lambda identity: identity.annotations),
            ),
            automount_service_account_token=False,
            opts=child(self),
        )

        def serve(plan: ReleasePlan, after: list[pulumi.Resource]) -> ReleaseObjects:
            chat_template = {} if plan.release.chat_template is None else {TEMPLATE_FILE: plan.release.chat_template}
            context = outputs.pod_context(
                plan,
                chat_template=_config_map(self, plan, inputs, "chat-template", chat_template),
                engine_files=_config_map(self, plan, inputs, "engine-files", engine_files(plan)),
                launcher_files=launcher.config_map(
                    self,
                    plan.replicas.name,
                    plan.launcher,
                    inputs.namespace,
                    release_labels(model, plan.release, inputs.labels),
                ),
            )
            prometheus = None
            if inputs.prometheus_url is not None:
                prometheus = PrometheusServer(inputs.prometheus_url, inputs.prometheus_auth)
            return serve_release(self, plan, context, inputs.namespace, after, prometheus)

        first = serve(stable, [account])
        front = core.v1.Service(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                name=model.name,
                namespace=inputs.namespace,
                labels=labels,
                annotations=await_annotations_of_service(stable),
            ),
            spec=service_spec(stable),
            # A new stable release answers before requests are sent to it.
            opts=child(self, depends_on=list(first.workloads)),
        )
        # The one that was stable before shrinks only when requests go elsewhere.
        served = [first, *(serve(other, [account, front]) for other in plans[1:])]
        if model.warm_pool.placeholders:
            context = outputs.pod_context(stable)
            placeholders = placeholder_deployment(
                model, context, inputs.namespace, inputs.labels, model.warm_pool.image, inputs.image_pull
            )
            apps.v1.Deployment(placeholder_name(name), placeholders, opts=child(self))

        def url(service: core.v1.Service, plan: ReleasePlan, name: str) -> pulumi.Output[str]:
            host = service.metadata.apply(lambda metadata: metadata.name or name)
            return pulumi.Output.format("http://{0}.{1}.svc:{2}/v1", host, inputs.namespace, plan.engine.port)

        self.service_name = front.metadata.apply(lambda metadata: metadata.name or model.name)
        self.url = url(front, stable, model.name)
        urls = [url(objects.service, plan, plan.replicas.name) for plan, objects in zip(plans, served, strict=True)]
        versions = [plan.release.version for plan in plans]
        self.release_urls = pulumi.Output.all(*urls).apply(lambda urls: dict(zip(versions, urls, strict=True)))
        self.deployment_name = pulumi.Output.from_input(workload_name(stable.replicas))
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


def _config_map(
    parent: pulumi.Resource, plan: ReleasePlan, inputs: ModelServiceInputs, role: str, data: dict[str, str]
) -> pulumi.Output[str] | None:
    """Register an immutable ConfigMap of a release and give its name; ``None`` where there is no data."""
    if not data:
        return None
    # No name of its own: other data is another ConfigMap, and pods keep the one that they started with.
    config_map = core.v1.ConfigMap(
        f"{plan.replicas.name}-{role}",
        metadata=meta.v1.ObjectMetaArgs(
            namespace=inputs.namespace, labels=release_labels(inputs.model, plan.release, inputs.labels)
        ),
        data=data,
        immutable=True,
        opts=child(parent),
    )
    return config_map.metadata.apply(lambda metadata: metadata.name or "")


def _plan_releases(inputs: ModelServiceInputs) -> tuple[ReleasePlan, ...]:
    """The plan of every release, the stable one first.

    Raises:
        ProblemsError: paths are those of the component's arguments.
    """
    model = inputs.model
    releases = {release.version: release for release in inputs.releases}
    problems = [
        *_release_mismatches(inputs),
        *_missing_prometheus(inputs),
        *_nobody_wakes(inputs),
        *_misleading_name(model, [engine(r.engine.name) for r in inputs.releases]),
    ]
    if problems:
        raise ProblemsError(problems)
    return tuple(_plan_release(inputs, releases[replicas.version], replicas) for replicas in plan_replicas(model))


def _plan_release(inputs: ModelServiceInputs, release: ReleaseSpec, replicas: ReleaseReplicas) -> ReleasePlan:
    model = inputs.model
    adapter = engine(release.engine.name)
    metrics = engine_metrics(adapter.name)
    if model.autoscaling is not None and (problems := list(unmeasured_objectives(metrics, model.autoscaling))):
        raise ProblemsError([problem.under("model.autoscaling") for problem in problems])
    cloud = cloud_named(inputs.node.cloud, "node.cloud")
    with problems_under("model"):
        model_plan = plan_model(model, release, inputs.node, cloud)
        problems = [
            *check_environment(model, release, model_plan, inputs.egress),
            *timeout_problems(model, model_plan.cold_start_seconds, inputs.node),
        ]
        if problems:
            raise ProblemsError(problems)
    return ReleasePlan(
        model=model,
        release=release,
        replicas=replicas,
        release_hash=inputs.release_hashes.get(release.version) or release_hash(release),
        model_plan=model_plan,
        rollout=plan_rollout(
            model, replicas.most, model_plan.cold_start_seconds, longest_drain(model.drain), inputs.node
        ),
        engine=adapter,
        labels=inputs.labels,
        loader=inputs.loader,
        launcher=launcher.travelling(model, release, inputs.launcher_version),
        image_pull=inputs.image_pull,
        egress=inputs.egress,
        launcher_options=_launcher_options(model, release, inputs.node),
        extra_environment={
            **more_variables(model, inputs.egress),
            **driver_variables(model, release, inputs.node),
        },
        gateway_namespace=inputs.gateway_namespace,
    )


def _launcher_options(model: ModelSpec, release: ReleaseSpec, node: NodeShape) -> tuple[str, ...]:
    """How long an engine may be silent, and the compile cache that ``CompileCache`` saved."""
    stall_seconds = model.timeouts.stall_seconds
    options = [] if stall_seconds is None else [f"--stall-seconds={stall_seconds}"]
    if model.compile_cache:
        options += compile_cache.read_options(f"{MODELS}/{compile_cache.folder_of(release, node)}")
    return tuple(options)


def _missing_prometheus(inputs: ModelServiceInputs) -> list[Problem]:
    if isinstance(inputs.prometheus_url, str):
        return [*credential_problems({"prometheusUrl": inputs.prometheus_url})]
    if inputs.model.autoscaling is None or inputs.prometheus_url is not None:
        return []
    return [Problem("prometheusUrl", None, "required where model.autoscaling is given", "an address of Prometheus")]


def _nobody_wakes(inputs: ModelServiceInputs) -> list[Problem]:
    if not inputs.model.may_sleep or inputs.gateway_namespace is not None:
        return []
    reason = "a model without instances is woken by the gateway: gatewayNamespace is not given"
    return [Problem("model.autoscaling.min", 0, reason, Suggestion(values=[1]))]


def _release_mismatches(inputs: ModelServiceInputs) -> list[Problem]:
    """A problem for each release that differs from those that ``model.releases`` names: of another model, not named,
    without a hash, or missing. Empty where they match."""
    model, expected = inputs.model, inputs.model.releases.versions
    problems: list[Problem] = []
    for index, release in enumerate(inputs.releases):
        path = f"releases[{index}]"
        if release.name != model.name:
            problems.append(Problem(f"{path}.name", release.name, "is a release of another model", model.name))
        if release.version not in expected:
            reason = "is not a release that model.releases names"
            problems.append(Problem(f"{path}.version", release.version, reason, ", ".join(expected)))
        elif inputs.release_hashes and release.version not in inputs.release_hashes:
            problems.append(Problem(f"releaseHashes.{release.version}", None, "required, but not given"))
    versions = {release.version for release in inputs.releases}
    problems += [
        Problem("releases", None, f"release {version}, which model.releases names, is not given")
        for version in expected
        if version not in versions
    ]
    return problems


def _misleading_name(model: ModelSpec, adapters: list[InferenceEngine]) -> list[Problem]:
    """Kubernetes puts ``<SERVICE>_PORT`` into pods that ask for service links; engines read variables of their own
    prefix, so a Service of that name breaks engines that others run in the namespace."""
    for prefix in sorted({adapter.environment_prefix for adapter in adapters}):
        if f"{model.name.upper().replace('-', '_')}_".startswith(f"{prefix}_"):
            reason = f"gives a Service whose environment variables start with {prefix}_, which the engine reads"
            return [Problem("model.name", model.name, reason, f"served-by-{model.name}")]
    return []


class _ContractInputs:
    """The outputs of other components, validated and compared with the component's own arguments. They may be unknown
    before the deployment, so a refusal surfaces when the first object that needs them is registered."""

    def __init__(self, inputs: ModelServiceInputs, source: str) -> None:
        self._model, self._node, self._source = inputs.model, inputs.node, source
        self._scheduling = parse_output(PoolScheduling, inputs.scheduling, source, "scheduling", self._pool_mismatches)
        self._cache = parse_output(ModelCacheVolume, inputs.cache, source, "cache")
        identity = parse_output(WorkloadIdentityBinding, inputs.identity, source, "identity")
        self.identity: pulumi.Output[WorkloadIdentityBinding] = pulumi.Output.all(identity, inputs.namespace).apply(
            lambda outputs: _in_namespace(outputs[0], outputs[1], source)
        )
        self._drain = {SHARE_MAIN: self._scheduling.apply(lambda pool: self._plan_drain(pool.spot_notice_seconds))}
        if inputs.model.on_demand_base:
            self._drain[SHARE_BASE] = self._scheduling.apply(lambda pool: self._plan_drain(base_notice(pool)))

    def pod_context(
        self,
        plan: ReleasePlan,
        chat_template: pulumi.Output[str] | None = None,
        engine_files: pulumi.Output[str] | None = None,
        launcher_files: pulumi.Output[str] | None = None,
    ) -> PodContext:
        """What pool, cache, identity and ConfigMaps add to the pods of one release."""
        return PodContext(
            scheduling=self._scheduling,
            cache=self._cache,
            identity=self.identity,
            model_plan=self._cache.apply(lambda cache: self._plan_with_sidecar(plan, cache)),
            drain=self._drain,
            chat_template=chat_template,
            engine_files=engine_files,
            launcher=launcher_files,
        )

    def _pool_mismatches(self, scheduling: PoolScheduling) -> list[Problem]:
        model, node = self._model, self._node
        return _differences(
            ("pool", scheduling.pool, model.pool, "is another pool than model.pool"),
            ("accelerator", scheduling.accelerator, node.gpu_label, "is another GPU than node.accelerator"),
        )

    def _plan_with_sidecar(self, plan: ReleasePlan, cache: ModelCacheVolume) -> ModelPlan:
        with raising_input_errors(self._source):
            return plan_with_sidecar(plan, self._node, cache)

    def _plan_drain(self, notice_seconds: int | None) -> Drain:
        with raising_input_errors(self._source), problems_under("model"):
            return plan_drain(self._model.drain, notice_seconds)


def _in_namespace(identity: WorkloadIdentityBinding, namespace: str, source: str) -> WorkloadIdentityBinding:
    with raising_input_errors(source), problems_under("identity"):
        problems = _differences(("namespace", identity.namespace, namespace, "is another namespace than the model's"))
        if problems:
            raise ProblemsError(problems)
    return identity


def _differences(*comparisons: tuple[str, str, str, str]) -> list[Problem]:
    """Problems of the comparisons (path, value, expected value, reason) whose values differ."""
    return [
        Problem(path, value, reason, expected) for path, value, expected, reason in comparisons if value != expected
    ]
