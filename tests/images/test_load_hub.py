"""The model loader and a hub: the library of Hugging Face against a server that speaks its protocol."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.hub import Hub
from tests.images.models import (
    AGAIN,
    NAME,
    NEVER,
    PATIENCE,
    REVISION,
    contents,
    ended,
    load,
    load_arguments,
    loader,
    verify,
    whole,
)

_SHARD = "model-00002-of-00002.safetensors"


@pytest.fixture
def hub() -> Iterator[Hub]:
    serving = Hub({**whole(), ".gitattributes": b"*", "pytorch_model.bin": b"pickle"})
    yield serving
    serving.close()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_model_of_the_hub_is_copied_whole(hub: Hub, target: Path) -> None:
    status, _, errors = load("hf://", target, HF_ENDPOINT=hub.url)
    assert (status, errors) == (0, "")
    copied = contents(target)
    del copied["manifest.json"]
    assert copied == whole()
    assert verify(target, "--deep")[0] == 0


def test_the_token_goes_to_the_hub_and_never_to_the_network_that_it_redirects_to(hub: Hub, target: Path) -> None:
    hub.token = "hf_secret"
    status, output, errors = load("hf://", target, HF_ENDPOINT=hub.url, HF_TOKEN="hf_secret")
    assert (status, errors) == (0, "")
    assert "hf_secret" not in output
    assert {key for role, path, _, key in hub.requests if role == "hub" and NAME in path} == {"Bearer hf_secret"}
    assert {key for role, _, _, key in hub.requests if role == "network"} == {None}


def test_an_answer_that_ends_in_the_middle_is_continued_from_there(hub: Hub, target: Path) -> None:
    # Larger than what the checks read, so that the copy is what is cut.
    hub.cut = {_SHARD}
    status, _, errors = load("hf://", target, HF_ENDPOINT=hub.url)
    assert (status, errors) == (0, "")
    assert (target / _SHARD).read_bytes() == whole()[_SHARD]


def test_a_hub_that_is_busy_is_asked_again(hub: Hub, target: Path) -> None:
    hub.busy = 1
    assert load("hf://", target, HF_ENDPOINT=hub.url)[0] == 0


def test_bytes_that_do_not_match_the_hubs_hash_are_never_put_in_place(hub: Hub, target: Path) -> None:
    hub.damaged = {_SHARD}
    status, _, errors = load("hf://", target, HF_ENDPOINT=hub.url)
    assert status == NEVER
    assert f"{_SHARD}: its SHA-256 is" in errors
    assert not (target / _SHARD).exists()
    assert verify(target)[0] == AGAIN


def test_bytes_that_were_damaged_on_the_way_are_fetched_again(hub: Hub, target: Path) -> None:
    hub.spoiled = {_SHARD: 2}  # the first answer goes to the checks, which read its header alone
    status, _, errors = load("hf://", target, HF_ENDPOINT=hub.url)
    assert (status, errors) == (0, "")
    assert hub.spoiled == {_SHARD: 0}
    assert (target / _SHARD).read_bytes() == whole()[_SHARD]


def test_a_copy_that_is_there_asks_the_hub_nothing(hub: Hub, target: Path) -> None:
    load("hf://", target, HF_ENDPOINT=hub.url)
    hub.requests.clear()
    assert load("hf://", target, HF_ENDPOINT=hub.url)[0] == 0
    assert hub.requests == []


@pytest.mark.parametrize(
    ("state", "variables", "message"),
    [
        ({"token": "good"}, {"HF_TOKEN": "bad"}, f"{NAME}: the hub refuses the token in HF_TOKEN (401)"),
        ({"token": "good"}, {}, f"--repository '{NAME}': the hub has no such model, or it is private and no token"),
        ({"token": "good", "gated": True}, {}, "the model is gated and no token (HF_TOKEN is empty) does not open it"),
        (
            {"token": "good", "gated": True, "accepted": False},
            {"HF_TOKEN": "good"},
            "the model is gated and the token in HF_TOKEN does not open it",
        ),
        ({}, {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set, so the hub is not asked"),
    ],
)
def test_a_hub_that_says_no_is_told_in_one_message_that_says_what_to_do(
    hub: Hub, target: Path, state: dict[str, object], variables: dict[str, str], message: str
) -> None:
    for name, value in state.items():
        setattr(hub, name, value)
    status, _, errors = load("hf://", target, HF_ENDPOINT=hub.url, **variables)
    assert status == NEVER
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert message in errors


@pytest.mark.parametrize("token", ["", "good"])
def test_who_may_not_open_a_gated_model_is_told_the_page_to_visit(hub: Hub, target: Path, token: str) -> None:
    hub.token, hub.gated, hub.accepted = "good", True, False
    status, _, errors = load("hf://", target, HF_ENDPOINT=hub.url, HF_TOKEN=token)
    assert status == NEVER
    assert f"visit {hub.url}/{NAME}, accept its licence with the account of the token" in errors


def test_a_revision_that_the_hub_does_not_have_is_named(hub: Hub, target: Path) -> None:
    other = REVISION[::-1]
    arguments = load_arguments("hf://", target, revision=other)
    status, _, errors = ended(loader(*arguments, HF_ENDPOINT=hub.url))
    assert status == NEVER
    assert errors.startswith(f"error: --revision '{other}': {NAME} has no such commit")


def test_sigterm_ends_a_loader_that_waits_for_a_hub(target: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = loader(*load_arguments("hf://", target, "--attempts=100"), HF_ENDPOINT=endpoint)
        try:
            listener.accept()[0].close()
        except TimeoutError:
            process.kill()
            raise
    process.send_signal(signal.SIGTERM)
    status, _, errors = ended(process)
    assert (status, errors.count("\n")) == (128 + signal.SIGTERM, 1)


def test_sigterm_ends_a_loader_whose_worker_waits_for_a_file(hub: Hub, target: Path) -> None:
    # No check reads it, so a worker does. All attempts together would take longer than the test waits.
    hub.silent = {"extra/README.md"}
    process = loader(*load_arguments("hf://", target, "--attempts=100"), HF_ENDPOINT=hub.url)
    end = time.monotonic() + PATIENCE
    while not any(path.endswith("extra/README.md") for _, path, _, _ in hub.requests):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    status, _, errors = ended(process)
    assert (status, errors.count("\n")) == (128 + signal.SIGTERM, 1)


def test_a_hub_that_cannot_be_reached_is_named_with_what_to_check(target: Path) -> None:
    status, _, errors = load("hf://", target, "--attempts=2", HF_ENDPOINT="http://127.0.0.1:1")
    assert status == AGAIN
    assert "http://127.0.0.1:1 does not answer" in errors
    assert "check the network policy, the proxy and HF_ENDPOINT; given up after 2 attempts" in errors
