import pytest

from bench.previews import QUICK, Plan
from bench.projects import dev_files
from stacks.settings import read_settings_file, resolve


@pytest.mark.parametrize("models", sorted({*Plan().model_counts, *QUICK.model_counts}))
def test_the_rules_accept_the_settings_of_every_measured_stack(tmp_path, models):
    settings, packages = dev_files(tmp_path, models)
    file = settings / "Pulumi.dev.yaml"
    stack = resolve(read_settings_file(file), str(file), packages / "stacks/releases")
    assert len({model.spec.name for model in stack.models}) == models
