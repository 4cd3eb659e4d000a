"""The way out of a site: its mirror of the hub, its proxy, its certificates."""

import hashlib
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, model_validator

from llm_serving.arguments import Frozen
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.spec.forms import HOST
from llm_serving.spec.names import SecretName
from llm_serving.spec.network import Cidr

_PORTS = {"http": 80, "https": 443}
CA_KEY = "ca.crt"
"""Key of the ConfigMap with the site's certificates."""


def _check_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0 and not parts.query
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("not a URL with scheme, host and port: http://proxy.example.com:3128")
    return value


_CERTIFICATES = Suggestion("certificates alone, each from -----BEGIN CERTIFICATE----- on", needs=Needs.FACT)


def _check_certificates(value: str) -> str:
    if "PRIVATE KEY" in value:
        raise ProblemsError([Problem("", None, "holds a private key", _CERTIFICATES)])
    if "-----BEGIN CERTIFICATE-----" not in value:
        raise ProblemsError([Problem("", None, "holds no certificate in PEM", _CERTIFICATES)])
    return value


SiteUrl = Annotated[str, AfterValidator(_check_url)]
Certificates = Annotated[str, AfterValidator(_check_certificates)]
DirectHost = Annotated[str, HOST]


class EgressSpec(Frozen):
    """How pods of models reach what is outside of the cluster, where a site prescribes it."""

    hub_endpoint: SiteUrl | None = None
    """Mirror of the Hugging Face hub, for example `https://hub.example.com`."""
    https_proxy: SiteUrl | None = None
    """Proxy for HTTPS, for example `http://proxy.example.com:3128`."""
    http_proxy: SiteUrl | None = None
    """Proxy for HTTP."""
    no_proxy: tuple[DirectHost, ...] = ()
    """Hosts and domains (`.example.com`) that are reached without the proxy, beside the cluster's own.

    The cluster's own names, the API server, the metadata server and what the cloud is reached privately by always are.
    """
    addresses: tuple[Cidr, ...] = ()
    """Addresses of proxy and mirror, as pods see them: a network policy knows no names."""
    ca_config_map: SecretName | None = None
    """ConfigMap in the team's namespace with the site's certificates under the key `ca.crt`."""
    ca_certificates: Certificates | None = None
    """The site's certificates in PEM, of which a ConfigMap is made.

    They take the place of those that an image brings along: public ones must be among them where they are needed.
    """

    @model_validator(mode="after")
    def _fits(self) -> "EgressSpec":
        if self.ca_config_map is not None and self.ca_certificates is not None:
            reason = "is a second source of the same certificates, beside caCertificates"
            raise ProblemsError(
                [Problem("caConfigMap", self.ca_config_map, reason, Suggestion("one of the two", removal=True))]
            )
        if self.no_proxy and not self.has_proxy:
            reason = "without meaning where there is no proxy"
            raise ProblemsError(
                [
                    Problem(
                        "noProxy",
                        ", ".join(self.no_proxy),
                        reason,
                        Suggestion("leave it out, or httpsProxy", removal=True),
                    )
                ]
            )
        if not self.addresses and (url := next(self._unreachable(), None)) is not None:
            reason = f"required for {url.hostname}: a network policy knows addresses, and no names"
            raise ProblemsError(
                [
                    Problem(
                        "addresses", None, reason, Suggestion("the range that its addresses are in", needs=Needs.FACT)
                    )
                ]
            )
        return self

    @property
    def has_proxy(self) -> bool:
        """Something is reached by a proxy."""
        return self.https_proxy is not None or self.http_proxy is not None

    @property
    def replaces_internet(self) -> bool:
        """Loaders need no way to the internet of their own: the proxy, or a mirror at known addresses, is theirs."""
        return self.https_proxy is not None or (self.hub_endpoint is not None and bool(self.ranges))

    @property
    def ranges(self) -> tuple[str, ...]:
        """Addresses that network policies let through."""
        literals = (f"{url.hostname}/32" for url in self._direct() if _is_address(url))
        return tuple(dict.fromkeys([*(str(range_) for range_ in self.addresses), *literals]))

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports at these addresses."""
        return tuple(sorted({url.port or _PORTS[url.scheme] for url in self._direct()}))

    @property
    def ca_name(self) -> str | None:
        """Name of the ConfigMap with certificates; other ones are another ConfigMap, so that pods start anew."""
        if self.ca_certificates is None:
            return self.ca_config_map
        return f"ca-bundle-{hashlib.sha256(self.ca_certificates.encode()).hexdigest()[:10]}"

    def _direct(self) -> Iterator[SplitResult]:
        """What pods connect to by themselves: the proxies, and the mirror where none stands before it."""
        mirror = None if self.hub_endpoint is None or self._is_proxied(self.hub_endpoint) else self.hub_endpoint
        return (urlsplit(url) for url in (self.https_proxy, self.http_proxy, mirror) if url is not None)

    def _is_proxied(self, url: str) -> bool:
        parts = urlsplit(url)
        proxy = self.https_proxy if parts.scheme == "https" else self.http_proxy
        # The rule that clients follow (urllib.request, proxy_bypass_environment): names, and what ends in them.
        host = f".{parts.hostname}"
        return proxy is not None and not any(host.endswith(f".{name.lstrip('.').lower()}") for name in self.no_proxy)

    def _unreachable(self) -> Iterator[SplitResult]:
        """What no policy lets through: names, but for a mirror on the internet at the port of the hub."""
        for url in self._direct():
            public = not self.has_proxy and (url.port or _PORTS[url.scheme]) == _PORTS["https"]
            if not _is_address(url) and not public:
                yield url


def _is_address(url: SplitResult) -> bool:
    try:
        IPv4Address(url.hostname or "")
    except ValueError:
        return False
    return True
