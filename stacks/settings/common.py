"""What the settings of every stack have, wherever it runs."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, PrivateAttr

from llm_serving.arguments import Frozen
from llm_serving.spec import (
    AddonsSpec,
    EgressSpec,
    GatewaySpec,
    ImagePullSpec,
    ImageReference,
    LauncherSpec,
    LoaderSpec,
    ModelSpec,
    QuantizationSpec,
    TeamSpec,
    Weights,
)
from llm_serving.spec.forms import LABEL_KEY, LABEL_VALUE

NAMESPACE = "llm-serving"
"""Namespace of the settings in ``Pulumi.<stack>.yaml``: the project's name, as Pulumi has it."""

REDIS_STORAGE_CLASS = "gateway.redis.limits.storageClass"
"""Property path of a setting that a claim fixes."""

LabelValue = Annotated[str, LABEL_VALUE]
"""A value that GCP accepts as a label and Kubernetes as a label value."""
LabelKey = Annotated[str, LABEL_KEY]


class CommonSettings(Frozen):
    """What every stack has, wherever it runs.

    Attributes:
        labels: put on every cloud resource and namespace, for cost reports.
        teams: teams that share the cluster; each gets a namespace.
        models: models to serve.
        quantizations: weights to quantize. Their image may be a name of the lock of images, ``name@version``.
        loader: fills the model cache before an engine starts; ``None`` where somebody else does. Its image may be a
            name of the lock of images, ``name@version``.
        launcher: what runs the engines.
        weights: who that is; ``None`` where a loader fills it, or where an existing cluster has weights already.
        egress: the way out that the site prescribes; ``None`` where it prescribes none.
        image_pull: credentials for the registries of images; ``None`` where nodes need none.
        addons: what the cluster needs beside the models, and who brings it.
        gateway: the gateway in front of all models; ``None`` where each model is reached by itself. Its images may be
            names of the lock of images, ``name@version``.
        images: images in place of those of the lock, by ``name@version``: for runs that pull none, and machines of
            developers. Refused for one that has a digest.
    """

    labels: dict[LabelKey, LabelValue] = {}
    teams: Annotated[tuple[TeamSpec, ...], Field(min_length=1)]
    models: tuple[ModelSpec, ...] = ()
    quantizations: tuple[QuantizationSpec, ...] = ()
    loader: LoaderSpec | None = None
    launcher: LauncherSpec = LauncherSpec()
    weights: Weights | None = None
    egress: EgressSpec | None = None
    image_pull: ImagePullSpec | None = None
    addons: AddonsSpec = AddonsSpec()
    gateway: GatewaySpec | None = None
    images: dict[str, ImageReference] = {}
    _image_names: Mapping[str, str] = PrivateAttr(default_factory=dict[str, str])

    def image_name(self, path: str) -> str | None:
        """The ``name@version`` by which the settings ask for the image at a property path; ``None`` where they write it
        out, so that the lock alone changes nothing."""
        return self._image_names.get(path)

    def with_image_names(self, names: Mapping[str, str]) -> Self:
        """The settings, of which it is known that they name these images so, by property path."""
        named = self.model_copy()
        named._image_names = names
        return named

    @property
    def fixed_disks(self) -> dict[str, str]:
        """What may not change of a disk while it is there, by property path: a claim keeps its class."""
        limits = self.gateway.redis.limits if self.gateway is not None and self.models else None
        if limits is None or not limits.is_installed:
            return {}
        return {REDIS_STORAGE_CLASS: limits.storage_class or "that of the cluster"}
