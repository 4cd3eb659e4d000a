"""The script that prepares a cloud project makes what is missing and leaves alone what is there."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "tools/gcp/prepare-project.sh"

# A stand-in for the Google Cloud CLI: writes down its calls, and "describe" finds what was created before.
GCLOUD = """#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
case "$*" in
  *"buckets describe"*) [ -e "$THERE/bucket" ] ;;
  *"buckets create"*) touch "$THERE/bucket" ;;
  *"keyrings describe"*) [ -e "$THERE/ring" ] ;;
  *"keyrings create"*) touch "$THERE/ring" ;;
  *"keys describe"*) [ -e "$THERE/key" ] ;;
  *"keys create"*) touch "$THERE/key" ;;
esac
"""


def _run(tmp_path: Path, *args: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    calls = tmp_path / "calls"
    calls.write_text("")
    for tool in ("sh", "cat", "date", "touch"):  # nothing else: a real Google Cloud CLI must not be found
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
    assert sum(" create " in call for call in calls) == 3
    second, calls = _run(gcloud, "acme-llm-dev", "us-central1")
    assert second.returncode == 0, second.stderr
    assert not [call for call in calls if " create " in call]


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
