import base64
import hashlib
import json
from dataclasses import replace

import pytest
from llm_serving_engine.options import parse
from pulumi.errors import InputPropertiesError
from pulumi_kubernetes import core

from llm_serving.launchers import COMMAND, current
from llm_serving.planning.host import STREAM_BUFFER_BYTES
from llm_serving.planning.node_room import NodeRoom, PodSize, pods_that_fit
from llm_serving.planning.simulation import NodeInfo, rejection_reasons
from llm_serving.serving import ModelService, engines
from llm_serving.spec import EngineName, release_hash
from llm_serving.spec.timeouts import STALL_SECONDS
from tests.unit.recording import UNKNOWN, record
from tests.unit.serving import served
from tests.unit.serving.manifests import assert_valid, breaks_restricted
from tests.unit.serving.served import (
    CACHE,
    IDENTITY,
    NODE,
    RELEASE,
    SCHEDULING,
    arguments,
    container,
    contract_models,
    pod,
    serve,
)


def refusals(**changes):
    with pytest.raises(InputPropertiesError) as caught:
        serve(**changes)
    return {detail["property_path"]: detail["reason"] for detail in caught.value.errors or []}


def seconds(text):
    return int(text.removesuffix("s"))


def engine_command(command):
    """The engine's own command line, without the launcher."""
    return command[command.index("--") + 1 :]


def test_every_object_is_valid_for_kubernetes():
    assert_valid(serve())
    assert_valid(serve(release={"chat_template": "{{ messages }}", "sampling": {"temperature": 0.6}}))


def test_the_contract_of_the_test_is_the_contract():
    contract_models()


def test_everything_is_a_child_of_the_component():
    recording = serve(release={"chat_template": "{{ messages }}"})
    owner = recording.one("llm-serving:index:ModelService")
    assert {child.type.rsplit(":")[-1] for child in recording.children(owner)} == {
        "ServiceAccount",
        "ConfigMap",
        "Deployment",
        "PodDisruptionBudget",
        "Service",
    }
    # Two Services: of the release, and in front of the stable one. Two ConfigMaps: the template and the launcher.
    assert len(recording.resources) == 8


def test_outputs_say_where_the_model_answers():
    recording = serve()
    assert recording.output("url") == "http://qwen3-8b.chat.svc:8000/v1"
    assert recording.output("serviceName") == "qwen3-8b"
    assert recording.output("deploymentName") == "qwen3-8b-1-0-0"
    assert recording.output("releaseUrls") == {"1.0.0": "http://qwen3-8b-1-0-0.chat.svc:8000/v1"}
    assert recording.output("release") == "1.0.0"


def test_outputs_are_known_at_preview():
    recording = serve(preview=True)
    assert recording.output("url") == "http://qwen3-8b.chat.svc:8000/v1"
    assert recording.output("deploymentName") == "qwen3-8b-1-0-0"


def test_an_output_that_is_not_known_yet_hides_only_what_depends_on_it():
    def program():
        later = core.v1.ConfigMap("later").id.apply(lambda _: CACHE)
        ModelService("qwen3-8b", arguments(cache=later))

    recording = record(program, preview=True)
    deployment = recording.one("kubernetes:apps/v1:Deployment")
    assert deployment["spec.template.spec.volumes[0]"] is UNKNOWN
    assert deployment["spec.replicas"] == 1
    assert deployment["spec.template.spec.nodeSelector"] == SCHEDULING["nodeSelector"]
    command = deployment["spec.template.spec.containers[0].command"]
    assert engine_command(command)[2] == "/models/qwen3-8b/1.0.0"


def test_pods_obey_pod_security_restricted_with_a_read_only_root():
    spec = pod(serve(release={"chat_template": "{{ messages }}"}))["spec"]
    assert breaks_restricted(spec) == []
    assert all(c["securityContext"]["readOnlyRootFilesystem"] for c in spec["containers"])
    assert spec["automountServiceAccountToken"] is False


def test_the_service_account_mounts_no_token_and_carries_the_clouds_annotations():
    recording = serve()
    account = recording.one("kubernetes:core/v1:ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert account["metadata.annotations"] == IDENTITY["annotations"]
    assert account["metadata.name"] == pod(recording)["spec"]["serviceAccountName"] == IDENTITY["serviceAccount"]
    assert recording.depends_on(recording.one("kubernetes:apps/v1:Deployment"), account)


def test_pods_go_where_the_pool_says():
    spec = pod(serve())["spec"]
    assert spec["nodeSelector"] == SCHEDULING["nodeSelector"]
    assert spec["tolerations"] == SCHEDULING["tolerations"]


def test_gpus_are_asked_for_as_request_and_limit_and_memory_too():
    resources = container(serve())["resources"]
    assert resources["requests"]["nvidia.com/gpu"] == resources["limits"]["nvidia.com/gpu"] == "1"
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert "cpu" not in resources["limits"]


def test_an_instance_of_several_nodes_takes_all_network_devices_of_each_and_another_none():
    scheduling = {"networkDevices": {"example.com/fabric": 4}}
    wide = {"tensor_parallelism": 2, "engine": {"nodes": 2, "pipeline_parallelism": 2}}
    group = serve(scheduling=scheduling, model=wide).one("LeaderWorkerSet")["spec.leaderWorkerTemplate"]
    for role in ("leaderTemplate", "workerTemplate"):
        resources = group[role]["spec"]["containers"][0]["resources"]
        assert resources["requests"]["example.com/fabric"] == resources["limits"]["example.com/fabric"] == "4"
    assert "example.com/fabric" not in container(serve(scheduling=scheduling))["resources"]["limits"]


def test_the_resource_of_another_vendor_or_of_none_is_taken_as_the_pool_says():
    amd = container(serve(scheduling={"gpuResource": "amd.com/gpu"}))["resources"]
    assert amd["limits"]["amd.com/gpu"] == "1"
    assert "nvidia.com/gpu" not in amd["limits"]
    without = {key: value for key, value in SCHEDULING.items() if key != "gpuResource"}
    recording = record(lambda: ModelService("m", {**arguments(), "scheduling": without}))
    assert set(container(recording)["resources"]["limits"]) == {"memory"}


def test_the_volumes_sidecar_is_taken_off_the_engines_share_of_the_node():
    def cpu_and_memory(recording):
        requests = container(recording)["resources"]["requests"]
        milli = requests["cpu"]
        cpu = int(milli[:-1]) / 1000 if milli.endswith("m") else int(milli)
        memory = requests["memory"]
        return cpu, int(memory[:-2]) / (1024 if memory.endswith("Mi") else 1)

    alone = cpu_and_memory(serve(cache={"sidecarCpu": 0, "sidecarMemoryGib": 0}))
    with_sidecar = cpu_and_memory(serve())
    assert alone[0] - with_sidecar[0] == pytest.approx(CACHE["sidecarCpu"], abs=0.11)
    assert alone[1] - with_sidecar[1] == pytest.approx(CACHE["sidecarMemoryGib"], abs=0.11)


def test_what_is_cached_of_weights_on_the_node_is_requested():
    """Qwen3 8B has 15.3 GiB of weights, and the sidecar writes 5 GiB of its own."""
    recording = serve()
    assert pod(recording)["metadata"]["annotations"]["gke-gcsfuse/ephemeral-storage-request"] == "21Gi"
    # Half of the node's GPUs: half of what images and engines take of a node's disk.
    assert container(recording)["resources"]["requests"]["ephemeral-storage"] == "15Gi"
    unknown = serve(node={"ephemeral_gib": 0}, cache={"storageAnnotation": None, "cachesWeights": False})
    assert pod(unknown)["metadata"]["annotations"].keys() == {"gke-gcsfuse/volumes", "llm-serving.dev/release-hash"}
    assert "ephemeral-storage" not in container(unknown)["resources"]["requests"]


def test_a_driver_that_runs_elsewhere_on_the_node_and_can_request_nothing_has_its_cache_requested_by_the_engine():
    recording = serve(cache={"storageAnnotation": None})
    assert container(recording)["resources"]["requests"]["ephemeral-storage"] == "36Gi"
    assert "gke-gcsfuse/ephemeral-storage-request" not in pod(recording)["metadata"]["annotations"]


def test_the_scheduler_puts_as_many_instances_on_a_node_as_planning_counts():
    """On a disk that holds one of the two instances for which there are GPUs, cores and memory."""
    node = {**NODE, "ephemeral_gib": 60.0}
    recording = serve(node=node)
    engine = {"resources": container(recording)["resources"]}
    annotations = pod(recording)["metadata"]["annotations"]
    sidecar = {"ephemeral-storage": annotations["gke-gcsfuse/ephemeral-storage-request"]}
    with_sidecar = {
        "metadata": {"namespace": "chat"},
        "spec": {"containers": [engine, {"resources": {"requests": sidecar}}]},
    }
    allocatable = {"cpu": "50", "memory": "400Gi", "ephemeral-storage": "60Gi", "nvidia.com/gpu": "2", "pods": "32"}
    empty = NodeInfo.of_node({"metadata": {"name": "a"}, "status": {"allocatable": allocatable}}, [])
    full = replace(empty, pods=[with_sidecar])
    assert rejection_reasons(with_sidecar, empty, [empty]) == []
    assert rejection_reasons(with_sidecar, full, [full]) == ["Insufficient ephemeral-storage"]
    sizes = [PodSize(gpus=1, storage_gib=15 + 21)] * 2
    assert pods_that_fit(sizes, NodeRoom(gpus=2, storage_gib=60), nodes=1) == 1


def test_streamed_weights_are_buffered_in_the_instances_memory():
    environment = {item["name"]: item["value"] for item in container(serve(model=STREAMING))["env"]}
    assert 0 < int(environment["RUNAI_STREAMER_MEMORY_LIMIT"]) <= STREAM_BUFFER_BYTES
    assert "RUNAI_STREAMER_MEMORY_LIMIT" not in {item["name"] for item in container(serve())["env"]}


STREAMING = {"engine": {"stream_weights": True}}


def test_weights_are_mounted_read_only_where_the_engine_looks_for_them():
    recording = serve()
    mounts = {mount["name"]: mount for mount in container(recording)["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod(recording)["spec"]["volumes"]}
    assert mounts["models"]["readOnly"] is True
    assert volumes["models"]["csi"] == CACHE["volume"]["csi"]
    assert engine_command(container(recording)["command"])[2] == f"{mounts['models']['mountPath']}/qwen3-8b/1.0.0"
    assert pod(recording)["metadata"]["annotations"]["gke-gcsfuse/volumes"] == "true"
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "1Gi"}
    assert mounts["scratch"]["mountPath"] == "/tmp"
    assert mounts["shared-memory"]["mountPath"] == "/dev/shm"
    assert set(mounts) == set(volumes)


def test_a_claim_works_as_model_cache():
    recording = serve(cache={"volume": {"persistentVolumeClaim": {"claimName": "weights", "readOnly": True}}})
    assert_valid(recording)
    (volume,) = [v for v in pod(recording)["spec"]["volumes"] if v["name"] == "models"]
    assert volume["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}


def test_a_chat_template_is_mounted_from_an_immutable_config_map_that_gets_a_new_name():
    recording = serve(release={"chat_template": "{{ messages }}"})
    config_map = recording.one("kubernetes:core/v1:ConfigMap", "qwen3-8b-1-0-0-chat-template")
    assert config_map["immutable"] is True
    assert "name" not in config_map["metadata"]
    (volume,) = [v for v in pod(recording)["spec"]["volumes"] if v["name"] == "chat-template"]
    assert volume["configMap"]["name"] == config_map.outputs["metadata"]["name"]
    (mount,) = [m for m in container(recording)["volumeMounts"] if m["name"] == "chat-template"]
    (file,) = config_map["data"]
    assert f"--chat-template={mount['mountPath']}/{file}" in container(recording)["command"]


def test_one_number_sets_probe_deadline_and_waiting():
    deployment = (recording := serve()).one("kubernetes:apps/v1:Deployment")
    probe = container(recording)["startupProbe"]
    patience = probe["periodSeconds"] * probe["failureThreshold"]
    assert patience == deployment["spec.progressDeadlineSeconds"] == seconds(deployment.custom_timeouts["create"])
    assert seconds(deployment.custom_timeouts["update"]) > patience
    assert patience > 1200  # twice: 240 s for a node, 300 s for an image, and the model


def test_time_outs_of_a_start_follow_one_setting_and_the_wait_for_a_node_another():
    deployment = (recording := serve(model={"timeouts": {"startup_seconds": 1800}})).one(
        "kubernetes:apps/v1:Deployment"
    )
    probe = container(recording)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 1800
    assert deployment["spec.progressDeadlineSeconds"] == seconds(deployment.custom_timeouts["create"]) == 1800

    both = {"timeouts": {"startup_seconds": 1800, "capacity_seconds": 7200}}
    deployment = (recording := serve(model=both)).one("kubernetes:apps/v1:Deployment")
    assert container(recording)["startupProbe"] == probe  # it begins once there is a node
    assert deployment["spec.progressDeadlineSeconds"] == seconds(deployment.custom_timeouts["create"]) == 9000
    assert seconds(deployment.custom_timeouts["update"]) > 9000


def test_nobody_waits_for_nodes_that_come_from_a_queue():
    recording = serve(node={"queued": True})
    deployment = recording.one("kubernetes:apps/v1:Deployment")
    services = recording.all("kubernetes:core/v1:Service")
    assert len(services) == 2
    for resource in (deployment, *services):
        assert resource["metadata.annotations"]["pulumi.com/skipAwait"] == "true"
    assert deployment["spec.progressDeadlineSeconds"] > 7 * 24 * 3600  # the queue is no failure to Kubernetes, either
    assert_valid(recording)


def test_nodes_from_a_queue_are_waited_for_as_long_as_the_setting_says():
    recording = serve(node={"queued": True}, model={"timeouts": {"capacity_seconds": 3600}})
    for resource in (recording.one("kubernetes:apps/v1:Deployment"), *recording.all("kubernetes:core/v1:Service")):
        assert "pulumi.com/skipAwait" not in (resource.get("metadata.annotations") or {})


def test_time_outs_that_cannot_work_are_refused():
    assert "planned to take" in refusals(model={"timeouts": {"startup_seconds": 60}})["model.timeouts.startupSeconds"]
    without = {"engine": {"launcher": False}, "timeouts": {"stall_seconds": 30}}
    assert "launcher" in refusals(model=without)["model.timeouts.stallSeconds"]


def test_the_launcher_is_told_how_long_an_engine_may_be_silent():
    command = container(serve(model={"timeouts": {"stall_seconds": 20}}))["command"]
    assert parse(command[len(COMMAND) :], {}).stall_seconds == 20
    default = container(serve())["command"]
    assert not any(word.startswith("--stall-seconds") for word in default)
    assert parse(default[len(COMMAND) :], {}).stall_seconds == STALL_SECONDS


def test_a_rollout_of_many_instances_waits_for_each_of_them():
    def rollout_timeout(**model):
        deployment = serve(model=model).one("kubernetes:apps/v1:Deployment")
        return seconds(deployment.custom_timeouts["update"])

    assert rollout_timeout(replicas=4) == 4 * rollout_timeout(replicas=1)
    assert rollout_timeout(replicas=4, surge=2) == 2 * rollout_timeout(replicas=1)


def test_a_rollout_needs_no_spare_gpu_unless_asked_to():
    update = serve().one("kubernetes:apps/v1:Deployment")["spec.strategy.rollingUpdate"]
    assert update == {"maxSurge": 0, "maxUnavailable": 1}
    update = serve(model={"surge": 1}).one("kubernetes:apps/v1:Deployment")["spec.strategy.rollingUpdate"]
    assert update == {"maxSurge": 1, "maxUnavailable": 0}


def test_a_pod_ends_after_its_requests():
    for notice in ({}, {"spotNoticeSeconds": 15}, {"spotNoticeSeconds": 30}):
        recording = serve(scheduling=notice)
        (shutdown,) = [
            int(argument.split("=")[1])
            for argument in container(recording)["command"]
            if argument.startswith("--shutdown-timeout=")
        ]
        pre_stop = container(recording)["lifecycle"]["preStop"]["sleep"]["seconds"]
        grace = pod(recording)["spec"]["terminationGracePeriodSeconds"]
        assert shutdown > 0
        assert grace > pre_stop + shutdown
        if notice:
            assert grace <= notice["spotNoticeSeconds"]


def test_a_drain_that_is_longer_than_the_notice_is_refused_with_its_path():
    reasons = refusals(model={"drain": {"shutdown_timeout_seconds": 60}}, scheduling={"spotNoticeSeconds": 30})
    assert "at most 27" in reasons["model.drain.shutdownTimeoutSeconds"]


def services(recording):
    """Service of the release, Service in front of the stable one."""
    return {service["metadata.name"]: service for service in recording.all("kubernetes:core/v1:Service")}


def service_port(service):
    (port,) = service["spec.ports"]
    return port["targetPort"]


def test_the_services_select_the_deployments_pods_by_a_named_port():
    recording = serve()
    for service in services(recording).values():
        assert service["spec.selector"].items() <= pod(recording)["metadata"]["labels"].items()
        (port,) = service["spec.ports"]
        (container_port,) = (port for port in container(recording)["ports"] if port["name"] == service_port(service))
        assert (port["port"], port["targetPort"]) == (8000, container_port["name"])
        assert container_port["containerPort"] == 8000
    assert list(services(recording)) == ["qwen3-8b-1-0-0", "qwen3-8b"]


def test_the_services_wait_for_the_deployment_because_their_own_waiting_is_short():
    recording = serve()
    for service in services(recording).values():
        assert recording.depends_on(service, recording.one("kubernetes:apps/v1:Deployment"))


CANARY = {"stable": "1.0.0", "canary": {"release": "1.1.0", "weight": 10, "replicas": 2}}


def deployments(recording):
    return {item["metadata.name"]: item for item in recording.all("kubernetes:apps/v1:Deployment")}


def test_each_release_has_its_own_objects_and_no_pod_of_another():
    recording = serve(model={"releases": CANARY, "replicas": 3}, more=({"version": "1.1.0"},))
    assert_valid(recording)
    by_name = deployments(recording)
    assert {name: item["spec.replicas"] for name, item in by_name.items()} == {"qwen3-8b-1-0-0": 3, "qwen3-8b-1-1-0": 2}
    budgets = {item["metadata.name"]: item for item in recording.all("kubernetes:policy/v1:PodDisruptionBudget")}
    for name, other in (("qwen3-8b-1-0-0", "qwen3-8b-1-1-0"), ("qwen3-8b-1-1-0", "qwen3-8b-1-0-0")):
        own, others = (by_name[item]["spec.template.metadata.labels"] for item in (name, other))
        for wanted in (
            by_name[name]["spec.selector.matchLabels"],
            services(recording)[name]["spec.selector"],
            budgets[name]["spec.selector.matchLabels"],
        ):
            assert wanted.items() <= own.items()
            assert not wanted.items() <= others.items()
    assert services(recording)["qwen3-8b"]["spec.selector"] == services(recording)["qwen3-8b-1-0-0"]["spec.selector"]
    assert len(recording.all("kubernetes:core/v1:ServiceAccount")) == 1


def test_every_release_answers_to_the_models_name():
    recording = serve(model={"releases": CANARY}, more=({"version": "1.1.0"},))
    for item in deployments(recording).values():
        (engine,) = item["spec.template.spec.containers"]
        assert "--served-model-name=qwen3-8b" in engine["command"]


def test_a_canary_that_becomes_stable_changes_no_pod():
    before = deployments(serve(model={"releases": CANARY}, more=({"version": "1.1.0"},)))
    after = deployments(
        serve(model={"releases": {"stable": "1.1.0", "previous": "1.0.0"}}, more=({"version": "1.1.0"},))
    )
    assert before.keys() == after.keys()
    for name in before:
        assert before[name]["spec.template"] == after[name]["spec.template"]
        assert before[name]["spec.selector"] == after[name]["spec.selector"]


PROMETHEUS = "http://prometheus.monitoring.svc:9090"


def test_autoscaling_without_prometheus_is_refused():
    assert "prometheusUrl" in refusals(model={"autoscaling": {"max": 4}})


def test_each_scaling_release_has_a_scaled_object_of_its_own_that_comes_after_what_it_scales():
    recording = serve(
        model={"releases": CANARY, "autoscaling": {"min": 3, "max": 8}},
        more=({"version": "1.1.0"},),
        prometheus_url=PROMETHEUS,
    )
    bounds = {}
    for scaled in recording.all("kubernetes:keda.sh/v1alpha1:ScaledObject"):
        name = scaled["spec.scaleTargetRef.name"]
        assert scaled["metadata.name"] == name
        assert recording.depends_on(scaled, deployments(recording)[name])
        bounds[name] = (scaled["spec.minReplicaCount"], scaled["spec.maxReplicaCount"])
    assert bounds == {"qwen3-8b-1-0-0": (3, 8), "qwen3-8b-1-1-0": (2, 8)}


def test_a_model_that_may_sleep_needs_a_gateway_that_wakes_it():
    asleep = {"autoscaling": {"min": 0, "max": 4}}
    assert "gatewayNamespace" in refusals(model=asleep, prometheus_url=PROMETHEUS)["model.autoscaling.min"]


def test_all_releases_of_a_model_that_may_sleep_sleep_and_wake_together_and_each_has_shown_that_it_answers():
    recording = serve(
        model={"releases": CANARY, "autoscaling": {"min": 0, "max": 8}},
        more=({"version": "1.1.0"},),
        prometheus_url=PROMETHEUS,
        gateway_namespace="llm-gateway",
    )
    scaled = recording.all("kubernetes:keda.sh/v1alpha1:ScaledObject")
    assert {each["spec.minReplicaCount"] for each in scaled} == {0}
    triggers = [{one["name"]: one["metadata"]["query"] for one in each["spec.triggers"]} for each in scaled]
    assert len({queries["asked"] for queries in triggers}) == 1
    assert 'namespace="llm-gateway"' in triggers[0]["asked"]
    starts = {name: each["spec.replicas"] for name, each in deployments(recording).items()}
    assert starts == {"qwen3-8b-1-0-0": 1, "qwen3-8b-1-1-0": 2}


def test_an_update_does_not_wait_for_services_of_a_model_that_sleeps():
    def waits(fewest):
        recording = serve(
            model={"autoscaling": {"min": fewest, "max": 4}}, prometheus_url=PROMETHEUS, gateway_namespace="llm-gateway"
        )
        services = recording.all("kubernetes:core/v1:Service")
        assert services
        return ["pulumi.com/skipAwait" not in (each.get("metadata.annotations") or {}) for each in services]

    assert not any(waits(0))
    assert all(waits(1))


def test_an_autoscaled_release_starts_with_its_fewest_and_leaves_the_number_alone_from_then_on():
    recording = serve(model={"autoscaling": {"min": 2, "max": 4}}, prometheus_url=PROMETHEUS)
    deployment = recording.one("kubernetes:apps/v1:Deployment")
    assert deployment["spec.replicas"] == 2
    assert "pulumi.com/patchForce" not in deployment["metadata.annotations"]
    assert deployment.ignore_changes == ("spec.replicas",)


def test_the_base_runs_in_a_deployment_of_its_own_behind_the_same_service():
    recording = serve(model={"replicas": 5, "on_demand_base": 2})
    assert_valid(recording)
    by_name = deployments(recording)
    assert {name: item["spec.replicas"] for name, item in by_name.items()} == {
        "qwen3-8b-1-0-0-base": 2,
        "qwen3-8b-1-0-0": 3,
    }
    base, main = by_name["qwen3-8b-1-0-0-base"], by_name["qwen3-8b-1-0-0"]
    assert not base["spec.selector.matchLabels"].items() <= main["spec.template.metadata.labels"].items()
    for service in services(recording).values():
        for item in by_name.values():
            assert service["spec.selector"].items() <= item["spec.template.metadata.labels"].items()


def test_the_selector_survives_another_engine_another_pool_and_other_labels():
    before = serve().one("kubernetes:apps/v1:Deployment")["spec.selector"]
    after = serve(
        release={"engine": {"version": "0.33.0"}},
        model={"pool": "other", "replicas": 3},
        scheduling={"pool": "other"},
        labels={"environment": "prod"},
    ).one("kubernetes:apps/v1:Deployment")["spec.selector"]
    assert before == after


def test_every_object_carries_its_model_release_team_and_pool_and_the_users_labels():
    recording = serve(release={"chat_template": "{{ messages }}"})
    for resource in recording.children():
        labels = resource["metadata.labels"]
        assert labels["llm-serving.dev/model"] == labels["app.kubernetes.io/instance"] == "qwen3-8b"
        if "llm-serving.dev/release" in labels:
            assert labels["llm-serving.dev/release"] == labels["app.kubernetes.io/version"] == "1.0.0"
        assert labels["llm-serving.dev/team"] == "chat"
        assert labels["llm-serving.dev/pool"] == "h100"
        assert labels["environment"] == "test"
        assert resource["metadata.namespace"] == "chat"
    assert pod(recording)["metadata"]["labels"]["cloud.example/identity"] == "use"


def test_users_labels_cannot_break_the_selector():
    recording = serve(labels={"llm-serving.dev/model": "mine"}, identity={"podLabels": {"llm-serving.dev/model": "x"}})
    assert pod(recording)["metadata"]["labels"]["llm-serving.dev/model"] == "qwen3-8b"


def test_a_new_release_hash_replaces_the_pods():
    def hash_of(release_hash):
        template = pod(serve(release_hashes={"1.0.0": release_hash}))
        return template["metadata"]["annotations"]["llm-serving.dev/release-hash"]

    assert [hash_of(release_hash) for release_hash in "ab"] == ["a", "b"]


def test_a_hash_that_is_left_out_is_that_of_what_the_release_says_in_either_spelling():
    def hash_of(release):
        args = arguments()
        del args["release_hashes"]
        template = pod(record(lambda: ModelService("qwen3-8b", {**args, "releases": [release]})))
        return template["metadata"]["annotations"]["llm-serving.dev/release-hash"]

    other = {("contextLength" if key == "context_length" else key): value for key, value in RELEASE.items()}
    assert hash_of(RELEASE) == hash_of({**other, "contextLength": 8192.0}) == release_hash(RELEASE)
    assert release_hash({**RELEASE, "sampling": {"temperature": 0.6}}) != release_hash(RELEASE)
    assert release_hash({**RELEASE, "sampling": {}}) != release_hash(RELEASE)


def test_service_links_are_off_and_a_service_that_looks_like_the_engines_settings_is_refused():
    assert pod(serve())["spec"]["enableServiceLinks"] is False
    for name in ("vllm", "vllm-port"):
        reasons = refusals(model={"name": name}, release={"name": name})
        assert "VLLM_" in reasons["model.name"]
    serve(model={"name": "vllmish"}, release={"name": "vllmish"})


def test_a_node_can_be_drained_one_instance_at_a_time():
    recording = serve()
    budget = recording.one("kubernetes:policy/v1:PodDisruptionBudget")
    assert budget["spec.maxUnavailable"] == 1
    assert budget["spec.unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert budget["spec.selector.matchLabels"].items() <= pod(recording)["metadata"]["labels"].items()


def test_a_model_that_does_not_fit_is_refused_with_the_path_in_the_arguments():
    reasons = refusals(model={"tensor_parallelism": 4})
    assert list(reasons) == ["model.tensorParallelism"]


def test_the_release_of_another_model_or_version_is_refused():
    reasons = refusals(release={"name": "other", "version": "3.0.0"})
    assert "qwen3-8b" in reasons["releases[0].name"]
    assert "1.0.0" in reasons["releases[0].version"]
    assert "1.0.0" in reasons["releases"]


def test_the_scheduling_of_another_pool_or_gpu_is_refused():
    reasons = refusals(scheduling={"pool": "l4", "accelerator": "L4"})
    assert set(reasons) == {"scheduling.pool", "scheduling.accelerator"}


def test_an_identity_in_another_namespace_is_refused():
    assert "chat" in refusals(identity={"namespace": "other"})["identity.namespace"]


def test_what_is_no_contract_is_refused_with_its_path():
    assert "scheduling.gpusPerNode" in refusals(scheduling={"gpusPerNode": "two"})
    assert "cache.volumes" in refusals(cache={"volumes": {}})


def test_unknown_arguments_are_refused_with_the_nearest_name():
    assert "replicas" in refusals(model={"replica": 2})["model.replica"]
    assert "releaseHashes" in refusals(releasehash="x")["releasehash"]


def test_without_the_launcher_probes_ask_the_engine_itself_and_nothing_of_it_is_there():
    recording = serve(model={"engine": {"launcher": False}})
    assert_valid(recording)
    only = container(recording)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert only[probe]["httpGet"] == {"path": "/health", "port": "http"}
    # Late health is no sign there that nothing is computed.
    assert "terminationGracePeriodSeconds" not in only["livenessProbe"]
    assert only["command"][:2] == ["vllm", "serve"]
    assert [port["name"] for port in only["ports"]] == ["http"]
    assert recording.all("kubernetes:core/v1:ConfigMap") == []
    assert not {variable["name"] for variable in only["env"]} & {"PYTHONPATH"}


def test_an_image_with_a_digest_is_pulled_by_it():
    digest = "sha256:" + "a" * 64
    image = container(serve(release={"image": {"repository": "r.example/vllm", "tag": "v1", "digest": digest}}))[
        "image"
    ]
    assert image == f"r.example/vllm@{digest}"


def test_the_launcher_comes_to_the_publishers_image_in_a_config_map_that_is_named_by_its_digest():
    recording = serve()
    assert_valid(recording)
    engine = container(recording)
    launcher = current()
    config_map = recording.one("kubernetes:core/v1:ConfigMap")
    assert config_map["metadata.name"] == f"qwen3-8b-1-0-0-launcher-{launcher.digest[:12]}"
    assert config_map["immutable"] is True
    ((file, content),) = config_map["binaryData"].items()
    assert hashlib.sha256(base64.b64decode(content)).hexdigest() == launcher.digest
    (volume,) = (v for v in pod(recording)["spec"]["volumes"] if v["name"] == "launcher")
    assert volume["configMap"]["name"] == config_map.outputs["metadata"]["name"]
    (mount,) = (m for m in engine["volumeMounts"] if m["name"] == "launcher")
    assert mount["readOnly"] is True
    assert {"name": "PYTHONPATH", "value": f"{mount['mountPath']}/{file}"} in engine["env"]
    assert tuple(engine["command"][: len(COMMAND)]) == COMMAND


def test_a_launcher_that_the_package_does_not_carry_is_refused():
    assert current().version in refusals(launcher_version="99.0.0")["launcherVersion"]


def test_a_pod_runs_as_a_user_that_its_image_knows():
    def user(**image):
        security = pod(serve(release={"image": {**served.RELEASE["image"], **image}}))["spec"]["securityContext"]
        assert security["runAsGroup"] == security["runAsUser"]
        return security["runAsUser"]

    assert user() == 2000
    assert user(repository="mirror.example/docker-hub/vllm/vllm-openai") == 2000
    assert user(repository="registry.example/own") == 1000
    assert user(repository="registry.example/own", user_id=1234) == 1234


@pytest.mark.parametrize(("engine", "version"), [("sglang", "0.5.23"), ("tgi", "3.3.6"), ("triton", "25.12.0")])
def test_the_launcher_asks_each_engine_as_it_can_be_asked(engine, version):
    recording = serve(release={"engine": {"name": engine, "version": version}})
    command = container(recording)["command"]
    options = parse(command[len(COMMAND) :], {})
    adapter = engines.engine(EngineName(engine))
    assert options.engine_port == adapter.port
    assert options.health_path == adapter.health_path
    assert options.model == ("qwen3-8b" if adapter.lists_its_model else None)
    assert options.drain_seconds == 0, "its requests are its own matter: the middleware is vLLM's"


def test_an_image_with_our_launcher_inside_runs_its_own():
    recording = serve(release={"image": {**served.RELEASE["image"], "launcher": True}})
    assert_valid(recording)
    assert recording.all("kubernetes:core/v1:ConfigMap") == []
    engine = container(recording)
    end = engine["command"].index("--")
    before, after = engine["command"][:end], engine["command"][end + 1 :]
    assert before[0] == "llm-serving-engine"
    assert "--model=qwen3-8b" in before
    assert "--warm-up" in before
    assert after == engine_command(container(serve())["command"])
    ports = {port["name"]: port["containerPort"] for port in engine["ports"]}
    for probe, path in (("startupProbe", "ready"), ("readinessProbe", "ready"), ("livenessProbe", "live")):
        assert engine[probe]["httpGet"] == {"path": f"/health/{path}", "port": "health"}
    # A dead engine has no requests to end; until then a pod has the time of its drain.
    (pod,) = (each["spec"]["template"]["spec"] for each in deployments(serve()).values())
    assert engine["livenessProbe"]["terminationGracePeriodSeconds"] < pod["terminationGracePeriodSeconds"]
    assert f"--health-port={ports['health']}" in before
    assert f"--engine-url=http://127.0.0.1:{ports['http']}" in before


def test_the_release_that_was_stable_before_shrinks_only_when_requests_go_elsewhere():
    recording = serve(model={"releases": {"stable": "1.1.0", "previous": "1.0.0"}}, more=({"version": "1.1.0"},))
    new, old = (deployments(recording)[f"qwen3-8b-{version}"] for version in ("1-1-0", "1-0-0"))
    front = services(recording)["qwen3-8b"]
    assert recording.depends_on(front, new)
    assert recording.depends_on(old, front)


def test_the_shares_of_a_release_are_rolled_out_one_after_the_other():
    by_name = deployments(recording := serve(model={"replicas": 5, "on_demand_base": 2}))
    assert recording.depends_on(by_name["qwen3-8b-1-0-0"], by_name["qwen3-8b-1-0-0-base"])


def test_a_model_that_is_all_base_is_called_by_the_name_that_there_is():
    recording = serve(model={"replicas": 2, "on_demand_base": 2})
    assert list(deployments(recording)) == [recording.output("deploymentName")] == ["qwen3-8b-1-0-0-base"]


TRITON = {
    "engine": {"name": "triton", "version": "25.12.0"},
    "image": {"repository": "nvcr.io/nvidia/tritonserver", "tag": "25.12-vllm-python-py3"},
}


def test_the_model_repository_of_triton_reaches_its_pod():
    recording = serve(release=TRITON)
    assert_valid(recording)
    config_map = recording.one("kubernetes:core/v1:ConfigMap", "qwen3-8b-1-0-0-engine-files")
    assert config_map["immutable"] is True
    assert set(config_map["data"]) == {"config.pbtxt", "model.json"}
    assert json.loads(config_map["data"]["model.json"])["model"] == "/models/qwen3-8b/1.0.0"
    spec = pod(recording)["spec"]
    assert breaks_restricted(spec) == []
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "engine-files")
    assert volume["configMap"]["name"] == config_map.outputs["metadata"]["name"]
    (engine,) = spec["containers"]
    mounts = {mount["mountPath"]: mount for mount in engine["volumeMounts"] if mount["name"] == "engine-files"}
    repository = dict(word.split("=", 1) for word in engine["command"] if "=" in word)["--model-repository"]
    assert {path: mount["subPath"] for path, mount in mounts.items()} == {
        f"{repository}/qwen3-8b/config.pbtxt": "config.pbtxt",
        f"{repository}/qwen3-8b/1/model.json": "model.json",
    }, "a whole ConfigMap has hidden folders, which Triton takes for models"
    assert {"name": "http", "containerPort": 9000} in engine["ports"]


def test_other_options_of_vllm_in_triton_are_another_config_map():
    first, second = (
        serve(release=TRITON, model={"engine": {"max_sequences": sequences}}).one(
            "kubernetes:core/v1:ConfigMap", "qwen3-8b-1-0-0-engine-files"
        )
        for sequences in (32, 64)
    )
    assert first["data"]["model.json"] != second["data"]["model.json"]
    assert "name" not in first["metadata"], "immutable data under one name could not be replaced before the pods"


def test_what_does_not_count_its_requests_does_not_scale():
    reasons = refusals(
        release=TRITON, model={"autoscaling": {"max": 3}}, prometheus_url="http://prometheus.monitoring.svc:9090"
    )
    assert "how many requests run and wait" in reasons["model.autoscaling"]


def test_an_instance_starts_only_on_a_cache_that_holds_the_model_and_its_adapters_whole():
    adapter = {"name": "sql", "repository": "a/sql", "revision": "1" * 40, "rank": 16}
    loader = {"image": {"repository": "registry.example/model-loader", "tag": "1.0.0"}}
    recording = serve(
        loader=loader, release={"adapters": [adapter]}, model={"engine": {"max_loras": 1, "max_lora_rank": 16}}
    )
    assert_valid(recording)
    model, adapter_verifier = pod(recording)["spec"]["initContainers"]
    assert model["command"] == [
        "llm-serving-load",
        "verify",
        "--target=/models/qwen3-8b/1.0.0",
        "--repository=Qwen/Qwen3-8B",
        f"--revision={'b' * 40}",
    ]
    assert adapter_verifier["command"][2:] == [
        "--target=/models/qwen3-8b/1.0.0/.adapters/sql",
        "--repository=a/sql",
        f"--revision={'1' * 40}",
    ]
    assert not pod(serve())["spec"]["initContainers"], "nobody but its owner fills this cache"
