"""A name of another tool leads to the setting of ours that means the same."""

import pytest
from pydantic import BaseModel

from llm_serving.arguments import parse
from llm_serving.errors import ProblemsError
from llm_serving.other_names import PATHS
from llm_serving.spec import (
    AutoscalingSpec,
    CapacityEntry,
    ExistingPoolSpec,
    LoaderSpec,
    ModelSpec,
    ScheduleSpec,
    TeamSpec,
)
from llm_serving.spec.gcp import GcpClusterSpec, GcpPoolSpec
from stacks.settings.models import ExistingSettings, GcpSettings

HOLDERS: tuple[type[BaseModel], ...] = (
    ModelSpec,
    GcpPoolSpec,
    ExistingPoolSpec,
    CapacityEntry,
    TeamSpec,
    LoaderSpec,
    AutoscalingSpec,
    ScheduleSpec,
    GcpClusterSpec,
    GcpSettings,
    ExistingSettings,
)
"""Where people type such names."""


@pytest.mark.parametrize("path", PATHS)
def test_a_name_of_another_tool_leads_to_ours(path: str) -> None:
    lost = [name for name in PATHS[path].split() if not any(_leads(holder, name, path) for holder in HOLDERS)]
    assert not lost


def _leads(holder: type[BaseModel], name: str, path: str) -> bool:
    """Whether a message about the unknown key names the setting; true also where ours has the name itself."""
    if name in {field.alias for field in holder.model_fields.values()}:
        return True
    with pytest.raises(ProblemsError) as caught:
        parse(holder, {name: "x"})
    suggestions = [problem.suggestion for problem in caught.value.problems if problem.reason == "unknown key"]
    return any(_is_end_of(said, path) for each in suggestions for said in each.split(", "))


def _is_end_of(name: str, path: str) -> bool:
    return f".{path}".endswith(f".{name}")
