"""A cluster with a real node for the tests of this folder, where the machine can have one; else they are skipped, and
say why.
"""

import shutil
from pathlib import Path

import pytest

from local.cluster import LocalCluster
from local.cluster.layout import missing_programs
from local.cluster.node import requirements
from local.cluster.node.archives import write_image
from tests.engine.cluster.fixtures import api, namespace  # noqa: F401 (fixtures)
from tests.node.helpers import IMAGE


@pytest.fixture(scope="session")
def machine():
    """A machine that can have a node."""
    reason = requirements.unmet()
    if reason is None and (missing := missing_programs()):
        reason = f"missing: {', '.join(missing)}. Run `make setup`"
    if reason is not None:
        pytest.skip(f"NOT TESTED: {reason}")


@pytest.fixture(scope="session")
def busybox(machine, tmp_path_factory):
    """An archive with a small image: one static program that is a shell, a web server and a client."""
    program = shutil.which("busybox", path=requirements.search_path())
    if program is None:
        pytest.skip("NOT TESTED: missing: busybox. Install package 'busybox-static'")
    archive = tmp_path_factory.mktemp("image") / "busybox.tar"
    write_image(archive, IMAGE, {"bin/busybox": Path(program)}, entrypoint=["/bin/busybox"], user="65532:65532")
    return archive


@pytest.fixture(scope="session")
def cluster(machine, busybox, local_node):
    """The running node of all tiers, and the small image in it. No test of this folder stops it or changes what it was
    made with: those that do have one of their ``own``."""
    local_node.cluster.load_image(busybox)
    return local_node.cluster


@pytest.fixture
def own(machine, tmp_path):
    """A cluster that a test may harm; it does not run yet."""
    made = LocalCluster(tmp_path / "c")
    yield made
    made.delete()
