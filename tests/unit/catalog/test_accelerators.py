"""Facts about GPUs and machines hang together and say where they come from."""

from pathlib import Path

import pytest

from llm_serving import catalog
from llm_serving.catalog import LocalSsd, UnknownFact
from llm_serving.spec import Market, Quantization

EXPECTED_GPUS = {
    "A100-40GB", "A100-80GB", "H100-80GB", "H100-NVL", "H200", "B200", "B300", "L4", "L40S", "A10G", "T4",
    "RTX-A6000", "RTX-3090", "RTX-4090", "RTX-PRO-6000",
}  # fmt: skip

CLOUD_MACHINES = [machine for cloud in catalog.CLOUDS for machine in catalog.machine_types(cloud)]
GPU_MACHINES = [machine for machine in CLOUD_MACHINES if machine.accelerator]


GPUS = [accelerator for accelerator in catalog.accelerators() if accelerator.resource]


def test_every_promised_gpu_is_there_with_source_and_date():
    assert {gpu.name for gpu in GPUS} == EXPECTED_GPUS
    assert all(accelerator.source and accelerator.date for accelerator in catalog.accelerators())


def test_a_cpu_is_an_accelerator_without_memory_of_its_own_that_nobody_counts():
    cpu = catalog.accelerator("CPU")
    assert (cpu.resource, cpu.memory_gib, cpu.sold_by) == (None, None, ())
    assert cpu.runs(Quantization.NONE)


def test_four_bit_weights_run_on_cpus_with_avx512_alone():
    four_bits = {Quantization.AWQ, Quantization.GPTQ}
    assert {each for each in four_bits if catalog.accelerator("CPU-AVX512").runs(each)} == four_bits
    assert not [each for each in four_bits if catalog.accelerator("CPU").runs(each)]


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_a_gpu_has_kernels_for_both_layouts_of_gptq_or_for_none(gpu):
    # compressed-tensors' pack-quantized is a release's gptq too (vLLM 0.32.0: CompressedTensorsWNA16 begins at 7.5).
    assert not gpu.runs(Quantization.GPTQ) or float(gpu.compute_capability) >= 7.5


def test_what_the_engine_takes_of_its_host_is_known_for_every_device():
    for accelerator in catalog.accelerators():
        device = catalog.device(accelerator.device)
        assert device.source
        assert device.front_memory_gib > 0


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_memory_that_a_process_sees_is_a_little_less_than_what_is_marketed(gpu):
    assert 0.9 * gpu.memory_gb < gpu.memory_gib < gpu.memory_gb


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_a_gpu_computes_in_a_quantization_only_with_units_for_it(gpu):
    assert (Quantization.FP8 in gpu.accelerates) == (gpu.fp8_tflops is not None)
    assert not gpu.accelerates & gpu.weight_only
    assert gpu.runs(Quantization.NONE)
    # Dense throughput doubles when the width of a number halves; more would be a sparsity number.
    for throughput in (gpu.fp8_tflops, gpu.int8_tops):
        assert throughput is None or throughput <= 4.01 * gpu.fp16_tflops
    # BF16 and TF32 came with Ampere, compute capability 8.0.
    assert [mode is None for mode in (gpu.bf16_tflops, gpu.tf32_tflops)] == [float(gpu.compute_capability) < 8] * 2
    if gpu.bf16_tflops is not None:
        assert gpu.bf16_tflops == gpu.fp16_tflops
        assert gpu.tf32_tflops <= gpu.bf16_tflops / 2 * 1.02


def test_fp8_is_weight_only_before_ada_and_int8_does_not_run_on_blackwell():
    assert Quantization.FP8 in catalog.accelerator("A100-80GB").weight_only
    assert Quantization.FP8 in catalog.accelerator("L4").accelerates
    assert Quantization.FP8 in catalog.accelerator("RTX-3090").weight_only
    blackwell = [gpu for gpu in GPUS if float(gpu.compute_capability) >= 10]
    assert {gpu.name for gpu in blackwell} == {"B200", "B300", "RTX-PRO-6000"}
    assert not [gpu.name for gpu in blackwell if gpu.runs(Quantization.INT8)]
    assert not catalog.accelerator("T4").runs(Quantization.FP8)


MIG_PROFILES = [profile for gpu in GPUS for profile in catalog.mig_profiles(gpu.name).values()]


def test_gpus_without_mig_have_no_profiles():
    assert {profile.accelerator for profile in MIG_PROFILES} == {
        "A100-40GB", "A100-80GB", "H100-80GB", "H100-NVL", "H200", "B200", "B300", "RTX-PRO-6000",
    }  # fmt: skip


@pytest.mark.parametrize("profile", MIG_PROFILES, ids=lambda profile: f"{profile.accelerator} {profile.profile}")
def test_the_instances_of_a_gpu_have_no_more_memory_than_the_gpu(profile):
    gpu = catalog.accelerator(profile.accelerator)
    marketed = float(profile.profile.partition(".")[2].removesuffix("gb"))
    assert profile.instances * marketed <= gpu.memory_gb * 1.05
    if profile.memory_gib is not None:
        assert profile.instances * profile.memory_gib <= gpu.memory_gib
        assert 0.85 * marketed < profile.memory_gib < marketed


def test_every_row_of_mig_is_of_a_gpu_of_the_catalog():
    file = Path(catalog.__file__).parent / "data" / "mig_profiles.csv"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert len(MIG_PROFILES) == len(lines) - 1


def test_gpus_that_no_cloud_sells_are_for_existing_clusters():
    assert {gpu.name for gpu in GPUS if not gpu.sold_by} == {
        "H100-NVL", "RTX-A6000", "RTX-3090", "RTX-4090", "T4",
    }  # fmt: skip
    assert catalog.accelerator("L4").sold_by == ("gcp", "aws")
    assert catalog.accelerator("B300").sold_by == catalog.accelerator("RTX-PRO-6000").sold_by == ("aws",)
    assert catalog.accelerator("L40S").sold_by == ("aws",)


@pytest.mark.parametrize("machine", GPU_MACHINES, ids=lambda machine: machine.name)
def test_gpu_machines_name_a_known_gpu_and_a_quota(machine):
    catalog.accelerator(machine.accelerator)
    assert machine.gpus >= 1
    assert catalog.quota_metric(machine.cloud, machine.series, Market.ON_DEMAND)
    assert catalog.quota_metric(machine.cloud, machine.series, Market.SPOT)


@pytest.mark.parametrize("machine", CLOUD_MACHINES, ids=lambda machine: machine.name)
def test_machines_are_consistent_and_sourced(machine):
    assert machine.source
    assert machine.date
    assert (machine.accelerator is None) == (machine.gpus == 0)
    assert (machine.local_ssd is LocalSsd.NONE) == (machine.local_ssd_disks == 0) == (machine.local_ssd_gib == 0)
    if machine.cloud == "gcp":
        assert machine.local_ssd_gib == 375 * machine.local_ssd_disks
        assert (machine.accelerator_label is None) == (machine.accelerator is None)
        assert bool(machine.zones) == bool(machine.accelerator)
    else:
        assert machine.accelerator_label is None


def test_one_machine_in_each_series_has_the_label_that_gke_documents():
    labels = {machine.series: machine.accelerator_label for machine in GPU_MACHINES if machine.cloud == "gcp"}
    assert labels == {
        "a2-highgpu": "nvidia-tesla-a100",
        "a2-megagpu": "nvidia-tesla-a100",
        "a2-ultragpu": "nvidia-a100-80gb",
        "a3-highgpu": "nvidia-h100-80gb",
        "a3-megagpu": "nvidia-h100-mega-80gb",
        "a3-ultragpu": "nvidia-h200-141gb",
        "a4-highgpu": "nvidia-b200",
        "g2": "nvidia-l4",
    }


def test_system_pools_find_machines_without_gpu_on_both_clouds():
    for cloud in catalog.CLOUDS:
        assert [machine for machine in catalog.machine_types(cloud) if machine.accelerator is None]
    assert catalog.machine_type("gcp", "e2-standard-4").vcpus == 4
    assert catalog.machine_type("aws", "m7i.xlarge").memory_gib == 16


@pytest.mark.parametrize(
    ("lookup", "near"),
    [
        (lambda: catalog.accelerator("H100"), "H100-80GB"),
        (lambda: catalog.machine_type("gcp", "a3-highgpu-16g"), "a3-highgpu-8g"),
        (lambda: catalog.architecture("llama3.1-8b"), "llama-3.1-8b"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest_ones(lookup, near):
    with pytest.raises(UnknownFact) as caught:
        lookup()
    assert near in caught.value.nearest
    assert isinstance(caught.value, LookupError)


def test_look_ups_read_the_files_once():
    assert catalog.accelerator("L4") is catalog.accelerator("L4")
    assert catalog.machine_types("existing") == ()
