"""Pods that share a GPU get what their part holds: memory, node, cost and room are those of parts."""

import pytest

from llm_serving import catalog
from llm_serving.catalog import UnknownFact
from llm_serving.errors import ProblemsError
from llm_serving.planning.clouds import EXISTING, GCP
from llm_serving.planning.gpu_sharing import process_gpu
from llm_serving.planning.instance_cost import capacity_costs
from llm_serving.planning.quota import gpu_quotas
from llm_serving.planning.rules import check
from llm_serving.spec import TeamSpec
from tests.unit.planning.builders import entry, existing_pool, model, plan_instance, pool, release, stack

IN_TURNS = {"strategy": "time-sharing", "clients": 2}
SMALL = release("qwen3-0.6b", contextLength=4096)


def shared_l4(sharing=IN_TURNS, **fields):
    return pool(sharing=sharing, **{"capacity": [entry(machineType="g2-standard-16")]} | fields)


def a100(sharing, gpus=1):
    return pool("a100", "A100-40GB", [entry(machineType=f"a2-highgpu-{gpus}g")], sharing=sharing)


def problems(shape):
    return {problem.path: problem for problem in check(shape)}


def test_a_node_has_as_many_places_as_its_gpus_have_parts():
    assert GCP.pool_node(a100({"partition": "1g.5gb"}, gpus=2)).gpus == 14
    assert GCP.pool_node(shared_l4()).gpus == 2
    owned = EXISTING.pool_node(existing_pool(sharing={**IN_TURNS, "clients": 3}))
    assert (owned.gpus, owned.gpu_label) == (12, "RTX-A6000 shared by 3")


def test_an_instance_of_mig_is_planned_with_its_own_memory_and_told_its_own_share():
    plan = plan_instance(model(), SMALL, GCP.pool_node(a100({"partition": "1g.10gb"})))
    assert plan.gpu_memory_utilization == 0.9
    assert f"{0.9 * 9.75:.2f} GiB usable of 9.75 (0.9)" in plan.reasons["kv_cache_gib"]


def test_pods_that_take_turns_are_told_their_part_of_the_whole_memory():
    whole = catalog.accelerator("L4").memory_gib
    plan = plan_instance(model(gpuMemoryUtilization=0.8), SMALL, GCP.pool_node(shared_l4()))
    assert plan.gpu_memory_utilization == 0.4
    assert plan.static_memory_share <= 0.4
    assert f"{0.4 * whole:.2f} GiB usable of {whole / 2:.2f}" in plan.reasons["kv_cache_gib"]


def test_an_engine_whose_share_is_of_what_neighbours_left_is_refused_on_gpus_used_in_turns():
    releases = {"vllm": {"name": "vllm", "version": "0.32.0"}, "sglang": {"name": "sglang", "version": "0.5.23"}}
    refused = {}
    for name, engine in releases.items():
        served = release("qwen3-0.6b", contextLength=4096, engine=engine)
        shape = stack(pools=(shared_l4(),), models=(model(gpuMemoryUtilization=0.8),), releases=[served])
        refused[name] = [problem for problem in check(shape) if "neighbours" in problem.reason]
    assert not refused["vllm"]
    assert [problem.path for problem in refused["sglang"]] == ["models[0].releases.stable"]


@pytest.mark.parametrize("clients", [2, 3, 7, 13])
def test_all_pods_of_a_gpu_together_are_never_told_more_than_one_alone(clients):
    node = GCP.pool_node(
        pool("h200", "H200", [entry(machineType="a3-ultragpu-8g")], sharing={**IN_TURNS, "clients": clients})
    )
    plan = plan_instance(model(gpuMemoryUtilization=0.9), SMALL, node)
    assert 0.9 - clients * 0.001 <= clients * plan.gpu_memory_utilization <= 0.9


def test_a_step_has_the_tokens_that_the_engine_chooses_by_the_memory_that_it_sees():
    node = GCP.machine_node("a3-highgpu-1g")
    assert process_gpu(node).step_tokens == 8192
    assert process_gpu(node.model_copy(update={"partition": "1g.20gb"})).step_tokens == 2048
    assert process_gpu(node.model_copy(update={"partition": "7g.80gb"})).step_tokens == 8192
    assert process_gpu(node.model_copy(update={"clients": 4})).step_tokens == 8192


@pytest.mark.parametrize("sharing", [{"partition": "1g.10gb"}, IN_TURNS])
@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"tensorParallelism": 2}, "tensorParallelism"),
        ({"engine": {"pipelineParallelism": 2}}, "engine.pipelineParallelism"),
        ({"engine": {"dataParallelism": 2}}, "engine.dataParallelism"),
        ({"engine": {"nodes": 2}}, "engine.nodes"),
    ],
)
def test_an_instance_has_one_part_of_a_gpu(sharing, fields, path):
    with pytest.raises(ProblemsError) as caught:
        plan_instance(model(**fields), SMALL, GCP.pool_node(a100(sharing, gpus=2)))
    assert [(problem.path, problem.suggestion) for problem in caught.value.problems] == [
        (path, "1, or a pool without sharing")
    ]


@pytest.mark.parametrize(
    ("sharing", "architecture", "suggestion"),
    [
        ({"partition": "1g.5gb"}, "llama-3.1-8b", "sharing.partition: 3g.20gb in the pool"),
        ({"partition": "1g.5gb"}, "qwen3-14b", "a pool without sharing"),
        ({**IN_TURNS, "clients": 4}, "llama-3.1-8b", "sharing.clients: 2 in the pool"),
    ],
)
def test_a_model_that_is_too_large_for_its_part_is_answered_with_the_next_larger_one(sharing, architecture, suggestion):
    with pytest.raises(ProblemsError) as caught:
        plan_instance(model(), release(architecture, contextLength=4096), GCP.pool_node(a100(sharing)))
    (problem,) = caught.value.problems
    assert (problem.path, problem.suggestion) == ("pool", suggestion)
    asked = suggestion.partition(" in the pool")[0].removeprefix("sharing.")
    if asked == "a pool without sharing":
        larger = None
    else:
        name, _, value = asked.partition(": ")
        larger = {**sharing, name: int(value) if value.isdigit() else value}
    assert plan_instance(model(), release(architecture, contextLength=4096), GCP.pool_node(a100(larger))).gpus == 1


def test_a_part_costs_its_part_and_quotas_count_whole_gpus():
    spot = [entry(market="spot", machineType="a2-highgpu-2g", max=1)]
    halved = pool("a100", "A100-40GB", spot, sharing={"partition": "3g.20gb"})
    (whole,) = capacity_costs(GCP, "us-central1", pool("a100", "A100-40GB", spot), model(), [1])
    (part,) = capacity_costs(GCP, "us-central1", halved, model(), [1])
    assert whole.instance == pytest.approx(2 * part.instance)
    assert gpu_quotas(GCP, "us-central1", [halved])[0].amount == 2


def test_instances_that_do_not_fit_the_parts_of_the_pool_are_refused():
    two_nodes_of_two = shared_l4()
    assert not problems(stack(pools=(two_nodes_of_two,), models=(model(replicas=4, surge=0),), releases=[SMALL]))
    found = problems(stack(pools=(two_nodes_of_two,), models=(model(replicas=5, surge=0),), releases=[SMALL]))
    assert found["models[0].replicas"].suggestion == "4"


def test_a_teams_quota_counts_parts():
    """Kubernetes counts what pods ask for, which is parts."""
    found = problems(
        stack(
            pools=(shared_l4(),),
            models=(model(replicas=2, surge=0),),
            releases=[SMALL],
            teams=(TeamSpec(name="search", gpu_quota=1),),
        )
    )
    assert int(found["teams[0].gpuQuota"].suggestion) > 1


@pytest.mark.parametrize(
    ("accelerator", "sharing", "path", "suggestion"),
    [
        ("A100-40GB", {"partition": "1g.6gb"}, "partition", "1g.5gb"),
        ("A100-40GB", {"partition": "7g.40gb"}, "partition", "3g.20gb"),
        ("L4", {"partition": "1g.5gb"}, "partition", "strategy: time-sharing"),
        ("A100-40GB", {"partition": "1g.5gb", "clients": 2}, "clients", "leave it out"),
        ("A100-40GB", {"partition": "1g.5gb", **IN_TURNS}, "strategy", "leave it out"),
        ("L4", {"strategy": "time-sharing"}, "clients", "2"),
        ("L4", {"clients": 2}, "strategy", "time-sharing"),
        ("L4", {}, None, "strategy: time-sharing and clients: 2"),
        ("CPU", IN_TURNS, None, "gpusPerNode"),
    ],
)
def test_a_sharing_that_the_gpu_cannot_have_is_refused(accelerator, sharing, path, suggestion):
    nodes = existing_pool("l4", accelerator, sharing=sharing)
    found = problems(stack(cloud=EXISTING, region="", pools=(nodes,), models=(), teams=()))
    ((place, problem),) = found.items()
    assert place == "pools[0].sharing" + (f".{path}" if path else "")
    assert suggestion in problem.suggestion


def test_a_profile_without_known_memory_plans_nothing():
    with pytest.raises(UnknownFact, match=r"7g\.40gb"):
        GCP.pool_node(a100({"partition": "7g.40gb"}))
