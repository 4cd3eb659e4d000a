"""The outputs of a stack: what the program puts out, and what reports, local runs and other stacks read.

No Pulumi here. The program fills the sections once their values are known; readers get the whole from
``pulumi stack output --json``.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, SerializerFunctionWrapHandler, field_serializer, field_validator, model_serializer

from llm_serving.arguments import Frozen, parse
from llm_serving.planning.cost import CostEstimate
from llm_serving.planning.replicas import Role


class Section(Frozen):
    """A part of the outputs. Keys that are not known are passed over, because a newer program may put out more."""

    model_config = ConfigDict(extra="ignore")

    @model_serializer(mode="wrap")
    def _without_unset(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in serialize(self).items() if value is not None}

    def to_data(self) -> dict[str, Any]:
        """Plain data in the spelling of the outputs (``releaseUrls``), without what is not set."""
        return self.model_dump(mode="json", by_alias=True)


class NetworkOutputs(Section):
    """The private network of a stack that makes one.

    Attributes:
        name: name of the network.
        subnet: name of the subnet of the nodes.
    """

    name: str
    subnet: str


class ClusterOutputs(Section):
    """The cluster.

    Attributes:
        name: name of the cluster.
        location: region or zone of its control plane; ``None`` where somebody else runs it.
        endpoint: address of its control plane; ``None`` where somebody else runs it.
    """

    name: str
    location: str | None = None
    endpoint: str | None = None


class ModelOutputs(Section):
    """Where a model answers.

    Attributes:
        url: base URL of the stable release's API inside the cluster.
        release: version of the stable release.
        release_urls: base URL of each release's API, by version.
        deployment: name of the stable release's Deployment or LeaderWorkerSet.
        min_instances, max_instances: fewest and most instances of all its releases together; ``None`` where an older
            program put the outputs out.
    """

    url: str
    release: str
    release_urls: dict[str, str]
    deployment: str
    min_instances: int | None = None
    max_instances: int | None = None


class GatewayOutputs(Section):
    """Where the gateway answers.

    Attributes:
        namespace: its namespace.
        url: base URL of its API, by its host name; without one, of its Service inside the cluster. Empty while there is
            no model.
        address: address or name of its load balancer; empty where it has none.
    """

    namespace: str
    url: str
    address: str = ""


class ReleaseOutputs(Section):
    """A release that a model serves.

    Attributes:
        version: the release's version.
        sha256: hash of its content, which promotion compares.
        weight: percent of the requests that a canary gets; ``None`` for other roles.
    """

    version: str
    sha256: str
    weight: int | None = None


class FixedOutputs(Section):
    """What an update compares before it touches anything. It is read alone there: outputs that an older program wrote
    must not stand in the way of an update.

    Attributes:
        fixed: settings that may not change in the life of the stack, by property path.
    """

    fixed: dict[str, str] = {}


class NamespaceOutputs(Section):
    """What an update that needs objects of somebody else's looks at. It is read alone there.

    Attributes:
        namespaces: namespaces of the teams; ``None`` before the first update.
        gateway: the gateway; ``None`` where there was none.
    """

    namespaces: tuple[str, ...] | None = None
    gateway: GatewayOutputs | None = None


class LauncherOutputs(Section):
    """What the next update goes on with, read alone as :class:`FixedOutputs` is.

    Attributes:
        launcher: version of the launcher that comes with the releases; ``None`` before the first update.
    """

    launcher: str | None = None


class ReleasesOutputs(Section):
    """What an update looks at that moves requests from one release to another, read alone as :class:`FixedOutputs` is.

    Attributes:
        releases: what each model serves, by role.
    """

    releases: dict[str, dict[Role, ReleaseOutputs]] = {}


class RedisPasswordOutputs(Section):
    """What the next update goes on with, read alone as :class:`FixedOutputs` is, and by the program only: to others it
    is a secret.

    Attributes:
        redis_passwords: passwords that an update made, by what a Redis of the gateway holds.
    """

    redis_passwords: dict[str, str] = {}


class WebhookSecretOutputs(Section):
    """As :class:`RedisPasswordOutputs`.

    Attributes:
        webhook_secret: what an update made, with which webhooks of the gateway's queue are signed.
    """

    webhook_secret: str | None = None


class StackOutputs(FixedOutputs, NamespaceOutputs, LauncherOutputs, ReleasesOutputs):
    """Everything that a stack puts out; all of it is empty before the first update.

    Attributes:
        network: the private network.
        cluster: the cluster.
        kubeconfig: kubeconfig of the cluster, without credentials.
        pools: names of the cloud's node pools, by pool; ``None`` where the nodes are somebody else's.
        model_cache: URL of the bucket that holds the weights.
        registry: address of the registry of images.
        models: where each model answers.
        gateway: where the gateway answers; ``None`` where there is none.
        cost: cost an hour as planned; ``None`` where the stack buys no nodes.
    """

    network: NetworkOutputs | None = None
    cluster: ClusterOutputs | None = None
    kubeconfig: str | None = None
    pools: dict[str, tuple[str, ...]] | None = None
    model_cache: str | None = None
    registry: str | None = None
    models: dict[str, ModelOutputs] = {}
    gateway: GatewayOutputs | None = None
    cost: CostEstimate | None = None

    @field_validator("cost", mode="before")
    @classmethod
    def _cost_if_any(cls, value: Any) -> Any:
        return value or None

    @field_serializer("cost")
    def _empty_without_cost(self, cost: CostEstimate | None) -> dict[str, Any]:
        return {} if cost is None else cost.model_dump(mode="json", by_alias=True)


def read_outputs(data: Mapping[str, Any], source: str = "outputs") -> StackOutputs:
    """The outputs of a stack from plain data.

    Raises:
        ProblemsError: naming ``source`` and the path of every value that is not what the program puts out.
    """
    return parse(StackOutputs, data, source)


def output_key(field: str) -> str:
    """The key under which a field of :class:`StackOutputs` is put out: ``modelCache`` for ``model_cache``.

    Raises:
        KeyError: there is no such field.
    """
    return StackOutputs.model_fields[field].alias or field
