"""Manifests as text, for ``ConfigFile`` and ``ConfigGroup``. Pure functions."""

from collections.abc import Hashable, Mapping
from typing import Any

import grpc
import yaml

from local.providers.kubernetes.kinds import Kind
from local.providers.provider import CloudError


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, of which YAML 1.2 says that it must not
    (https://yaml.org/spec/1.2.2/#3213-node-comparison) and PyYAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # refused below
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def decode(text: str, namespace: str | None) -> list[dict[str, Any]]:
    """The objects of a manifest, lists taken apart.

    Args:
        text: YAML documents.
        namespace: for objects that live in one and name none.

    Raises:
        CloudError: no YAML, a key that stands twice, or a document that is no object of Kubernetes.
    """
    try:
        documents = [manifest for manifest in yaml.load_all(text, _StrictLoader) if manifest]
    except yaml.YAMLError as error:
        raise CloudError(f"the manifest is no YAML: {error}", grpc.StatusCode.INVALID_ARGUMENT) from None
    manifests = [item for manifest in documents for item in (manifest["items"] if _is_list(manifest) else [manifest])]
    for manifest in manifests:
        if not isinstance(manifest, dict) or not manifest.get("apiVersion") or not manifest.get("kind"):
            raise CloudError(
                "the manifest has a document without apiVersion and kind: it is no object of Kubernetes",
                grpc.StatusCode.INVALID_ARGUMENT,
            )
        if namespace and not Kind(manifest["apiVersion"], manifest["kind"]).cluster_scoped:
            manifest.setdefault("metadata", {}).setdefault("namespace", namespace)
    return manifests


def _is_list(thing: Any) -> bool:
    return (
        isinstance(thing, Mapping)
        and str(thing.get("kind", "")).endswith("List")
        and isinstance(thing.get("items"), list)
    )
