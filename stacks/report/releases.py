"""Releases as people read them: what each pins, and which stacks serve it in which role."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_serving.errors import ProblemsError
from llm_serving.planning.replicas import describe_role, releases_of
from stacks.releases import Release, precedence
from stacks.report.sections import Section, prose
from stacks.settings import read_settings_file

HASH_DIGITS = 12
"""Digits of hashes and revisions in tables; outputs carry all of them."""


@dataclass(frozen=True)
class ReleaseUse:
    """A stack that names a release.

    Attributes:
        stack: name of the stack.
        role: what the release is to it, with a canary's weight.
    """

    stack: str
    role: str

    def __str__(self) -> str:
        return f"{self.stack}: {self.role}"


ReleaseUses = Mapping[tuple[str, str], Iterable[ReleaseUse]]
"""Who uses a release, by model and version."""


def read_uses(folder: Path) -> tuple[ReleaseUses, list[str]]:
    """Who uses which release, from every settings file of a folder; and which of these files cannot be read."""
    uses: dict[tuple[str, str], list[ReleaseUse]] = {}
    unreadable: list[str] = []
    for path in sorted(folder.glob("Pulumi.*.yaml")):
        try:
            settings = read_settings_file(path)
        except ProblemsError as error:
            unreadable.append(f"{path.name} is refused, so what it serves is not listed; see `stacks check`: {error}")
            continue
        stack = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
        for model in settings.models:
            for role, version in releases_of(model):
                uses.setdefault((model.name, version), []).append(
                    ReleaseUse(stack, describe_role(model.releases, role, has_gateway=settings.gateway is not None))
                )
    return uses, unreadable


def releases_section(releases: Iterable[Release], uses: ReleaseUses) -> Section:
    """A row a release: models by name, versions in their order."""
    rows = [
        (
            release.spec.name,
            release.spec.version,
            f"{release.spec.engine.name.value} {release.spec.engine.version}",
            release.spec.quantization.value,
            str(release.spec.context_length),
            release.spec.model.revision[:HASH_DIGITS],
            release.sha256[:HASH_DIGITS],
            ", ".join(map(str, uses.get((release.spec.name, release.spec.version), ()))),
        )
        for release in sorted(releases, key=lambda release: (release.spec.name, precedence(release.spec.version)))
    ]
    columns = ("model", "version", "engine", "quantization", "context", "revision", "hash", prose("served by"))
    return Section("Releases", columns, rows)
