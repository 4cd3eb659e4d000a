"""Whatever is done to a valid settings file, it is accepted or refused in words: no traceback, no hang, no memory
beyond what a check needs.

Hypothesis changes the committed stacks. In `make check` the changes are the same in every run; `make fuzz` makes other
ones for as long as ``FUZZ_EXAMPLES`` says.
"""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, cast

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llm_serving.errors import ProblemsError
from stacks.settings import NAMESPACE, read_settings_file, resolve
from tests.unit.stacks.settings_files import settings_data

STACKS = ("dev", "local", "prod", "prod-aws", "staging")
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
"""Examples of a long run; 0 for the fixed ones of `make check`."""
MEMORY_MIB = 300
HANG_SECONDS = 120
"""A check takes a tenth of a second: what lasts that long does not end by itself."""

_Step = int | str
_Place = tuple[_Step, ...]


class HangError(BaseException):
    """A check that does not end; no ``Exception``, so that nothing of ours catches it."""


def _places(value: Any, place: _Place = ()) -> Iterator[_Place]:
    if place:
        yield place
    if isinstance(value, dict):
        items: Any = cast(dict[str, Any], value).items()
    else:
        items = enumerate(cast(list[Any], value)) if isinstance(value, list) else ()
    for step, inner in items:
        yield from _places(inner, (*place, step))


_NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2, 3, 64, 150_000, 2**31, 2**63, 10**30, 0.5, 1.5, -0.0, 1e-9, 1e300]),
    st.integers(-10, 10_000),
    st.floats(allow_nan=True, allow_infinity=True),
)
_TEXTS = st.one_of(
    st.sampled_from(
        ["", " ", "\n", "null", "1e3", "0x10", "on", "${HOME}", "{{ a }}", "a" * 5000, "é", "\u202e", "-", "*"]
    ),
    st.sampled_from(["L4", "H100-80GB", "CPU", "g2-standard-8", "a3-highgpu-8g", "spot", "reservation", "flex-start"]),
    st.sampled_from(
        [
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "FREQ=DAILY;INTERVAL=99999999999",
            "30 8 1-31/2 * 0",
            "qwen3-8b",
            "chat",
            "1.0.0",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "* * * * *",
            "us-east4-a",
            "hf://",
            "gs://a/b",
        ]
    ),
    st.text(max_size=20),
)
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(_TEXTS, st.integers()), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def changed_stacks(draw: st.DrawFn) -> dict[str, Any]:
    """Settings of a committed stack with one to three changes."""
    data = settings_data(draw(st.sampled_from(STACKS)))
    for _ in range(draw(st.integers(1, 3))):
        places = [*_places(data)]
        if places:
            _change(draw, data, draw(st.sampled_from(places)), places)
    return data


def _change(draw: st.DrawFn, data: dict[str, Any], place: _Place, places: list[_Place]) -> None:
    container = _at(data, place[:-1])
    last: Any = place[-1]
    kind = draw(st.sampled_from(["replace", "scalar", "remove", "copy", "rename", "repeat"]))
    if kind == "remove":
        del container[last]
    elif kind == "copy":
        container[last] = yaml.safe_load(yaml.safe_dump(_at(data, draw(st.sampled_from(places)))))
    elif kind == "rename" and isinstance(container, dict):
        container[draw(_TEXTS)] = container.pop(last)
    elif kind == "repeat" and isinstance(container, list):
        container.extend([container[last]] * draw(st.sampled_from([1, 2, 30])))
    else:
        container[last] = draw(_SCALARS if kind == "scalar" else _VALUES)


def _at(data: Any, place: _Place) -> Any:
    for step in place:
        data = data[step]
    return data


@contextmanager
def _limit() -> Iterator[None]:
    def end(signum: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _peak_mib() -> float:
    """Most memory that this process has had; macOS counts bytes, Linux KiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _refusal(path: Path) -> ProblemsError | None:
    try:
        resolve(read_settings_file(path), path.name)
    except ProblemsError as error:
        return error
    return None


@settings(
    max_examples=EXAMPLES or 150,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(data=changed_stacks())
@example(data={})
@example(data={"cloud": "existing", "a" * 5000: 1})
def test_a_changed_stack_is_accepted_or_refused_in_words(data: dict[str, Any]) -> None:
    before = _peak_mib()
    with TemporaryDirectory() as folder, _limit():
        path = Path(folder) / "Pulumi.dev.yaml"
        config = {f"{NAMESPACE}:{key}": value for key, value in data.items()}
        path.write_text(yaml.safe_dump({"config": config}, sort_keys=False, allow_unicode=True), encoding="utf-8")
        refusal = _refusal(path)
    if refusal is not None:
        assert refusal.problems
        assert all(problem.reason and len(str(problem)) < 2000 for problem in refusal.problems), str(refusal)
    assert _peak_mib() - before < MEMORY_MIB
