"""The settings of a stack. Every field's own definition is in ``llm_serving.spec``; this only puts them together."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, cast, get_args

from pydantic import Field, PrivateAttr

from llm_serving.arguments import Frozen, parse, plain, scalar_types_at
from llm_serving.errors import LEAVE_OUT, Problem, ProblemsError, nearest_or_few
from llm_serving.planning.clouds.gcp import repository_url
from llm_serving.planning.nodes import DEFAULT_MAX_PODS
from llm_serving.planning.rules.stack import GcpShape
from llm_serving.spec import (
    AddonsSpec,
    CacheStorageSpec,
    EgressSpec,
    EngineName,
    ExistingPoolSpec,
    ImagePullSpec,
    ImageReference,
    LauncherSpec,
    LoaderSpec,
    ModelSpec,
    TeamSpec,
    Weights,
)
from llm_serving.spec.forms import CONTEXT, LABEL_KEY, LABEL_VALUE
from llm_serving.spec.gcp import (
    GcpClusterSpec,
    GcpModelCacheSpec,
    GcpNetworkSpec,
    GcpPoolSpec,
    GcpRegistrySpec,
    ProjectId,
    Region,
)
from llm_serving.spec.names import ObjectName
from llm_serving.spec.network import Cidr
from stacks.images.lock import LockedImage, lookup, read_images
from stacks.releases import RELEASES

NAMESPACE = "llm-serving"
"""Namespace of the settings in ``Pulumi.<stack>.yaml``: the project's name, as Pulumi has it."""

LabelValue = Annotated[str, LABEL_VALUE]
"""A value that GCP accepts as a label and Kubernetes as a label value."""
LabelKey = Annotated[str, LABEL_KEY]


ContextName = Annotated[str, CONTEXT]
"""A name in a kubeconfig: it may have spaces inside, and no control characters."""


class CommonSettings(Frozen):
    """What every stack has, wherever it runs.

    Attributes:
        labels: put on every cloud resource and namespace, for cost reports.
        teams: teams that share the cluster; each gets a namespace.
        models: models to serve.
        loader: fills the model cache before an engine starts; ``None`` where somebody else does. Its image may be a
            name of the lock of images, ``name@version``.
        launcher: what runs the engines.
        weights: who that is; ``None`` where a loader fills it, or where an existing cluster has weights already.
        egress: the way out that the site prescribes; ``None`` where it prescribes none.
        image_pull: credentials for the registries of images; ``None`` where nodes need none.
        addons: what the cluster needs beside the models, and who brings it.
        images: images in place of those of the lock, by ``name@version``: for runs that pull none, and machines of
            developers. Refused for one that has a digest.
    """

    labels: dict[LabelKey, LabelValue] = {}
    teams: Annotated[tuple[TeamSpec, ...], Field(min_length=1)]
    models: tuple[ModelSpec, ...] = ()
    loader: LoaderSpec | None = None
    launcher: LauncherSpec = LauncherSpec()
    weights: Weights | None = None
    egress: EgressSpec | None = None
    image_pull: ImagePullSpec | None = None
    addons: AddonsSpec = AddonsSpec()
    images: dict[str, ImageReference] = {}
    _loader_image_name: str | None = PrivateAttr(None)

    @property
    def loader_image_name(self) -> str | None:
        """The ``name@version`` by which the settings ask for the loader's image; ``None`` where they write it out, so
        that the lock alone changes nothing."""
        return self._loader_image_name

    def with_loader_image_name(self, name: str) -> Self:
        """The settings, of which it is known that they name the loader's image so."""
        named = self.model_copy()
        named._loader_image_name = name
        return named


class GcpSettings(CommonSettings):
    """A stack that brings up everything on Google Cloud.

    Attributes:
        cloud: ``gcp``.
        project: project id. Fixed for the life of a stack.
        region: fixed for the life of a stack.
        network: address ranges. Fixed for the life of a stack.
        cluster: the cluster.
        model_cache: the bucket that holds the weights.
        registry: the registry that nodes pull from; ``None``: one that the stack makes for itself.
        pools: GPU pools.
    """

    cloud: Literal["gcp"]
    project: ProjectId
    region: Region
    network: GcpNetworkSpec = GcpNetworkSpec()
    cluster: GcpClusterSpec
    model_cache: GcpModelCacheSpec = GcpModelCacheSpec()
    registry: GcpRegistrySpec | None = None
    pools: tuple[GcpPoolSpec, ...] = ()

    @property
    def account(self) -> str:
        """Whose quotas and bill it is: the project."""
        return self.project

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones of the cluster."""
        return self.cluster.zones

    @property
    def max_pods_per_node(self) -> int:
        """Most pods on a node of the cluster."""
        return self.cluster.max_pods_per_node

    @property
    def gcp_shape(self) -> GcpShape:
        """What the rules of Google Cloud look at."""
        return GcpShape(
            network=self.network,
            cluster=self.cluster,
            pools=self.pools,
            registry=self.registry,
            labels=self.labels,
        )

    @property
    def buys_nodes(self) -> bool:
        """The stack creates its nodes, so they need quota and are on its bill."""
        return True

    @property
    def made_claim(self) -> None:
        """The weights are in a bucket."""
        return None

    @property
    def engine_images(self) -> Mapping[EngineName, ImageReference]:
        """Images in place of those that releases name, by engine: none."""
        return {}

    def pulled(self, image: ImageReference) -> ImageReference:
        """An image as nodes pull it: one of Docker Hub through the registry's remote repository, where it has one."""
        path = image.docker_hub_path
        if self.registry is None or self.registry.pull_through is None or path is None:
            return image
        url = repository_url(self.region, self.registry.project or self.project, self.registry.pull_through)
        return image.model_copy(update={"repository": f"{url}/{path}"})

    @property
    def claim_of_others(self) -> str | None:
        """Name of the claim for the weights that somebody else makes in each namespace: none, there is a bucket."""
        return None

    @property
    def fixed(self) -> dict[str, str]:
        """What may not change in the life of a stack, by property path."""
        cluster, network = self.cluster, self.network
        fixed = {
            "cloud": self.cloud,
            "project": self.project,
            "region": self.region,
            "cluster.name": cluster.name,
            "cluster.regional": str(cluster.regional).lower(),
            "cluster.maxPodsPerNode": str(cluster.max_pods_per_node),
            "network.nodes": str(network.nodes),
            "network.pods": str(network.pods),
            "network.services": str(network.services),
            "network.proxies": str(network.proxies),
        }
        # The control plane of a zonal cluster cannot move to another zone.
        return fixed if cluster.regional else {**fixed, "cluster.zones[0]": cluster.zones[0]}

    @property
    def location(self) -> dict[str, str]:
        """Where the stack runs, as people are shown it: what, and its value."""
        network, cluster = self.network, self.cluster
        kind = "regional" if cluster.regional else "zonal"
        return {
            "project, region": f"{self.project}, {self.region}",
            "network": (
                f"nodes {network.nodes}, pods {network.pods}, services {network.services}, proxies {network.proxies}"
            ),
            "cluster": f"{cluster.name}, {kind}, zones {', '.join(cluster.zones)}",
        }


class ExistingClusterSettings(Frozen):
    """A cluster that is already there.

    Attributes:
        name: how the summary calls it.
        context: context of the kubeconfig to use; ``None`` for its current one. The kubeconfig itself is the secret
            ``llm-serving:kubeconfig`` or, without it, the file that ``KUBECONFIG`` names.
        cache_claim: PersistentVolumeClaim in every team's namespace that holds the weights.
        cache_storage: make that claim; ``None`` where it is there.
        clients: address ranges from which clients reach the models; pods of a team's namespace always do.
        storage: address ranges of an object store that loaders and engines reach; where there are none, a ``loader``
            that reads one reaches the internet.
        storage_ports: TCP ports of that store.
    """

    name: ContextName
    context: ContextName | None = None
    cache_claim: ObjectName = "model-cache"
    cache_storage: CacheStorageSpec | None = None
    clients: tuple[Cidr, ...] = ()
    storage: tuple[Cidr, ...] = ()
    storage_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], Field(min_length=1)] = (443,)


class ExistingSettings(CommonSettings):
    """A stack that serves on a cluster that somebody else runs: on-premises GPUs, kind.

    Attributes:
        cloud: ``existing``.
        cluster: which cluster.
        pools: nodes that are there.
        engine_images: images built on the spot, by engine, in place of those that releases name: for machines of
            developers, because what answers is then no longer what the release pins.
    """

    cloud: Literal["existing"]
    cluster: ExistingClusterSettings
    pools: tuple[ExistingPoolSpec, ...] = ()
    engine_images: dict[EngineName, ImageReference] = {}

    def pulled(self, image: ImageReference) -> ImageReference:
        """An image as nodes pull it: from where it is."""
        return image

    @property
    def made_claim(self) -> CacheStorageSpec | None:
        """The claim for the weights that is made for each team; ``None`` where it is there."""
        return self.cluster.cache_storage

    @property
    def claim_of_others(self) -> str | None:
        """Name of the claim for the weights that somebody else makes in each namespace; ``None`` where we make it."""
        return self.cluster.cache_claim if self.cluster.cache_storage is None else None

    @property
    def account(self) -> str:
        """Whose quotas and bill it is: nobody's that this project knows."""
        return ""

    @property
    def zones(self) -> tuple[str, ...]:
        """Zones are not known."""
        return ()

    @property
    def max_pods_per_node(self) -> int:
        """Nothing is planned with it: the owner says what pods can use of a node."""
        return DEFAULT_MAX_PODS

    @property
    def gcp_shape(self) -> GcpShape:
        """Nothing is on Google Cloud."""
        return GcpShape()

    @property
    def region(self) -> str:
        """A cluster that is already there has no region that prices or zones are known of."""
        return ""

    @property
    def buys_nodes(self) -> bool:
        """The nodes are their owner's: no quota is asked for, and no cost is known."""
        return False

    @property
    def fixed(self) -> dict[str, str]:
        """What may not change in the life of a stack, by property path."""
        return {"cloud": self.cloud, "cluster.name": self.cluster.name}

    @property
    def location(self) -> dict[str, str]:
        """Where the stack runs, as people are shown it: what, and its value."""
        return {"cluster": f"{self.cluster.name} (existing)"}


Settings = GcpSettings | ExistingSettings

_BY_CLOUD: dict[str, type[GcpSettings] | type[ExistingSettings]] = {
    cloud: model for model in get_args(Settings) for cloud in get_args(model.model_fields["cloud"].annotation)
}
"""The model of each value that ``cloud`` may have."""


def setting_names() -> frozenset[str]:
    """Names of the settings of any stack, as they stand in files, without the namespace."""
    fields = (field for model in _BY_CLOUD.values() for field in model.model_fields.items())
    return frozenset(field.alias or name for name, field in fields)


def scalar_types(path: str) -> frozenset[type]:
    """Types of the single values that a setting of any stack takes; empty where there is no such setting."""
    return frozenset(
        kind for model in _BY_CLOUD.values() for kind in scalar_types_at(model, path.removeprefix(f"{NAMESPACE}:"))
    )


def parse_settings(data: Mapping[str, Any], source: str, images: Mapping[str, LockedImage] | None = None) -> Settings:
    """The settings of one stack.

    Args:
        data: keys without the namespace (``pools``), values as YAML gives them.
        source: the file that the data came from, for messages.
        images: the lock of images; by default the one of the repository.

    Raises:
        ProblemsError: with every refused value; paths start with the namespace, as in the file.
    """
    cloud = data.get("cloud")
    if not isinstance(cloud, str) or cloud not in _BY_CLOUD:
        reason = "required, but not given" if cloud is None else "not a cloud that is known"
        problem = Problem("cloud", cloud, reason, nearest_or_few(str(cloud or ""), _BY_CLOUD))
        raise ProblemsError([in_file(problem)], source)
    try:
        return _with_named_images(_BY_CLOUD[cloud], data, read_images(RELEASES) if images is None else images)
    except ProblemsError as error:
        raise ProblemsError(map(in_file, error.problems), source) from None


def _with_named_images(
    model: type[GcpSettings] | type[ExistingSettings], data: Mapping[str, Any], images: Mapping[str, LockedImage]
) -> Settings:
    """The settings with the image in the place of its name."""
    loader: Any = data.get("loader")
    name: Any = cast(dict[str, Any], loader).get("image") if isinstance(loader, dict) else None
    if isinstance(name, str):
        data = {**data, "loader": {**loader, "image": plain(lookup(name, images, "loader.image").image())}}
    settings = parse(model, data)
    problems = [
        Problem(f"images.{key}", None, f"is {images[key].digest} in the lock, which decides", LEAVE_OUT)
        for key in settings.images
        if lookup(key, images, "images").digest is not None
    ]
    if problems:
        raise ProblemsError(problems)
    if not isinstance(name, str) or settings.loader is None:
        return settings
    if name in settings.images:
        other = settings.loader.model_copy(update={"image": settings.images[name]})
        settings = settings.model_copy(update={"loader": other})
    return settings.with_loader_image_name(name)


def in_file(problem: Problem) -> Problem:
    """The problem with its path as it stands in the file, where keys carry the namespace."""
    return Problem(f"{NAMESPACE}:{problem.path}", problem.value, problem.reason, problem.suggestion)
