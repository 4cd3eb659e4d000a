"""Kinds: how a type token spells them, which have no namespace, and which of their fields cannot change."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.providers.differences import lies_in

RELEASE = "kubernetes:helm.sh/v3:Release"

_FACTS: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("kinds.yaml").read_text(encoding="utf-8"))

_ALWAYS = ("apiVersion", "kind", "metadata.name", "metadata.namespace")

# What of a pod the provider changes in place. The API server would take a new image too; the provider makes a new pod.
_POD_MUTABLE = ("spec.activeDeadlineSeconds", "spec.tolerations")


@dataclass(frozen=True)
class Kind:
    """What a type token means.

    Attributes:
        api_version: as in a manifest.
        kind: as in a manifest.
        patch: the resource changes an object that somebody else owns (``DeploymentPatch``).
    """

    api_version: str
    kind: str
    patch: bool = False

    @classmethod
    def of(cls, token: str, inputs: Mapping[str, Any]) -> "Kind":
        """From a type token; what the inputs say outranks it."""
        _, group_version, name = token.split(":", 2)
        group, _, version = group_version.rpartition("/")
        api_version = version if group in ("core", "") else group_version
        patch = name.endswith("Patch") and inputs.get("kind") != name
        kind = name.removesuffix("Patch") if patch else name
        return cls(_text(inputs.get("apiVersion")) or api_version, _text(inputs.get("kind")) or kind, patch)

    @property
    def core(self) -> bool:
        """It belongs to Kubernetes itself."""
        group = self.api_version.rpartition("/")[0]
        return "." not in group or group in _FACTS["dotted_groups"]

    @property
    def cluster_scoped(self) -> bool:
        """It has no namespace, as far as can be known without a server."""
        return self.core and self.kind in _FACTS["cluster_scoped"]

    @property
    def goes_unwatched(self) -> bool:
        """``pulumi.com/skipAwait`` holds for its deletion, too."""
        return self.core and self.kind in _FACTS["skip_await_deletion"]

    def replaces(self, mutable_content: bool) -> "Replaces":
        """Which changes replace an object of this kind.

        Args:
            mutable_content: ConfigMaps and Secrets may change in place.
        """
        if not self.core:
            return Replaces(_ALWAYS)
        content = () if mutable_content else _FACTS["content"].get(self.kind, ())
        kept = _POD_MUTABLE if self.kind == "Pod" else ()
        return Replaces((*_ALWAYS, *_FACTS["immutable"].get(self.kind, ()), *content), kept)


@dataclass(frozen=True)
class Replaces:
    """Whether a change at a property path replaces the object."""

    paths: tuple[str, ...]
    except_paths: tuple[str, ...] = ()

    def __call__(self, pattern: str) -> bool:
        """For a path with ``[*]`` in the place of indexes. A change inside a listed path counts as well."""
        if any(lies_in(pattern, path) for path in self.except_paths):
            return False
        if self.except_paths and any(lies_in(path, pattern) for path in self.except_paths):
            return False  # a path that contains one which may change decides nothing
        return any(lies_in(pattern, path) for path in self.paths)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
