import base64

import pytest
import yaml
from pulumi.errors import InputPropertiesError

from llm_serving.cloud.existing import (
    ExistingCluster,
    ExistingModelCache,
    ExistingPool,
    ExistingWorkloadIdentity,
)
from llm_serving.contract import ModelCacheVolume, NetworkReach, PoolScheduling, WorkloadIdentityBinding
from tests.unit.recording import record


def entry(kind, name, **inner):
    return {"name": name, kind: inner}


def kubeconfig(**changes):
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [
            entry("cluster", "lab", server="https://10.0.0.1:6443"),
            entry("cluster", "other", server="https://10.0.0.2:6443"),
        ],
        "users": [entry("user", "me", token="abc"), entry("user", "root", token="other-credential")],
        "contexts": [
            entry("context", "lab", cluster="lab", user="me"),
            entry("context", "other", cluster="other", user="root"),
        ],
        **changes,
    }
    return yaml.safe_dump(config)


def connect(**arguments):
    return record(lambda: ExistingCluster("lab", arguments))


def kubeconfig_of(recording):
    return yaml.safe_load(recording.output("kubeconfig", recording.one()))


def refusals(program):
    with pytest.raises(InputPropertiesError) as caught:
        record(program)
    return {detail["property_path"]: detail["reason"] for detail in caught.value.errors or []}


def test_nothing_is_created():
    def program():
        ExistingCluster("c", {"kubeconfig": kubeconfig()})
        ExistingPool("p", {"pool": {"name": "lab", "accelerator": "RTX-A6000", "cpu": 8, "memory_gib": 64}})
        ExistingModelCache("m", {"claim": "weights"})
        ExistingWorkloadIdentity("i", {"namespace": "chat", "service_account": "qwen3-8b"})

    assert not [resource for resource in record(program) if resource.custom]


def test_the_kubeconfig_is_a_secret_and_so_is_what_is_made_of_it():
    recording = connect(kubeconfig=kubeconfig())
    assert "kubeconfig" in recording.secret_outputs[recording.one().urn]


def test_only_the_chosen_context_and_its_credential_are_kept():
    config = kubeconfig_of(connect(kubeconfig=kubeconfig(), context="other"))
    assert config["current-context"] == "other"
    for kind, names in (("clusters", ["other"]), ("users", ["root"]), ("contexts", ["other"])):
        assert [item["name"] for item in config[kind]] == names
    assert kubeconfig_of(connect(kubeconfig=kubeconfig()))["current-context"] == "lab"


def test_a_context_that_is_not_there_is_refused_with_the_nearest():
    reasons = refusals(lambda: ExistingCluster("c", {"kubeconfig": kubeconfig(), "context": "labb"}))
    assert "lab" in reasons["context"]


@pytest.mark.parametrize("text", ["server: https://10.0.0.1", "{ not yaml", "- 1"])
def test_what_is_no_kubeconfig_is_refused(text):
    assert set(refusals(lambda: ExistingCluster("c", {"kubeconfig": text}))) == {"kubeconfig"}


def test_a_context_without_its_cluster_is_refused():
    reasons = refusals(lambda: ExistingCluster("c", {"kubeconfig": kubeconfig(clusters=[])}))
    assert "'lab'" in reasons["kubeconfig"]


def test_messages_never_show_a_credential():
    broken = "token: hunter2: [\n" + kubeconfig()
    with pytest.raises(InputPropertiesError) as caught:
        connect(kubeconfig=broken)
    assert "hunter2" not in str(caught.value) + str(caught.value.errors)


def test_without_a_kubeconfig_the_files_that_kubeconfig_names_are_merged_and_the_first_wins(monkeypatch, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(kubeconfig(users=[entry("user", "me", token="first")], **{"current-context": ""}))
    second.write_text(kubeconfig(users=[entry("user", "me", token="second"), entry("user", "root", token="t")]))
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}:{second}")
    assert kubeconfig_of(connect())["users"] == [entry("user", "me", token="first")]
    assert kubeconfig_of(connect(context="other"))["users"] == [entry("user", "root", token="t")]


def test_without_kubeconfig_the_users_own_file_is_read(monkeypatch, tmp_path):
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").write_text(kubeconfig())
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kubeconfig_of(connect())["current-context"] == "lab"


def test_without_any_kubeconfig_the_places_that_were_looked_at_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert str(tmp_path / "none") in refusals(lambda: ExistingCluster("c", {}))["kubeconfig"]


def test_files_that_a_kubeconfig_names_are_taken_in_but_renewed_tokens_stay_files(monkeypatch, tmp_path):
    (tmp_path / "ca.pem").write_text("CA")
    (tmp_path / "me.crt").write_text("CERT")
    (tmp_path / "me.key").write_text("KEY")
    config = tmp_path / "config"
    user = {"client-certificate": "me.crt", "client-key": "me.key", "tokenFile": "token"}
    config.write_text(
        kubeconfig(
            clusters=[{"name": "lab", "cluster": {"server": "https://x", "certificate-authority": "ca.pem"}}],
            users=[{"name": "me", "user": user}],
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(config))
    embedded = kubeconfig_of(connect())
    assert base64.b64decode(embedded["clusters"][0]["cluster"]["certificate-authority-data"]) == b"CA"
    assert embedded["users"][0]["user"] == {
        "client-certificate-data": base64.b64encode(b"CERT").decode(),
        "client-key-data": base64.b64encode(b"KEY").decode(),
        "tokenFile": str(tmp_path / "token"),
    }
    (tmp_path / "me.key").unlink()
    assert "me.key" in refusals(lambda: ExistingCluster("c", {}))["kubeconfig"]


def test_a_pool_says_how_its_nodes_are_reached():
    pool = {
        "name": "lab",
        "accelerator": "RTX-A6000",
        "gpus_per_node": 4.0,
        "nodes": 2,
        "cpu": 60,
        "memory_gib": 480,
        "node_selector": {"gpu": "a6000"},
        "tolerations": [{"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}],
    }
    scheduling = PoolScheduling.model_validate(_scheduling(pool))
    assert scheduling.pool == "lab"
    assert scheduling.gpus_per_node == 4
    assert scheduling.gpu_resource == "nvidia.com/gpu"
    assert scheduling.node_selector == {"gpu": "a6000"}
    assert scheduling.tolerations[0].value == "yes"
    assert scheduling.spot_notice_seconds is None
    assert scheduling.non_preemptible_markets == ()


def test_an_autoscaler_that_we_do_not_know_moves_no_instance():
    pool = {"name": "lab", "accelerator": "RTX-A6000", "cpu": 60, "memory_gib": 480}
    annotations = PoolScheduling.model_validate(_scheduling(pool)).pod_annotations
    assert annotations == {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}


def _scheduling(pool):
    recording = record(lambda: ExistingPool("p", {"pool": pool}))
    return recording.output("scheduling", recording.one())


def test_pods_of_a_pool_without_gpus_ask_for_none():
    pool = {"name": "cpu", "accelerator": "CPU", "cpu": 4, "memory_gib": 16}
    assert PoolScheduling.model_validate(_scheduling(pool)).gpu_resource is None


def test_a_pool_may_count_its_gpus_under_another_name():
    pool = {"name": "shared", "accelerator": "L4", "cpu": 4, "memory_gib": 16, "gpu_resource": "nvidia.com/gpu.shared"}
    assert PoolScheduling.model_validate(_scheduling(pool)).gpu_resource == "nvidia.com/gpu.shared"


def test_a_pool_whose_gpus_are_shared_says_how_many_parts_a_node_has():
    pool = {"name": "lab", "accelerator": "A100-40GB", "gpus_per_node": 2, "cpu": 8, "memory_gib": 64}
    shared = {**pool, "sharing": {"partition": "1g.5gb"}}
    recording = record(lambda: ExistingPool("p", {"pool": shared}))
    scheduling = PoolScheduling.model_validate(recording.output("scheduling"))
    assert (scheduling.gpus_per_node, scheduling.accelerator) == (14, "A100-40GB 1g.5gb")
    assert scheduling.gpu_resource == "nvidia.com/gpu"
    unknown = {**pool, "sharing": {"partition": "1g.6gb"}}
    assert list(refusals(lambda: ExistingPool("p", {"pool": unknown}))) == ["pool.sharing.partition"]


def test_a_refused_pool_names_the_property():
    pool = {"name": "Lab!", "accelerator": "RTX-A6000", "cpu": 0, "memory_gib": 1, "toleration": []}
    reasons = refusals(lambda: ExistingPool("p", {"pool": pool}))
    assert set(reasons) == {"pool.name", "pool.cpu", "pool.toleration"}
    assert "tolerations" in reasons["pool.toleration"]


def test_the_claim_is_mounted_read_only():
    recording = record(lambda: ExistingModelCache("m", {"claim": "weights"}))
    volume = ModelCacheVolume.model_validate(recording.output("volume", recording.one()))
    assert volume.volume == {"persistentVolumeClaim": {"claimName": "weights", "readOnly": True}}


def test_a_claim_of_the_wanted_size_is_made_and_the_loader_may_write_it():
    storage = {"size_gib": 20, "storage_class": "fast", "access_mode": "ReadWriteMany"}
    recording = record(lambda: ExistingModelCache("m", {"claim": "weights", "storage": storage, "namespace": "chat"}))
    claim = recording.one("kubernetes:core/v1:PersistentVolumeClaim")
    assert (claim["metadata.name"], claim["metadata.namespace"]) == ("weights", "chat")
    assert claim["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "20Gi"}},
    }
    cache = recording.one("llm-serving:index:ExistingModelCache")
    volume = ModelCacheVolume.model_validate(recording.output("volume", cache))
    assert volume.volume == {"persistentVolumeClaim": {"claimName": "weights", "readOnly": True}}
    assert volume.loader_volume == {"persistentVolumeClaim": {"claimName": "weights"}}


def test_the_identity_is_the_service_account_alone():
    arguments = {"namespace": "chat", "service_account": "qwen3-8b"}
    recording = record(lambda: ExistingWorkloadIdentity("i", arguments))
    binding = WorkloadIdentityBinding.model_validate(recording.output("binding", recording.one()))
    assert (binding.namespace, binding.service_account, binding.annotations) == ("chat", "qwen3-8b", {})


def test_clients_come_from_the_ranges_that_are_named_and_none_is_made_up():
    recording = connect(kubeconfig=kubeconfig())
    assert NetworkReach.model_validate(recording.output("reach", recording.one())) == NetworkReach()
    recording = connect(kubeconfig=kubeconfig(), clients=["10.1.0.0/24"])
    assert NetworkReach.model_validate(recording.output("reach", recording.one())).gateway_sources == ("10.1.0.0/24",)


def test_a_store_of_our_own_is_named_with_its_ports():
    recording = connect(kubeconfig=kubeconfig(), storage=["10.9.0.4/32"], storage_ports=[9000.0])
    reach = NetworkReach.model_validate(recording.output("reach", recording.one()))
    assert (reach.storage_egress, reach.storage_ports) == (("10.9.0.4/32",), (9000,))


def test_a_port_that_is_none_is_refused():
    assert set(refusals(lambda: ExistingCluster("c", {"kubeconfig": kubeconfig(), "storage_ports": [0]}))) == {
        "storagePorts[0]"
    }
