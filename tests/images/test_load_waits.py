"""What the loader waits for: rights that are not known everywhere yet, and servers that ask to be left alone."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from llm_serving_load.errors import InterruptedTransferError, RefusedError, StoppedError, TemporaryError
from llm_serving_load.main import GRANT_SECONDS
from llm_serving_load.retrier import Retrier
from llm_serving_load.retry_after import retry_after

from llm_serving.planning import timeouts
from tests.images.clouds import ACCOUNT, CredentialServer
from tests.images.hub import Hub
from tests.images.models import AGAIN, NAME, NEVER, REVISION, is_of_a_cloud, load, put, whole
from tests.images.storage import Bucket, GoogleBucket, S3Bucket

_PLACE = "cache/tiny/1.0.0"
_DATE = "Sat, 28 Nov 2026 12:00:00 GMT"
_LATER = "Sat, 28 Nov 2026 12:00:42 GMT"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing leads out of here: no account, store or proxy of whoever runs the tests."""
    for name in filter(is_of_a_cloud, list(os.environ)):
        monkeypatch.delenv(name)


@pytest.fixture(params=[S3Bucket, GoogleBucket], ids=["s3", "gs"])
def bucket(request: pytest.FixtureRequest) -> Iterator[Bucket]:
    opened: Bucket = request.param()
    yield opened
    opened.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    put(tmp_path / "source", whole())
    return tmp_path / "source"


@pytest.fixture
def hub() -> Iterator[Hub]:
    serving = Hub(whole())
    yield serving
    serving.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that a retrier would wait, in their order."""
    seconds: list[float] = []
    monkeypatch.setattr(Retrier, "_wait", lambda self, wait: seconds.append(wait))
    return seconds


def _identity(bucket: Bucket, credentials: CredentialServer) -> dict[str, str]:
    """Variables of a pod that has its identity from the cloud's own server."""
    if isinstance(bucket, S3Bucket):
        keys = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
        return {**{name: value for name, value in bucket.variables.items() if name not in keys}, **credentials.aws}
    return {"API_ENDPOINT_OVERRIDE": bucket.variables["STORAGE_EMULATOR_HOST"], **credentials.google}


def test_a_target_that_knows_of_the_right_only_after_some_requests_is_filled(bucket: Bucket, source: Path) -> None:
    bucket.faults.refusals = 2
    status, output, errors = load(source, f"{bucket.url}/{_PLACE}", **bucket.variables)
    assert (status, errors) == (0, "")
    assert "a right that was granted a moment ago is not known everywhere yet" in output
    assert "manifest.json" in bucket.below(_PLACE)


def test_a_token_that_is_denied_at_first_is_asked_for_again(bucket: Bucket, source: Path) -> None:
    credentials = CredentialServer(refusals=4)  # AWS's library itself asks three times
    try:
        status, output, errors = load(source, f"{bucket.url}/{_PLACE}", **_identity(bucket, credentials))
    finally:
        credentials.close()
    assert (status, errors) == (0, "")
    assert credentials.refusals == 0
    assert "not known everywhere yet" in output
    assert "manifest.json" in bucket.below(_PLACE)


def test_a_target_that_refuses_for_ever_is_given_up_for_good_with_who_lacks_which_right(
    bucket: Bucket, source: Path
) -> None:
    bucket.faults.status = 403
    credentials = CredentialServer()
    variables = {**_identity(bucket, credentials), "LLM_SERVING_LOAD_GRANT_TIMEOUT": "2"}
    if isinstance(bucket, S3Bucket):
        variables["AWS_ROLE_ARN"] = "arn:aws:iam::1:role/loader"
    try:
        status, _, errors = load(source, f"{bucket.url}/{_PLACE}", **variables)
    finally:
        credentials.close()
    assert (status, errors.count("\n")) == (NEVER, 1)
    assert errors.startswith(f"error: {bucket.url}: it is refused for ")
    who, right = ("role/loader", "s3:PutObject") if isinstance(bucket, S3Bucket) else (ACCOUNT, "storage.objectUser")
    assert who in errors
    assert right in errors
    assert "refused since 2 s" in errors


def test_a_right_that_comes_late_in_the_middle_of_a_file_costs_nothing(
    bucket: Bucket, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store forgets about the right as soon as the claim is there: another of its servers answers."""
    answer = bucket.faults.status_of

    def status_of(method: str, path: str, query: str) -> int:
        if method in ("PUT", "POST") and not any(method in line for line in bucket.faults.written()):
            status = answer(method, path, query)
            bucket.faults.refusals = 1
            return status
        return answer(method, path, query)

    monkeypatch.setattr(bucket.faults, "status_of", status_of)
    status, _, errors = load(source, f"{bucket.url}/{_PLACE}", **bucket.variables)
    assert (status, errors) == (0, "")
    assert bucket.faults.refusals == 0


def test_a_bucket_that_is_the_source_refuses_for_good(bucket: Bucket, tmp_path: Path) -> None:
    bucket.faults.status = 403
    status, output, errors = load(f"{bucket.url}/models", tmp_path / "cache", **bucket.variables)
    assert (status, errors.count("\n")) == (NEVER, 1)
    assert "it is refused" in errors
    assert "asked again" not in output


def test_the_deadline_of_the_job_leaves_room_for_rights_that_come_late() -> None:
    assert timeouts.GRANT_SECONDS == GRANT_SECONDS


def test_refusals_count_from_the_first_one_on_whoever_meets_it(waits: list[float]) -> None:
    retrier = Retrier(grant_timeout=0.001)

    def refuse() -> None:
        raise RefusedError("gs://models: no")

    with pytest.raises(RefusedError, match="gs://models: no; refused since 0 s"):
        retrier.retry(refuse)
    assert waits.pop() > 0
    waits.clear()
    with pytest.raises(RefusedError, match="gs://models: no; refused since 0 s"):
        retrier.retry(refuse)
    assert waits == []


@pytest.mark.parametrize("header", [{"Retry-After": "0"}, {"Retry-After": _DATE}, {"RateLimit": '"api";r=0;t=0'}])
def test_a_hub_that_names_the_wait_costs_no_attempt(hub: Hub, tmp_path: Path, header: dict[str, str]) -> None:
    hub.limited, hub.limits = 2, header
    status, output, errors = load("hf://", tmp_path / "cache", "--attempts=1", HF_ENDPOINT=hub.url)
    assert (status, errors) == (0, "")
    assert "answers 429; the server asks to wait: again in 1 s" in output


def test_a_hub_that_names_no_wait_costs_attempts(hub: Hub, tmp_path: Path) -> None:
    hub.limited, hub.limits = 1, {"RateLimit": '"api";r=7;t=55'}
    status, _, errors = load("hf://", tmp_path / "cache", "--attempts=1", HF_ENDPOINT=hub.url)
    assert status == AGAIN
    assert "answers 429; given up after 1 attempts" in errors


def test_a_target_that_names_the_wait_costs_no_attempt(bucket: Bucket, source: Path) -> None:
    bucket.faults.busy, bucket.faults.retry_after = 7, "0"
    status, output, errors = load(source, f"{bucket.url}/{_PLACE}", **bucket.variables)
    assert (status, errors) == (0, "")
    assert "the server asks to wait" in output


def test_a_source_bucket_that_names_the_wait_costs_no_attempt(bucket: Bucket, tmp_path: Path) -> None:
    for name, content in whole().items():
        bucket.put(f"models/{NAME}/{REVISION}/{name}", content)
    bucket.faults.busy, bucket.faults.retry_after = 2, "0"
    status, _, errors = load(f"{bucket.url}/models", tmp_path / "cache", "--attempts=1", **bucket.variables)
    assert (status, errors) == (0, "")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "120"}, 120),
        ({"retry-after": _LATER, "date": _DATE}, 42),
        ({"Retry-After": _DATE}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}, 55),
        ({"ratelimit": '"api";r=12;t=55, "resolvers";r=0;t=70'}, 70),
        ({"RateLimit": '"api"; r=12; t=55'}, None),
        ({"RateLimit": '"api";r=0;t=55', "Retry-After": "60"}, 60),
    ],
)
def test_a_wait_is_read_from_each_header_that_names_one(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_named_wait_is_kept_but_not_for_ever(waits: list[float]) -> None:
    def busy() -> None:
        raise InterruptedTransferError("the hub answers 429", 55)

    with pytest.raises(TemporaryError, match="given up after 2 attempts"):
        Retrier(attempts=2).retry(busy)
    named = [wait for wait in waits if wait == 56]
    assert sum(named) <= 900 < sum(named) + 56
    assert [wait for wait in waits if wait != 56] == [1]


def test_a_server_that_names_a_day_is_asked_again_after_minutes(waits: list[float]) -> None:
    answers = iter([InterruptedTransferError("busy", 86400.0)])

    def busy_once() -> str:
        for error in answers:
            raise error
        return "done"

    assert Retrier(attempts=1).retry(busy_once) == "done"
    assert waits == [300]


def test_nobody_waits_for_a_server_once_the_loader_ends() -> None:
    stop = threading.Event()

    def busy() -> None:
        stop.set()
        raise InterruptedTransferError("busy", 200.0)

    with pytest.raises(StoppedError):
        Retrier(ended=stop.is_set).retry(busy)
