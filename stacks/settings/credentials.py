"""Credentials that stand in a settings file in plain text. They are known by how their issuers write them, by the name
of their key, or as a part of a URL; no message repeats one."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from llm_serving.errors import Problem

HUB_TOKEN_KIND = "a token of the Hugging Face hub"
KUBECONFIG_KIND = "a kubeconfig"

_BY_FORM = {
    # Secret scanning patterns of GitHub, GitLab and of the issuers themselves, November 2026.
    HUB_TOKEN_KIND: re.compile(r"\bhf_[A-Za-z0-9]{16,}"),
    "a token of GitHub": re.compile(r"\b(gh[oprsu]_[A-Za-z0-9]{30,}|github_pat_\w{30,})"),
    "a token of GitLab": re.compile(r"\bglpat-[\w-]{20,}"),
    "a token of Docker Hub": re.compile(r"\bdckr_[op]at_[\w-]{20,}"),
    "a key of NVIDIA's registry": re.compile(r"\bnvapi-[\w-]{20,}"),
    "an access token of Google Cloud": re.compile(r"\bya29\.[\w-]{20,}"),
    "an API key of Google Cloud": re.compile(r"\bAIza[\w-]{35}"),
    "an access key of AWS": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a JSON web token": re.compile(r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\."),
    KUBECONFIG_KIND: re.compile(r"""client-key-data|\A(?s:(?=.*\bclusters["']?\s*:)(?=.*\busers["']?\s*:))"""),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "credentials in a URL": re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s@]*@"),
}
_KUBECONFIG_KEYS = {"clusters", "users"}
_BY_NAME = re.compile(r"((?<!per_)(?<!first_)token|password|api_?key|access_?key|private_?key|secret_?key)$")
_SWITCHES = {"", "0", "1", "true", "false"}


def check_credentials(value: Any, suggestions: Mapping[str, str], path: str = "") -> Iterator[Problem]:
    """A problem for each credential in plain text.

    Args:
        value: settings, or a part of them.
        suggestions: where a credential belongs, by its kind or by the key of the settings that it stands below.
        path: property path of the value.
    """
    if isinstance(value, str):
        for kind, form in _BY_FORM.items():
            if form.search(value):
                yield _problem(path, kind, suggestions)
                return
    elif isinstance(value, list):
        for index, item in enumerate(cast(list[Any], value)):
            yield from check_credentials(item, suggestions, f"{path}[{index}]")
    elif isinstance(value, dict):
        yield from _check_mapping(cast(dict[str, Any], value), suggestions, path)


def _check_mapping(mapping: dict[str, Any], suggestions: Mapping[str, str], path: str) -> Iterator[Problem]:
    if mapping.keys() >= _KUBECONFIG_KEYS:
        yield _problem(path, KUBECONFIG_KIND, suggestions)
        return
    for key, value in mapping.items():
        inner = f"{path}.{key}" if path else key
        if any(form.search(key) for form in _BY_FORM.values()):
            yield Problem(path, None, "has a credential as a key, and settings appear in plans and outputs")
        elif _is_credential(key, value):
            yield _problem(inner, "a credential", suggestions)
        else:
            yield from check_credentials(value, suggestions, inner)


def _is_credential(key: str, value: Any) -> bool:
    """Whether a key is named as a credential, and its value may be one: no switch, and no path of a file."""
    name = key.replace("-", "_").lower()
    return isinstance(value, str) and value.lower() not in _SWITCHES and value[0] != "/" and bool(_BY_NAME.search(name))


def _problem(path: str, kind: str, suggestions: Mapping[str, str]) -> Problem:
    reason = f"holds {kind} in plain text, and settings appear in plans and outputs"
    return Problem(path, None, reason, suggestions.get(kind) or suggestions.get(re.split(r"[.\[]", path)[0], ""))
