"""Quotas are the ones that the clouds count, at the maxima."""

from llm_serving.planning.clouds import AWS, GCP
from llm_serving.planning.quota import gpu_quotas
from tests.unit.planning.builders import entry, existing_pool, pool


def amounts(cloud, region, *pools):
    return {(quota.name, quota.region): quota.amount for quota in gpu_quotas(cloud, region, pools)}


def test_gpus_are_counted_by_market_and_once_more_for_the_project():
    wanted = pool("h100", "H100-80GB", [
        entry(machineType="a3-highgpu-8g", max=2),
        entry(machineType="a3-highgpu-8g", market="spot", max=4),
        entry(machineType="a3-highgpu-8g", market="flex-start", max=1),
    ])  # fmt: skip
    assert amounts(GCP, "us-central1", wanted, pool()) == {
        ("NVIDIA_H100_GPUS", "us-central1"): 2 * 8,
        ("PREEMPTIBLE_NVIDIA_H100_GPUS", "us-central1"): (4 + 1) * 8,
        ("NVIDIA_L4_GPUS", "us-central1"): 2,
        ("GPUS_ALL_REGIONS", "global"): (2 + 4 + 1) * 8 + 2,
    }


def test_h100_mega_has_a_quota_of_its_own():
    wanted = pool("mega", "H100-80GB", [entry(machineType="a3-megagpu-8g", max=1)])
    assert ("NVIDIA_H100_MEGA_GPUS", "us-central1") in amounts(GCP, "us-central1", wanted)


def test_aws_counts_cores():
    wanted = pool("g6", "L4", [entry(machineType="g6.xlarge", max=3), entry(machineType="g6.2xlarge", max=1)])
    (quota,) = gpu_quotas(AWS, "us-east-1", [wanted])
    assert (quota.code, quota.unit, quota.amount) == ("L-DB2E81BA", "vcpu", 3 * 4 + 1 * 8)
    assert "g6.xlarge" in quota.why


def test_p5_on_spot_has_a_quota_apart_from_older_p_machines():
    p5 = pool("p5", "H100-80GB", [entry(machineType="p5.48xlarge", market="spot", max=1)])
    p4 = pool("p4", "A100-40GB", [entry(machineType="p4d.24xlarge", market="spot", max=1)])
    assert [quota.code for quota in gpu_quotas(AWS, "us-east-1", [p5, p4])] == ["L-C4BD4855", "L-7212CCBC"]


def test_reservations_and_existing_nodes_need_no_quota():
    reserved = pool(capacity=[entry(market="reservation", reservation="block-1")])
    assert gpu_quotas(GCP, "us-central1", [reserved, existing_pool()]) == []
