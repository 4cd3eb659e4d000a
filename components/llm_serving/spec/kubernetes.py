"""Types of what Kubernetes takes in its objects: keys and values of labels, taints and resources, groups, images.

Each follows the validation of the API server (Kubernetes documentation, "Labels and Selectors", "Object Names and IDs",
"Images", and the API reference of core/v1), so that nothing is refused only when it is applied.
"""

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.spec.names import DNS_SUBDOMAIN

_LONGEST_NAME = 63
_LONGEST_PREFIX = 253
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_KEY_RULE = "letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"


def _is_name(text: str) -> bool:
    return len(text) <= _LONGEST_NAME and _NAME.fullmatch(text) is not None


def _is_qualified(text: str) -> bool:
    prefix, slash, name = text.rpartition("/")
    has_prefix = len(prefix) <= _LONGEST_PREFIX and re.fullmatch(DNS_SUBDOMAIN, prefix) is not None
    return _is_name(name) and (has_prefix or not slash)


def check_label_key(value: str) -> str:
    """The key itself.

    Raises:
        ProblemsError: it is none; says what one is.
    """
    if not _is_qualified(value):
        reason = (
            f"not the key of a label: up to {_LONGEST_NAME} {_KEY_RULE}; "
            "a domain in lower case and '/' may stand before it"
        )
        prefix, slash, name = value.rpartition("/")
        raise _refused(value, reason, f"{prefix.lower()}{slash}{_plainer(name)}", _plainer(value), fits=_is_qualified)
    return value


def _plainer(text: str) -> str:
    """A text without what names of labels and tags do not have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:_LONGEST_NAME].strip("-._")


def _refused(value: str, reason: str, *near: str, fits: Callable[[str], bool]) -> ProblemsError:
    """The refusal of a text, with the first of those near it that fits."""
    return ProblemsError([Problem("", value, reason, Suggestion(values=[text for text in near if fits(text)][:1]))])


def _check_label_value(value: str) -> str:
    if value and not _is_name(value):
        reason = f"not the value of a label: empty, or up to {_LONGEST_NAME} {_KEY_RULE}"
        raise _refused(value, reason, _plainer(value), fits=_is_name)
    return value


LabelKey = Annotated[str, AfterValidator(check_label_key)]
"""Key of a label, of a node selector or of a taint: ``name``, or ``domain/name``."""
LabelValue = Annotated[str, AfterValidator(_check_label_value)]
"""Value of a label or of a taint."""


def _check_extended_resource(value: str) -> str:
    domain, slash, _ = value.rpartition("/")
    # core/v1 validation, IsExtendedResourceName: a domain of its own, and a name that "requests." may stand before.
    reserved = domain == "kubernetes.io" or domain.endswith(".kubernetes.io") or value.startswith("requests.")
    if not slash or not _is_qualified(value) or reserved:
        raise ProblemsError(
            [
                Problem(
                    "",
                    value,
                    "not a resource that a device plugin offers: the vendor's domain, '/' and a name",
                    Suggestion(values=["nvidia.com/gpu"]),
                )
            ]
        )
    return value


ExtendedResource = Annotated[str, AfterValidator(_check_extended_resource)]
"""Name of what a device plugin counts, for example ``nvidia.com/gpu``."""

_EVERYBODY = ("system:authenticated", "system:unauthenticated")
_LONGEST_GROUP = 253


def _check_group(value: str) -> str:
    if value in _EVERYBODY or value == "system:masters":
        who = "whoever reaches the cluster is in it" if value in _EVERYBODY else "it may do everything already"
        members = Suggestion("a group of the team's members", needs=Needs.FACT)
        raise ProblemsError([Problem("", value, f"not a group of a team: {who}", members)])
    if not value.strip() or value != value.strip() or not value.isprintable() or len(value) > _LONGEST_GROUP:
        reason = f"not the name of a group: 1 to {_LONGEST_GROUP} characters, without a space around it"
        raise _refused(
            value, reason, value.strip()[:_LONGEST_GROUP], fits=lambda text: bool(text) and text.isprintable()
        )
    return value


GroupName = Annotated[str, AfterValidator(_check_group)]
"""Group as the cluster's authentication names it."""

_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(localhost|[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+)(:[0-9]{1,5})?"
_HOST_AND_PORT = r"[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?:[0-9]{1,5}"
_REPOSITORY = re.compile(rf"(({_HOST}|{_HOST_AND_PORT})/)?{_COMPONENT}(/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST_REPOSITORY = 255


def _check_repository(value: str) -> str:
    if len(value) <= _LONGEST_REPOSITORY and _REPOSITORY.fullmatch(value):
        return value
    reason = "not the repository of an image: registry.example.com/team/name, in lower case and without https://"
    before, colon, tag = value.rpartition(":")
    if colon and _REPOSITORY.fullmatch(before) and _TAG.fullmatch(tag):
        raise ProblemsError(
            [Problem("", value, "carries the tag, which is a setting of its own", Suggestion(values=[before]))]
        )
    bare = value.strip().lower().rpartition("://")[2].strip("/")
    fits = [text for text in (bare, bare.rpartition(":")[0]) if _REPOSITORY.fullmatch(text)]
    raise ProblemsError([Problem("", value, reason, Suggestion(values=fits[:1]))])


def _check_tag(value: str) -> str:
    if not _TAG.fullmatch(value):
        reason = "not the tag of an image: 1 to 128 letters, digits, '_', '-' and '.', not beginning with '-' or '.'"
        raise _refused(value, reason, _plainer(value), fits=lambda text: _TAG.fullmatch(text) is not None)
    return value


_PAUSE = "registry.k8s.io/pause:3.10.1"


def _check_image(value: str) -> str:
    rest, at, digest = value.partition("@")
    before, colon, tag = rest.rpartition(":")
    repository = before if colon and "/" not in tag else rest
    has_tag = repository == rest or _TAG.fullmatch(tag) is not None
    if not _REPOSITORY.fullmatch(repository) or not has_tag or (at and not _DIGEST.fullmatch(digest)):
        raise ProblemsError(
            [Problem("", value, "not an image: registry.example.com/team/name:tag", Suggestion(values=[_PAUSE]))]
        )
    return value


ImageRepository = Annotated[str, AfterValidator(_check_repository)]
"""Repository of an image, with its registry (grammar of the distribution project, ``reference``)."""
ImageTag = Annotated[str, AfterValidator(_check_tag)]
"""Tag of an image."""
ImageName = Annotated[str, AfterValidator(_check_image)]
"""An image in one text: repository, and tag or digest."""
