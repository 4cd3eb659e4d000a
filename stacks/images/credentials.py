"""Who we are to a registry: a token of the environment for the registries of clouds, else what ``docker login`` left.

Nothing is asked for, kept or printed here. A token of the environment goes to the registries of its own cloud and to no
other, since ``stacks images pin`` talks to whatever registry an image names.
"""

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from stacks.images.build_context import ImageError

GOOGLE_TOKEN = "GOOGLE_OAUTH_ACCESS_TOKEN"
"""Variable with an access token for Google Cloud, as Pulumi's provider reads it too."""
ECR_PASSWORD = "LLM_SERVING_ECR_PASSWORD"
"""Variable with what ``aws ecr get-login-password`` prints."""

IDENTITY_TOKEN_USER = "<token>"
"""User by which credential helpers say that the secret is a refresh token, not a password."""

_OF_THE_ENVIRONMENT = (
    # https://cloud.google.com/artifact-registry/docs/docker/authentication#token
    (re.compile(r"(.+\.)?(pkg\.dev|gcr\.io)"), GOOGLE_TOKEN, "oauth2accesstoken"),
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html
    (re.compile(r"\d+\.dkr\.ecr(-fips)?\..+\.amazonaws\.com(\.cn)?"), ECR_PASSWORD, "AWS"),
)
_HELPER_TIMEOUT_S = 60
_DOCKER_HUB = "https://index.docker.io/v1/"
"""Name of Docker Hub in Docker's configuration, whatever host answers for it."""


@dataclass(frozen=True)
class Login:
    """Name and secret, as a registry takes them."""

    user: str
    secret: str = field(repr=False)


def login_for(host: str, environment: Mapping[str, str] = os.environ) -> Login | None:
    """The login for a registry, or ``None`` where none is configured.

    Args:
        host: registry as image names have it, with its port.
        environment: variables; ``DOCKER_CONFIG`` names the folder of Docker's configuration.

    Raises:
        ImageError: Docker's configuration cannot be read, or names a helper that is not there or fails.
    """
    for hosts, variable, user in _OF_THE_ENVIRONMENT:
        if environment.get(variable) and hosts.fullmatch(host):
            return Login(user, environment[variable])
    path = Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    configuration = _read(path)
    names = [_DOCKER_HUB, "index.docker.io", "docker.io"] if host == "docker.io" else [host, f"https://{host}"]
    helpers = cast(dict[str, str], configuration.get("credHelpers") or {})
    helper = next((helpers[name] for name in names if name in helpers), configuration.get("credsStore"))
    if helper:
        for name in names:
            login = _ask(str(helper), name, environment)
            if login is not None:
                return login
    logins = cast(dict[str, Any], configuration.get("auths") or {})
    return next((login for name in names if (login := _stored(logins.get(name), path)) is not None), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: Docker's configuration cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise ImageError(f"{path}: Docker's configuration is not a table")
    return cast(dict[str, Any], data)


def _stored(entry: Any, path: Path) -> Login | None:
    if not isinstance(entry, dict):
        return None
    values = cast(dict[str, str], entry)
    if values.get("identitytoken"):
        return Login(IDENTITY_TOKEN_USER, values["identitytoken"])
    if not values.get("auth"):
        return None
    try:
        user, _, secret = base64.b64decode(values["auth"], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise ImageError(f"{path}: a login in it is damaged; log in again: docker login") from None
    return Login(user, secret.rstrip("\0"))


def _ask(helper: str, host: str, environment: Mapping[str, str]) -> Login | None:
    """What a credential helper answers (https://github.com/docker/docker-credential-helpers); ``None`` where it knows
    nothing of the host."""
    program = shutil.which(f"docker-credential-{helper}", path=environment.get("PATH"))
    if program is None:
        raise ImageError(f"Docker's configuration names docker-credential-{helper} for {host}, which is not on PATH")
    try:
        done = subprocess.run(
            [program, "get"],
            input=host,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_HELPER_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageError(f"docker-credential-{helper} gave no login for {host}: {error}") from None
    # Helpers tell "I have none" by a message, on standard output, and fail with it.
    if done.returncode and "credentials not found" in done.stdout + done.stderr:
        return None
    try:
        answer = json.loads(done.stdout)
        return Login(str(answer["Username"]), str(answer["Secret"]))
    except (ValueError, KeyError, TypeError):
        reason = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise ImageError(f"docker-credential-{helper} gave no login for {host}: {reason}") from None
