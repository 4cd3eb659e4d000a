"""A model that answers: the component that other teams use.

Owns the objects of one model on one cluster: service account, chat template, Deployment, disruption budget, Service.
Leaves alone: the weights (they are in the cache before a pod starts), who may reach the Service, autoscaling, and every
decision: sizes come from ``planning``, everything that changes answers from the release, everything of a cloud as data
from the contract.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NotRequired, TypedDict, TypeVar

import pulumi
from pulumi_kubernetes import apps, core, meta, policy

from llm_serving.arguments import parse
from llm_serving.component import Frozen, child, refusing, token, validated
from llm_serving.contract import ContractModel, ModelCacheVolume, PoolScheduling, WorkloadIdentityBinding
from llm_serving.errors import Problem, ProblemsError
from llm_serving.planning.drain import Drain, plan_drain
from llm_serving.planning.host import Sidecar
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import ModelPlan, plan_model
from llm_serving.serving.arguments import ModelArgs, NodeShapeArgs, ReleaseArgs
from llm_serving.serving.engines import Engine, engine
from llm_serving.serving.labels import RELEASE_HASH, model_labels, selector
from llm_serving.serving.pod import PORT_NAME, TEMPLATE_FILE, Instance, Surroundings, pod_template
from llm_serving.serving.rollout import plan_rollout
from llm_serving.spec import ModelSpec, ReleaseSpec


class ModelServiceArgs(TypedDict):
    """Arguments of `ModelService`."""

    model: ModelArgs
    """Which release is served, where, how many."""
    release: ReleaseArgs
    """The release that `model.releases.stable` names."""
    release_hash: str
    """Hash of the release's file; pods carry it, and a change replaces them."""
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
    labels: NotRequired[dict[str, str]]
    """More labels for every object."""


class ModelServiceInputs(Frozen):
    """Arguments of :class:`ModelService`, validated."""

    model: ModelSpec
    release: ReleaseSpec
    release_hash: str
    node: NodeShape
    namespace: Any
    scheduling: Any
    cache: Any
    identity: Any
    labels: dict[str, str] = {}


class ModelService(pulumi.ComponentResource):
    """One model, served with an OpenAI-compatible API inside the cluster."""

    service_name: pulumi.Output[str]
    """Name of the Service."""
    url: pulumi.Output[str]
    """Base URL of the API inside the cluster, ending in `/v1`."""
    deployment_name: pulumi.Output[str]
    """Name of the Deployment."""
    release: pulumi.Output[str]
    """Version of the release that answers."""

    def __init__(self, name: str, args: ModelServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(ModelServiceInputs, args, "ModelService", name)
        source = f"ModelService {name!r}"
        with refusing(source):
            instance = _decide(inputs)
        super().__init__(token("ModelService"), name, {}, opts)
        model, release = instance.model, instance.release

        def metadata(annotations: pulumi.Input[Any] = None, **fields: Any) -> meta.v1.ObjectMetaArgs:
            return meta.v1.ObjectMetaArgs(
                namespace=inputs.namespace,
                labels=model_labels(model, release, inputs.labels),
                annotations=annotations,
                **fields,
            )

        template = None
        if release.chat_template is not None:
            # No name of its own: a new template is a new ConfigMap, and pods keep the one that they started with.
            template = core.v1.ConfigMap(
                f"{name}-chat-template",
                metadata=metadata(),
                data={TEMPLATE_FILE: release.chat_template},
                immutable=True,
                opts=child(self),
            )
        around = _surroundings(inputs, instance, source, template)
        account = core.v1.ServiceAccount(
            name,
            metadata=metadata(
                name=around.identity.apply(lambda identity: identity.service_account),
                annotations=around.identity.apply(lambda identity: identity.annotations),
            ),
            automount_service_account_token=False,
            opts=child(self),
        )
        deployment = apps.v1.Deployment(
            name,
            metadata=metadata(name=model.name, annotations={RELEASE_HASH: inputs.release_hash}),
            spec=apps.v1.DeploymentSpecArgs(
                replicas=model.replicas,
                revision_history_limit=5,
                progress_deadline_seconds=instance.rollout.patience,
                selector=meta.v1.LabelSelectorArgs(match_labels=selector(model)),
                strategy=apps.v1.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=apps.v1.RollingUpdateDeploymentArgs(
                        max_surge=instance.rollout.max_surge,
                        max_unavailable=instance.rollout.max_unavailable,
                    ),
                ),
                template=pod_template(instance, around),
            ),
            opts=child(
                self,
                depends_on=[account],
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{instance.rollout.create}s", update=f"{instance.rollout.update}s"
                ),
            ),
        )
        policy.v1.PodDisruptionBudget(
            name,
            metadata=metadata(name=model.name),
            spec=policy.v1.PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=meta.v1.LabelSelectorArgs(match_labels=selector(model))
            ),
            opts=child(self),
        )
        service = core.v1.Service(
            name,
            metadata=metadata(name=model.name),
            spec=core.v1.ServiceSpecArgs(
                type="ClusterIP",
                selector=selector(model),
                ports=[
                    core.v1.ServicePortArgs(
                        name=PORT_NAME,
                        port=instance.engine.port,
                        target_port=PORT_NAME,
                        app_protocol="http",
                    )
                ],
            ),
            # The provider waits ten minutes for endpoints, a model may take longer: the Deployment waits for it.
            opts=child(self, depends_on=[deployment]),
        )

        self.service_name = service.metadata.apply(lambda found: found.name or model.name)
        self.url = pulumi.Output.format(
            "http://{0}.{1}.svc:{2}/v1", self.service_name, inputs.namespace, instance.engine.port
        )
        self.deployment_name = deployment.metadata.apply(lambda found: found.name or model.name)
        self.release = pulumi.Output.from_input(release.version)
        self.register_outputs(
            {
                "serviceName": self.service_name,
                "url": self.url,
                "deploymentName": self.deployment_name,
                "release": self.release,
            }
        )


M = TypeVar("M", bound=ContractModel)


def _decide(inputs: ModelServiceInputs) -> Instance:
    """Everything that needs no cloud.

    Raises:
        ProblemsError: paths are those of the component's arguments.
    """
    model, release = inputs.model, inputs.release
    adapter = engine(release.engine.name)
    problems = [*_other_release(model, release), *_misleading_name(model, adapter)]
    if problems:
        raise ProblemsError(problems)
    with _under("model"):
        longest = plan_drain(model.drain, None)
        plan = plan_model(model, release, inputs.node)
    return Instance(
        model=model,
        release=release,
        release_hash=inputs.release_hash,
        plan=plan,
        rollout=plan_rollout(model, plan.cold_start_seconds, longest),
        engine=adapter,
        labels=inputs.labels,
    )


def _other_release(model: ModelSpec, release: ReleaseSpec) -> list[Problem]:
    problems: list[Problem] = []
    if release.name != model.name:
        problems.append(Problem("release.name", release.name, "is a release of another model", model.name))
    if release.version != model.releases.stable:
        reason = "is not the release that model.releases.stable names"
        problems.append(Problem("release.version", release.version, reason, model.releases.stable))
    return problems


def _misleading_name(model: ModelSpec, adapter: Engine) -> list[Problem]:
    """Kubernetes puts ``<SERVICE>_PORT`` into pods that ask for service links; engines read variables of their own
    prefix, so a Service of that name breaks engines that others run in the namespace."""
    prefix = adapter.environment_prefix
    if f"{model.name.upper().replace('-', '_')}_".startswith(f"{prefix}_"):
        reason = f"gives a Service whose environment variables start with {prefix}_, which the engine reads"
        return [Problem("model.name", model.name, reason, f"served-by-{model.name}")]
    return []


def _surroundings(
    inputs: ModelServiceInputs, instance: Instance, source: str, template: core.v1.ConfigMap | None
) -> Surroundings:
    """What comes from other components, read and compared with what was asked for. It may not be known before the
    deployment, so a refusal surfaces when the Deployment is registered."""
    model, release, node = instance.model, instance.release, inputs.node

    def reading(contract: type[M], field: str, given: Any, check: Callable[[M], list[Problem]]) -> pulumi.Output[M]:
        def read(data: Any) -> M:
            with refusing(source), _under(field):
                found = parse(contract, data)
                problems = check(found)
                if problems:
                    raise ProblemsError(problems)
            return found

        return pulumi.Output.from_input(given).apply(read)

    def same_pool(scheduling: PoolScheduling) -> list[Problem]:
        return _differences(
            ("pool", scheduling.pool, model.pool, "is another pool than model.pool"),
            ("accelerator", scheduling.accelerator, node.accelerator, "is another GPU than node.accelerator"),
        )

    def plan_beside(cache: ModelCacheVolume) -> ModelPlan:
        pinned = model.model_copy(update={"tensor_parallelism": instance.plan.tensor_parallelism})
        with refusing(source), _under("model"):
            return plan_model(pinned, release, node, Sidecar(cache.sidecar_cpu, cache.sidecar_memory_gib))

    def drain_in_time(scheduling: PoolScheduling) -> Drain:
        with refusing(source), _under("model"):
            return plan_drain(model.drain, scheduling.spot_notice_seconds)

    scheduling = reading(PoolScheduling, "scheduling", inputs.scheduling, same_pool)
    cache = reading(ModelCacheVolume, "cache", inputs.cache, lambda _: [])
    identity = reading(WorkloadIdentityBinding, "identity", inputs.identity, lambda _: [])
    return Surroundings(
        scheduling=scheduling,
        cache=cache,
        identity=pulumi.Output.all(identity, inputs.namespace).apply(
            lambda both: _in_namespace(both[0], both[1], source)
        ),
        plan=cache.apply(plan_beside),
        drain=scheduling.apply(drain_in_time),
        chat_template=None if template is None else template.metadata.apply(lambda found: found.name or ""),
    )


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
