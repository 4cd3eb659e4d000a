"""Address ranges of a private network."""

from ipaddress import IPv4Network
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer

from llm_serving.arguments import Frozen


def _network(value: object) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    try:
        return IPv4Network(str(value), strict=True)
    except ValueError as error:
        raise ValueError(f"not an IPv4 range in CIDR notation: {error}") from None


Cidr = Annotated[IPv4Network, BeforeValidator(_network), PlainSerializer(str)]
"""An IPv4 range such as ``10.0.0.0/20``; a string in files and arguments."""


class NetworkSpec(Frozen):
    """The private network of one environment. Ranges are fixed for the life of a stack.

    Attributes:
        nodes: primary range of the node subnet; one address a node.
        pods: range from which every node gets a block for its pods.
        services: range of the cluster's Services.
        proxies: range of the proxies of regional gateways (GCP: proxy-only subnet, at least a /26).
        nat_addresses: fixed public addresses from which the network reaches the internet, for allow-lists of others;
            0 leaves number and choice to the cloud.
        flow_log_sampling: share of the node subnet's flows that is logged; 0 logs none.
    """

    nodes: Cidr = IPv4Network("10.0.0.0/20")
    pods: Cidr = IPv4Network("10.64.0.0/14")
    services: Cidr = IPv4Network("10.0.32.0/20")
    proxies: Cidr = IPv4Network("10.0.16.0/23")
    nat_addresses: Annotated[int, Field(ge=0, le=16)] = 0
    flow_log_sampling: Annotated[float, Field(ge=0, le=1)] = 0.1
