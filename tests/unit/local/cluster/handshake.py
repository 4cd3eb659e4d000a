"""A TLS handshake in memory, in which both sides show a certificate."""

import ssl
from pathlib import Path


def peers_agree(authority: Path, server: Path, client: Path, name: str) -> bool:
    """Whether a server and a client that trust one authority accept each other.

    Args:
        authority: its certificate.
        server: the server's key and certificate, without their suffixes.
        client: the client's.
        name: the name or address that the client asks for.

    Raises:
        ssl.SSLError: one of them refuses the other; says why.
    """
    contexts = []
    for own, protocol in ((server, ssl.PROTOCOL_TLS_SERVER), (client, ssl.PROTOCOL_TLS_CLIENT)):
        context = ssl.SSLContext(protocol)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority)
        context.load_cert_chain(own.with_suffix(".crt"), own.with_suffix(".key"))
        contexts.append(context)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        contexts[0].wrap_bio(to_server, to_client, server_side=True),
        contexts[1].wrap_bio(to_client, to_server, server_hostname=name),
    ]
    while sides:
        for side in list(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                continue
    return True
