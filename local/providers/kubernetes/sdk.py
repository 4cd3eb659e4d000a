"""The Kubernetes SDK's types, also where a type of one API group is used in another (a Deployment's pods)."""

import ast
from functools import cache
from pathlib import Path

from local.providers.schema import Scalar, Sdk, Type, _Module


class _Group(_Module):
    """One API group and version. Types of another are written ``_core.v1.PodTemplateSpecArgs``."""

    def __init__(self, sdk: "KubernetesSdk", folder: Path) -> None:
        super().__init__(folder)
        self._sdk = sdk

    def _type(self, node: ast.expr | None) -> Type:
        match node:
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id=group), attr=version), attr=name) if (
                group.startswith("_")
            ):
                return self._sdk._module(self._sdk.root / group.removeprefix("_") / version)._named(name)
            case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Constant(value=str())):
                return Scalar("string")
        return super()._type(node)


class KubernetesSdk(Sdk):
    """pulumi_kubernetes."""

    def __init__(self) -> None:
        super().__init__("pulumi_kubernetes")

    def _module(self, folder: Path) -> _Module:
        if folder not in self._modules:
            self._modules[folder] = _Group(self, folder)
        return self._modules[folder]


@cache
def sdk() -> KubernetesSdk:
    """The one that is installed; its classes are read once a process."""
    return KubernetesSdk()
