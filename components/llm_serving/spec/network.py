"""Address ranges as settings and arguments write them."""

from ipaddress import IPv4Network
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from llm_serving.errors import Problem, ProblemsError, Suggestion


def _network(value: object) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    if ":" in str(value):
        raise ValueError("is an IPv6 range, and inference engines listen on IPv4 alone: an IPv4 range of the cluster")
    try:
        return IPv4Network(str(value), strict=True)
    except ValueError as error:
        reason = f"not an IPv4 range in CIDR notation: {error}"
        raise ProblemsError([Problem("", str(value), reason, _around(str(value)))]) from None


def _around(value: str) -> Suggestion:
    """The range that an address with a length is in."""
    try:
        return Suggestion(values=[str(IPv4Network(value.strip(), strict=False))])
    except ValueError:
        return Suggestion()


Cidr = Annotated[IPv4Network, BeforeValidator(_network), PlainSerializer(str)]
"""An IPv4 range such as ``10.0.0.0/20``; a string in files and arguments."""
