"""Credentials for registries that hand out images to known clients only."""

import re
from typing import Annotated

from pydantic import AfterValidator, model_validator

from llm_serving.arguments import Frozen
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.spec.names import SecretName

PULL_SECRET = "llm-serving-image-pull"
"""Name of the Secret that is made of registry, user name and password, in each namespace."""


_REGISTRY = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[-a-z0-9._]+)*")


def _check_registry(value: str) -> str:
    if not _REGISTRY.fullmatch(value):
        raise ValueError("not a registry as images name it: registry.example.com, with port or path but no scheme")
    return value


def _check_username(value: str) -> str:
    # Of "name:password" in base64, the first colon is the end of the name (RFC 7617).
    if not value or ":" in value or value != value.strip():
        raise ValueError("not a user name: not empty, no colon, and no space around it")
    return value


Registry = Annotated[str, AfterValidator(_check_registry)]
Username = Annotated[str, AfterValidator(_check_username)]


class ImagePullSpec(Frozen):
    """Credentials that nodes show to the registries of images: Secrets that are there, or one made for a registry."""

    secret_names: tuple[SecretName, ...] = ()
    """Secrets of type `kubernetes.io/dockerconfigjson` that are in each team's namespace."""
    registry: Registry | None = None
    """Registry to make a Secret for, as images name it: `registry.example.com`, without a scheme."""
    username: Username | None = None
    """User name at that registry.

    Its password is a secret of its own and never part of this.
    """

    @model_validator(mode="after")
    def _one_way(self) -> "ImagePullSpec":
        if self.secret_names and self.registry is not None:
            reason = "is a second way to the same credentials, beside secretNames"
            raise ProblemsError(
                [Problem("registry", self.registry, reason, Suggestion("one of the two", removal=True))]
            )
        if not self.secret_names and self.registry is None:
            reason = "required where no secretNames are given"
            raise ProblemsError(
                [Problem("registry", None, reason, Suggestion("the registry, or secretNames", needs=Needs.FACT))]
            )
        if self.registry is not None and self.username is None:
            name = Suggestion("the user's name", needs=Needs.FACT)
            raise ProblemsError([Problem("username", None, "required where registry is given", name)])
        if self.registry is None and self.username is not None:
            reason = "without meaning where no registry is given"
            raise ProblemsError(
                [Problem("username", self.username, reason, Suggestion("leave it out, or a registry", removal=True))]
            )
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the Secrets that pods refer to."""
        return self.secret_names if self.registry is None else (PULL_SECRET,)
