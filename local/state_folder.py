"""The state folder: everything that stacks, simulated clouds and control planes leave on this machine.

Owns its layout (``LLM_SERVING_LOCAL``, by default ``<repository>/.local``), the control planes in it, and its removal.
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from local.aws import AwsApi
from local.cluster import LocalCluster
from local.cluster.bucket_weights import BucketWeights

REPOSITORY = Path(__file__).resolve().parent.parent
PLUGINS: Mapping[str, str] = {"aws": "pulumi-aws", "gcp": "pulumi-gcp", "kubernetes": "pulumi-kubernetes"}
"""Plugin name -> the Python distribution whose version it takes. The module is ``local.providers.<name>``."""

_ENTRIES = frozenset(
    {
        "pulumi-home", "backend", "clouds", "clusters", "names.json", "names.lock", "passphrase", "faults.yaml",
        "quotas.yaml", "capacity.yaml", "project", "kubeconfig", "models", "loaded-images", "logs",
    }
)  # fmt: skip


@dataclass(frozen=True)
class StateFolder:
    """The folders under one state folder."""

    root: Path

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "StateFolder":
        """The folder that ``LLM_SERVING_LOCAL`` names; a relative path starts at the repository."""
        return cls(REPOSITORY / Path(environment.get("LLM_SERVING_LOCAL") or ".local").expanduser())

    @property
    def pulumi_home(self) -> Path:
        """PULUMI_HOME: plugin launchers and the engine's own files."""
        return self.root / "pulumi-home"

    @property
    def official_pulumi_home(self) -> Path:
        """A Pulumi home of its own, for the official kubernetes plugin where Pulumi downloaded it."""
        return self.pulumi_home / "official"

    @property
    def backend(self) -> Path:
        """Where Pulumi keeps its state."""
        return self.root / "backend"

    @property
    def clouds(self) -> Path:
        """Records of the resources of each cloud."""
        return self.root / "clouds"

    def aws_account(self, account: str) -> Path:
        """What there is of an account of the local AWS: records of Pulumi's resources, a folder a region, and ``api``,
        the records of its API."""
        return self.clouds / "aws" / account

    def aws_api(self, account: str) -> AwsApi:
        """The API of an account of the local AWS. ``capacity.yaml`` says what machines there are."""
        return AwsApi(self.aws_account(account) / "api", self.root / "capacity.yaml", account)

    def aws_apis(self) -> list[AwsApi]:
        """The APIs of all accounts that were started."""
        return [self.aws_api(path.parent.name) for path in sorted(self.clouds.glob("aws/*/api"))]

    def end_unused_apis(self) -> None:
        """End the APIs of accounts of the local AWS in which Pulumi has nothing any more; what others made in them
        stays."""
        for api in self.aws_apis():
            if not any(api.folder.parent.glob("*/resources/*/[!.]*.json")):
                api.stop()

    @property
    def bucket_weights(self) -> BucketWeights:
        """Which weights the buckets of the clouds hold."""
        return BucketWeights(self.clouds / "bucket-weights")

    @property
    def clusters(self) -> Path:
        """One folder for each control plane: ``<project>/<location>/<name>``."""
        return self.root / "clusters"

    @property
    def names(self) -> Path:
        """Host names of the local clouds and the control planes behind them."""
        return self.root / "names.json"

    @property
    def passphrase_file(self) -> Path:
        """The passphrase that encrypts secrets in the local backend."""
        return self.root / "passphrase"

    def log(self, command: str, stack: str) -> Path:
        """The whole log of the last run of a command of ``pulumi``."""
        return self.root / "logs" / f"{stack}-{command}.log"

    def plugin(self, name: str) -> Path:
        """The file that the engine starts as a plugin."""
        folder = f"resource-{name}-v{version(PLUGINS[name])}"
        return self.pulumi_home / "plugins" / folder / f"pulumi-resource-{name}"

    def cluster(self, project: str, location: str, name: str) -> Path:
        """The folder of one cluster's control plane."""
        return self.clusters / project / location / name

    def control_planes(self) -> dict[Path, LocalCluster]:
        """The control planes that were created, by their folder below :attr:`clusters`."""
        folders = [path for path in sorted(self.clusters.glob("*/*/*")) if path.is_dir()]
        clusters = {path.relative_to(self.clusters): LocalCluster(path) for path in folders}
        return {folder: cluster for folder, cluster in clusters.items() if cluster.exists()}

    def foreign_entries(self) -> list[str]:
        """Names in the folder that this project did not put there. With a dot in front they are temporary files of a
        write that was killed."""
        return sorted({name for name in os.listdir(self.root) if not name.startswith(".")} - _ENTRIES)

    def remove(self) -> None:
        """Remove the folder, control planes and their processes first, with a line for each."""
        for folder, cluster in self.control_planes().items():
            cluster.delete()
            print(f"{folder}: removed")
        for api in self.aws_apis():
            api.delete()
        shutil.rmtree(self.root)
        print(f"{self.root}: removed")
