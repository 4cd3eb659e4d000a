"""Webhooks: where they may go, how they are signed (Standard Webhooks), and sending them.

A webhook says that something ended, and never what was asked or answered. It goes by HTTPS to hosts that the settings
allow, at an address of the internet: the name is resolved here, and the connection made to the address that was looked
at, so that a name cannot lead into the cluster. Redirections are not followed.
"""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import logging
import random
import re
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import httpx  # pyright: ignore[reportMissingImports]
from prometheus_client import Counter  # pyright: ignore[reportMissingImports]

from llm_serving_gateway import encoding
from llm_serving_gateway.configuration import Webhooks
from llm_serving_gateway.queue.store import Hook
from llm_serving_gateway.refusals import invalid

HTTPS_PORT = 443
SEND_SECONDS = 15.0
"""For one attempt, resolving the name included."""
FIRST_DELAY_SECONDS = 5.0
LONGEST_DELAY_SECONDS = 3600.0
_SIGNATURE_VERSION = "v1"

_NAME = re.compile(r"([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
"""A host as it may be looked up: other texts are an error of the program that looks, and no answer."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_SENT = Counter("llm_gateway_queue_webhooks_total", "Attempts at webhooks: sent, failed, given_up", ["outcome"])

_log = logging.getLogger(__name__)


class NotSentError(Exception):
    """A webhook did not arrive; the text names the reason and nothing of the request."""


def check_url(url: str, settings: Webhooks | None) -> None:
    """Refuse an address that is not allowed.

    Raises:
        RefusalError: 400.
    """
    if settings is None:
        raise invalid("webhook: this gateway sends none", "webhook", "unknown_parameter")
    try:
        parts = urlsplit(url)
        port = parts.port or HTTPS_PORT
    except ValueError:
        raise invalid("webhook: is not a URL", "webhook", "invalid_value") from None
    if parts.scheme != "https" or parts.username is not None or parts.password is not None or parts.fragment:
        raise invalid("webhook: is an https URL without a user or a fragment", "webhook", "invalid_value")
    if len(url) > 2000 or not url.isascii() or not url.isprintable() or " " in url:
        raise invalid("webhook: is at most 2000 printable characters of ASCII", "webhook", "invalid_value")
    host = (parts.hostname or "").rstrip(".")
    if not _NAME.fullmatch(host) or not any(_allows(entry, host, port) for entry in settings.hosts):
        raise invalid("webhook: its host is not one of those that are allowed", "webhook", "invalid_value")


def _allows(entry: str, host: str, port: int) -> bool:
    name, _, allowed_port = entry.partition(":")
    if port != (int(allowed_port) if allowed_port else HTTPS_PORT):
        return False
    return host.endswith(name[1:]) and host != name[2:] if name.startswith("*.") else host == name


def secret_of(master: str, owner: str) -> str:
    """The secret of one owner, as Standard Webhooks write it: nobody can sign for another."""
    digest = hmac.new(master.encode(), f"webhook:{owner}".encode(), hashlib.sha256).digest()
    return f"whsec_{base64.b64encode(digest).decode()}"


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature`` (Standard Webhooks specification, "Signature scheme", HMAC-SHA256)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"{_SIGNATURE_VERSION},{base64.b64encode(digest).decode()}"


async def resolve(host: str, port: int) -> Sequence[str]:
    """Addresses of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


def is_public(address: str) -> bool:
    """Whether an address is one of the internet: neither private nor local, of a link, of a cloud's metadata, nor one
    of IPv4 in the clothes of IPv6."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    inner: ipaddress.IPv4Address | None = None
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is None and parsed in _NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is None and parsed not in _UNICAST:
            return False
    return parsed.is_global and not parsed.is_multicast and (inner is None or is_public(str(inner)))


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that is given out (IANA, "IPv6 Global Unicast Address Assignments"). Of the rest Python calls global what is of a
site (fec0::/10), of a network's own NAT64 (64:ff9b:1::/48), or IPv4 in older forms (::/96)."""


class Sender:
    """Sends webhooks.

    Args:
        settings: where they may go.
        master: what the owners' secrets are made of.
        client: that speaks HTTPS; one that checks certificates.
        find: finds addresses of a host.
        allows: whether an address may be connected to.
    """

    def __init__(
        self,
        settings: Webhooks,
        master: str,
        client: httpx.AsyncClient | None = None,
        find: Resolve = resolve,
        allows: Callable[[str], bool] = is_public,
    ) -> None:
        self._settings, self._master = settings, master
        # Proxies of the environment would be asked for the name, and find another address.
        self._client = client or httpx.AsyncClient(trust_env=False, follow_redirects=False)
        self._find, self._allows = find, allows

    async def send(self, hook: Hook) -> float | None:
        """Try once: seconds until the next attempt, ``None`` where it is sent or given up."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._post(hook)
        # TimeoutError is an OSError; a ValueError is a name that cannot be looked up.
        except (NotSentError, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            reason = str(error) if isinstance(error, NotSentError) else type(error).__name__
            if hook.attempt >= self._settings.attempts:
                _SENT.labels("given_up").inc()
                _log.warning("a webhook to %s is given up: %s", urlsplit(hook.url).hostname, reason)
                return None
            _SENT.labels("failed").inc()
            delay = min(FIRST_DELAY_SECONDS * 4 ** (hook.attempt - 1), LONGEST_DELAY_SECONDS)
            return delay * random.uniform(0.8, 1.2)
        _SENT.labels("sent").inc()
        return None

    async def _post(self, hook: Hook) -> None:
        parts = urlsplit(hook.url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or HTTPS_PORT
        # What is allowed may have changed since it was asked for.
        if not any(_allows(entry, host, port) for entry in self._settings.hosts):
            raise NotSentError("its host is not allowed any more")
        addresses = await self._find(host, port)
        if not addresses or not all(self._allows(address) for address in addresses):
            raise NotSentError("its host has an address that is not of the internet")
        now = int(time.time())
        body = encoding.dumps(
            {"type": f"{hook.kind}.{hook.state}", "timestamp": now, "data": {"id": hook.id, "status": hook.state}}
        )
        # The same for every attempt, so that its receiver can tell one that came twice.
        message_id = "msg_" + hashlib.sha256(hook.name.encode()).hexdigest()[:32]
        address = addresses[0]
        target = f"[{address}]" if ":" in address else address
        request = self._client.build_request(
            "POST",
            f"https://{target}:{port}{parts.path or '/'}{'?' + parts.query if parts.query else ''}",
            content=body,
            headers={
                "host": host if port == HTTPS_PORT else f"{host}:{port}",
                "content-type": "application/json",
                "user-agent": "llm-serving",
                "webhook-id": message_id,
                "webhook-timestamp": str(now),
                "webhook-signature": signature(secret_of(self._master, hook.owner), message_id, now, body),
            },
            extensions={"sni_hostname": host},
        )
        answer = await self._client.send(request, stream=True)
        await answer.aclose()
        if not answer.is_success:
            raise NotSentError(f"status {answer.status_code}")

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()
