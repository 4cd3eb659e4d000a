"""The script that prepares a cloud project makes what is missing and leaves alone what is there."""

import contextlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.cloud.gcp.environment import EVERY_COMPONENT, network
from tests.unit.recording import Recording

SCRIPT = Path(__file__).resolve().parents[3] / "tools/gcp/prepare-project.sh"

# A stand-in for the Google Cloud CLI: writes down its calls, and "describe" finds what was created before.
GCLOUD = """#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
  *"buckets describe"*) [ -e "$THERE/bucket" ] ;;
  *"buckets create"*) touch "$THERE/bucket" ;;
  *"repositories describe"*) [ -e "$THERE/repository-$4" ] ;;
  *"repositories create"*) touch "$THERE/repository-$4" ;;
  *"keyrings describe"*) [ -e "$THERE/ring" ] ;;
  *"keyrings create"*) touch "$THERE/ring" ;;
  *"keys describe"*) [ -e "$THERE/key" ] ;;
  *"keys create"*) touch "$THERE/key" ;;
esac
"""


def _run(tmp_path: Path, *args: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    calls = tmp_path / "calls"
    calls.write_text("")
    for tool in ("sh", "cat", "date", "touch", "tr"):  # nothing else: a real Google Cloud CLI must not be found
        with contextlib.suppress(FileExistsError):
            (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    env = os.environ | {
        "PATH": str(tmp_path / "bin"),
        "CALLS": str(calls),
        "THERE": str(tmp_path),
    }
    done = subprocess.run(["/bin/sh", str(SCRIPT), *args], env=env, capture_output=True, text=True, check=False)
    return done, calls.read_text().splitlines()


@pytest.fixture
def gcloud(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/gcloud"
    program.write_text(GCLOUD)
    program.chmod(0o755)
    return tmp_path


def test_a_second_run_creates_nothing(gcloud: Path) -> None:
    first, calls = _run(gcloud, "acme-llm-dev", "us-central1")
    assert first.returncode == 0, first.stderr
    assert sum(" create " in call for call in calls) == 5
    second, calls = _run(gcloud, "acme-llm-dev", "us-central1")
    assert second.returncode == 0, second.stderr
    assert not [call for call in calls if " create " in call]


def test_nodes_get_a_registry_for_images_of_ours_and_one_that_brings_docker_hubs(gcloud: Path) -> None:
    _, calls = _run(gcloud, "acme-llm-dev", "us-central1")
    ours, remote = (call for call in calls if "repositories create" in call)
    assert "--immutable-tags" in ours
    assert "create docker-hub --project acme-llm-dev --location us-central1" in remote
    assert "--mode remote-repository --remote-docker-repo DOCKER-HUB" in remote


def test_a_project_of_a_domain_gets_names_that_buckets_and_registries_take(gcloud: Path) -> None:
    done, calls = _run(gcloud, "example.com:my-project", "us-central1")
    create = next(call for call in calls if "buckets create" in call)
    assert "gs://example-com-my-project-pulumi-state --project example.com:my-project" in create
    assert "us-central1-docker.pkg.dev/example.com/my-project/llm-serving" in done.stdout


def test_the_state_bucket_is_private_and_keeps_versions(gcloud: Path) -> None:
    _, calls = _run(gcloud, "acme-llm-dev", "us-central1", "my-state")
    create = next(call for call in calls if "buckets create" in call)
    assert "gs://my-state" in create
    assert "--public-access-prevention" in create
    assert "--uniform-bucket-level-access" in create
    assert any("buckets update gs://my-state --versioning" in call for call in calls)


def test_it_ends_with_the_commands_to_type_next(gcloud: Path) -> None:
    done, _ = _run(gcloud, "acme-llm-dev", "us-central1")
    key = "gcpkms://projects/acme-llm-dev/locations/us-central1/keyRings/pulumi/cryptoKeys/state"
    assert "pulumi login gs://acme-llm-dev-pulumi-state" in done.stdout
    assert key in done.stdout


def test_missing_arguments_and_a_missing_program_are_told(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done, _ = _run(tmp_path, "acme-llm-dev")
    assert done.returncode != 0
    assert "usage:" in done.stderr
    done, _ = _run(tmp_path, "acme-llm-dev", "us-central1")
    assert done.returncode == 1
    assert "install the Google Cloud CLI" in done.stderr


# --- what the program needs is what the script enables and the documentation names

ROOT = SCRIPT.parents[2]
PREREQUISITES: dict[str, Any] = yaml.safe_load((SCRIPT.parent / "prerequisites.yaml").read_text())


@cache
def recordings() -> tuple[Recording, ...]:
    """Every component, and settings that add types of resources."""
    return (*(make() for make in EVERY_COMPONENT.values()), network(ranges={"nat_addresses": 1}))


def needed() -> list[dict[str, str]]:
    """Rows of everything that the programs of the stacks, and all components, ask Google Cloud for.

    Raises:
        KeyError: a type of resource, or a function, that no row describes.
    """
    golden = [line.split()[0] for page in sorted(ROOT.glob("tests/engine/golden/*.txt")) for line in page.open()]
    types = {resource.type for recording in recordings() for resource in recording} | set(golden)
    functions = {token for recording in recordings() for token, _ in recording.invokes if token.startswith("gcp:")}
    switched_on = [
        row
        for row in PREREQUISITES["inputs"]
        if any(resource.get(row["input"]) for recording in recordings() for resource in recording)
    ]
    return [
        *(PREREQUISITES["resources"][token] for token in sorted(types) if token.startswith("gcp:")),
        *(PREREQUISITES["functions"][token] for token in functions),
        *switched_on,
    ]


def test_the_script_enables_the_api_of_every_resource_that_the_program_makes(gcloud: Path) -> None:
    _, calls = _run(gcloud, "acme-llm-dev", "us-central1")
    (enable,) = [call for call in calls if call.startswith("services enable")]
    enabled = {word for word in enable.split() if word.endswith(".googleapis.com")}
    assert enabled == {row["api"] for row in needed()}


def test_image_streaming_has_its_api() -> None:
    """GKE documentation, "Use Image streaming to pull container images": without it images are pulled."""
    assert "containerfilesystem.googleapis.com" in {row["api"] for row in needed()}


def test_no_row_describes_what_the_program_does_not_ask_for() -> None:
    rows = needed()
    for table in ("resources", "functions"):
        assert all(row in rows for row in PREREQUISITES[table].values())
    assert all(row in rows for row in PREREQUISITES["inputs"])


def test_the_page_names_every_role_that_whoever_runs_pulumi_needs() -> None:
    page = (ROOT / "docs/cloud-account.md").read_text()
    (roles,) = re.findall(r"## Who runs Pulumi\n(.*?)\n## ", page, re.DOTALL)
    named = set(re.findall(r"roles/[A-Za-z.]+", roles))
    assert {row["role"] for row in needed() if "role" in row} | {"roles/cloudkms.cryptoKeyEncrypterDecrypter"} == named
