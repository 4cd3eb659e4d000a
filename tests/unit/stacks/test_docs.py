"""What the documents say of settings, files and examples is true."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from llm_serving import catalog
from stacks.images.lock import read_images
from stacks.releases.store import RELEASES, read_releases, release_of
from stacks.settings import AwsSettings, ExistingSettings, GcpSettings, Stack, read_settings_file, resolve
from tests.unit.stacks.settings_files import REPOSITORY

SETTINGS_PAGE = REPOSITORY / "docs/settings.md"
RELEASES_PAGE = REPOSITORY / "docs/releases.md"
PAGES = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "examples").rglob("*.md"),
        *(REPOSITORY / "components").rglob("*.md"),
        *(REPOSITORY / "images").glob("*.md"),
        *(REPOSITORY / "tools").rglob("*.md"),
    ]
)
GUIDES = [
    REPOSITORY / "docs/monitoring.md",
    REPOSITORY / "docs/runbook.md",
    *sorted((REPOSITORY / "docs").glob("gateway*.md")),
]
SECTIONS = {
    GcpSettings: "On Google Cloud",
    AwsSettings: "On AWS",
    ExistingSettings: "On a cluster that is already there",
}
COMMON = "Everywhere"


def test_every_setting_is_in_the_reference_with_its_default() -> None:
    for model, section in SECTIONS.items():
        documented = {**rows(COMMON), **rows(section)}
        assert set(documented) == {path for path, _ in fields(model)}, section
        for path, default in fields(model):
            cell = documented[path]["Default"].strip("`")
            documented_default = cell if isinstance(default, str) else yaml.safe_load(cell)
            assert documented_default == default, f"{section}: {path}"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_settings_that_a_guide_names_are_there(page: Path) -> None:
    """By their path or the end of it: `autoscaling.min`. Outputs of a stack are named in the same way."""
    known = {path.replace("[]", "") for model in SECTIONS for path, _ in fields(model)}
    sections = {part for path in known for part in path.split(".")[:-1]}
    named = re.findall(r"`([a-z][A-Za-z]*(?:\.[A-Za-z]+)+)(?:: [^`]+)?`", page.read_text().replace("[]", ""))
    for name in {each for each in named if each.split(".")[0] in sections} - {"gateway.url", "gateway.address"}:
        assert any(f".{path}".endswith(f".{name}") for path in known), f"{name}: no such setting"


def test_the_settings_marked_as_fixed_are_those_that_an_update_compares() -> None:
    for section in SECTIONS.values():
        (example,) = (text for text in examples(SETTINGS_PAGE) if text in text_of(section))
        marked = {path for path, row in rows(section).items() if "**Fixed.**" in row["Meaning"]}
        assert marked == set(resolve_example(example).settings.fixed), section


def test_example_settings_are_accepted_and_the_reference_has_one_of_every_cloud() -> None:
    assert {type(resolve_example(example).settings) for example in examples(SETTINGS_PAGE)} == {*SECTIONS}
    assert {type(resolve_example(example).settings) for example in examples(REPOSITORY / "README.md")} <= {*SECTIONS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.is_relative_to(REPOSITORY), f"{target} leads out of the repository"
        assert path.exists(), f"{target} is not there"
        if anchor:
            assert anchor in anchors(path.read_text()), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_lines_are_120_columns_wide_at_most(page: Path) -> None:
    """Not rows of tables, which Markdown cannot wrap, nor what programs print, nor an address alone on its line."""

    def kept(block: re.Match[str]) -> str:
        return "" if block[1] in ("", "console") else block[0]

    # Block by block: the end of one is not the beginning of the next.
    written = re.sub(r"^ *```(\w*)\n.*?^ *```$", kept, page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for line in written.splitlines():
        assert len(line) <= 120 or line.startswith("|") or " " not in line.strip(), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_tables_have_a_header_and_as_many_cells_in_each_row(page: Path) -> None:
    """Else Markdown shows their rows as text."""
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for table in re.findall(r"^\|.*\n(?:\|.*\n?)*", prose, re.MULTILINE):
        first = table.splitlines()[0]
        assert re.match(r"\|.*\n\|(?: *:?-+:? *\|)+\n", table), f"{first}: no header"
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, f"{first}: cells"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_files_that_are_named_are_there(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for name in re.findall(r"`((?:\.github|[a-z]+)/[\w./-]+)`", text):
        if (REPOSITORY / name.partition("/")[0]).is_dir():
            assert (REPOSITORY / name).exists(), f"{name} is not there"


def test_the_whole_release_file_of_the_page_is_accepted() -> None:
    (text,) = re.findall(r"## A whole file\n+```yaml\n(.*?)^```", RELEASES_PAGE.read_text(), re.DOTALL | re.MULTILINE)
    release = release_of(yaml.safe_load(text), read_images(RELEASES), "llama.yaml", "docs/releases.md").spec
    assert catalog.architecture(release.model.architecture).max_context >= release.context_length
    assert (release.name, release.version) not in read_releases()  # one that a reader may add


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Property paths of a settings model and their defaults as YAML has them; ``required`` where there is none."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        inner = inner_model(field.annotation)
        if field.is_required():
            yield path, "required"
        elif isinstance(field.default, BaseModel):
            assert field.default == type(field.default)(), f"{path} is more than its own defaults"
            yield path, {}
        else:
            yield path, plain(field.default)
        if inner is not None:
            many = get_origin(field.annotation) is tuple
            yield from fields(inner, f"{path}[]." if many else f"{path}.")


def plain(value: Any) -> Any:
    """A default in the form in which it would stand in a file."""
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, int | float | dict | None) else str(value)


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """The model in ``Model``, ``tuple[Model, ...]`` or ``Model | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, Union, UnionType):
        return next((model for inner in get_args(annotation) if (model := inner_model(inner))), None)
    return None


def text_of(section: str) -> str:
    """The text below a heading of the reference, up to the next one."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", SETTINGS_PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return text


def rows(section: str) -> dict[str, dict[str, str]]:
    """The rows of a section's table, by key."""
    lines = [line for line in text_of(section).splitlines() if line.startswith("|")]
    header, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    table = [dict(zip(header, cells, strict=True)) for cells in body]
    assert len({row["Key"] for row in table}) == len(table), f"{section}: a key stands there twice"
    return {row["Key"].strip("`"): row for row in table}


def examples(page: Path) -> list[str]:
    """The complete settings files among a page's examples."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [block for block in blocks if "llm-serving:cloud:" in block]


def resolve_example(example: str) -> Stack:
    """The stack of an example, read as a file is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Pulumi.example.yaml"
        path.write_text(example)
        return resolve(read_settings_file(path), path.name)


def without_code(text: str) -> str:
    """Markdown without blocks and spans of code, in which brackets mean something else."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
