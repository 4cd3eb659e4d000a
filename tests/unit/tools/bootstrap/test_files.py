"""Files of Go modules are taken over by kind, apart or joined."""

import io
import json
from pathlib import Path

import pytest

from tests.unit.tools.bootstrap.tiny import Workshop, executable
from tools.bootstrap.downloads import Downloads
from tools.bootstrap.errors import SetupError
from tools.bootstrap.folders import Platform
from tools.bootstrap.install import Installer
from tools.bootstrap.progress import Progress
from tools.bootstrap.recipes import Files, FileSet

LINUX = Platform("linux", "amd64")


@pytest.fixture
def installer(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Installer:
    """An installer whose Go has fetched one module with two CRDs and a policy."""
    module = workshop.folder / "module"
    (module / "crd").mkdir(parents=True)
    (module / "crd" / "b.yaml").write_text("kind: CustomResourceDefinition\nb: 1\n")
    (module / "crd" / "a.yaml").write_text("kind: CustomResourceDefinition\na: 1\n")
    (module / "crd" / "policy.yaml").write_text("kind: ValidatingAdmissionPolicy\n")
    answer = json.dumps({"Dir": str(module)})
    go = executable(workshop.folder / "go" / "go", f"[ $1 = env ] && echo go1.30.0 || echo '{answer}'")
    monkeypatch.setenv("PATH", str(go.parent), prepend=":")
    return Installer(workshop.folders, LINUX, "", Downloads(LINUX, offline=True), Progress(1, stream=io.StringIO()))


def _recipe(containing: str = "kind: CustomResourceDefinition", joined_as: str | None = None) -> Files:
    return Files("crds", "tiny", (FileSet("keda", "example.com/tiny", ("crd",), containing),), joined_as)


def test_only_files_of_the_kind_are_taken(workshop: Workshop, installer: Installer) -> None:
    installer.ensure(_recipe())

    folder = workshop.folders.view / "crds" / "keda"
    assert sorted(file.name for file in folder.iterdir()) == ["a.yaml", "b.yaml"]
    assert folder.resolve().parts[-2:] == ("keda", "1.2.3")


def test_joined_files_are_documents_of_one(workshop: Workshop, installer: Installer) -> None:
    installer.ensure(_recipe(joined_as="kwok/stages.yaml"))

    text = Path(workshop.folders.view, "kwok", "stages.yaml").read_text()
    assert [part.strip().splitlines()[-1] for part in text.split("\n---\n")] == ["a: 1", "b: 1"]


def test_module_that_moved_its_files_is_an_error(installer: Installer) -> None:
    with pytest.raises(SetupError, match="has no `kind: Stage` in crd"):
        installer.ensure(_recipe(containing="kind: Stage"))
