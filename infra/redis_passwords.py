"""Passwords of the gateway's Redis: given as secrets of the stack, or made once and kept as a secret output."""

from collections.abc import Mapping

import pulumi

from infra.last_update import kept_or_made, last_outputs
from llm_serving.arguments import parse
from llm_serving.spec import GatewaySpec
from stacks.outputs import RedisPasswordOutputs
from stacks.settings.secrets import REDIS_CACHE_PASSWORD, REDIS_LIMITS_PASSWORD

_SECRETS = {"limits": REDIS_LIMITS_PASSWORD, "cache": REDIS_CACHE_PASSWORD}


def redis_passwords(spec: GatewaySpec) -> Mapping[str, pulumi.Output[str]]:
    """The password of each Redis that has one, by what it holds. One that is installed and is given none gets that of
    the last update, or a new one."""
    stores = {"limits": spec.redis.limits, "cache": spec.redis.cache}
    given = {store: pulumi.Config().get_secret(_SECRETS[store]) for store in stores}
    passwords = {store: password for store, password in given.items() if password is not None}
    to_make = [store for store, redis in stores.items() if redis and redis.is_installed and store not in passwords]
    if to_make:
        before = parse(RedisPasswordOutputs, last_outputs(), "outputs of the last update").redis_passwords
        made = {store: kept_or_made(before.get(store)) for store in to_make}
        pulumi.export("redisPasswords", pulumi.Output.secret(made))
        passwords |= {store: pulumi.Output.secret(password) for store, password in made.items()}
    return passwords
