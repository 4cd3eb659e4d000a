"""Releases and replica counts change while clients ask, and no client notices."""

from tests.e2e.load import Load
from tests.e2e.served import ONE_PLACE, Served
from tests.engine.local_stack import wait_until


def test_another_release_takes_over_without_a_failed_request(served: Served) -> None:
    before = served.ready_pods()[0]["metadata"]
    text = served.chat(temperature=0)["choices"][0]["message"]["content"]
    with Load(served) as load:
        served.change(lambda model: model.update(ONE_PLACE))
        served.up()
        wait_until(lambda: len(served.pods()) == 1, 120, "the old instance is gone")
    assert not load.failed
    assert load.answered > 0
    after = served.ready_pods()[0]["metadata"]
    assert after["name"] != before["name"]
    assert after["labels"]["llm-serving.dev/release"] == "1.2.0"
    # Other weights, other words.
    assert served.chat(temperature=0)["choices"][0]["message"]["content"] != text


def test_scaling_to_two_instances_and_back_loses_no_request(stand_in: Served) -> None:
    with Load(stand_in) as load:
        stand_in.change(lambda model: model.update(replicas=2))
        stand_in.up()
        assert len(stand_in.ready_pods()) == 2
        stand_in.change(lambda model: model.update(replicas=1))
        stand_in.up()
        wait_until(lambda: len(stand_in.pods()) == 1, 120, "the second instance is gone")
    assert not load.failed
    assert load.answered > 0
