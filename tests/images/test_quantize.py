"""The tiny model is quantized by the real program, goes into a cache by the loader, and is served by the real vLLM."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from llm_serving.serving import QuantizationJob
from llm_serving.spec import Quantization
from local.model.maker import make
from local.model.variants import REPOSITORY
from stacks.checkpoint.reading import read_checkpoint
from stacks.releases.checks import release_quantization
from tests.images import vllm_distribution
from tests.images.locked_environment import NotHereError
from tests.images.models import NEVER, ended, loader, verify
from tests.images.quantizer_environment import QUANTIZER, SOURCES
from tests.unit.recording import record

pytestmark = pytest.mark.timeout(1800)
"""Each run imports llm-compressor, which takes seconds, and minutes on a busy machine."""

VLLM = "0.32.0"
REVISION = "5" * 40
SCHEMES = {
    "FP8_DYNAMIC": Quantization.FP8,
    "W8A8": Quantization.INT8,
    "W4A16": Quantization.GPTQ,
    "NVFP4": Quantization.NVFP4,
}
SERVED_BY_A_CPU = ["FP8_DYNAMIC", "W8A8"]
"""vLLM has no kernels of the others for a CPU."""
CALIBRATION = ["--samples=8", "--sequence-length=64"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("source")).folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calibration data in both forms."""
    folder = tmp_path_factory.mktemp("texts")
    (folder / "plain.txt").write_text("The quick brown fox jumps over the lazy dog. " * 40)
    chat = [{"role": "user", "content": "What is 1 + 2?"}, {"role": "assistant", "content": "It is 3."}]
    lines = [{"messages": chat}, {"text": "One two three four five."}]
    (folder / "more.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines * 20))
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of the loader, with a model for each scheme."""
    return tmp_path_factory.mktemp("results")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    try:
        python = QUANTIZER.interpreter()
    except NotHereError as reason:
        pytest.skip(f"NOT TESTED: {reason}")
    return subprocess.run(
        [python, "-B", "-m", "llm_serving_quantize", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/tmp", "PYTHONPATH": str(SOURCES)},
        text=True,
        capture_output=True,
        check=False,
    )


def quantized(base: Path, texts: Path, results: Path, scheme: str) -> Path:
    """The folder of the result, made once."""
    folder = results / "quantized" / scheme.lower().replace("_", "-") / REVISION
    if not folder.exists():
        calibration = [] if scheme == "FP8_DYNAMIC" else [f"--calibration={texts}", *CALIBRATION]
        done = run(f"--base={base}", f"--result={folder}", f"--scheme={scheme}", *calibration)
        assert done.returncode == 0, done.stderr[-4000:]
        assert f"complete: {folder}" in done.stdout
    return folder


@pytest.mark.parametrize("scheme", list(SCHEMES))
def test_the_result_is_what_its_scheme_says_and_smaller(base: Path, texts: Path, results: Path, scheme: str) -> None:
    folder = quantized(base, texts, results, scheme)
    before, after = (read_checkpoint(str(place), "a/b", REVISION).facts for place in (base, folder))
    assert after.quantization is not None
    assert release_quantization(after.quantization) is SCHEMES[scheme]
    assert after.weight_bytes < 0.6 * before.weight_bytes
    assert (after.layer_count, after.hidden_size, after.vocabulary) == (2, before.hidden_size, before.vocabulary)


def test_what_lies_beside_the_weights_stays_as_it_is(base: Path, texts: Path, results: Path) -> None:
    folder = quantized(base, texts, results, "FP8_DYNAMIC")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"):
        assert (folder / name).read_bytes() == (base / name).read_bytes()


@pytest.mark.parametrize("scheme", SERVED_BY_A_CPU)
def test_the_loader_takes_the_result_into_a_cache_and_vllm_serves_it(
    base: Path, texts: Path, results: Path, scheme: str, tmp_path: Path
) -> None:
    folder = quantized(base, texts, results, scheme)
    repository = f"quantized/{folder.parent.name}"
    cache = tmp_path / repository / REVISION
    arguments = [f"--source=file://{results}", f"--repository={repository}", f"--revision={REVISION}"]
    status, _, errors = ended(loader(*arguments, f"--target={cache}"))
    assert status == 0, errors
    status, output, errors = verify(cache, f"--repository={repository}", f"--revision={REVISION}", "--deep")
    assert status == 0, errors
    assert "complete" in output
    try:
        packages = vllm_distribution.site_packages(VLLM)
        python = vllm_distribution.interpreter(packages)
    except vllm_distribution.NotHereError as reason:
        pytest.skip(f"NOT TESTED: {reason}")
    request = json.dumps({"model": str(cache), "prompt": "One two three", "tokens": 5})
    script = Path(__file__).with_name("complete_prompt.py")
    answer: dict[str, Any] = json.loads(vllm_distribution.run(python, packages, script, request).splitlines()[-1])
    assert answer["quantization"] == "compressed-tensors"
    assert len(answer["tokens"]) == 5


def test_the_commands_of_the_job_make_the_result_in_the_cache_and_make_it_once(
    base: Path, texts: Path, tmp_path: Path
) -> None:
    """Those of the three containers, as processes one after the other, with folders in the place of their mounts."""
    cache, result = tmp_path / "cache", tmp_path / "result"
    result.mkdir()
    model = {"architecture": "tiny-llama", "repository": REPOSITORY, "revision": base.name, "license": "Apache-2.0"}
    release = {
        "name": "tiny-llama",
        "version": "1.0.0",
        "engine": {"name": "vllm", "version": VLLM},
        "image": {"repository": "localhost/llm-serving/vllm", "tag": VLLM},
        "model": model,
        "context_length": 2048,
    }
    quantization = {
        "name": "tiny-w4",
        "team": "chat",
        "pool": "cpu",
        "base": {"model": "tiny-llama", "release": "1.0.0"},
        "scheme": "W4A16",
        "calibration": {"path": "calibration/chat", "samples": 8, "sequence_length": 64},
        "image": {"repository": "localhost/llm-serving/quantizer", "tag": "0.1.0"},
    }
    claim = {"persistentVolumeClaim": {"claimName": "weights"}}
    arguments: Any = {
        "quantization": quantization,
        "base": release,
        "loader": {"image": {"repository": "localhost/llm-serving/model-loader", "tag": "0.1.0"}},
        "node": {"accelerator": "CPU", "gpus": 1, "cpu": 4, "memory_gib": 16},
        "namespace": "chat",
        "scheduling": {
            "pool": "cpu",
            "accelerator": "CPU",
            "nodeSelector": {},
            "gpusPerNode": 1,
            "nodeAllocatableCpu": 4,
            "nodeAllocatableMemoryGib": 16,
        },
        "cache": {"volume": claim, "loaderVolume": claim},
    }
    job = record(lambda: QuantizationJob("tiny-w4", arguments)).one("kubernetes:batch/v1:Job")
    pod = job["spec.template"]["spec"]
    shutil.copytree(texts, cache / "calibration" / "chat")
    source = base.parents[2]
    weights = [f"--repository={REPOSITORY}", f"--revision={base.name}", f"--target={cache}/tiny-llama/1.0.0"]
    status, _, errors = ended(loader(f"--source=file://{source}", *weights))
    assert status == 0, errors
    for is_there in (False, True):
        for container in (*pod["initContainers"], *pod["containers"]):
            program, *words = container["command"]
            for mount, folder in (("/models", cache), ("/cache", cache), ("/result", result)):
                words = [word.replace(f"={mount}", f"={folder}").replace(f"//{mount}", f"//{folder}") for word in words]
            if program == "llm-serving-quantize":
                done = run(*words)
                status, errors = done.returncode, done.stderr
                assert ("nothing to do" in done.stdout) is is_there
            else:
                assert program == "llm-serving-load"
                status, _, errors = ended(loader(*words))
            assert status == 0, errors[-4000:]
        shutil.rmtree(result)
        result.mkdir()
    (made,) = (cache / "quantized" / "tiny-w4").iterdir()
    status, _, errors = verify(made, "--repository=quantized/tiny-w4", f"--revision={made.name}", "--deep")
    assert status == 0, errors


def test_a_result_that_is_in_the_cache_is_not_made_again(base: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "manifest.json").write_text("{}")
    done = run(f"--base={base}", f"--result={tmp_path / 'result'}", "--scheme=FP8_DYNAMIC", f"--unless={cache}")
    assert done.returncode == 0
    assert f"nothing to do: {cache} is complete" in done.stdout
    assert not (tmp_path / "result").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quantization_config": {"quant_method": "awq"}}, "its weights are quantized already (awq)"),
        ({"num_local_experts": 8}, "it is a mixture of experts (num_local_experts 8)"),
        ({"vision_config": {"depth": 2}}, "it reads more than text (vision_config)"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "'LlamaForSequenceClassification' writes no text"),
    ],
)
def test_a_model_that_is_not_quantized_here_is_refused_before_its_weights_are_read(
    base: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    config = json.loads((base / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    done = run(f"--base={tmp_path}", f"--result={tmp_path / 'result'}", "--scheme=FP8_DYNAMIC")
    assert done.returncode == NEVER
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "result").exists()


@pytest.mark.parametrize(
    ("name", "content", "arguments", "reason"),
    [
        ("short.txt", "Too short.", CALIBRATION, "8 samples of 64 need 512; add text, or take --s"),
        ("bad.jsonl", '{"text": "a"}\n{"prompt": "b"}\n', CALIBRATION, "bad.jsonl:2: it is neither"),
        ("other.csv", "a,b\n", CALIBRATION, "it holds no .jsonl or .txt file"),
        ("long.txt", "word ", ["--sequence-length=1000000"], "the model was made for at most"),
    ],
)
def test_calibration_data_that_cannot_be_used_is_refused_with_what_would_work(
    base: Path, tmp_path: Path, name: str, content: str, arguments: list[str], reason: str
) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / name).write_text(content)
    result = tmp_path / "result"
    calibration = f"--calibration={tmp_path / 'texts'}"
    done = run(f"--base={base}", f"--result={result}", "--scheme=W4A16", calibration, *arguments)
    assert done.returncode == NEVER, done.stderr[-2000:]
    assert reason in done.stderr
    assert not result.exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--scheme=W8A8"], "--scheme W8A8 needs --calibration"),
        (["--scheme=FP8_DYNAMIC", "--samples=4"], "--samples: FP8_DYNAMIC calibrates nothing; leave it out"),
        (["--scheme=FP7"], "invalid choice: 'FP7'"),
    ],
)
def test_wrong_usage_is_told_at_once(base: Path, tmp_path: Path, arguments: list[str], reason: str) -> None:
    done = run(f"--base={base}", f"--result={tmp_path / 'result'}", *arguments)
    assert done.returncode == 2
    assert reason in done.stderr
