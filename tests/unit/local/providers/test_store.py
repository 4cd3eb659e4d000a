import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local.providers.properties import Secret, Special
from local.providers.store import CHANGED_ELSEWHERE, AlreadyExistsError, Phase, Store

TOKEN = "gcp:compute/network:Network"
URN = "urn:pulumi:dev::shop::gcp:compute/network:Network::net"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "gcp")


def test_a_finished_resource_is_found_again(store: Store) -> None:
    assert store.begin(TOKEN, "projects/p/global/networks/n", URN, {"name": "n"}) is None
    store.finish(TOKEN, "projects/p/global/networks/n", URN, {"name": "n"}, {"name": "n", "selfLink": "x"})
    record = Store(store.directory).get(TOKEN, "projects/p/global/networks/n")
    assert record is not None
    assert (record.phase, record.urn, record.outputs["selfLink"]) == (Phase.READY, URN, "x")
    assert [stored.id for stored in store.all()] == ["projects/p/global/networks/n"]
    assert store.made_by(TOKEN, URN) == [record]
    store.remove(TOKEN, record.id)
    assert store.all() == []


def test_ids_that_look_alike_have_records_of_their_own(store: Store) -> None:
    for id in ("a/b", "a.b", "x/b", "B", "b"):
        store.finish(TOKEN, id, URN, {}, {"id": id})
    assert sorted(record.outputs["id"] for record in store.all(TOKEN)) == sorted(["a/b", "a.b", "x/b", "B", "b"])


def test_an_interrupted_create_is_adopted_by_its_own_urn_only(store: Store) -> None:
    store.begin(TOKEN, "n", URN, {"name": "n"})
    with pytest.raises(AlreadyExistsError) as caught:
        store.begin(TOKEN, "n", URN + "-other", {"name": "n"})
    assert caught.value.record.urn == URN
    adopted = store.begin(TOKEN, "n", URN, {"name": "n"})
    assert adopted is not None
    assert adopted.phase is Phase.CREATING


def test_a_replacement_under_the_same_name_is_no_adoption(store: Store) -> None:
    store.finish(TOKEN, "n", URN, {"name": "n"}, {})
    with pytest.raises(AlreadyExistsError):
        store.begin(TOKEN, "n", URN, {"name": "n"}, adoptable=False)


def test_what_another_process_is_making_right_now_is_not_adopted(store: Store) -> None:
    script = (
        "import sys, time; from pathlib import Path; from local.providers.store import Store; "
        f"Store(Path(sys.argv[1])).begin({TOKEN!r}, 'n', {URN!r}, {{}}); print('begun', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(store.directory)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        with pytest.raises(AlreadyExistsError):
            store.begin(TOKEN, "n", URN, {})
        process.kill()
        process.wait()
        assert store.begin(TOKEN, "n", URN, {}) is not None


def test_secrets_are_not_written_and_come_back_from_who_knows_them(store: Store) -> None:
    inputs = {"token": Secret("hunter2"), "nested": [{"key": Secret({"deep": "hunter3"})}], "plain": "visible"}
    store.finish(TOKEN, "n", URN, inputs, inputs)
    written = b"".join(path.read_bytes() for path in store.directory.rglob("*") if path.is_file())
    assert b"hunter" not in written
    assert b"visible" in written
    record = store.get(TOKEN, "n")
    assert record is not None
    assert store.show(record.inputs, inputs) == inputs
    assert store.show(record.inputs, {**inputs, "token": Secret("other")})["token"] == Secret(CHANGED_ELSEWHERE)
    assert (store.directory / "secrets.key").stat().st_mode & 0o077 == 0


def test_the_same_secret_leaves_the_same_trace_in_one_cloud_only(store: Store, tmp_path: Path) -> None:
    assert store.hide(Secret("x")) == Store(store.directory).hide(Secret("x")) != store.hide(Secret("y"))
    assert store.hide(Secret("x")) != Store(tmp_path / "other").hide(Secret("x"))


def test_assets_can_be_kept(store: Store) -> None:
    asset = {"source": Special("c44067f5952c0a294b673a41bacd8c17", {"path": "x.txt"})}
    store.finish(TOKEN, "n", URN, asset, {})
    record = store.get(TOKEN, "n")
    assert record is not None
    assert store.show(record.inputs, {}) == asset


_WRITER = """
import sys
from pathlib import Path
from local.providers.store import Store
store, number = Store(Path(sys.argv[1])), 0
print("up", flush=True)
while True:
    number += 1
    for id in ("a", "b"):
        store.begin("t", id, "urn", {"number": number})
        store.finish("t", id, "urn", {"number": number}, {"copy": number, "padding": "x" * 20000})
    if number % 3 == 0:
        store.remove("t", "b")
"""


def test_a_writer_killed_at_any_moment_leaves_whole_records_and_no_lock(store: Store) -> None:
    for round in range(6):
        process = subprocess.Popen([sys.executable, "-c", _WRITER, str(store.directory)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.01 + 0.026 * round)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for record in store.all("t"):
            if record.phase is Phase.READY:
                assert record.outputs["copy"] == record.inputs["number"]
                assert len(record.outputs["padding"]) == 20000
            else:
                assert not record.busy
        store.begin("t", "a", "urn", {"number": 0})


def test_two_writers_never_lose_each_others_records(store: Store) -> None:
    script = """
import sys
from pathlib import Path
from local.providers.store import Store
store = Store(Path(sys.argv[1]))
for number in range(40):
    store.begin("t", f"{sys.argv[2]}-{number}", sys.argv[2], {})
    store.finish("t", f"{sys.argv[2]}-{number}", sys.argv[2], {}, {"n": number})
"""
    writers = [subprocess.Popen([sys.executable, "-c", script, str(store.directory), name]) for name in ("one", "two")]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(store.all("t")) == 80


def test_records_are_readable_for_people(store: Store) -> None:
    store.finish(TOKEN, "projects/p/global/networks/main", URN, {"name": "main"}, {})
    (path,) = (store.directory / "resources").rglob("*.json")
    assert path.parent.name == "gcp.compute.network.Network"
    assert path.name.startswith("main-")
    assert json.loads(path.read_text())["phase"] == "ready"
    assert os.listdir(path.parent) == [path.name]
