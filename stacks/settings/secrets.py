"""Keys of a settings file that hold secrets. The program reads them by themselves, as Pulumi secrets, and they never
become settings; here is which of them a stack needs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from llm_serving.errors import Problem
from stacks.settings.models import NAMESPACE, Settings

KUBECONFIG = "kubeconfig"
IMAGE_PULL_PASSWORD = "imagePullPassword"
PROMETHEUS_CREDENTIAL = "prometheusCredential"


@dataclass(frozen=True)
class SecretSetting:
    """A secret that belongs to a setting.

    Attributes:
        owner: property path of the setting without which it has no meaning, and which has none without it.
        is_needed: whether a stack has that setting.
    """

    owner: str
    is_needed: Callable[[Settings], bool]


def _has_credential(settings: Settings) -> bool:
    auth = settings.addons.prometheus_auth
    return auth is not None and auth.mode.has_credential


def _has_registry(settings: Settings) -> bool:
    return settings.image_pull is not None and settings.image_pull.registry is not None


OWNED: Mapping[str, SecretSetting] = {
    IMAGE_PULL_PASSWORD: SecretSetting("imagePull.registry", _has_registry),
    PROMETHEUS_CREDENTIAL: SecretSetting("addons.prometheusAuth with a token or password", _has_credential),
}
"""Secrets by key; one belongs to each of the settings that they name."""

SECRETS = frozenset({KUBECONFIG, *OWNED})
"""Every key that holds a secret."""


def check_secrets(settings: Settings, given: Mapping[str, bool]) -> Iterator[Problem]:
    """Secrets that are missing, stand in the clear, or belong to nothing.

    Args:
        settings: the stack's settings.
        given: the secret keys that the file has, and whether each is encrypted.
    """
    for key, secret in OWNED.items():
        command = f"pulumi config set --secret {NAMESPACE}:{key}"
        needed = secret.is_needed(settings)
        if needed and key not in given:
            yield Problem(key, None, f"required where {secret.owner} is given", command)
        elif key in given and not needed:
            reason = f"without meaning where {secret.owner} is not given"
            yield Problem(key, None, reason, f"pulumi config rm {NAMESPACE}:{key}")
        elif key in given and not given[key]:
            yield Problem(key, None, "stands in the file in the clear", command)
