"""The catalog says of every AWS machine what EC2 says of it (DescribeInstanceTypes, as moto holds it)."""

import gzip
import json
from pathlib import Path
from typing import Any

import moto
import pytest

from llm_serving import catalog
from llm_serving.catalog import LocalSsd

EC2: dict[str, Any] = json.loads(
    gzip.decompress((Path(moto.__file__).parent / "ec2" / "resources" / "instance_types.json.gz").read_bytes())
)
MACHINES = catalog.machine_types("aws")
GPU_MACHINES = [machine for machine in MACHINES if machine.accelerator]
EC2_NAMES = {
    "A100-40GB": "A100",
    "A100-80GB": "A100",
    "H100-80GB": "H100",
    "RTX-PRO-6000": "RTX PRO Server 6000",
}
"""What EC2 calls a GPU, where it has another name than the catalog."""

GIB_PER_GB = 1000**3 / 1024**3
named = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)


@named
def test_cores_and_memory_are_those_of_ec2(machine):
    instance = EC2[machine.name]
    assert machine.vcpus == instance["VCpuInfo"]["DefaultVCpus"]
    assert machine.memory_gib == instance["MemoryInfo"]["SizeInMiB"] / 1024


@named
def test_gpus_are_those_of_ec2(machine):
    gpus = EC2[machine.name].get("GpuInfo", {}).get("Gpus", [])
    assert machine.gpus == sum(gpu["Count"] for gpu in gpus)
    if machine.accelerator:
        assert [gpu["Name"] for gpu in gpus] == [EC2_NAMES.get(machine.accelerator, machine.accelerator)]


@pytest.mark.parametrize("machine", GPU_MACHINES, ids=lambda machine: machine.name)
def test_a_process_sees_a_little_less_gpu_memory_than_ec2_states(machine):
    """ECC and the driver take their part, so that equality would be a mistake: engines would plan with too much."""
    (gpu,) = EC2[machine.name]["GpuInfo"]["Gpus"]
    stated = gpu["MemoryInfo"]["SizeInMiB"] / 1024
    assert 0.95 * stated < catalog.accelerator(machine.accelerator).memory_gib < stated


@named
def test_interfaces_of_efa_are_those_of_ec2(machine):
    network = EC2[machine.name]["NetworkInfo"]
    assert machine.efa_interfaces == network.get("EfaInfo", {}).get("MaximumEfaInterfaces", 0)
    assert bool(machine.efa_interfaces) == network["EfaSupported"]
    if machine.efa_interfaces:
        assert machine.efa_first_card + machine.efa_interfaces == network["MaximumNetworkCards"]


@named
def test_instance_storage_is_that_of_ec2(machine):
    """The catalog rounds to whole GiB; some rows round the sum of the disks, others the disks."""
    storage = EC2[machine.name].get("InstanceStorageInfo", {"TotalSizeInGB": 0, "Disks": []})
    assert machine.local_ssd is (LocalSsd.BUNDLED if storage["Disks"] else LocalSsd.NONE)
    assert machine.local_ssd_disks == sum(disk["Count"] for disk in storage["Disks"])
    assert machine.local_ssd_gib == pytest.approx(storage["TotalSizeInGB"] * GIB_PER_GB, rel=0.001, abs=0.5)


@named
def test_machines_are_sold_on_the_terms_of_ec2(machine):
    assert machine.markets == set(EC2[machine.name]["SupportedUsageClasses"])


@named
def test_machines_are_offered_in_the_regions_of_ec2(machine):
    folder = Path(moto.__file__).parent / "ec2" / "resources" / "instance_type_offerings" / "region"
    offers = {path.name.partition(".")[0]: json.loads(gzip.decompress(path.read_bytes())) for path in folder.iterdir()}
    regions = [region for region, machines in offers.items() if machine.name in {m["InstanceType"] for m in machines}]
    assert set(machine.regions) == set(regions)
    assert {price.region for price in catalog.prices("aws", machine.name)} <= set(regions)


def test_machines_of_other_clouds_have_no_efa():
    assert not any(machine.efa_interfaces for machine in catalog.machine_types("gcp"))
