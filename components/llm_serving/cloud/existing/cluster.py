"""An existing cluster, as a kubeconfig of its own."""

from typing import Annotated, Any, NotRequired, TypedDict

import pulumi
from pydantic import Field

from llm_serving.cloud.existing.kubeconfig import from_environment, one_context
from llm_serving.component import Frozen, raising_input_errors, token, validated
from llm_serving.contract import NetworkReach, Port
from llm_serving.spec.network import Cidr


class ExistingClusterArgs(TypedDict):
    """Arguments of `ExistingCluster`."""

    kubeconfig: NotRequired[pulumi.Input[str]]
    """Contents of the kubeconfig; left out: the files that `KUBECONFIG` names, or `~/.kube/config`."""
    context: NotRequired[str]
    """Context to use; left out: its current one."""
    clients: NotRequired[list[str]]
    """Address ranges from which clients reach the models, for example those of an ingress."""
    storage: NotRequired[list[str]]
    """Address ranges of the object store that weights come from, where one is used."""
    storage_ports: NotRequired[list[int]]
    """TCP ports of the object store; 443 if left out."""
    api_server: NotRequired[list[str]]
    """Addresses of the API server as pods see them; left out: private ones."""
    api_server_ports: NotRequired[list[int]]
    """TCP ports of the API server; 443 and 6443 if left out."""


class ExistingClusterInputs(Frozen):
    """Arguments of :class:`ExistingCluster`, validated."""

    kubeconfig: Any = None
    context: str | None = None
    clients: tuple[Cidr, ...] = ()
    storage: tuple[Cidr, ...] = ()
    storage_ports: tuple[Port, ...] = (443,)
    api_server: tuple[Cidr, ...] = ()
    api_server_ports: Annotated[tuple[Port, ...], Field(min_length=1)] = (443, 6443)


class ExistingCluster(pulumi.ComponentResource):
    """A cluster that somebody else runs. Creates nothing."""

    kubeconfig: pulumi.Output[str]
    """Kubeconfig with one context, for a Kubernetes provider. A secret: it may hold credentials."""
    reach: pulumi.Output[dict[str, Any]]
    """Ranges for network policies (contract `NetworkReach`): those of the clients, of the object
    store and of the API server."""

    def __init__(self, name: str, args: ExistingClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        inputs = validated(ExistingClusterInputs, args, "ExistingCluster", name)
        source = f"ExistingCluster {name!r}"
        kubeconfig: pulumi.Input[str] = _or_local(inputs.kubeconfig, source)
        super().__init__(token("ExistingCluster"), name, {}, opts)
        self.kubeconfig = pulumi.Output.secret(kubeconfig).apply(
            lambda text: _one_context(text, inputs.context, source)
        )
        self.reach = pulumi.Output.from_input(
            NetworkReach(
                gateway_sources=tuple(str(clients) for clients in inputs.clients),
                storage_egress=tuple(str(addresses) for addresses in inputs.storage),
                storage_ports=inputs.storage_ports,
                api_server_egress=tuple(str(addresses) for addresses in inputs.api_server),
                api_server_ports=inputs.api_server_ports,
            ).to_data()
        )
        self.register_outputs({"kubeconfig": self.kubeconfig, "reach": self.reach})


def _or_local(kubeconfig: Any, source: str) -> Any:
    if kubeconfig is not None:
        return kubeconfig
    with raising_input_errors(source):
        return from_environment()


def _one_context(text: str, context: str | None, source: str) -> str:
    with raising_input_errors(source):
        return one_context(text, context)
