"""The way out that a site prescribes, as the usual variables say it, honoured alike by all three clients.

Each of them already reads HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and the hub's reads HF_ENDPOINT. Owns what they do not
do alike: certificates, and servers that no proxy can reach for us.
"""

import os
from collections.abc import MutableMapping

from llm_serving_load.errors import LoadError

_BUNDLES = ("REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
"""Where the clients of Google's store and of S3 look; httpx and OpenSSL look at SSL_CERT_FILE alone."""
_PROXIES = ("https_proxy", "http_proxy", "all_proxy")
_IDENTITY_SERVERS = (
    "metadata.google.internal",
    "169.254.169.254",  # both clouds' metadata
    "169.254.170.2",  # AWS's agents of containers
    "169.254.170.23",
    "fd00:ec2::23",
    "fd00:ec2::254",
)
"""Answer only whom they serve: a proxy that asked them would be given its own identity, or none."""
TRUST_ADVICE = (
    "name the site's certificates in SSL_CERT_FILE, together with the public ones where these are needed, too (it "
    "replaces them)"
)


def prepare(environment: MutableMapping[str, str]) -> None:
    """Complete the variables, before a client is made.

    Raises:
        LoadError: SSL_CERT_FILE names no file that can be read.
    """
    bundle = environment.get("SSL_CERT_FILE")
    if bundle:
        if not os.access(bundle, os.R_OK) or not os.path.isfile(bundle):
            raise LoadError(
                f"SSL_CERT_FILE {bundle!r}: it is no file that can be read; mount it, or unset the variable"
            )
        for name in _BUNDLES:
            environment.setdefault(name, bundle)
    if any(environment.get(name) or environment.get(name.upper()) for name in _PROXIES):
        # The small letters win in all three.
        exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
        more = [name for name in _IDENTITY_SERVERS if name not in exceptions.split(",")]
        environment["no_proxy"] = environment["NO_PROXY"] = ",".join([*filter(None, [exceptions]), *more])


def is_untrusted(error: Exception) -> bool:
    """Whether a client gave up because it does not trust the server's certificate; each wraps OpenSSL's words."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
