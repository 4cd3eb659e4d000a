import pulumi
from pulumi_kubernetes import apps

from llm_serving.arguments import parse
from llm_serving.contract import WorkloadIdentityBinding
from llm_serving.planning.clouds import cloud_named
from llm_serving.planning.disruption import plan_drain
from llm_serving.planning.nodes import NodeShape
from llm_serving.planning.placement import plan_model
from llm_serving.serving.placeholders import placeholder_deployment
from llm_serving.serving.pod import PodContext, sidecar_requests
from llm_serving.serving.priorities import PLACEHOLDER
from llm_serving.spec import ModelSpec, ReleaseSpec
from llm_serving.spec.model import PAUSE_IMAGE
from tests.unit.recording import record
from tests.unit.serving.manifests import assert_valid, breaks_restricted
from tests.unit.serving.served import MODEL, NODE, RELEASE, container, contract_models, pod, serve

SCHEDULING, CACHE, _ = contract_models()


def placeholders(count=2, scheduling=SCHEDULING, image=PAUSE_IMAGE):
    """The Deployment of placeholders of a model, as Kubernetes gets it."""

    def program():
        model = parse(ModelSpec, {**MODEL, "warmPool": {"placeholders": count}})
        node = parse(NodeShape, NODE)
        plan = plan_model(model, parse(ReleaseSpec, RELEASE), node, cloud_named(node.cloud), sidecar_requests(CACHE))
        context = PodContext(
            scheduling=pulumi.Output.from_input(scheduling),
            cache=pulumi.Output.from_input(CACHE),
            identity=pulumi.Output.from_input(WorkloadIdentityBinding(service_account="qwen3-8b", namespace="chat")),
            model_plan=pulumi.Output.from_input(plan),
            drain={"main": pulumi.Output.from_input(plan_drain(model.drain, None))},
            chat_template=None,
        )
        apps.v1.Deployment("held", placeholder_deployment(model, context, "chat", {"environment": "test"}, image))

    recording = record(program)
    assert_valid(recording)
    return recording.one("kubernetes:apps/v1:Deployment")


def spec(**changes):
    return placeholders(**changes)["spec.template"]["spec"]


def cores(quantity):
    return float(quantity.removesuffix("m")) / 1000 if quantity.endswith("m") else float(quantity)


def mebibytes(quantity):
    return float(quantity[:-2]) * {"Mi": 1, "Gi": 1024}[quantity[-2:]]


def test_there_are_as_many_as_were_asked_for():
    held = placeholders(count=3)
    assert held["spec.replicas"] == 3
    assert held["metadata.name"] == "qwen3-8b-placeholder"
    assert held["metadata.labels"]["environment"] == "test"


def test_a_placeholder_is_as_large_as_an_instance_with_what_stands_beside_it():
    (holder,) = spec()["containers"]
    engine = container(serve())
    held, requested = holder["resources"]["requests"], engine["resources"]["requests"]
    assert held["nvidia.com/gpu"] == requested["nvidia.com/gpu"] == holder["resources"]["limits"]["nvidia.com/gpu"]
    assert cores(held["cpu"]) == cores(requested["cpu"]) + CACHE.sidecar_cpu
    assert mebibytes(held["memory"]) == mebibytes(requested["memory"]) + 1024 * CACHE.sidecar_memory_gib
    cached = pod(serve())["metadata"]["annotations"][CACHE.storage_annotation]
    assert mebibytes(held["ephemeral-storage"]) == mebibytes(requested["ephemeral-storage"]) + mebibytes(cached)


def test_a_placeholder_goes_where_an_instance_goes():
    held, engine = spec(), pod(serve())["spec"]
    assert held["nodeSelector"] == engine["nodeSelector"]
    assert held["tolerations"] == engine["tolerations"]


def test_a_placeholder_gives_way_at_once():
    held = spec()
    assert held["priorityClassName"] == PLACEHOLDER
    assert held["terminationGracePeriodSeconds"] == 0


def test_nothing_waits_for_a_placeholder_that_gave_way():
    held = placeholders()
    assert held["metadata.annotations"]["pulumi.com/skipAwait"] == "true"
    assert held["spec.strategy"] == {"type": "Recreate"}


def test_a_placeholder_is_no_instance_for_services_budgets_and_policies():
    template = placeholders()["spec.template"]
    release = serve().one("kubernetes:policy/v1:PodDisruptionBudget")["spec.selector"]["matchLabels"]
    assert not release.items() <= template["metadata"]["labels"].items()
    assert placeholders()["spec.selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_a_placeholder_may_do_nothing():
    held = spec()
    assert breaks_restricted(held) == []
    assert held["automountServiceAccountToken"] is False
    assert held["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_a_node_with_an_image_of_its_own_needs_no_registry():
    (holder,) = spec(image="localhost/pause:1")["containers"]
    assert holder["image"] == "localhost/pause:1"


def test_on_a_cpu_no_gpu_is_asked_for():
    (holder,) = spec(scheduling=SCHEDULING.model_copy(update={"gpu_resource": None}))["containers"]
    assert set(holder["resources"]["requests"]) == {"cpu", "memory", "ephemeral-storage"}
