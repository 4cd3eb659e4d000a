"""What is wrong is said in one message, and what serves goes on serving."""

from tests.e2e.load import Load
from tests.e2e.served import Served


def test_a_release_whose_weights_cannot_be_loaded_is_refused_in_the_loaders_words_and_the_old_one_serves_on(
    served: Served,
) -> None:
    loader = {**served.built["llm-serving:loader"], "source": "file:///nowhere"}
    served.change(lambda model: model.update(releases={"stable": "1.1.0"}))
    try:
        with Load(served) as load:
            done = served.pulumi("up", "--yes", "--skip-preview", runner=served.settings_of_run(loader=loader))
        assert done.returncode != 0
        assert "/nowhere" in done.stdout
        assert "error:" in done.stdout
        assert not load.failed
        assert [pod["metadata"]["labels"]["llm-serving.dev/release"] for pod in served.pods()] == ["1.0.0"]
    finally:
        served.change(lambda model: model.update(releases={"stable": "1.0.0"}))
        served.up()
