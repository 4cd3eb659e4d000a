"""docs/catalog.md says what the catalog holds: models, GPUs, engines."""

from collections.abc import Iterable, Sequence

import pytest

from llm_serving.catalog import accelerators, architectures, engine_features, engine_versions
from llm_serving.spec import EngineName, Quantization
from local.state_folder import REPOSITORY

PAGE = REPOSITORY / "docs" / "catalog.md"


def models() -> str:
    rows = (
        (f"`{model.name}`", model.repository, f"{model.parameters / 1e9:.3g}", f"{model.max_context}")
        for model in architectures()
    )
    return table(("`architecture`", "Repository on the hub", "Parameters, billions", "Longest context, tokens"), rows)


def gpus() -> str:
    rows = (
        (
            f"`{gpu.name}`",
            f"{gpu.memory_gib}" if gpu.memory_gib else "of the host",
            names(gpu.accelerates),
            names(gpu.weight_only),
            "yes" if "gcp" in gpu.sold_by else "-",
        )
        for gpu in accelerators()
    )
    return table(("`accelerator`", "GiB", "Computes in", "Stores weights in", "On Google Cloud"), rows)


def engines() -> str:
    features = sorted(set().union(*(engine_features(engine) for engine in EngineName)))
    rows = [("versions whose flags are known", *(", ".join(engine_versions(engine)) or "any" for engine in EngineName))]
    rows += [
        (feature, *("yes" if engine_features(engine)[feature].has else "-" for engine in EngineName))
        for feature in features
    ]
    return table(("Feature", *EngineName), rows)


def names(quantizations: Iterable[Quantization]) -> str:
    return ", ".join(sorted(quantizations))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return f"| {' | '.join(header)} |\n|{'---|' * len(header)}\n{lines}"


@pytest.mark.parametrize("expected", [models, gpus, engines])
def test_the_page_has_a_row_for_everything_in_the_catalog(expected):
    assert expected() in PAGE.read_text(), expected()
