"""Keys change while the gateway runs."""

from tests.images.gateway.conftest import KEYS
from tests.images.gateway.pods import key, wait_until, write_keys


def test_a_new_key_counts_and_an_old_one_ends_without_a_restart(pod):
    process = pod.process.pid
    write_keys(pod.folder, [*KEYS, key("new")])
    wait_until(lambda: pod.chat("new").status_code == 200, "the new key")
    write_keys(pod.folder, [key("new")])
    wait_until(lambda: pod.chat("any").status_code == 401, "the end of the old key")
    assert pod.chat("new").status_code == 200
    assert pod.process.pid == process
    assert pod.process.poll() is None


def test_a_broken_file_keeps_the_keys_before_it_and_shows_in_the_metrics(pod):
    before = pod.metrics()["llm_gateway_key_file_versions_refused"]
    for broken in ("{", '{"keys": [{"name": "x", "sha256": "short", "team": "t"}]}', '{"keys": [], "more": 1}'):
        write_keys(pod.folder, broken)
        before += 1
        wait_until(
            lambda count=before: pod.metrics()["llm_gateway_key_file_versions_refused"] == count, "the broken file"
        )
        assert pod.metrics()["llm_gateway_key_file_current"] == 0
        assert pod.chat().status_code == 200
    (pod.folder / "keys" / "keys.json").unlink()
    write_keys(pod.folder, [*KEYS, key("after")])
    wait_until(lambda: pod.metrics()["llm_gateway_key_file_current"] == 1, "the good file")
    assert pod.chat("after").status_code == 200


def test_two_keys_of_one_name_share_their_limits_so_that_one_can_follow_the_other(pod):
    old = key("rotated-old", requestsPerMinute=3)
    new = key("rotated-new", requestsPerMinute=3)
    write_keys(pod.folder, [*KEYS, {**old, "name": "rotated"}, {**new, "name": "rotated"}])
    wait_until(lambda: pod.chat("rotated-old").status_code == 200, "the keys")
    answers = [pod.chat(name).status_code for name in ("rotated-new", "rotated-old", "rotated-new")]
    assert answers == [200, 200, 429]
