"""A project whose resources are plain objects, so that nothing but the plugin judges them."""

import json
import os
import subprocess
import sys

import yaml

from local.pulumi_home import clean_environment, prepare
from local.state_folder import REPOSITORY, StateFolder

PROGRAM = """
import pulumi
import pulumi_kubernetes as k8s


class Object(pulumi.CustomResource):
    pass


config = pulumi.Config()
cluster = k8s.Provider("cluster", kubeconfig=config.require("kubeconfig"))
for thing in config.require_object("objects"):
    group, _, version = thing["apiVersion"].rpartition("/")
    token = f"kubernetes:{group or 'core'}/{version}:{thing['kind']}"
    Object(token, thing["metadata"]["name"], thing, pulumi.ResourceOptions(provider=cluster))
"""


class Project:
    """A project of its own Pulumi home and state, for one cluster.

    Args:
        folder: where all of it lies.
        kubeconfig: of the cluster.
    """

    def __init__(self, folder, kubeconfig):
        self.state = StateFolder(folder / "local")
        self.folder = folder / "project"
        self.folder.mkdir()
        prepare(self.state)
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "compared", "runtime": "python"}))
        (self.folder / "__main__.py").write_text(PROGRAM)
        for arguments in (
            ("stack", "init", "test"),
            ("config", "set", "--secret", "--", "kubeconfig", json.dumps(kubeconfig)),
        ):
            done = self.pulumi(*arguments)
            assert done.returncode == 0, done.stdout + done.stderr

    def declare(self, *objects):
        """Make these the objects of the program."""
        done = self.pulumi("config", "set", "--plaintext", "--", "objects", json.dumps(objects))
        assert done.returncode == 0, done.stdout + done.stderr

    def preview(self):
        return self.pulumi("preview")

    def up(self):
        return self.pulumi("up", "--yes", "--skip-preview")

    def pulumi(self, *arguments):
        path = [str(part) for part in (os.path.dirname(sys.executable), REPOSITORY / ".tools/bin")]
        return subprocess.run(
            ["pulumi", "--cwd", str(self.folder), "--non-interactive", *arguments],
            env=clean_environment(self.state) | {"PATH": os.pathsep.join([*path, os.environ.get("PATH", "")])},
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
