"""Credentials that stand in plain text in a settings file or among the arguments of a component. They are known by how
their issuers write them, by the name of their key, or as a part of a URL; no message repeats one."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from llm_serving.arguments import property_path
from llm_serving.errors import Needs, Problem, Suggestion

HUB_TOKEN_KIND = "a token of the Hugging Face hub"
KUBECONFIG_KIND = "a kubeconfig"
GATEWAY_KEY_KIND = "a key of the gateway"

_BY_FORM = {
    # Secret scanning patterns of GitHub, GitLab and of the issuers themselves, November 2026.
    HUB_TOKEN_KIND: re.compile(r"\bhf_[A-Za-z0-9]{16,}"),
    "a token of GitHub": re.compile(r"\b(gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,})"),
    "a token of GitLab": re.compile(r"\bglpat-[\w-]{20,}"),
    "a token of Docker Hub": re.compile(r"\bdckr_[op]at_[\w-]{20,}"),
    "a key of NVIDIA's registry": re.compile(r"\bnvapi-[\w-]{20,}"),
    GATEWAY_KEY_KIND: re.compile(r"\bsk-llm-\w"),
    "a key of OpenAI or Anthropic": re.compile(r"\bsk-[\w-]{20,}"),
    "a token of Slack": re.compile(r"\bxox[abeoprs]-[\w-]{10,}|hooks\.slack\.com/services/\w"),
    "a key of a service account": re.compile(r"""["']private_key(_id)?["']\s*:"""),
    "an access token of Google Cloud": re.compile(r"\bya29\.[\w-]{20,}"),
    "an API key of Google Cloud": re.compile(r"\bAIza[\w-]{35}"),
    "an access key of AWS": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\."),
    KUBECONFIG_KIND: re.compile(r"""client-key-data|\A(?s:(?=.*\bclusters["']?\s*:)(?=.*\busers["']?\s*:))"""),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "credentials in a URL": re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s@]*@"),
}
_KUBECONFIG_KEYS = {"clusters", "users"}
_BY_NAME = re.compile(
    r"((?<!per_)(?<!first_)token|password|passwd|passphrase|(?<![a-z])pass|api_?key|access_?key|private_?key|secret_?key"
    r"|(?<!token_)(?<![a-z])secret)$"
)
_SWITCHES = {"", "0", "1", "true", "false"}


Location = tuple[int | str, ...]
"""Keys and indices that lead to a value."""


def check_credentials(
    value: Any,
    suggestions: Mapping[str, str],
    whose: str = "settings",
    spelling: Callable[[Location], Location] = tuple,
) -> Iterator[Problem]:
    """A problem for each credential in plain text.

    Args:
        value: settings or arguments. What is no plain data, such as an output of Pulumi, is not looked into.
        suggestions: where a credential belongs, by its kind or by the key that it stands below.
        whose: what the value is, for messages.
        spelling: the location as it is shown.
    """
    for location, kind, is_key in _found(value, ()):
        shown = spelling(location)
        path = property_path(shown)
        holds = "has a credential as a key" if is_key else f"holds {kind} in plain text"
        belongs = suggestions.get(kind) or suggestions.get(str(shown[0]) if shown else "", "")
        reason = f"{holds}, and {whose} appear in plans and outputs"
        yield Problem(path, None, reason, Suggestion("" if is_key else belongs, needs=Needs.COMMAND))


def _found(value: Any, location: Location) -> Iterator[tuple[Location, str, bool]]:
    """Where credentials are, of which kind, and whether one is a key itself."""
    if isinstance(value, str):
        kind = next((kind for kind, form in _BY_FORM.items() if form.search(value)), None)
        if kind is not None:
            yield location, kind, False
    elif isinstance(value, list | tuple):
        for index, item in enumerate(cast(Sequence[Any], value)):
            yield from _found(item, (*location, index))
    elif isinstance(value, dict):
        yield from _found_in(cast(dict[Any, Any], value), location)


def _found_in(mapping: dict[Any, Any], location: Location) -> Iterator[tuple[Location, str, bool]]:
    if mapping.keys() >= _KUBECONFIG_KEYS:
        yield location, KUBECONFIG_KIND, False
        return
    for key, value in mapping.items():
        inner = (*location, str(key))
        if any(form.search(str(key)) for form in _BY_FORM.values()):
            yield location, "", True
        elif _is_credential(str(key), value):
            yield inner, "a credential", False
        else:
            yield from _found(value, inner)


def _is_credential(key: str, value: Any) -> bool:
    """Whether a key is named as a credential, and its value may be one: no switch, and no path of a file."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).replace("-", "_").lower()
    return isinstance(value, str) and value.lower() not in _SWITCHES and value[0] != "/" and bool(_BY_NAME.search(name))
