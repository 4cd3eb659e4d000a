"""Secrets of a settings file. The program reads them by themselves, as Pulumi secrets, and they never become settings;
here is which of them a stack needs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from llm_serving.credentials import GATEWAY_KEY_KIND, HUB_TOKEN_KIND, KUBECONFIG_KIND, check_credentials
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.spec.loader import HUB, HUB_TOKEN_SECRET
from stacks.settings.common import NAMESPACE
from stacks.settings.models import Settings, in_file, parse_settings

KUBECONFIG = "kubeconfig"
IMAGE_PULL_PASSWORD = "imagePullPassword"
HUB_TOKEN = "loader.token"
PROMETHEUS_CREDENTIAL = "prometheusCredential"
REDIS_LIMITS_PASSWORD = "redisLimitsPassword"
REDIS_CACHE_PASSWORD = "redisCachePassword"
WEBHOOK_SECRET = "webhookSecret"
HOSTED_KEYS = "hostedKeys"


@dataclass(frozen=True)
class SecretSetting:
    """A secret that belongs to a setting.

    Attributes:
        owner: property path of the setting without which it has no meaning.
        has_owner: whether a stack has that setting.
        is_required: the setting has no meaning without the secret either.
    """

    owner: str
    has_owner: Callable[[Settings], bool]
    is_required: bool


def _has_credential(settings: Settings) -> bool:
    auth = settings.addons.prometheus_auth
    return auth is not None and auth.mode.has_credential


def _has_registry(settings: Settings) -> bool:
    return settings.image_pull is not None and settings.image_pull.registry is not None


def _loads_from_hub(settings: Settings) -> bool:
    return settings.loader is not None and settings.loader.source == HUB


def _has_limits_redis(settings: Settings) -> bool:
    return settings.gateway is not None and settings.gateway.redis.limits is not None


def _has_cache_redis(settings: Settings) -> bool:
    return settings.gateway is not None and settings.gateway.redis.cache is not None


def _has_webhooks(settings: Settings) -> bool:
    queue = settings.gateway.queue if settings.gateway is not None else None
    return queue is not None and queue.webhooks is not None


def _needs_hosted_keys(settings: Settings) -> bool:
    return settings.gateway is not None and any(each.secret_name is None for each in settings.gateway.hosted)


OWNED: Mapping[str, SecretSetting] = {
    IMAGE_PULL_PASSWORD: SecretSetting("imagePull.registry", _has_registry, is_required=True),
    PROMETHEUS_CREDENTIAL: SecretSetting(
        "addons.prometheusAuth with a token or password", _has_credential, is_required=True
    ),
    HUB_TOKEN: SecretSetting(f"loader.source {HUB}", _loads_from_hub, is_required=False),
    REDIS_LIMITS_PASSWORD: SecretSetting("gateway.redis.limits", _has_limits_redis, is_required=False),
    REDIS_CACHE_PASSWORD: SecretSetting("gateway.redis.cache", _has_cache_redis, is_required=False),
    WEBHOOK_SECRET: SecretSetting("gateway.queue.webhooks", _has_webhooks, is_required=False),
    HOSTED_KEYS: SecretSetting("gateway.hosted without secretName", _needs_hosted_keys, is_required=True),
}
"""Secrets by property path; one belongs to each of the settings that they name."""

SECRETS = frozenset({KUBECONFIG, *OWNED})
"""Property path of every secret: a key of its own, or one of an object."""


def secrets_without_owner(settings: Settings) -> frozenset[str]:
    """Property paths of the secrets that have no meaning beside these settings, and are refused."""
    return frozenset(path for path, secret in OWNED.items() if not secret.has_owner(settings))


def parse_with_secrets(data: Mapping[str, Any], source: str, is_encrypted: Callable[[str, Any], bool]) -> Settings:
    """The settings of a file that also holds secrets.

    Args:
        data: keys without the namespace, values as YAML gives them.
        source: the file, for messages.
        is_encrypted: whether a secret is encrypted in the file, given its property path and its value.

    Raises:
        ProblemsError: with every refused value. Secrets are never part of a message.
    """
    plain, secrets = _split(data)
    # Alone and first: other messages would repeat them.
    problems = [*check_credentials(plain, _BELONGS_TO)] or [*_name_made_secret(plain, secrets)]
    if not problems:
        settings = parse_settings(plain, source)
        problems = [*_check(settings, {path: is_encrypted(path, value) for path, value in secrets.items()})]
        if not problems:
            return settings
    raise ProblemsError(map(in_file, problems), source)


def _split(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings without the secrets, and the secrets by property path."""
    plain, secrets = dict(data), dict[str, Any]()
    for path in SECRETS:
        key, _, inner = path.partition(".")
        holder = plain.get(key)
        if not inner and key in plain:
            secrets[path] = plain.pop(key)
        elif inner and isinstance(holder, dict) and inner in holder:
            rest = dict(cast(dict[str, Any], holder))
            secrets[path] = rest.pop(inner)
            plain[key] = rest
    return plain, secrets


def _name_made_secret(plain: dict[str, Any], secrets: Mapping[str, Any]) -> Iterator[Problem]:
    """Let the loader use the Secret that is made of the hub's token."""
    value = plain.get("loader")
    loader: dict[str, Any] = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    named = loader.get("tokenSecret")
    if HUB_TOKEN in secrets and named is not None:
        reason = f"is a second way to the hub's token, beside {HUB_TOKEN}"
        yield Problem("loader.tokenSecret", named, reason, Suggestion("one of the two", removal=True))
    elif HUB_TOKEN in secrets:
        plain["loader"] = {**loader, "tokenSecret": HUB_TOKEN_SECRET}
    elif named == HUB_TOKEN_SECRET:
        reason = f"the stack makes the Secret of this name, of {HUB_TOKEN}"
        instead = Suggestion(f"another name, or {_command('set --secret', HUB_TOKEN)}", needs=Needs.FACT)
        yield Problem("loader.tokenSecret", named, reason, instead)


def _check(settings: Settings, given: Mapping[str, bool]) -> Iterator[Problem]:
    """Secrets that are missing, stand in the clear, or belong to nothing.

    Args:
        settings: the stack's settings.
        given: the secrets that the file has, and whether each is encrypted.
    """
    if not given.get(KUBECONFIG, True):
        yield Problem(KUBECONFIG, None, "stands in the file in the clear", _command("set --secret", KUBECONFIG))
    without_owner = secrets_without_owner(settings)
    for path, secret in OWNED.items():
        command = _command("set --secret", path)
        has_owner = path not in without_owner
        if has_owner and secret.is_required and path not in given:
            yield Problem(path, None, f"required where {secret.owner} is given", command)
        elif path in given and not has_owner:
            unset = Suggestion(_command("rm", path), removal=True)
            yield Problem(path, None, f"without meaning where {secret.owner} is not given", unset)
        elif path in given and not given[path]:
            yield Problem(path, None, "stands in the file in the clear", command)


def _command(verb: str, path: str) -> Suggestion:
    command = f"pulumi config {verb}{' --path' if '.' in path else ''} {NAMESPACE}:{path}"
    return Suggestion(command, needs=Needs.COMMAND)


_BELONGS_TO = {
    HUB_TOKEN_KIND: _command("set --secret", HUB_TOKEN),
    KUBECONFIG_KIND: _command("set --secret", KUBECONFIG),
    GATEWAY_KEY_KIND: Suggestion("its SHA-256 (stacks keys hash)", needs=Needs.COMMAND),
    "loader": _command("set --secret", HUB_TOKEN),
    "imagePull": _command("set --secret", IMAGE_PULL_PASSWORD),
    "addons": _command("set --secret", PROMETHEUS_CREDENTIAL),
    "gateway": _command("set --secret", HOSTED_KEYS),
    "egress": "a proxy or mirror that knows its clients by their addresses",
}
"""Where a credential belongs, by its kind or by the key of the settings that it stands below."""
