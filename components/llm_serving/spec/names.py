"""Types of the names and quantities that several models share, with the rule of the platform that each one obeys."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from llm_serving.errors import Problem, ProblemsError, Suggestion
from llm_serving.spec.forms import VERSION, repaired

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"


def _nearest_name(value: str, pattern: str, limit: int) -> Suggestion:
    fits = (text for text in repaired(value) if len(text) <= limit and re.fullmatch(pattern, text))
    return Suggestion(values=[*fits][:1])


def _dns_label(limit: int) -> AfterValidator:
    def check(value: str) -> str:
        if len(value) > limit:
            reason = f"{len(value)} characters, at most {limit} are allowed"
            raise ProblemsError([Problem("", value, reason, _nearest_name(value[:limit], DNS_LABEL, limit))])
        if not re.fullmatch(DNS_LABEL, value):
            reason = (
                "not a name that Kubernetes and the clouds accept: lower-case letters, digits and '-', "
                "starting with a letter and ending with a letter or digit"
            )
            raise ProblemsError([Problem("", value, reason, _nearest_name(value, DNS_LABEL, limit))])
        return value

    return AfterValidator(check)


def version_text(value: Any) -> Any:
    """A version as it stands, unless YAML made a number of it.

    Raises:
        ProblemsError: it is a number.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        # YAML reads 1.30 as 1.3.
        raise ProblemsError(
            [Problem("", value, "is a number, and a version is a text: quote it", Suggestion(values=[str(value)]))]
        )
    return value


DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_LONGEST_SUBDOMAIN = 253


def _check_subdomain(value: str) -> str:
    if len(value) > _LONGEST_SUBDOMAIN or not re.fullmatch(DNS_SUBDOMAIN, value):
        reason = (
            "not a name that Kubernetes accepts: at most 253 lower-case letters, digits, '-' and '.', "
            "starting and ending with a letter or digit"
        )
        raise ProblemsError([Problem("", value, reason, _nearest_name(value, DNS_SUBDOMAIN, _LONGEST_SUBDOMAIN))])
    return value


_dns_subdomain = AfterValidator(_check_subdomain)


POOL_NAME_LIMIT = 20

PoolName = Annotated[str, _dns_label(POOL_NAME_LIMIT)]
"""Name of a pool. GKE allows 40 characters for a node pool; ours add the market and a generation."""

ModelName = Annotated[str, _dns_label(40)]
"""Name of a model: a DNS label, shorter than 63 because Kubernetes objects add a role to it."""

DnsLabel = Annotated[str, _dns_label(63)]
"""A DNS label (RFC 1123) that begins with a letter."""

NamespaceName = Annotated[str, _dns_label(40)]

ClusterName = Annotated[str, _dns_label(30)]
"""Name of a cluster. GKE allows 40 characters; service accounts derived from it have only 30."""

Semver = Annotated[str, VERSION]
"""A release's version, semantic versioning 2.0.0 without build metadata. It is part of names and a label's value, so
each identifier begins and ends with a letter or digit."""

ObjectName = Annotated[str, _dns_subdomain]
"""Name of most objects of Kubernetes, a claim and a storage class among them: a DNS subdomain (RFC 1123)."""

SecretName = Annotated[str, _dns_subdomain]
"""Name of a Secret: a DNS subdomain (RFC 1123), as most names of Kubernetes objects are."""

MAX_COUNT = 150_000
"""Pods of the largest cluster that Kubernetes is made for ("Considerations for large clusters", November 2026): nothing
that is counted is more."""

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
PositiveCount = Annotated[int, Field(ge=1, le=MAX_COUNT)]

MAX_AMOUNT = 100_000_000
"""Ten times the longest context of a published model (10,485,760 tokens, Llama 4 Scout, April 2025)."""

Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
"""Tokens, bytes and the like, of which there are more than of what is counted."""
PositiveAmount = Annotated[int, Field(ge=1, le=MAX_AMOUNT)]
Fraction = Annotated[float, Field(gt=0, le=1)]
