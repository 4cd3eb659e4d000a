"""Reading of a kubeconfig: one context of it, with everything that it needs and nothing else.

What Pulumi keeps must work in another folder and on another day, so files that the kubeconfig names are taken in
(as ``kubectl config view --flatten --minify`` does). Programs that it names (``exec``) stay named.
"""

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from llm_serving.errors import Problem, ProblemsError, nearest

_EMBEDDED = {
    "clusters": {"certificate-authority": "certificate-authority-data"},
    "users": {"client-certificate": "client-certificate-data", "client-key": "client-key-data"},
}


def from_environment(environment: Mapping[str, str] = os.environ) -> str:
    """The kubeconfig of this machine: the files of ``KUBECONFIG`` (the first that says something wins, as for
    kubectl), or ``~/.kube/config``.

    Raises:
        ProblemsError: there is none.
    """
    variable = environment.get("KUBECONFIG", "")
    home = Path(environment.get("HOME", "~")).expanduser()
    paths = [Path(path) for path in variable.split(os.pathsep) if path] or [home / ".kube" / "config"]
    files = [path for path in paths if path.is_file()]
    if not files:
        places = ", ".join(str(path) for path in paths)
        hint = "give a kubeconfig, or set KUBECONFIG"
        raise ProblemsError([Problem("kubeconfig", None, f"not given, and there is no file {places}", hint)])
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": ""}
    for kind in ("clusters", "contexts", "users"):
        merged[kind] = []
    for path in files:
        config = _document(path.read_text(), str(path))
        merged["current-context"] = merged["current-context"] or config.get("current-context", "")
        for kind in ("clusters", "contexts", "users"):
            known = {entry["name"] for entry in merged[kind]}
            merged[kind] += [
                _embedded(kind, entry, path.parent.absolute())
                for entry in _entries(config, kind)
                if entry["name"] not in known
            ]
    return yaml.safe_dump(merged, sort_keys=False)


def one_context(text: str, context: str | None) -> str:
    """``text`` reduced to one context, which becomes the current one.

    Raises:
        ProblemsError: it is no kubeconfig, or has no such context, cluster or user.
    """
    config = _document(text, "")
    contexts = {entry["name"]: entry for entry in _entries(config, "contexts")}
    wanted = context or str(config.get("current-context") or "")
    if wanted not in contexts:
        reason = "has no current context" if not wanted else "is not a context of the kubeconfig"
        raise ProblemsError([Problem("context", wanted or None, reason, nearest(wanted, contexts))])
    context_entry: dict[str, Any] = contexts[wanted].get("context") or {}
    reduced: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": wanted}
    for kind, key in (("clusters", "cluster"), ("users", "user")):
        name = context_entry.get(key)
        entries = [entry for entry in _entries(config, kind) if entry["name"] == name]
        if not entries:
            reason = f"context {wanted!r} names the {key} {name!r}, which is not in it"
            raise ProblemsError([Problem("kubeconfig", None, reason)])
        reduced[kind] = entries[:1]
    reduced["contexts"] = [contexts[wanted]]
    return yaml.safe_dump(reduced, sort_keys=False)


def _document(text: str, source: str) -> dict[str, Any]:
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # The position only: the text around it may hold a credential.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise ProblemsError([Problem("kubeconfig", None, f"is not YAML{where}")], source) from None
    if not isinstance(document, dict) or "contexts" not in document:
        raise ProblemsError([Problem("kubeconfig", None, "is not a kubeconfig: it has no contexts")], source)
    return cast(dict[str, Any], document)


def _entries(config: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    entries = cast(list[Any], config.get(kind) or [])
    return [cast(dict[str, Any], entry) for entry in entries if isinstance(entry, dict) and "name" in entry]


def _embedded(kind: str, entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The entry with the contents of the files that it names; relative paths are relative to the kubeconfig."""
    inner_name = kind.removesuffix("s")
    inner: dict[str, Any] = dict(entry.get(inner_name) or {})
    for key, data_key in _EMBEDDED.get(kind, {}).items():
        if key in inner:
            file = folder / inner.pop(key)
            try:
                content = file.read_bytes()
            except OSError as error:
                reason = f"{inner_name} {entry['name']!r} names {file}: {error.strerror}"
                raise ProblemsError([Problem("kubeconfig", None, reason)]) from None
            inner.setdefault(data_key, base64.b64encode(content).decode())
    if "tokenFile" in inner:
        # Tokens in files are renewed: the file stays named.
        inner["tokenFile"] = str(folder / inner["tokenFile"])
    return {**entry, inner_name: inner}
