"""The node goes down and comes back, and everything is as it was."""

from tests.e2e.served import Served
from tests.engine.local_stack import wait_until


def test_a_stopped_node_comes_back_with_the_same_state(stand_in: Served) -> None:
    before = {pod["metadata"]["labels"]["llm-serving.dev/release"] for pod in stand_in.ready_pods()}
    address = stand_in.base()
    stand_in.restart()
    wait_until(lambda: bool(stand_in.ready_pods()) and stand_in.answers(), 240, "the model answers again")
    assert {pod["metadata"]["labels"]["llm-serving.dev/release"] for pod in stand_in.ready_pods()} == before
    assert stand_in.base() == address
    done = stand_in.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert done.returncode == 0, done.stdout
