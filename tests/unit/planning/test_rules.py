"""Every rule refuses what it is for, says where and what would work, and lets a good stack pass."""

from dataclasses import replace

import pytest

from llm_serving import catalog
from llm_serving.planning.clouds import AWS, EXISTING, GCP
from llm_serving.planning.host import DAEMON_MEMORY_GIB, SidecarRequests
from llm_serving.planning.node_room import NodeRoom, PodSize, pods_that_fit
from llm_serving.planning.rules import StackShape, check, notes
from llm_serving.planning.rules.stack import GcpShape
from llm_serving.spec import LoaderSpec, TeamSpec
from llm_serving.spec.gcp import GcpClusterSpec, GcpNetworkSpec, GcpRegistrySpec
from tests.unit.planning.builders import cluster, entry, existing_pool, model, plan_instance, pool, release, stack

EXCLUSION = {"name": "launch", "start": "2026-12-01T00:00:00Z", "end": "2026-12-08T00:00:00Z"}


def network(**ranges):
    return GcpNetworkSpec.model_validate(ranges)


def single_problem(problems, path):
    """The one problem, which must have this path."""
    assert [problem.path for problem in problems] == [path], [str(problem) for problem in problems]
    return problems[0]


def test_a_good_stack_passes():
    assert check(stack()) == []
    assert notes(stack()) == []


def test_a_good_stack_on_an_existing_cluster_passes():
    lab = stack(
        cloud=EXISTING, region="", pools=(existing_pool(),),
        models=(model(pool="lab", replicas=2),),
    )  # fmt: skip
    assert check(lab) == []
    assert notes(lab) == []


def test_the_default_network_is_large_enough_for_a_large_stack():
    large = stack(pools=(pool(capacity=[entry(max=500)]),))
    assert check(large) == []


# --- network


@pytest.mark.parametrize(
    ("ranges", "path", "reason"),
    [
        ({"pods": "10.0.0.0/14"}, None, "overlaps"),
        ({"services": "172.17.0.0/20"}, "network.services", "Docker"),
        ({"nodes": "8.8.0.0/20"}, "network.nodes", "private"),
        ({"nodes": "10.8.0.0/29"}, "network.nodes", "holds 4 nodes, the stack has up to 10"),
        ({"pods": "10.128.0.0/24"}, "network.pods", "holds the /26 blocks of 4 nodes"),
        ({"services": "10.8.0.0/28"}, "network.services", "/27"),
        ({"proxies": "10.8.0.0/27"}, "network.proxies", "/26"),
    ],
)
def test_ranges_that_cannot_work_are_refused(ranges, path, reason):
    problems = check(stack(network=network(**ranges)))
    assert problems
    assert any(reason in problem.reason for problem in problems)
    if path:
        single_problem(problems, path)


@pytest.mark.parametrize(
    "ranges",
    [{"nodes": "10.8.0.0/29"}, {"pods": "10.128.0.0/24"}, {"services": "172.17.0.0/20"}, {"proxies": "10.8.0.0/27"},
     {"services": "10.8.0.0/28"}, {"nodes": "8.8.0.0/20"}],
)  # fmt: skip
def test_the_suggested_range_is_accepted(ranges):
    (problem,) = check(stack(network=network(**ranges)))
    repaired = network(**{problem.path.removeprefix("network."): problem.suggestion})
    assert check(stack(network=repaired)) == []


# --- cluster


@pytest.mark.parametrize(
    ("fields", "path", "suggestion"),
    [
        ({"zones": ["us-central1-a", "us-east4-a"]}, "cluster.zones[1]", "us-central1-b"),
        ({"zones": ["us-central1"]}, "cluster.zones[0]", "us-central1-a"),
        ({"zones": ["us-central1-ab"]}, "cluster.zones[0]", "us-central1-a"),
        ({"zones": ["us-central1-a", "us-central1-a"]}, "cluster.zones[1]", "leave it out"),
        ({"systemPool": {"min": 4, "max": 2}}, "cluster.systemPool.min", "2"),
        ({"systemPool": {"machineType": "e2-standart-4"}}, "cluster.systemPool.machineType", "e2-standard-4"),
        ({"systemPool": {"machineType": "g2-standard-4"}}, "cluster.systemPool.machineType", "e2-standard-2"),
        ({"access": {"mode": "authorized"}}, "cluster.access.authorized", "mode: dns"),
        (
            {"access": {"mode": "private", "authorized": [f"10.0.{number}.0/24" for number in range(101)]}},
            "cluster.access.authorized",
            "larger ranges",
        ),
    ],
)
def test_cluster_settings_that_contradict_each_other_are_refused(fields, path, suggestion):
    problem = single_problem(check(stack(cluster=cluster(**fields))), path)
    assert suggestion in problem.suggestion


@pytest.mark.parametrize("mode", ["private", "dns"])
def test_access_from_inside_or_by_dns_may_name_ranges_too(mode):
    access = {"mode": mode, "authorized": ["192.168.0.0/16"]}
    assert check(stack(cluster=cluster(access=access))) == []


# --- pools


@pytest.mark.parametrize(
    ("capacity", "path", "suggestion"),
    [
        (entry(machineType="g2-standard-13"), "capacity[0].machineType", "g2-standard-12"),
        (entry(machineType="e2-standard-4"), "capacity[0].machineType", "g2-standard-12"),
        (entry(machineType="a2-highgpu-1g"), "capacity[0].machineType", "g2-standard-12"),
        (entry(min=3), "capacity[0].min", "2"),
        (entry(market="reservation"), "capacity[0].reservation", ""),
        (entry(market="spot", reservation="block-1"), "capacity[0].reservation", "leave it out"),
        (entry(zones=["us-east4-a"]), "capacity[0].zones[0]", "us-central1-a"),
        (entry(zones=["us-central1-c"]), "capacity[0].zones[0]", "cluster.zones"),
    ],
)
def test_capacity_that_cannot_be_bought_is_refused(capacity, path, suggestion):
    problem = single_problem(check(stack(pools=(pool(capacity=[capacity]),), models=())), f"pools[0].{path}")
    assert suggestion in problem.suggestion


def test_machines_are_refused_outside_their_zones():
    f_only = cluster(zones=["us-central1-f"])
    problem = single_problem(check(stack(cluster=f_only, models=())), "pools[0].capacity[0].machineType")
    assert "us-central1-a" in problem.suggestion
    with_f = cluster(zones=["us-central1-a", "us-central1-f"])
    named = pool(capacity=[entry(zones=["us-central1-f"])])
    problem = single_problem(check(stack(cluster=with_f, pools=(named,), models=())), "pools[0].capacity[0].zones[0]")
    assert problem.suggestion == "us-central1-a, us-central1-b, us-central1-c"
    assert check(stack(cluster=with_f)) == []


def test_a_machine_that_the_region_does_not_have_is_refused_with_the_regions_that_do():
    elsewhere = stack(
        region="us-east1",
        cluster=cluster(zones=["us-east1-b"]),
        pools=(pool("h100", "H100-80GB", [entry(machineType="a3-highgpu-8g")]),),
        models=(),
    )
    problem = single_problem(check(elsewhere), "pools[0].capacity[0].machineType")
    assert "us-central1" in problem.reason


def test_nodes_of_one_pool_have_one_number_of_gpus():
    mixed = pool(capacity=[entry(), entry(machineType="g2-standard-24")])
    problem = single_problem(check(stack(pools=(mixed,))), "pools[0].capacity[1].machineType")
    assert "g2-standard-16" in problem.suggestion
    assert "g2-standard-48" not in problem.suggestion


def test_the_same_capacity_twice_is_refused():
    doubled = pool(capacity=[entry(), entry(max=5)])
    single_problem(check(stack(pools=(doubled,))), "pools[0].capacity[1]")
    told_apart = pool(capacity=[entry(zones=["us-central1-a"]), entry(zones=["us-central1-b"])])
    assert check(stack(pools=(told_apart,))) == []


@pytest.mark.parametrize(("name", "suggestion"), [("RTX-A6000", "A100-80GB"), ("L40S", "A100-80GB"), ("L5", "L4")])
def test_gpus_that_the_cloud_does_not_sell_are_refused(name, suggestion):
    problems = check(stack(pools=(pool(accelerator=name),), models=()))
    assert problems[0].path == "pools[0].accelerator"
    assert suggestion in problems[0].suggestion


def test_an_unknown_machine_is_answered_with_those_that_have_the_pools_gpu():
    for name in ("g5.xlarge", "g2-standard-9"):
        unknown = stack(pools=(pool(capacity=[entry(machineType=name)]),), models=())
        suggestion = single_problem(check(unknown), "pools[0].capacity[0].machineType").suggestion
        assert suggestion
        assert all(catalog.machine_type("gcp", machine).accelerator == "L4" for machine in suggestion.split(", "))


def test_an_unknown_gpu_of_existing_nodes_is_refused():
    lab = stack(
        cloud=EXISTING, region="", pools=(existing_pool(accelerator="RTX-A600"),),
        models=(),
    )  # fmt: skip
    assert "RTX-A6000" in single_problem(check(lab), "pools[0].accelerator").suggestion


def test_local_ssd_is_refused_only_where_no_machine_of_the_pool_can_have_it():
    assert check(stack(pools=(pool(localSsd=True),))) == []
    plain = stack(pools=(pool(capacity=[entry(machineType="e2-standard-4")], localSsd=True),), models=())
    assert "pools[0].localSsd" in [problem.path for problem in check(plain)]


def test_flex_start_is_refused_on_aws():
    aws = stack(
        cloud=AWS, region="us-east-1",
        pools=(pool(capacity=[entry(machineType="g6.4xlarge", market="flex-start")]),),
    )  # fmt: skip
    problem = single_problem(check(aws), "pools[0].capacity[0].market")
    assert "spot" in problem.suggestion
    assert "= 'flex-start':" in str(problem)


# --- names


def test_names_are_given_once():
    twice = stack(
        pools=(pool(), pool()), models=(model(), model()), teams=(TeamSpec(name="search"), TeamSpec(name="search"))
    )
    paths = [problem.path for problem in check(twice)]
    assert paths == ["pools[1].name", "models[1].name", "teams[1].name"]


@pytest.mark.parametrize("name", ["default", "kube-system", "gke-managed-system", "gmp-public"])
def test_a_team_cannot_take_the_platforms_namespace(name):
    problem = single_problem(check(stack(teams=(TeamSpec(name="search"), TeamSpec(name=name)))), "teams[1].name")
    assert check(stack(teams=(TeamSpec(name="search"), TeamSpec(name=problem.suggestion)))) == []


def test_labels_of_the_platform_are_refused():
    labelled = pool(labels={"node.kubernetes.io/kind": "gpu", "example.com/owner": "search"})
    single_problem(check(stack(pools=(labelled,))), "pools[0].labels.node.kubernetes.io/kind")


# --- models


@pytest.mark.parametrize(
    ("fields", "path", "suggestion"),
    [
        ({"pool": "l5"}, "models[0].pool", "l4"),
        ({"team": "serch"}, "models[0].team", "search"),
        ({"releases": {"stable": "1.0.1"}}, "models[0].releases.stable", "1.0.0"),
        ({"name": "chatt"}, "models[0].name", "chat"),
        ({"replicas": 3}, "models[0].replicas", "2"),
        ({"tensorParallelism": 2}, "models[0].tensorParallelism", "1"),
    ],
)
def test_what_a_model_refers_to_exists_and_is_large_enough(fields, path, suggestion):
    assert single_problem(check(stack(models=(model(**fields),))), path).suggestion == suggestion


def test_a_release_that_calls_itself_something_else_is_refused():
    misplaced = replace(stack(), releases={("chat", "1.0.0"): release(version="2.0.0")})
    problem = single_problem(check(misplaced), "models[0].releases.stable")
    assert "chat 2.0.0" in problem.reason


def test_a_gated_model_needs_its_licence_accepted():
    gated = [release(gated=True)]
    single_problem(check(stack(releases=gated)), "models[0].acceptLicense")
    assert check(stack(releases=gated, models=(model(acceptLicense=True),))) == []


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"architecture": "llama-3.1-70b"}, "exceed"),
        ({"architecture": "llama-4-8b"}, "not in the catalog"),
        ({"architecture": "qwen3-8b", "contextLength": 65536}, "40960"),
        ({"contextLength": 65536}, "KV cache"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_anything_is_made(fields, reason):
    (problem,) = check(stack(releases=[release(**fields)]))
    assert problem.path.startswith("models[0].")
    assert reason in problem.reason
    assert problem.suggestion


def test_int8_is_refused_where_the_engine_has_no_kernels():
    b200 = stack(
        pools=(pool("b200", "B200", [entry(machineType="a4-highgpu-8g")]),),
        models=(model(pool="b200"),),
        releases=[release(quantization="int8")],
    )
    assert "int8" in single_problem(check(b200), "models[0].releases.stable").reason


def test_models_share_a_pool_only_as_far_as_it_goes():
    two = [release(), release(name="code")]
    models = (model(replicas=1), model("code", replicas=2))
    problem = single_problem(check(stack(models=models, releases=two)), "models[1].replicas")
    assert "1 of other models among them" in problem.reason
    assert problem.suggestion == "1"
    none_left = (model(replicas=2), model("code"))
    assert "more nodes" in single_problem(check(stack(models=none_left, releases=two)), "models[1].replicas").suggestion


def test_instances_never_straddle_nodes():
    for sizes, count in (([3, 3, 3], 2), ([4, 2, 2], 3), ([8, 1], 1)):
        assert pods_that_fit([PodSize(gpus) for gpus in sizes], NodeRoom(gpus=8), nodes=1) == count


def test_a_teams_gpu_quota_covers_its_models():
    tight = stack(teams=(TeamSpec.model_validate({"name": "search", "gpuQuota": 1}),), models=(model(replicas=2),))
    assert single_problem(check(tight), "teams[0].gpuQuota").suggestion == "4"


def test_a_teams_gpu_quota_lets_a_change_of_release_and_a_rollout_with_surge_through():
    team = TeamSpec.model_validate({"name": "search", "gpuQuota": 2})
    assert check(stack(teams=(team,), models=(model(),))) == []
    assert single_problem(check(stack(teams=(team,), models=(model(surge=2),))), "teams[0].gpuQuota").suggestion == "3"


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ({"pools": (pool(capacity=[entry(market="flex-start", min=1)]),)}, "pools[0].capacity[0].min"),
        # GKE documentation, "ComputeClass CustomResourceDefinition": no name begins with gke or autopilot.
        ({"pools": (pool("autopilot"),), "models": ()}, "pools[0].name"),
        ({"pools": (pool("autopilot-h100"),), "models": ()}, "pools[0].name"),
        ({"pools": (pool("gke-l4-for-our-chats"),), "models": ()}, "pools[0].name"),
        ({"pools": (pool("default"),), "models": ()}, "pools[0].name"),
        ({"cluster": cluster(maintenance={"exclusions": [EXCLUSION | {"end": EXCLUSION["start"]}]})},
         "cluster.maintenance.exclusions[0].end"),
        ({"cluster": cluster(maintenance={"exclusions": [EXCLUSION, EXCLUSION]})},
         "cluster.maintenance.exclusions[1].name"),
    ],
)  # fmt: skip
def test_what_gke_refuses_is_refused_before_anything_is_made(parts, path):
    single_problem(check(stack(**parts)), path)


def test_a_minimum_that_no_pod_fills_is_told():
    """GKE's autoscaler heeds a minimum when it removes nodes and adds none to reach it
    (terraform-google-kubernetes-engine#1517, kubernetes/autoscaler#2288)."""
    two = pool(capacity=[entry(min=2, max=4)])
    assert notes(stack(pools=(two,), models=(model(replicas=2),))) == []
    assert notes(stack(pools=(two,), models=(model(warmPool={"placeholders": 1}),))) == []
    # As many as zones: the pool starts with them.
    assert notes(stack(pools=(two,), models=())) == []
    three = pool(capacity=[entry(min=3, max=4)])
    note = single_problem(notes(stack(pools=(three,), models=())), "pools[0].capacity[0].min")
    assert "starts with 2 nodes" in note.reason
    assert "placeholders" in note.suggestion
    one_zone = pool(capacity=[entry(min=3, max=4, zones=["us-central1-a"])])
    assert notes(stack(pools=(one_zone,), models=())) == []
    canary = {"stable": "1.0.0", "canary": {"release": "2.0.0", "weight": 10}}
    beside = {"models": (model(replicas=2, releases=canary),), "releases": [release(), release(version="2.0.0")]}
    assert notes(stack(pools=(three,), **beside)) == []


def test_a_minimum_counts_a_node_for_each_pod_whose_storage_fills_it():
    """Three pods of one GPU take one node of eight by their GPUs, and three where each wants most of the disk."""
    its_pool = pool("a100", "A100-40GB", [entry(machineType="a2-highgpu-8g", min=3, max=4)])
    three = {"pools": (its_pool,), "models": (model(pool="a100", replicas=3),)}
    filling = SidecarRequests(storage_gib=60)
    single_problem(notes(stack(**three)), "pools[0].capacity[0].min")
    assert notes(stack(**three, sidecar=filling)) == []


def test_the_sidecar_of_the_model_cache_takes_its_part_of_the_node():
    tiny = pool(capacity=[entry(machineType="g2-standard-4")])
    assert check(stack(pools=(tiny,))) == []
    crowded = stack(pools=(tiny,), sidecar=SidecarRequests(cpu=0.5, memory_gib=6))
    assert "share of the node's memory" in single_problem(check(crowded), "models[0].pool").reason


# --- a part of a stack, and notes


def test_a_part_of_a_stack_is_checked_alone():
    assert check(StackShape(cloud=GCP, region="us-central1", gcp=GcpShape(network=GcpNetworkSpec()))) == []
    assert check(StackShape(cloud=GCP, region="us-central1", pools=(pool(),))) == []
    alone = GcpClusterSpec.model_validate({"name": "dev", "zones": ["europe-west4-a"]})
    part = StackShape(cloud=GCP, region="us-central1", zones=alone.zones, gcp=GcpShape(cluster=alone))
    single_problem(check(part), "cluster.zones[0]")


def test_what_could_not_be_checked_or_will_disappoint_is_noted():
    everyone = {"mode": "authorized", "authorized": ["0.0.0.0/0"]}
    noted = stack(
        cluster=cluster(access=everyone),
        pools=(pool("a100", "A100-40GB", [entry(machineType="a2-highgpu-1g", max=1)]),),
        models=(model(pool="a100", surge=1),),
        releases=[release(quantization="fp8")],
    )
    assert check(noted) == []
    assert [note.path for note in notes(noted)] == [
        "cluster.access.authorized[0]", "models[0].releases.stable", "models[0].pool",
    ]  # fmt: skip


def test_a_full_pool_is_noted_only_where_a_rollout_needs_room():
    full = {"pools": (pool(capacity=[entry(max=1)]),)}
    assert notes(stack(**full)) == []
    single_problem(notes(stack(**full, models=(model(surge=1),))), "models[0].pool")


CACHED = {"sidecar": GCP.cache_sidecar}
"""A model cache that keeps weights on the disks of nodes."""

A100 = {"name": "a100", "accelerator": "A100-40GB", "capacity": [entry(machineType="a2-highgpu-8g", max=1)]}
"""One node of 8 GPUs, on whose boot disk pods can have 96 GiB."""


def test_weights_that_no_node_has_disk_for_are_refused_with_a_disk_that_is_large_enough():
    large = {"models": (model(pool="a100"),), "releases": [release("llama-3.1-70b")], **CACHED}
    problem = single_problem(check(stack(**large, pools=(pool(**A100),))), "models[0].pool")
    assert "of which pods can have 96 GiB" in problem.reason
    assert problem.suggestion == "localSsd: true, or diskGb: 350 in the pool"
    assert single_problem(check(stack(**large, pools=(pool(**A100, disk_gb=300),))), "models[0].pool")
    assert check(stack(**large, pools=(pool(**A100, disk_gb=350),))) == []
    assert check(stack(**large, pools=(pool(**A100, local_ssd=True),))) == []


STORING = {"sidecar": SidecarRequests(storage_gib=400)}
"""More than the local SSD of a g2-standard-12 (288 GiB for pods), less than those of a g2-standard-24 (600 GiB)."""


def test_a_pod_that_wants_more_than_the_local_ssd_of_its_node_is_told_of_machines_with_more():
    def on(machine_type):
        return stack(pools=(pool(capacity=[entry(machineType=machine_type)], local_ssd=True),), **STORING)

    problem = single_problem(check(on("g2-standard-12")), "models[0].pool")
    assert problem.suggestion == "another machine type, such as g2-standard-24, or a pool with more local storage"
    assert check(on("g2-standard-24")) == []
    nowhere = replace(on("g2-standard-12"), sidecar=SidecarRequests(storage_gib=100_000))
    problem = single_problem(check(nowhere), "models[0].pool")
    assert problem.suggestion == "another machine type, or a pool with more local storage"


def test_pods_of_which_a_node_with_local_ssd_holds_one_but_not_all_are_told_of_more_nodes():
    def on(nodes):
        its_pool = pool(capacity=[entry(machineType="g2-standard-24", max=nodes)], local_ssd=True)
        return stack(pools=(its_pool,), models=(model(replicas=2),), **STORING)

    assert single_problem(check(on(1)), "models[0].pool").suggestion == "more nodes in pool l4"
    assert check(on(2)) == []


def test_the_disk_of_a_node_holds_the_weights_of_all_models_and_releases_that_share_it():
    """Each of them alone would fit."""
    releases = [release(), release(version="2.0.0"), release(version="0.9.0"), *(release(name=n) for n in OTHERS)]
    shared = (model(pool="a100", autoscaling={"min": 1, "max": 4}), *(model(name, pool="a100") for name in OTHERS))
    beside = (model(pool="a100", releases={"stable": "1.0.0", "canary": CANARY, "previous": "0.9.0"}, replicas=2),)
    for models, path in ((shared, "models[1].pool"), (beside, "models[0].pool")):
        assert check(stack(pools=(pool(**A100),), models=(model(pool="a100"),), releases=[release()], **CACHED)) == []
        crowded = stack(pools=(pool(**A100),), models=models, releases=releases, **CACHED)
        assert "localSsd" in single_problem(check(crowded), path).suggestion
        assert check(replace(crowded, pools=(pool(**A100, local_ssd=True),))) == []


OTHERS = ("code",)
CANARY = {"release": "2.0.0", "weight": 10, "replicas": 2}


def test_a_canary_counts_with_as_many_instances_as_it_scales_to():
    scaled = {"autoscaling": {"min": 1, "max": 3}, "releases": {"stable": "1.0.0", "canary": CANARY | {"replicas": 1}}}
    releases = [release(), release(version="2.0.0")]
    tight = stack(pools=(pool(capacity=[entry(max=4)]),), models=(model(**scaled),), releases=releases)
    problem = single_problem(check(tight), "models[0].autoscaling.max")
    assert "3 of them of releases beside the stable one" in problem.reason
    assert problem.suggestion == "2"
    assert check(stack(pools=(pool(capacity=[entry(max=6)]),), models=(model(**scaled),), releases=releases)) == []


def test_a_node_holds_no_more_pods_than_its_cluster_allows():
    many = {"models": (model(pool="a100", replicas=8),), "pools": (pool(**A100),)}
    few = stack(**many, cluster=cluster(maxPodsPerNode=16))
    problem = single_problem(check(few), "cluster.maxPodsPerNode")
    assert problem.suggestion == "22"
    assert check(stack(**many, cluster=cluster(maxPodsPerNode=22))) == []


@pytest.mark.parametrize("gpus", [1, 2, 4, 8])
def test_instances_that_share_a_node_have_no_more_of_its_memory_than_it_has(gpus):
    node = stack(pools=(pool(**A100),)).node("a100")
    plan = plan_instance(model(tensorParallelism=gpus), release(), node, GCP.cache_sidecar)
    instance = plan.memory_gib + GCP.cache_sidecar.memory_gib
    assert instance * node.gpus // gpus <= node.memory_gib - DAEMON_MEMORY_GIB
    assert plan.shm_gib < plan.memory_gib


def test_a_reservation_in_more_than_one_zone_is_noted():
    reserved = entry(market="reservation", reservation="block-1")
    single_problem(notes(stack(pools=(pool(capacity=[reserved]),))), "pools[0].capacity[0].zones")
    assert notes(stack(pools=(pool(capacity=[reserved | {"zones": ["us-central1-a"]}]),))) == []


def test_groups_of_teams_that_gke_would_not_look_up_are_noted():
    teams = (TeamSpec(name="search", viewers=("readers@example.com",)),)
    single_problem(notes(stack(teams=teams)), "cluster.securityGroup")
    assert notes(stack(teams=teams, cluster=cluster(securityGroup="gke-security-groups@example.com"))) == []


def test_zones_are_no_matter_where_their_names_mean_another_place_in_each_account():
    aws = stack(cloud=AWS, region="us-east-1", pools=(pool(capacity=[entry(machineType="g6.4xlarge")]),))
    assert check(aws) == []
    assert notes(aws) == []


def test_machines_that_are_probably_not_sold_on_demand_are_noted():
    h100 = stack(pools=(pool("h100", "H100-80GB", [entry(machineType="a3-highgpu-1g")]),), models=())
    assert "spot" in single_problem(notes(h100), "pools[0].capacity[0].market").reason


def test_gpus_that_reach_each_other_by_pcie_alone_are_noted_unless_peer_access_is_decided():
    def peers(accelerator, gpus, **engine):
        wide = model(pool="lab", tensorParallelism=gpus, engine=engine)
        lab = existing_pool(accelerator=accelerator)
        shape = stack(cloud=EXISTING, region="", pools=(lab,), models=(wide,))
        return [note for note in notes(shape) if note.path == "models[0].engine.environment"]

    for accelerator in ("L4", "L40S", "A10G", "RTX-A6000", "RTX-4090"):
        (note,) = peers(accelerator, 2)
        assert f"the 2 {accelerator} of an instance reach each other by PCIe 4.0 x16" in note.reason
        assert 'NCCL_P2P_DISABLE: "1"' in note.suggestion
        assert not peers(accelerator, 1)
        assert not peers(accelerator, 2, environment={"NCCL_P2P_DISABLE": "0"})
    assert not peers("H100-80GB", 2)


# --- weights

LOADER = LoaderSpec.model_validate({"image": {"repository": "registry.example/model-loader", "tag": "0.1.0"}})


def test_a_bucket_that_nobody_fills_is_refused_and_both_ways_are_named():
    problem = single_problem(check(stack(weights=None)), "loader")
    assert "nothing fills" in problem.reason
    assert "loader" in problem.suggestion
    assert "weights: external" in problem.suggestion
    assert check(stack(weights=None, loader=LOADER)) == []
    assert check(stack(weights="external")) == []


def test_a_bucket_without_models_may_stay_empty():
    assert check(stack(weights=None, models=())) == []


def test_weights_of_an_existing_cluster_may_be_there_already():
    lab = {"cloud": EXISTING, "region": "", "pools": (existing_pool(),), "models": (model(pool="lab"),)}
    assert check(stack(**lab, weights=None)) == []


def test_weights_are_not_brought_twice():
    assert (
        "leave it out, or the loader"
        in single_problem(check(stack(weights="external", loader=LOADER)), "weights").suggestion
    )


# --- time-outs


FLEX_START = entry(market="flex-start", max=1)
SPOT = entry(market="spot", max=1)
ON_DEMAND = entry(market="on-demand", max=1)


@pytest.mark.parametrize(
    ("capacity", "queued"),
    [
        ([FLEX_START], True),
        ([SPOT, FLEX_START], True),
        ([ON_DEMAND, FLEX_START], False),
        ([SPOT], False),
        ([ON_DEMAND], False),
    ],
)
def test_an_update_that_does_not_wait_for_a_queue_says_so(capacity, queued):
    shape = stack(pools=(pool(capacity=capacity),), models=(model(),))
    told = [note for note in notes(shape) if note.path == "models[0].timeouts.capacitySeconds"]
    assert bool(told) is queued
    waiting = replace(shape, models=(model(timeouts={"capacitySeconds": 3600}),))
    assert [note for note in notes(waiting) if "timeouts" in note.path] == []


def test_a_compile_cache_does_not_stand_in_a_queue_before_its_instances():
    loader = LoaderSpec.model_validate({"image": {"repository": "registry.example/loader", "tag": "1"}})
    cached = model(compileCache=True)
    shape = stack(pools=(pool(capacity=[FLEX_START]),), models=(cached,), loader=loader)
    problem = single_problem(check(shape), "models[0].compileCache")
    assert "queue" in problem.reason
    waiting = model(compileCache=True, timeouts={"capacitySeconds": 86400})
    assert check(replace(shape, models=(waiting,))) == []


def test_time_outs_that_are_shorter_than_what_they_wait_for_are_refused():
    short = model(timeouts={"startupSeconds": 60})
    loader = LoaderSpec.model_validate(
        {"image": {"repository": "registry.example/loader", "tag": "1"}, "timeoutSeconds": 60}
    )
    problems = {problem.path: problem for problem in check(stack(models=(short,), loader=loader))}
    assert set(problems) == {"models[0].timeouts.startupSeconds", "loader.timeoutSeconds"}
    enough = problems["models[0].timeouts.startupSeconds"].suggestion.split()[0]
    assert check(stack(models=(model(timeouts={"startupSeconds": int(enough)}),))) == []


# --- registry


def test_a_remote_repository_is_where_the_nodes_stream_from():
    here = stack(registry=GcpRegistrySpec(pull_through="docker-hub"))
    assert check(here) == []
    elsewhere = GcpRegistrySpec(region="europe-west4", pull_through="docker-hub")
    problem = single_problem(check(stack(registry=elsewhere)), "registry.pullThrough")
    assert "stream images of their own region only" in problem.reason
    assert here.region in problem.suggestion


@pytest.mark.parametrize(
    ("location", "region", "streamed"),
    [
        ("us-central1", "us-central1", True),
        ("us", "us-central1", True),
        ("us-east4", "us-central1", False),
        ("europe", "us-central1", False),
        ("us", "northamerica-northeast1", False),  # the multi-region is the country
        ("europe", "europe-west4", True),
        ("europe", "europe-west2", False),  # London: the multi-region is the European Union
        ("asia", "asia-southeast1", True),
        ("asia", "australia-southeast1", False),
    ],
)
def test_an_image_of_another_region_is_not_counted_as_streamed_without_a_note(location, region, streamed):
    image = {"repository": f"{location}-docker.pkg.dev/project/images/vllm", "tag": "1", "digest": "sha256:" + "a" * 64}
    shape = stack(region=region, releases=[release(image=image)])
    told = [note.path for note in notes(shape) if "is pulled whole" in note.reason]
    assert told == ([] if streamed else ["models[0].releases.stable"])
