import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.serving import ModelLoader
from tests.unit.recording import record
from tests.unit.serving.manifests import assert_valid, breaks_restricted
from tests.unit.serving.served import RELEASE, SCHEDULING

CACHE = {
    "volume": {"persistentVolumeClaim": {"claimName": "weights", "readOnly": True}},
    "loaderVolume": {"persistentVolumeClaim": {"claimName": "weights"}},
}
LOADER = {"image": {"repository": "registry.example/model-loader", "tag": "1.0.0"}}


def load(**changes):
    arguments = {
        "release": RELEASE,
        "team": "chat",
        "loader": LOADER,
        "namespace": "chat",
        "cache": CACHE,
        "scheduling": SCHEDULING,
        "labels": {"environment": "test"},
        **changes,
    }
    return record(lambda: ModelLoader("qwen3-8b", arguments))


def pod(recording):
    return recording.one("kubernetes:batch/v1:Job")["spec.template"]


def test_every_object_is_valid_for_kubernetes_and_the_pod_obeys_pod_security_restricted():
    recording = load()
    assert_valid(recording)
    assert breaks_restricted(pod(recording)["spec"]) == []
    (container,) = pod(recording)["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_release_pins_what_is_loaded_and_where_the_engine_looks_for_it():
    (container,) = pod(load())["spec"]["containers"]
    assert container["image"] == "registry.example/model-loader:1.0.0"
    assert container["command"][0] == "llm-serving-load"
    assert set(container["command"][1:]) == {
        "--source=hf://",
        "--repository=Qwen/Qwen3-8B",
        f"--revision={'b' * 40}",
        "--target=/cache/qwen3-8b/1.0.0",
    }


def test_adapters_are_loaded_into_the_folders_where_the_engine_looks_for_them():
    adapter = {"name": "sql", "repository": "a/sql", "revision": "1" * 40, "rank": 16}
    recording = load(release={**RELEASE, "adapters": [adapter, {**adapter, "name": "prose"}]})
    assert_valid(recording)
    spec = pod(recording)["spec"]
    assert breaks_restricted(spec) == []
    first, second = spec["initContainers"]
    assert first["command"] == [
        "llm-serving-load",
        "--source=hf://",
        "--repository=a/sql",
        f"--revision={'1' * 40}",
        "--adapter-rank=16",
        "--target=/cache/qwen3-8b/1.0.0/.adapters/sql",
    ]
    assert second["command"][-1] == "--target=/cache/qwen3-8b/1.0.0/.adapters/prose"
    assert first["volumeMounts"] == spec["containers"][0]["volumeMounts"]
    # A revision that is mistyped is as hopeless for an adapter as for the model.
    (rule, _) = recording.one("kubernetes:batch/v1:Job")["spec.podFailurePolicy.rules"]
    assert "containerName" not in rule["onExitCodes"]


def test_a_job_that_ran_before_there_were_adapters_is_what_it_was():
    """Kubernetes lets nobody change the policy of a Job, nor its pod."""
    recording = load()
    (rule, _) = recording.one("kubernetes:batch/v1:Job")["spec.podFailurePolicy.rules"]
    assert rule["onExitCodes"]["containerName"] == "loader"
    assert not pod(recording)["spec"].get("initContainers")


def test_the_cache_is_mounted_as_loaders_mount_it():
    spec = pod(load())["spec"]
    (cache,) = [volume for volume in spec["volumes"] if volume["name"] == "cache"]
    assert cache == {"name": "cache", "persistentVolumeClaim": {"claimName": "weights"}}


def test_the_loader_runs_where_the_engine_will_so_that_a_volume_of_one_node_serves_both():
    spec = pod(load())["spec"]
    assert spec["nodeSelector"] == SCHEDULING["nodeSelector"]
    assert [toleration["key"] for toleration in spec["tolerations"]] == ["nvidia.com/gpu", "llm-serving.dev/market"]
    assert "nvidia.com/gpu" not in spec["containers"][0]["resources"].get("limits", {})


def test_a_job_that_failed_is_replaced_by_the_next_update():
    job = load().one("kubernetes:batch/v1:Job")
    assert job["metadata.annotations"] == {"pulumi.com/replaceUnready": "true"}


def test_another_image_is_another_job_and_the_one_before_stays_until_it_is_done():
    assert "name" not in load().one("kubernetes:batch/v1:Job")["metadata"]


def test_a_larger_model_may_take_longer():
    larger = {**RELEASE, "model": {**RELEASE["model"], "architecture": "qwen3-32b"}}
    seconds = [
        recording.one("kubernetes:batch/v1:Job")["spec.activeDeadlineSeconds"]
        for recording in (load(), load(release=larger))
    ]
    assert seconds[0] < seconds[1]


def test_the_time_of_a_load_can_be_set_and_is_no_shorter_than_planned():
    job = load(loader={**LOADER, "timeout_seconds": 7200}).one("kubernetes:batch/v1:Job")
    assert job["spec.activeDeadlineSeconds"] == 7200
    assert job.custom_timeouts == {"create": "7200s", "update": "7200s"}
    with pytest.raises(InputPropertiesError) as caught:
        load(loader={**LOADER, "timeout_seconds": 60})
    assert [detail["property_path"] for detail in caught.value.errors or []] == ["loader.timeoutSeconds"]


def test_a_cache_that_no_loader_can_fill_is_refused():
    with pytest.raises(InputPropertiesError) as caught:
        load(cache={"volume": CACHE["volume"]})
    assert [detail["property_path"] for detail in caught.value.errors or []] == ["cache.loaderVolume"]


@pytest.mark.parametrize("source", ["ftp://models", "file://relative", "models"])
def test_a_source_that_is_not_known_is_refused(source):
    with pytest.raises(InputPropertiesError) as caught:
        load(loader={**LOADER, "source": source})
    assert [detail["property_path"] for detail in caught.value.errors or []] == ["loader.source"]


def test_another_label_of_the_user_does_not_load_again():
    """Kubernetes lets nobody change the template of a Job: it would be another one."""
    first, second = (
        load(labels={"owner": owner}).one("kubernetes:batch/v1:Job").inputs for owner in ("ml-platform", "search")
    )
    assert first["metadata"]["labels"] != second["metadata"]["labels"]
    assert first["spec"] == second["spec"]
