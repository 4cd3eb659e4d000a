"""No version that the gateway's image pins has an advisory that is known here (``images/advisories.json``)."""

import json
import re
from collections.abc import Iterator

import pytest
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from stacks.images import IMAGES

LOCKS = ["gateway/requirements.txt", "proxy/requirements.txt", "router/requirements.txt"]
ADVISORIES = json.loads((IMAGES / "advisories.json").read_text())["advisories"]


def pins(text: str) -> dict[str, set[str]]:
    """Versions of each package: those of other platforms and Pythons too."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def affected(text: str) -> Iterator[str]:
    """Advisories about what a lock pins, in words."""
    pinned = pins(text)
    for advisory in ADVISORIES:
        for version in pinned.get(canonicalize_name(advisory["package"]), ()):
            if SpecifierSet(advisory["affected"], prereleases=True).contains(Version(version)):
                yield f"{advisory['package']} {version}: {advisory['id']} ({advisory['affected']})"


@pytest.mark.parametrize("lock", LOCKS)
def test_no_pinned_version_has_a_known_advisory(lock: str) -> None:
    assert list(affected((IMAGES / lock).read_text())) == []


def test_a_version_with_an_advisory_is_found() -> None:
    lock = "LiteLLM==1.83.6 \\\n    --hash=sha256:0\nh11==0.14.0 ; python_version < '3'\nstarlette==1.10.0\n"
    assert [each.partition(" (")[0] for each in affected(lock)] == [
        "litellm 1.83.6: CVE-2026-42271",
        "litellm 1.83.6: CVE-2026-49468",
        "h11 0.14.0: CVE-2025-43859",
    ]


def test_every_advisory_says_what_whence_and_when() -> None:
    for advisory in ADVISORIES:
        assert set(advisory) == {"id", "package", "affected", "date", "source"}
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", advisory["date"])
        SpecifierSet(advisory["affected"])
