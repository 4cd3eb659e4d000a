"""The node goes down and comes back, and everything is as it was."""

from tests.e2e.served import Served
from tests.engine.local_stack import wait_until


def test_a_stopped_node_comes_back_with_the_same_state(served: Served) -> None:
    before = {pod["metadata"]["labels"]["llm-serving.dev/release"] for pod in served.ready_pods()}
    address = served.base()
    served.restart()
    wait_until(lambda: bool(served.ready_pods()) and served.answers(), 240, "the model answers again")
    assert {pod["metadata"]["labels"]["llm-serving.dev/release"] for pod in served.ready_pods()} == before
    assert served.base() == address
    done = served.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert done.returncode == 0, done.stdout
