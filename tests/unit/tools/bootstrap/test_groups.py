"""Which groups of tools a set-up gets, and on which systems."""

import os
import subprocess
import sys
from pathlib import Path

from tests.unit.tools.bootstrap.tiny import ROOT, Workshop, executable

# The real command line: on a repository whose only tool is `tiny`, in a group and in the group of the node, with a
# package of the distribution in the group of autoscaling, and on the system that is named. The Python environment,
# which a test of its own covers, is left alone.
_SETUP = """
import pathlib, platform, sys
platform.system = lambda: sys.argv[1]
from tests.unit.tools.bootstrap.tiny import program
from tools.bootstrap import cli
from tools.bootstrap.system_packages import Package
cli._REPO = pathlib.Path(sys.argv[2])
cli.python_env.ensure = lambda folders, progress: None
cli.GROUPS.update(engine=(), cluster=(program(),), crds=(), node=(program(),), autoscaling=(program(),))
cli.system_packages.PACKAGES.update(node=(), autoscaling=(Package("tiny-server", "tiny-server", ("tinyd",)),))
sys.exit(cli.main(sys.argv[3:]))
"""


def _setup(
    workshop: Workshop, system: str, *arguments: str, has_tiny: bool = True
) -> "subprocess.CompletedProcess[str]":
    folders = [str(executable(workshop.folder / "usr" / "tiny", "echo tiny 1.9.0").parent)] if has_tiny else []
    return subprocess.run(
        [sys.executable, "-c", _SETUP, system, workshop.folders.repo, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "PATH": os.pathsep.join([*folders, os.environ["PATH"]]),
            "LLM_SERVING_CACHE": str(workshop.folders.cache),
            "LLM_SERVING_TOOLS": str(workshop.folders.view),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_set_up_without_names_leaves_node_and_autoscaling_out(workshop: Workshop) -> None:
    done = _setup(workshop, "Linux", "ensure")

    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("python, engine, cluster, crds: ready after ")


def test_on_another_system_the_node_is_left_out_and_it_says_why(workshop: Workshop) -> None:
    done = _setup(workshop, "Darwin", "ensure", "node")

    assert (done.returncode, done.stdout) == (0, "node: left out, since containers run on Linux only\n")


def test_other_groups_of_the_same_call_are_ready_on_another_system(workshop: Workshop) -> None:
    done = _setup(workshop, "Darwin", "ensure", "cluster", "node")

    left_out, ready = done.stdout.splitlines()
    assert left_out.startswith("node: left out")
    assert ready.startswith("cluster: ready after ")
    assert Path(workshop.folders.view, "bin", "tiny").exists()


def test_cached_says_by_its_status_whether_a_group_would_have_to_be_built(workshop: Workshop) -> None:
    cached = _setup(workshop, "Linux", "cached", "cluster")
    missing = _setup(workshop, "Linux", "cached", "cluster", has_tiny=False)

    assert (cached.returncode, cached.stdout) == (0, "")
    assert (missing.returncode, missing.stdout) == (1, "tiny 1.2.3: missing\n")
    assert workshop.builds() == 0, "asking builds nothing"


def test_cached_looks_at_the_packages_of_the_distribution_too(workshop: Workshop) -> None:
    missing = _setup(workshop, "Linux", "cached", "autoscaling")
    executable(workshop.folder / "usr" / "tinyd", "exit 0")
    cached = _setup(workshop, "Linux", "cached", "autoscaling")

    assert (missing.returncode, missing.stdout) == (1, "package tiny-server: missing\n")
    assert (cached.returncode, cached.stdout) == (0, "")
