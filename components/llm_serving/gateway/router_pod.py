"""The pods of a release's router: vllm-router, which finds the engines of its release by their labels.

What it does wrong, seen with 0.1.17, decides how it is called:

- A retry goes to the engine that the policy names, often the one that just failed, until the breaker takes it out. So a
  request is tried once more than an engine may fail.
- Its limit of concurrent requests (``--max-concurrent-requests``, ``--queue-size``) is a rate, not a limit, and a
  request that waits is refused with 408 after a second. It stays out of reach; engines have their own limits.
- It asks the engines that it finds one after the other whether they are well, and waits for each; one that is not in
  time is forgotten until its readiness changes.
- It copies a request into its own form. A rerank request loses its model there and its answer is not understood.
"""

import pulumi
from pulumi_kubernetes import core

from llm_serving.gateway.pods import PRE_STOP, grace_period_seconds, http_probe
from llm_serving.serving.disruption import spread
from llm_serving.serving.gateway_access import ROUTER_METRICS_PORT, ROUTER_PORT
from llm_serving.serving.image_pull import pull_references
from llm_serving.serving.monitoring import METRICS_PORT_NAME
from llm_serving.serving.pod import PORT_NAME, RESTRICTED, restricted_pod
from llm_serving.serving.priorities import priority_class
from llm_serving.serving.quantities import cores
from llm_serving.spec import ImagePullSpec, ImageReference, RouterSpec, RoutingPolicy, ServiceClass

CONTAINER = "router"
POD_VERBS = ("list", "watch")
"""What its account may do with the pods of its namespace; it picks its release's itself."""

MEMORY_REQUEST = "128Mi"
LIMITS = {"memory": "1Gi"}
"""It took 83 MB, and 2,200 requests a second of a busy machine (November 2026); the beginnings of prompts that it
remembers come on top. No CPU limit: it would delay every request."""
REMEMBERED_CHARACTERS = 4_194_304
"""Of the beginnings of prompts, for each engine: 128 thousand times the 32 of a usual name."""

HEALTH_INTERVAL_SECONDS = 5
HEALTH_FAILURES = 3
"""As late as this an engine is taken out for being silent: engines are busy, and a router that believes that none is
well refuses all requests."""
ADDING_SECONDS = 30
"""For an engine that is ready, by its pod, to say that it is well. Meanwhile other engines are neither added nor taken
out, but one that goes is also noticed by its refusal, and asked no more."""
FIRST_BACKOFF_MS, LONGEST_BACKOFF_MS = 25, 500


def router_command(spec: RouterSpec, policy: RoutingPolicy, request_seconds: int) -> list[str]:
    """The command line, without the engines.

    Args:
        spec: the router's settings.
        policy: which engine gets a request.
        request_seconds: longest request.
    """
    return [
        "vllm-router",
        "--host=0.0.0.0",
        f"--port={ROUTER_PORT}",
        "--prometheus-host=0.0.0.0",
        f"--prometheus-port={ROUTER_METRICS_PORT}",
        f"--policy={policy}",
        f"--max-tree-size={REMEMBERED_CHARACTERS}",
        f"--request-timeout-secs={request_seconds}",
        f"--retry-max-retries={spec.breaker_failures + 1}",
        f"--retry-initial-backoff-ms={FIRST_BACKOFF_MS}",
        f"--retry-max-backoff-ms={LONGEST_BACKOFF_MS}",
        f"--cb-failure-threshold={spec.breaker_failures}",
        "--cb-success-threshold=1",
        f"--cb-timeout-duration-secs={spec.breaker_seconds}",
        f"--health-check-interval-secs={HEALTH_INTERVAL_SECONDS}",
        f"--health-check-timeout-secs={spec.health_timeout_seconds}",
        f"--health-failure-threshold={HEALTH_FAILURES}",
        "--health-success-threshold=1",
        f"--worker-startup-timeout-secs={ADDING_SECONDS}",
        "--worker-startup-check-interval=1",
    ]


def discovery_options(namespace: str, engines: dict[str, str], engine_port: int) -> list[str]:
    """Where it looks for engines.

    Args:
        namespace: that of the team.
        engines: labels of the release's pods.
        engine_port: TCP port on which they answer.
    """
    return [
        "--service-discovery",
        f"--service-discovery-namespace={namespace}",
        f"--service-discovery-port={engine_port}",
        "--selector",
        *(f"{key}={value}" for key, value in sorted(engines.items())),
    ]


def pod_spec(
    image: ImageReference,
    command: pulumi.Input[list[str]],
    pods: dict[str, str],
    account: str,
    service_class: ServiceClass,
    request_seconds: int,
    cpu: float,
    image_pull: ImagePullSpec | None,
) -> core.v1.PodSpecArgs:
    """The pod, under Pod Security "restricted" with a read-only root file system.

    Args:
        image: the router's image.
        command: its command line.
        pods: labels that select the router's pods.
        account: service account that may watch the engines' pods.
        service_class: the model's.
        request_seconds: longest request.
        cpu: cores that it requests.
        image_pull: credentials for the registry of its image.
    """
    return core.v1.PodSpecArgs(
        service_account_name=account,
        # It watches pods.
        automount_service_account_token=True,
        enable_service_links=False,
        image_pull_secrets=pull_references(image_pull),
        priority_class_name=priority_class(service_class),
        termination_grace_period_seconds=grace_period_seconds(request_seconds),
        topology_spread_constraints=spread(pods),
        security_context=restricted_pod(),
        containers=[_container(image, command, cpu)],
        volumes=[core.v1.VolumeArgs(name="scratch", empty_dir=core.v1.EmptyDirVolumeSourceArgs(size_limit="64Mi"))],
    )


def _container(image: ImageReference, command: pulumi.Input[list[str]], cpu: float) -> core.v1.ContainerArgs:
    return core.v1.ContainerArgs(
        name=CONTAINER,
        image=image.reference,
        image_pull_policy="IfNotPresent",
        command=command,
        ports=[
            core.v1.ContainerPortArgs(name=PORT_NAME, container_port=ROUTER_PORT),
            core.v1.ContainerPortArgs(name=METRICS_PORT_NAME, container_port=ROUTER_METRICS_PORT),
        ],
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": cores(cpu), "memory": MEMORY_REQUEST}, limits=LIMITS
        ),
        security_context=RESTRICTED,
        startup_probe=http_probe("/liveness", PORT_NAME, 1, 60),
        # With no engine it is not ready, so that requests find a router that knows one, or are refused at once.
        readiness_probe=http_probe("/readiness", PORT_NAME, 2, 2),
        liveness_probe=http_probe("/liveness", PORT_NAME, 10, 6),
        lifecycle=PRE_STOP,
        volume_mounts=[core.v1.VolumeMountArgs(name="scratch", mount_path="/tmp")],
        termination_message_policy="FallbackToLogsOnError",
    )
