"""A group of pods is one instance: its leader answers, its workers outlast the leader's requests."""

import copy
from dataclasses import replace
from functools import cache
from typing import Any

import jsonschema
import pulumi
import pytest
import yaml
from pulumi_kubernetes import core, meta

from llm_serving.serving import multi_node
from llm_serving.serving.rollout import Rollout
from local.cluster.layout import tools
from tests.unit.recording import Recorded, record
from tests.unit.serving.manifests import breaks_restricted

ROLLOUT = Rollout(
    startup_failures=60,
    progress_deadline_seconds=600,
    awaited=True,
    max_surge=0,
    max_unavailable=1,
    create=600,
    update=1200,
)
SECURE = core.v1.SecurityContextArgs(
    allow_privilege_escalation=False, capabilities=core.v1.CapabilitiesArgs(drop=["ALL"])
)
LEAD = ["vllm", "serve", "/models/m", "--nnodes=2", "--node-rank=0", "--master-addr=$(LWS_LEADER_ADDRESS)"]
WORK = [*LEAD[:4], "--node-rank=$(LWS_WORKER_INDEX)", LEAD[-1], "--headless"]


def template() -> core.v1.PodTemplateSpecArgs:
    """A pod as an instance of one node has it; what a cloud adds comes as outputs."""
    answers = core.v1.ProbeArgs(http_get=core.v1.HTTPGetActionArgs(path="/health", port="http"))
    return core.v1.PodTemplateSpecArgs(
        metadata=meta.v1.ObjectMetaArgs(labels=pulumi.Output.from_input({"llm-serving.dev/model": "m"})),
        spec=core.v1.PodSpecArgs(
            termination_grace_period_seconds=pulumi.Output.from_input(62),
            security_context=core.v1.PodSecurityContextArgs(
                run_as_non_root=True,
                run_as_user=1000,
                seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
            ),
            containers=[
                core.v1.ContainerArgs(
                    name="engine",
                    image="registry.example/vllm:1",
                    command=["llm-serving-engine", "--", *LEAD],
                    ports=[core.v1.ContainerPortArgs(name="http", container_port=8000)],
                    resources=core.v1.ResourceRequirementsArgs(limits={"nvidia.com/gpu": "8"}),
                    security_context=SECURE,
                    startup_probe=answers,
                    readiness_probe=answers,
                    liveness_probe=answers,
                    lifecycle=core.v1.LifecycleArgs(
                        pre_stop=core.v1.LifecycleHandlerArgs(sleep=core.v1.SleepActionArgs(seconds=10))
                    ),
                    volume_mounts=[core.v1.VolumeMountArgs(name="models", mount_path="/models", read_only=True)],
                )
            ],
            volumes=[core.v1.VolumeArgs(name="models", empty_dir=core.v1.EmptyDirVolumeSourceArgs())],
        ),
    )


def record_worker_set(
    replicas: int = 2, rollout: Rollout = ROLLOUT, kept: list[Any] | None = None, *, scaled: bool = False
) -> Recorded:
    """The set, as it is registered; ``kept`` gets the pod that it was made from."""

    def program() -> None:
        pod = template()
        (kept if kept is not None else []).append(pod)
        spec = multi_node.group_spec(
            multi_node.leader(pod),
            multi_node.worker(pod, WORK, pulumi.Output.from_input(60)),
            nodes=2,
            replicas=replicas,
            rollout=rollout,
        )
        parent = pulumi.ComponentResource("test:index:Parent", "parent")
        metadata = meta.v1.ObjectMetaArgs(name="m-1-0-0", namespace="chat", annotations={"a": "b"})
        multi_node.leader_worker_set(parent, "m-1-0-0", metadata, spec, rollout, scaled=scaled)

    return record(program).one(f"kubernetes:{multi_node.API_VERSION}:{multi_node.KIND}")


def pods(worker_set: Recorded) -> tuple[dict[str, Any], dict[str, Any]]:
    """The templates of leader and worker."""
    both = worker_set["spec.leaderWorkerTemplate"]
    return both["leaderTemplate"], both["workerTemplate"]


@cache
def schema() -> dict[str, Any]:
    """The schema of the pinned definition; what it does not know is refused, as the API server does."""
    file = next((tools() / "crds" / "lws").glob("*leaderworkersets.yaml"), None)
    if file is None:
        pytest.skip("NOT TESTED: the definitions are not there: `make setup` fetches lws")
    definition = yaml.load(file.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = [v for v in definition["spec"]["versions"] if v["name"] == multi_node.API_VERSION.partition("/")[2]]
    return _forbid_unknown_fields(version["schema"]["openAPIV3Schema"])


def _forbid_unknown_fields(node: Any) -> Any:
    if isinstance(node, list):
        return [_forbid_unknown_fields(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed: dict[str, Any] = {key: _forbid_unknown_fields(value) for key, value in node.items()}
    if closed.pop("x-kubernetes-int-or-string", False):
        closed = {"type": ["integer", "string"]}
    if isinstance(closed.get("properties"), dict) and "additionalProperties" not in closed:
        closed["additionalProperties"] = False
    return closed


def validate(worker_set: Recorded) -> None:
    body = copy.deepcopy(dict(worker_set.inputs))
    root = schema()
    metadata = {**root["properties"]["metadata"], "additionalProperties": True}
    jsonschema.validate(body, {**root, "properties": {**root["properties"], "metadata": metadata}})


def test_the_set_has_the_fields_that_its_definition_knows_and_no_others() -> None:
    worker_set = record_worker_set()
    validate(worker_set)
    worker_set.inputs["spec"]["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(jsonschema.ValidationError, match="readynessProbe"):
        validate(worker_set)


def test_only_the_leader_is_asked_and_both_obey_pod_security_restricted() -> None:
    leader, worker = pods(record_worker_set())
    engine, helper = leader["spec"]["containers"][0], worker["spec"]["containers"][0]
    assert engine["readinessProbe"]["httpGet"]["path"] == "/health"
    assert engine["command"][:2] == ["llm-serving-engine", "--"]
    assert not {"startupProbe", "readinessProbe", "livenessProbe", "ports"} & helper.keys()
    assert helper["command"] == WORK
    for field in ("image", "resources", "volumeMounts", "securityContext"):
        assert engine[field] == helper[field]
    assert breaks_restricted(leader["spec"]) == breaks_restricted(worker["spec"]) == []


def test_a_selector_finds_the_leaders_and_no_worker() -> None:
    wanted = multi_node.leaders({"llm-serving.dev/model": "m"}).items()
    leader, worker = pods(record_worker_set())
    assert wanted <= leader["metadata"]["labels"].items()
    assert not wanted <= worker["metadata"]["labels"].items()
    assert worker["metadata"]["labels"]["llm-serving.dev/model"] == "m"


def test_a_worker_is_told_to_end_after_the_leaders_last_request() -> None:
    leader, worker = pods(record_worker_set())
    assert leader["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 10
    seconds = worker["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert seconds == 60
    assert seconds < worker["spec"]["terminationGracePeriodSeconds"]


def test_a_group_is_made_anew_as_a_whole_and_starts_all_at_once() -> None:
    worker_set = record_worker_set()
    assert worker_set["spec.leaderWorkerTemplate.restartPolicy"] == "RecreateGroupOnPodRestart"
    assert worker_set["spec.leaderWorkerTemplate.size"] == 2
    assert worker_set["spec.startupPolicy"] == "LeaderCreated"


def test_no_service_of_a_group_takes_the_name_of_the_set() -> None:
    assert record_worker_set()["spec.networkConfig.subdomainPolicy"] == "UniquePerReplica"


def test_groups_are_replaced_in_the_order_that_was_decided() -> None:
    surging = replace(ROLLOUT, max_surge=1, max_unavailable=0)
    assert record_worker_set()["spec.rolloutStrategy.rollingUpdateConfiguration"] == {
        "maxSurge": 0,
        "maxUnavailable": 1,
    }
    assert record_worker_set(rollout=surging)["spec.rolloutStrategy.rollingUpdateConfiguration"] == {
        "maxSurge": 1,
        "maxUnavailable": 0,
    }


def test_the_autoscaler_owns_the_number_of_groups_that_it_scales() -> None:
    fixed, scaled = record_worker_set(3), record_worker_set(3, scaled=True)
    assert fixed["spec.replicas"] == scaled["spec.replicas"] == 3
    assert fixed.ignore_changes == ()
    assert scaled.ignore_changes == ("spec.replicas",)


def test_an_update_waits_until_every_group_answers() -> None:
    worker_set = record_worker_set()
    assert worker_set["metadata.annotations"].items() >= {"a": "b", "pulumi.com/waitFor": "condition=Available"}.items()
    assert worker_set.custom_timeouts == {"create": "600s", "update": "1200s"}


def test_an_update_does_not_wait_for_groups_whose_nodes_come_from_a_queue() -> None:
    worker_set = record_worker_set(rollout=replace(ROLLOUT, awaited=False))
    assert "pulumi.com/waitFor" not in worker_set["metadata.annotations"]


def test_a_worker_that_gives_up_waiting_does_not_end_the_image_pull_of_its_group() -> None:
    annotations = record_worker_set()["metadata.annotations"]
    assert annotations["leaderworkerset.sigs.k8s.io/experimental-recreate-group-after-start"] == "true"


def test_what_is_handed_in_stays_as_it_is() -> None:
    kept: list[Any] = []
    record_worker_set(kept=kept)
    (container,) = kept[0].spec.containers
    assert container.startup_probe is not None
    assert container.command[0] == "llm-serving-engine"


def test_the_longest_name_leaves_room_for_the_labels_of_a_groups_workers() -> None:
    assert len("m" * multi_node.LONGEST_NAME + "-999" + "-" + "f" * 10) == 63
