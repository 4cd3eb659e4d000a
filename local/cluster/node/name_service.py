"""One question to a name service, asked as any pod would ask it."""

from dns.exception import DNSException
from dns.resolver import Resolver


def resolve(server: str, name: str, timeout: float = 1.0, attempts: int = 3, port: int = 53) -> list[str]:
    """The IPv4 addresses that a name has; none where there is no answer in time.

    Args:
        server: address of the name service.
        name: full name.
        timeout: seconds for each attempt.
        attempts: how often it is asked while it says nothing, as packets get lost and busy machines are late.
        port: port of the name service.
    """
    resolver = Resolver(configure=False)
    resolver.nameservers, resolver.port = [server], port
    resolver.timeout, resolver.lifetime = timeout, timeout * attempts
    try:
        return [record.to_text() for record in resolver.resolve(name, "A", search=False)]
    except DNSException:
        return []
