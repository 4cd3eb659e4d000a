"""The whole program against a recording engine: what it puts out can be read, and its modules stay its own."""

import importlib.util
import json
import os
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime.config import set_all_config

import infra
from stacks.outputs import read_outputs
from stacks.settings import NAMESPACE, read_settings_file, resolve
from tests.unit.cloud.aws import outputs as aws
from tests.unit.recording import Recorded, Recording, record
from tests.unit.stacks.settings_files import put, settings_data, write_settings

FOLDER = Path(infra.__file__).parent
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "lab",
    "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
    "clusters": [{"name": "lab", "cluster": {"server": "https://lab.example.com"}}],
    "users": [{"name": "lab", "user": {"token": "secret"}}],
}
LOADER = {"source": "gs://mirror/weights", "image": {"repository": "registry.example/loader", "tag": "1.0.0"}}


@dataclass(frozen=True)
class Run:
    """What a run of the program asked the engine for, and what it put out."""

    settings: dict[str, Any]
    recording: Recording
    outputs: dict[str, Any]


def run(
    settings: dict[str, Any],
    secrets: dict[str, str] | None = None,
    *,
    preview: bool = False,
    before: dict[str, Any] | None = None,
    existing: dict[tuple[str, str], dict[str, Any]] | None = None,
    stack: str = "dev",
) -> Run:
    """Run the folder as Pulumi's language host does; ``secrets`` are settings that are encrypted in the file,
    ``before`` the outputs of the last update, ``existing`` what is there already."""
    outputs: dict[str, Any] = {}

    def export(name: str, value: Any) -> None:
        pulumi.Output.from_input(value).apply(lambda known: outputs.__setitem__(name, known))

    def program() -> None:
        config = {f"{NAMESPACE}:{key}": _text(value) for key, value in settings.items()}
        encrypted = {"kubeconfig": json.dumps(KUBECONFIG), **(secrets or {})}
        encrypted = {f"{NAMESPACE}:{key}": value for key, value in encrypted.items()}
        set_all_config({**config, **encrypted}, list(encrypted))
        runpy.run_path(str(FOLDER), run_name="__main__")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulumi, "export", export)
        recording = record(
            program,
            stack=stack,
            preview=preview,
            outputs=aws.OUTPUTS,
            functions={"pulumi:pulumi:readStackOutputs": lambda _: {"outputs": before or {}}, **aws.FUNCTIONS},
            existing=existing,
        )
    return Run(settings, recording, json.loads(json.dumps(outputs)))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@pytest.fixture(scope="module")
def gcp_run() -> Run:
    return run({**settings_data("dev"), "loader": LOADER})


def existing_settings() -> dict[str, Any]:
    pool = {"name": "a6000", "accelerator": "RTX-A6000", "gpusPerNode": 2, "nodes": 3, "cpu": 32, "memoryGib": 128}
    return {
        "cloud": "existing",
        "cluster": {"name": "lab", "cacheClaim": "weights"},
        "pools": [pool],
        "teams": [{"name": "chat"}],
        "loader": LOADER,
        "models": [{"name": "qwen3-32b", "team": "chat", "pool": "a6000", "releases": {"stable": "1.0.0"}}],
    }


@pytest.fixture(scope="module")
def existing_run() -> Run:
    # Its owner has put the claim there since.
    return run(existing_settings(), before={"namespaces": ["chat"]})


@pytest.mark.parametrize(
    ("settings", "sdks"),
    [
        ("existing_settings()", []),
        ("{**settings_data('dev'), 'loader': LOADER}", ["pulumi_gcp"]),
        ("{**settings_data('prod-aws'), 'loader': LOADER}", ["pulumi_aws"]),
    ],
    ids=["existing", "gcp", "aws"],
)
def test_a_stack_imports_the_sdk_of_its_own_cloud_and_no_other(settings: str, sdks: list[str]) -> None:
    """In a process of its own: others of this one have imported what they need."""
    script = (
        "import json, sys; from tests.unit.infra.test_program import LOADER, existing_settings, run, settings_data; "
        f"run({settings}, before={{'namespaces': ['chat']}}); "
        "print(json.dumps(sorted(sys.modules.keys() & {'pulumi_aws', 'pulumi_gcp'})))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=FOLDER.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert json.loads(process.stdout.splitlines()[-1]) == sdks


def test_a_preview_refuses_an_image_that_is_in_no_registry() -> None:
    nowhere = {"repository": "registry.invalid/llm-serving/loader", "tag": "1.0.0"}
    with pytest.raises(
        pulumi.RunError,
        match=r"loader\.image = 'registry.invalid/llm-serving/loader:1.0.0'.*stacks images push loader@1.0.0",
    ):
        run({**settings_data("dev"), "loader": {"image": nowhere}}, preview=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ""}, "llm-serving:labels"),  # `llm-serving:labels:` in the file, as the engine reads it
        ({"region": ""}, "llm-serving:region: required, but not given"),  # what the engine fills in
        ({"region": "{us-central1"}, "llm-serving:region = '{us-central1'"),
        ({"labels": {"owner": "hf_madeUpMadeUpMadeUpMadeUp"}}, "llm-serving:labels.owner: holds a token"),
    ],
)
def test_a_preview_refuses_what_the_check_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(pulumi.RunError, match=message):
        run({**settings_data("dev"), **changes}, preview=True)


def test_nodes_pull_from_the_registry_that_all_environments_share() -> None:
    shared = {"project": "acme-llm-images", "region": "us-east4"}
    program_run = run({**settings_data("dev"), "loader": LOADER, "registry": shared})
    assert program_run.recording.all("artifactregistry/repository:Repository") == []
    grant = program_run.recording.one("artifactregistry/repositoryIamMember:RepositoryIamMember")
    assert [grant[key] for key in ("project", "location", "repository")] == [
        "acme-llm-images",
        "us-east4",
        "llm-serving",
    ]
    assert program_run.outputs["registry"] == "us-east4-docker.pkg.dev/acme-llm-images/llm-serving"


def test_nodes_may_pull_engines_through_the_remote_repository_that_their_pods_name(gcp_run: Run) -> None:
    grants = gcp_run.recording.all("artifactregistry/repositoryIamMember:RepositoryIamMember")
    assert {grant["repository"] for grant in grants} == {"llm-serving", "docker-hub"}
    deployment = gcp_run.recording.one("kubernetes:apps/v1:Deployment")
    images = [container["image"] for container in deployment["spec.template.spec.containers"]]
    project = gcp_run.settings["registry"]["project"]
    assert images == [f"us-central1-docker.pkg.dev/{project}/docker-hub/vllm/vllm-openai:v0.32.0"]


def test_what_prod_compiles_is_written_by_the_loaders_identity_and_read_by_those_who_may_not_write() -> None:
    asked = run({**settings_data("prod"), "loader": LOADER})
    loaders = {"chat": "chat-model-loader", "reasoning": "reasoning-model-loader"}
    may_write = {
        grant.name.removesuffix("-bucket")
        for grant in asked.recording.all("storage/bucketIAMMember:BucketIAMMember")
        if grant["role"] == "roles/storage.objectUser"
    }
    assert may_write == set(loaders.values())
    jobs = [job for job in asked.recording.all("kubernetes:batch/v1:Job") if job.name.endswith("-compile")]
    engines = asked.recording.all("kubernetes:apps/v1:Deployment")
    saved = {_option(job, "--save-compile-cache=/cache/") for job in jobs}
    assert len(saved) == len(jobs) == 2
    assert {job["spec.template.spec.serviceAccountName"] for job in jobs} == {"model-loader"}
    read = [engine for engine in engines if _option(engine, "--compile-cache=")]
    assert {_option(engine, "--compile-cache=/models/") for engine in read} == saved
    for engine in read:
        volumes = engine["spec.template.spec.volumes"]
        assert [volume["csi"]["readOnly"] for volume in volumes if "csi" in volume] == [True]
        assert engine["spec.template.spec.serviceAccountName"] != "model-loader"


def _option(resource: Recorded, option: str) -> str:
    """What follows an option on the command line of a resource's container; empty where it is not there."""
    words = resource["spec.template.spec.containers"][0].get("command") or []
    return next((word.removeprefix(option) for word in words if word.startswith(option)), "")


def test_what_a_stack_on_a_cloud_puts_out_can_be_read(gcp_run: Run) -> None:
    outputs = read_outputs(gcp_run.outputs)
    assert outputs.to_data() == gcp_run.outputs
    assert outputs.cluster is not None
    assert outputs.cluster.endpoint
    assert list(outputs.models) == list(outputs.releases) == [model["name"] for model in gcp_run.settings["models"]]
    assert list(outputs.pools or {}) == [pool["name"] for pool in gcp_run.settings["pools"]]


def test_the_next_preview_can_say_how_many_instances_a_model_had() -> None:
    settings = settings_data("dev")
    put(settings, "models[0].autoscaling", {"min": 1, "max": 2})
    put(settings, "models[0].releases", {"stable": "1.1.0", "previous": "1.0.0"})
    put(settings, "pools[0].capacity[0].max", 6)
    (model,) = read_outputs(run({**settings, "loader": LOADER}).outputs).models.values()
    assert (model.min_instances, model.max_instances) == (2, 3)


def test_what_a_stack_on_an_existing_cluster_puts_out_can_be_read(existing_run: Run) -> None:
    outputs = read_outputs(existing_run.outputs)
    assert outputs.to_data() == existing_run.outputs
    assert outputs.cost is None


def test_readers_and_writers_of_the_weights_have_identities_of_their_own(gcp_run: Run) -> None:
    model = gcp_run.settings["models"][0]
    members = gcp_run.recording.all("gcp:storage/bucketIAMMember:BucketIAMMember")
    roles = {member.name: member["role"] for member in members}
    assert roles[f"{model['name']}-bucket"] == "roles/storage.objectViewer"
    assert roles[f"{model['team']}-model-loader-bucket"] == "roles/storage.objectUser"


def test_a_cluster_whose_first_addresses_are_ipv6_is_refused_at_preview(existing_run: Run) -> None:
    api = ("kubernetes:core/v1:Service", "default/kubernetes")
    with pytest.raises(pulumi.RunError, match=r"cluster\.name = 'lab': .*IPv6 addresses first.*fd00::1"):
        run(
            existing_run.settings,
            preview=True,
            before={"namespaces": ["chat"]},
            existing={api: {"spec": {"clusterIP": "fd00::1", "ipFamilies": ["IPv6", "IPv4"]}}},
        )


def test_alerts_of_the_prometheus_of_the_stack_go_to_the_alertmanager_of_the_settings() -> None:
    settings = {**settings_data("dev"), "loader": LOADER}
    settings["models"][0]["autoscaling"] = {"max": 2}
    settings["addons"] = {"alertmanagerUrl": "http://alertmanager.alerts.svc:9093"}
    made = run(settings, before={"namespaces": ["chat"]}).recording
    prometheus = made.one("helm.sh/v3:Release", "addons-monitoring")["values"]["prometheus"]["prometheusSpec"]
    (alertmanager,) = prometheus["additionalAlertManagerConfigs"]
    assert alertmanager["static_configs"] == [{"targets": ["alertmanager.alerts.svc:9093"]}]


def test_gpu_utilization_of_a_model_without_the_launcher_reaches_prometheus_on_every_cloud() -> None:
    def prometheus_and_exporter(settings: dict[str, Any]) -> tuple[dict[str, Any], list[Recorded]]:
        settings["models"][0] |= {"engine": {"launcher": False}, "autoscaling": {"max": 2}}
        made = run(settings, before={"namespaces": ["chat"]}).recording
        exporters = [r for r in made.all("helm.sh/v3:Release") if r["name"] == "dcgm-exporter"]
        return made.one("helm.sh/v3:Release", "addons-monitoring")["values"]["prometheus"], exporters

    on_gke, none = prometheus_and_exporter({**settings_data("dev"), "loader": LOADER})
    assert none == []
    (monitor,) = on_gke["additionalPodMonitors"]
    assert monitor["namespaceSelector"] == {"matchNames": ["gke-managed-system"]}

    settings = existing_settings()
    settings["pools"][0] |= {"nodeSelector": {"gpu": "a6000"}, "tolerations": [{"key": "nvidia.com/gpu"}]}
    theirs, (exporter,) = prometheus_and_exporter(settings)
    assert "additionalPodMonitors" not in theirs
    assert exporter["values"]["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert "a6000" in json.dumps(exporter["values"]["affinity"])


def test_loaders_on_an_existing_cluster_need_no_identity(existing_run: Run) -> None:
    identities = existing_run.recording.all("llm-serving:index:ExistingWorkloadIdentity")
    assert [identity.name for identity in identities] == ["qwen3-32b"]


def test_models_go_before_the_nodes_that_they_run_on(gcp_run: Run) -> None:
    pools = gcp_run.recording.all("gcp:container/nodePool:NodePool")
    deployments = gcp_run.recording.all("kubernetes:apps/v1:Deployment")
    assert pools
    assert deployments
    for deployment in deployments:
        assert all(gcp_run.recording.depends_on(deployment, pool) for pool in pools)


def test_a_preview_warns_of_each_note_once_and_the_update_behind_it_does_not_repeat_it(tmp_path: Path) -> None:
    settings = {**settings_data("dev"), "loader": LOADER}
    put(settings, "models[0].serviceClass", "critical")
    put(settings, "models[0].surge", 1)
    file = write_settings(tmp_path, settings)
    notes = [str(note) for note in resolve(read_settings_file(file), file.name).notes]
    assert [note for note in notes if "spot capacity" in note]
    assert [note for note in notes if "waits for ever" in note]
    assert run(settings, preview=True).recording.warnings == notes
    assert run(settings).recording.warnings == []


def test_every_pod_and_chart_of_a_stack_gets_the_credentials_of_its_registry() -> None:
    image_pull = {"registry": "registry.example.com", "username": "robot"}
    settings = settings_data("dev")
    settings["models"][0]["warmPool"] = {"placeholders": 1}
    made = run({**settings, "loader": LOADER, "imagePull": image_pull}, {"imagePullPassword": "hunter2"}).recording
    templates = [
        resource["spec.template.spec"] for resource in made if resource.type.rpartition(":")[2] in ("Deployment", "Job")
    ]
    assert len(templates) == 3  # an engine, its placeholders, its loader
    assert all(template["imagePullSecrets"] == [{"name": "llm-serving-image-pull"}] for template in templates)
    secrets = made.all("kubernetes:core/v1:Secret")
    assert {secret["metadata.namespace"] for secret in secrets} == {"chat", "keda", "monitoring"}
    assert all(secret.secret_paths for secret in secrets)
    (of_team,) = [secret for secret in secrets if secret["metadata.namespace"] == "chat"]
    assert all(made.depends_on(made.one(kind), of_team) for kind in ("ModelService", "ModelLoader"))
    assert "hunter2" not in str([r.inputs for r in made if r not in secrets and r.custom])


@pytest.mark.parametrize(
    ("image_pull", "secrets", "reason"),
    [
        ({"registry": "registry.example.com", "username": "robot"}, {}, "required where imagePull.registry is given"),
        ({"secretNames": ["regcred"]}, {"imagePullPassword": "hunter2"}, "without meaning"),
    ],
)
def test_a_registry_and_its_password_come_together(image_pull: Any, secrets: dict[str, str], reason: str) -> None:
    with pytest.raises(pulumi.RunError, match=f"llm-serving:imagePullPassword: {reason}"):
        run({**settings_data("dev"), "imagePull": image_pull}, secrets)


GATED = {"name": "llama-3-1-8b", "team": "chat", "pool": "l4", "releases": {"stable": "1.0.0"}, "acceptLicense": True}


def _gated(loader: dict[str, Any]) -> dict[str, Any]:
    image = {"repository": "registry.example/loader", "tag": "1.0.0"}
    pool = {"name": "l4", "accelerator": "A100-40GB"}
    capacity = [{"market": "spot", "machineType": "a2-highgpu-1g", "max": 1}]
    pools = [{**pool, "capacity": capacity}]
    return {**settings_data("dev"), "pools": pools, "models": [GATED], "loader": {"image": image, **loader}}


def test_the_hubs_token_becomes_a_secret_before_the_loader_that_needs_it() -> None:
    settings = _gated({"token": "hf_classified"})
    made = run(settings, {"loader": json.dumps(settings.pop("loader"))}).recording
    secret = made.one("kubernetes:core/v1:Secret")
    assert secret["stringData"] == {"token": "hf_classified"}
    assert any(path.startswith("stringData") for path in secret.secret_paths)
    job = made.one("kubernetes:batch/v1:Job")
    # An object is made once its component is registered, and that once what the component depends on is made.
    assert made.depends_on(made.by_urn(job.parent), secret)
    variables = job["spec.template.spec.containers[0].env"]
    reference = next(each["valueFrom"]["secretKeyRef"] for each in variables if each["name"] == "HF_TOKEN")
    assert reference == {"name": secret["metadata.name"], "key": "token"}
    assert "hf_classified" not in str([resource.inputs for resource in made if resource is not secret])


def test_a_secret_of_somebody_elses_in_a_namespace_that_the_update_makes_is_refused() -> None:
    settings = _gated({"tokenSecret": "hub"})
    with pytest.raises(
        pulumi.RunError, match=r"(?s)loader\.tokenSecret = 'hub'.*namespace chat.*loader\.token"
    ) as caught:
        run(settings)
    assert "first update without the models" in str(caught.value)
    for before in ({"namespaces": ["chat"]}, {"fixed": {}}):  # made earlier; made by a program that did not say
        made = run(settings, before=before).recording
        assert made.all("kubernetes:core/v1:Secret") == []
        assert made.one("kubernetes:batch/v1:Job")


def _without_patience() -> dict[str, Any]:
    """Staging, whose second model may have to queue for its nodes, with updates that do not wait for that."""
    settings = {**settings_data("staging"), "loader": LOADER}
    del settings["models"][1]["timeouts"], settings["models"][1]["compileCache"]
    return settings


def test_requests_move_to_a_release_in_a_queue_only_once_it_has_instances() -> None:
    settings = _without_patience()

    def before(**releases: str) -> dict[str, Any]:
        roles = {role: {"version": version, "sha256": "0" * 64} for role, version in releases.items()}
        return {"releases": {"qwen3-32b": roles}}

    assert run(settings, before=before(stable="0.9.0", canary="1.0.0")).recording
    with pytest.raises(
        pulumi.RunError, match=r"models\[1\]\.releases\.stable = '1\.0\.0'.*0\.9\.0 would end"
    ) as caught:
        run(settings, before=before(stable="0.9.0"))
    assert "canary" in str(caught.value)
    settings["models"][1]["timeouts"] = {"capacitySeconds": 3600}
    assert run(settings, before=before(stable="0.9.0")).recording


def test_nothing_waits_for_a_model_in_a_queue() -> None:
    """Not the Services in front of it, and no other model: those are waited for as ever."""
    made = run(_without_patience()).recording
    unawaited = {
        resource["metadata.name"]
        for kind in ("apps/v1:Deployment", "core/v1:Service")
        for resource in made.all(f"kubernetes:{kind}")
        if (resource.get("metadata.annotations") or {}).get("pulumi.com/skipAwait") == "true"
    }
    assert unawaited == {"qwen3-32b", "qwen3-32b-1-0-0"}
    (other,) = [r for r in made.all("kubernetes:apps/v1:Deployment") if r["metadata.name"] == "qwen3-8b-1-0-0"]
    assert not any(made.depends_on(other, r) for r in made.all("kubernetes:apps/v1:Deployment") if r is not other)


@pytest.mark.parametrize(
    ("more", "path", "kind", "alternative"),
    [
        ({"imagePull": {"secretNames": ["regcred"]}}, "imagePull.secretNames[0]", "Secret", "imagePull.registry"),
        ({"egress": {"caConfigMap": "corporate"}}, "egress.caConfigMap", "ConfigMap", "egress.caCertificates"),
    ],
)
def test_an_object_of_somebody_elses_comes_after_the_namespace_and_before_the_pods(
    more: dict[str, Any], path: str, kind: str, alternative: str
) -> None:
    settings = {**settings_data("dev"), "loader": LOADER, **more}
    with pytest.raises(pulumi.RunError) as caught:
        run(settings)
    assert f"{path} = " in str(caught.value)
    assert f"no such {kind} can be there" in str(caught.value)
    assert f"try: {alternative}" in str(caught.value)
    assert run({**settings, "models": []}).recording.all("kubernetes:core/v1:Namespace")
    assert run(settings, before={"namespaces": ["chat"]}).recording


def test_a_claim_of_somebody_elses_comes_before_the_pods_too(existing_run: Run) -> None:
    with pytest.raises(pulumi.RunError, match=r"cluster\.cacheClaim = 'weights'.*cluster\.cacheStorage"):
        run(existing_run.settings)
    storage = {"name": "lab", "cacheClaim": "weights", "cacheStorage": {"sizeGib": 100}}
    assert run({**existing_run.settings, "cluster": storage}).recording


def test_a_prometheus_that_wants_a_token_is_shown_it_by_every_model_that_scales() -> None:
    settings = settings_data("dev")
    addons = {
        "monitoring": "existing",
        "prometheusUrl": "https://prometheus.example.com",
        "prometheusAuth": {"mode": "bearer"},
    }
    made = run({**settings, "loader": LOADER, "addons": addons}, {"prometheusCredential": "hunter2"}).recording
    authentication = made.one("kubernetes:keda.sh/v1alpha1:TriggerAuthentication")
    scaled = made.one("kubernetes:keda.sh/v1alpha1:ScaledObject")
    # Children of a component wait for what the component depends on.
    assert made.depends_on(made.one("ModelService"), authentication)
    references = [trigger.get("authenticationRef") for trigger in scaled["spec.triggers"]]
    assert references == [{"name": authentication["metadata.name"]}] * len(references)
    secret = made.one("kubernetes:core/v1:Secret")
    assert "hunter2" not in str([r.inputs for r in made if r is not secret and r.custom])


def test_behind_a_proxy_loaders_reach_it_and_not_the_internet_and_the_clouds_own_domains_go_without_it() -> None:
    egress = {"httpsProxy": "http://10.9.9.9:3128"}
    settings = {**settings_data("dev"), "loader": {**LOADER, "source": "hf://"}}
    made = run({**settings, "egress": egress}).recording
    policies = {
        policy["metadata.name"] for policy in made.all("NetworkPolicy") if policy["metadata.namespace"] == "chat"
    }
    assert "way-out" in policies
    assert "hub" not in policies
    (job,) = made.all("Job")
    variables = {variable["name"]: variable.get("value") for variable in job["spec.template.spec.containers[0].env"]}
    assert variables["HTTPS_PROXY"] == egress["httpsProxy"]
    assert ".googleapis.com" in variables["NO_PROXY"].split(",")


def test_no_module_of_the_program_hides_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulumi puts the folder first on the import path."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry).resolve() != FOLDER])
    for path in FOLDER.iterdir():
        name = path.stem
        if not name.startswith("__"):
            assert importlib.util.find_spec(name) is None, f"infra/{path.name} hides the package {name}"


def test_pods_of_a_shared_pool_ask_for_one_part_and_take_their_part_of_the_memory() -> None:
    settings = {**settings_data("dev"), "loader": LOADER}
    put(settings, "pools[0].sharing", {"strategy": "time-sharing", "clients": 2})
    put(settings, "pools[0].capacity[0].machineType", "g2-standard-32")
    recording = run(settings).recording
    pods = [deployment["spec"]["template"]["spec"] for deployment in recording.all("kubernetes:apps/v1:Deployment")]
    engines = [(pod, box) for pod in pods for box in pod["containers"] if box["name"] == "engine"]
    assert engines
    for pod, engine in engines:
        assert engine["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert "--gpu-memory-utilization=0.45" in [*engine["command"], *engine.get("args", ())]
        assert pod["nodeSelector"]["cloud.google.com/gke-max-shared-clients-per-gpu"] == "2"


QUANTIZER = {"repository": "registry.example/quantizer", "tag": "0.1.0"}


def quantizing(*releases: str) -> dict[str, Any]:
    """A stack that quantizes the weights of a release, and serves these releases of the same model."""
    job = {
        "name": "qwen3-32b-fp8",
        "team": "chat",
        "pool": "h100",
        "base": {"model": "qwen3-32b", "release": "1.0.0"},
        "scheme": "FP8_DYNAMIC",
        "image": QUANTIZER,
    }
    pool = {"name": "h100", "accelerator": "H100-80GB", "gpusPerNode": 4, "nodes": 2, "cpu": 96, "memoryGib": 900}
    served = [{"name": "qwen3-32b", "team": "chat", "pool": "h100", "releases": {"stable": each}} for each in releases]
    return {**existing_settings(), "pools": [pool], "models": served, "quantizations": [job]}


@pytest.mark.parametrize("releases", [(), ("1.0.0",)], ids=["not served", "served"])
def test_a_base_is_loaded_once_and_before_it_is_quantized(releases: tuple[str, ...]) -> None:
    recording = run(quantizing(*releases), before={"namespaces": ["chat"]}).recording
    loader = recording.one("llm-serving:index:ModelLoader")
    job = recording.one("llm-serving:index:QuantizationJob")
    load, quantize = recording.all("kubernetes:batch/v1:Job")
    assert (load.parent, quantize.parent) == (loader.urn, job.urn)
    assert load.urn in job.dependencies


def test_the_quota_of_a_team_lets_its_jobs_run() -> None:
    recording = run(quantizing(), before={"namespaces": ["chat"]}).recording
    assert recording.one("ResourceQuota")["spec.hard"] == {"requests.nvidia.com/gpu": "1"}
