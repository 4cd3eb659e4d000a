"""What the launcher reads of metrics, memory, the engine's command line and its answers."""

import importlib
import importlib.metadata
import json
import logging
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from llm_serving_engine import main, metrics, vllm_stages
from llm_serving_engine.client import EngineClient
from llm_serving_engine.drain_middleware import DrainMiddleware
from llm_serving_engine.drain_state import VARIABLE
from llm_serving_engine.exposition import exposition
from llm_serving_engine.gpu import Gpu, Gpus
from llm_serving_engine.health_monitor import HealthMonitor, Status
from llm_serving_engine.memory import HostMemory, host_memory
from llm_serving_engine.options import option_of, parse
from llm_serving_engine.resource_usage import Load, ResourceUsage

from llm_serving.launchers import current
from llm_serving.metrics.series import LauncherSeries

METRICS = """\
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="odd } 1 \\" name"} 3
vllm:num_requests_waiting{engine="1"} 1e1 1700000000000
vllm:num_requests_waiting{engine="2"} NaN
vllm:num_requests_waiting_by_reason{reason="capacity"} 99
plain 4
broken{
"""


def test_a_gauge_is_summed_over_engines_and_no_other_metric_is_mixed_in() -> None:
    assert metrics.total(METRICS, "vllm:num_requests_waiting") == 13
    assert metrics.largest(METRICS, "vllm:num_requests_waiting") == 10
    assert metrics.total(METRICS, "plain") == 4


def test_a_gauge_that_is_missing_is_not_zero() -> None:
    assert metrics.total(METRICS, "vllm:num_requests_running") is None
    assert metrics.largest(METRICS, "broken") is None


def test_memory_under_cgroup_v2_in_a_container(tmp_path: Path) -> None:
    _write(tmp_path, {"memory.current": "3000\n", "memory.max": "9000\n", "memory.stat": "anon 5\ninactive_file 400\n"})
    assert host_memory(tmp_path, _own(tmp_path, "0::/")) == HostMemory(3000, 2600, 9000)


def test_memory_under_cgroup_v1_in_a_container_that_sees_the_hosts_paths(tmp_path: Path) -> None:
    v1 = {
        "memory.usage_in_bytes": "3000\n",
        "memory.limit_in_bytes": "9000\n",
        "memory.stat": "inactive_file 1\ntotal_inactive_file 500\n",
    }
    _write(tmp_path / "memory", v1)
    own = _own(tmp_path, "7:cpu,cpuacct:/kubepods/x\n6:memory:/kubepods/pod1/abc\n0::/kubepods/x")
    assert host_memory(tmp_path, own) == HostMemory(3000, 2500, 9000)


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_no_limit_is_said_as_none(tmp_path: Path, limit: str) -> None:
    _write(tmp_path, {"memory.current": "3000", "memory.max": limit, "memory.stat": ""})
    assert host_memory(tmp_path, _own(tmp_path, "0::/")) == HostMemory(3000, 3000, None)


def test_memory_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert host_memory(tmp_path, tmp_path / "missing") is None


def test_the_control_group_of_this_process_can_be_read() -> None:
    read = host_memory()
    assert read is not None
    assert 0 < read.working_set <= read.current


def test_the_use_of_gpus_is_exported_under_the_name_that_autoscaling_asks_for_and_only_where_it_is_known() -> None:
    quiet = exposition(up=True, ready=True, startup={}, requests=None)
    busy = exposition(up=True, ready=True, startup={}, requests=None, gpu_utilization=87.5)
    assert metrics.total(quiet, LauncherSeries.GPU_UTILIZATION) is None
    assert metrics.total(busy, LauncherSeries.GPU_UTILIZATION) == 87.5


def test_a_machine_without_gpus_has_none() -> None:
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA GPU")
    assert Gpus().read() == []


# NVML as its API reference has it, for a machine without a GPU: two of them, of which one is split and does not say
# what it does (NVML_ERROR_NOT_SUPPORTED is 3).
NVML = """
struct utilization { unsigned int gpu, memory; };
struct memory { unsigned long long total, free, used; };
static int devices[2];
int nvmlInit_v2(void) { return INIT; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) { *device = devices + index; return 0; }
int nvmlDeviceGetUtilizationRates(void *device, struct utilization *rates) {
    if (device != devices) return 3;
    rates->gpu = 93; rates->memory = 41; return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory) {
    memory->total = 85899345920ULL; memory->free = 1ULL; memory->used = 85899345919ULL; return 0;
}
"""


def nvml(folder: Path, init: int) -> str:
    """A library with NVML's interface whose start ends with a status."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source, library = folder / "nvml.c", folder / f"libnvml-{init}.so"
    source.write_text(NVML)
    subprocess.run([compiler, "-shared", "-fPIC", f"-DINIT={init}", "-o", library, source], check=True)
    return str(library)


def test_gpus_are_read_through_the_drivers_library_alone(tmp_path: Path) -> None:
    gpus = Gpus(("libnvidia-ml-of-nobody.so.1", nvml(tmp_path, 0)))
    total = 80 * 2**30
    assert gpus.read() == [Gpu(0, 93.0, total - 1, total), Gpu(1, None, total - 1, total)]
    # What one does not say is not an idle GPU.
    assert ResourceUsage(Load(), gpus.read(), None).gpu_utilization == 93.0


def test_a_driver_that_does_not_start_is_no_gpu(tmp_path: Path) -> None:
    assert Gpus((nvml(tmp_path, 9),)).read() == []


def test_address_and_name_come_from_the_engines_command_line_unless_they_are_given() -> None:
    command = ["vllm", "serve", "/models", "--port", "9001", "--served-model-name=tiny-llama", "--api-key=k"]
    options = parse(["--", *command], {"VLLM_API_KEY": "other"})
    assert (options.engine_host, options.engine_port, options.model) == ("127.0.0.1", 9001, "tiny-llama")
    assert options.api_key == "k"
    options = parse(["--", *command, "--host=0.0.0.0"], {})
    assert options.engine_host == "127.0.0.1"
    options = parse(["--", *command, "--host", "10.0.0.7"], {})
    assert options.engine_host == "10.0.0.7"
    options = parse(["--engine-url=http://[::1]:7000", "--model=x", "--", *command], {})
    assert (options.engine_host, options.engine_port, options.model) == ("::1", 7000, "x")


def test_defaults() -> None:
    options = parse(["--", "vllm", "serve", "/models"], {})
    assert (options.health_host, options.health_port, options.engine_port) == ("0.0.0.0", 8080, 8000)
    assert (options.model, options.stall_seconds, options.api_key) == (None, 60, None)
    assert options.command == ("vllm", "serve", "/models")


def test_a_second_double_dash_belongs_to_the_command() -> None:
    assert parse(["--", "sh", "--", "x"], {}).command == ("sh", "--", "x")


def test_an_option_at_the_end_without_a_value_has_none() -> None:
    assert option_of(["vllm", "--port"], "--port") is None


def test_a_key_is_used_without_the_blanks_around_it_and_left_out_of_what_is_printed() -> None:
    options = parse(["--", "vllm"], {"VLLM_API_KEY": " sekret\r\n"})
    assert options.api_key == "sekret"
    assert "sekret" not in repr(options)


@pytest.fixture
def answering() -> Iterator[int]:
    """Port of an engine that is healthy and serves one model."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"data": [{"id": "tiny-llama"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_look_that_fails_in_no_known_way_is_a_failed_look_which_tells_no_key(answering: int) -> None:
    monitor = HealthMonitor(EngineClient("127.0.0.1", answering, "sekret\n"), None, 60, 5)
    monitor.probe()
    assert (monitor.status, monitor.reason) == (Status.STARTING, "the look at the engine failed with ValueError")


def test_a_log_that_is_closed_ends_no_look(answering: int) -> None:
    def closed() -> None:
        raise BrokenPipeError

    monitor = HealthMonitor(EngineClient("127.0.0.1", answering), None, 60, 5, on_ready=closed)
    monitor.probe()
    assert monitor.status == Status.READY


def test_parts_of_the_start_are_taken_from_what_vllm_logs_and_nothing_it_logs_can_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    logger = logging.getLogger("vllm")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.INFO)
    vllm_stages.register()
    vllm_stages.register()
    assert len(logger.handlers) == 1
    loader = logging.getLogger("vllm.model_executor.model_loader.default_loader")
    loader.info("Loading weights took %.2f seconds", 12.345)
    engine = logging.getLogger("vllm.v1.engine.core")
    engine.info("init engine (profile, create kv cache, warmup model) took %.2f s (compilation: %.2f s)", 60.0, 41.5)
    engine.info("Graph capturing finished in %.0f secs, took %.2f GiB", 7.0, 0.5)
    engine.info("Loading weights took long")
    engine.info("Loading weights took %s seconds", "many")
    (tmp_path / "milestone-weights-1").write_text("20")
    (tmp_path / "milestone-graphs-1").write_text("half")
    assert vllm_stages.read(tmp_path) == {"weights": 20, "initialization": 60, "compilation": 41.5, "graphs": 7}


def test_what_vllm_is_told_to_load_is_there(tmp_path: Path) -> None:
    archive = tmp_path / current().file_name
    archive.write_bytes(current().archive)
    (distribution,) = importlib.metadata.distributions(path=[str(archive)])
    (plugin,) = distribution.entry_points
    assert plugin.group == "vllm.general_plugins"
    assert plugin.load() is vllm_stages.register
    module, _, name = main._MIDDLEWARE.removeprefix("--middleware=").rpartition(".")
    assert getattr(importlib.import_module(module), name) is DrainMiddleware


def test_without_a_launcher_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    logger = logging.getLogger("vllm")
    monkeypatch.setattr(logger, "handlers", [])
    vllm_stages.register()
    assert logger.handlers == []


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)


def _own(folder: Path, content: str) -> Path:
    path = folder / "own"
    path.write_text(content + "\n")
    return path
