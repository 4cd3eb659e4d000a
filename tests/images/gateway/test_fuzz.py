"""Whatever is sent to the paths of the interface, it is answered as their description says: never 500, never nothing.

schemathesis makes requests of the description that the request checks are written down in, right ones and wrong ones,
with every field and beyond every bound. `make test-images` sends the same ones each time; `make fuzz` other ones, as
many as ``FUZZ_REQUESTS`` says.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from local.state_folder import REPOSITORY
from tests.images.gateway.clients_environment import CLIENTS
from tests.images.gateway.environment import GATEWAY, SOURCES
from tests.images.gateway.pods import wait_until

DESCRIPTION = REPOSITORY / "docs/gateway-openapi.json"
REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "0"))
"""Of a long run; 0 for the fixed ones."""
FIXED = 1000
"""How many those are at least: schemathesis itself decides how many cover a schema."""
SEED = "14"
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "negative_data_rejection", "unsupported_method", "ignored_auth",
    "nothing_of_the_inside", "described_requests_are_answered",
)  # fmt: skip
HANG_SECONDS = 60
MODELS = {"Chat": ["tiny", "second"], "Completion": ["tiny"], "Embedding": ["vectors"], "Rerank": ["scores"]}


def test_the_description_is_what_the_request_checks_say():
    made = subprocess.run(
        [GATEWAY.interpreter(), "-m", "llm_serving_gateway.openapi"],
        env={"PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    )
    renewed = "python -m llm_serving_gateway.openapi > docs/gateway-openapi.json, in the gateway's Python"
    assert DESCRIPTION.read_text() == made.stdout, f"make it anew: {renewed}"


def answered(pod):
    return sum(value for name, value in pod.metrics().items() if name.startswith("llm_gateway_requests_total{"))


def in_flight(pod):
    return sum(value for name, value in pod.metrics().items() if name.startswith("llm_gateway_requests_in_flight{"))


@pytest.mark.timeout(0 if REQUESTS else 900)
def test_no_request_ends_in_a_fault_of_the_gateway(pod, tmp_path):
    description = json.loads(DESCRIPTION.read_text())
    for name, models in MODELS.items():
        description["components"]["schemas"][name]["properties"]["model"]["enum"] = models
    (tmp_path / "openapi.json").write_text(json.dumps(description))
    before, logged = answered(pod), len(pod.log)
    python = CLIENTS.interpreter()
    command = [python, python.with_name("st"), "run", tmp_path / "openapi.json", "--url", pod.url, "--no-color"]
    command += ["--header", "Authorization: Bearer sk-llm-any", "--checks", ",".join(CHECKS)]
    command += ["--phases", "coverage,fuzzing", "--continue-on-failure", "--no-shrink"]
    command += ["--request-timeout", str(HANG_SECONDS), "--suppress-health-check", "all"]
    if REQUESTS:
        # Few paths have no body, and few requests.
        command += ["--max-examples", str(REQUESTS // 4), "--generation-database", "none"]
    else:
        command += ["--max-examples", "20", "--seed", SEED, "--generation-deterministic"]
    hooks = {"SCHEMATHESIS_HOOKS": "schemathesis_checks", "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.run(
        command, env={**os.environ, **hooks}, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-12_000:] + run.stderr[-2000:]
    assert answered(pod) - before >= (REQUESTS or FIXED)
    assert "Traceback" not in pod.log[logged:]
    wait_until(lambda: in_flight(pod) == 0, "the end of all requests")
