"""What is wrong is said in one message, and what serves goes on serving."""

from tests.e2e.load import Load
from tests.e2e.served import Served


def test_a_release_whose_weights_cannot_be_loaded_is_refused_in_the_loaders_words_and_the_old_one_serves_on(
    stand_in: Served,
) -> None:
    loader = {**stand_in.built["llm-serving:loader"], "source": "file:///nowhere"}
    stand_in.change(lambda model: model.update(releases={"stable": "1.1.0"}))
    try:
        with Load(stand_in) as load:
            done = stand_in.pulumi("up", "--yes", "--skip-preview", runner=stand_in.settings_of_run(loader=loader))
        assert done.returncode != 0
        assert "/nowhere" in done.stdout
        assert "error:" in done.stdout
        assert not load.failed
        assert [pod["metadata"]["labels"]["llm-serving.dev/release"] for pod in stand_in.pods()] == ["1.0.0"]
    finally:
        stand_in.change(lambda model: model.update(releases={"stable": "1.0.0"}))
        stand_in.up()
