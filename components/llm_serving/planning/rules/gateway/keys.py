"""Keys: each once, of a team and for models that exist, with limits that can be counted."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from llm_serving.errors import LEAVE_OUT, Needs, Problem, Suggestion, nearest_or_few
from llm_serving.planning.rules.gateway.unique import check_unique
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import GatewaySpec, KeySpec

_NEW_KEY = Suggestion("stacks keys new", needs=Needs.COMMAND)
_EMPTY = {sha256(text).hexdigest() for text in (b"", b"\n", b"\r\n")}
"""What a program that hashes its input prints where nothing was put in."""


def check_keys(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Everything about ``gateway.keys``."""
    yield from check_unique("keys", [key.name for key in gateway.keys])
    for index, key in enumerate(gateway.keys):
        path = f"keys[{index}]"
        yield from _hash(path, gateway, index)
        yield from _scope(path, stack, key)
        yield from _budget(path, stack, gateway, key)


def _hash(path: str, gateway: GatewaySpec, index: int) -> Iterator[Problem]:
    key = gateway.keys[index]
    first = next(other for other in gateway.keys if other.sha256 == key.sha256)
    if first is not key:
        reason = f"is the key of {first.name} too: whose request it is, nobody could say"
        yield Problem(f"{path}.sha256", _shortened(key), reason, _NEW_KEY)
    if key.sha256 in _EMPTY:
        reason = "is the hash of an empty text, so that everybody would have this key"
        yield Problem(f"{path}.sha256", _shortened(key), reason, _NEW_KEY)


def _shortened(key: KeySpec) -> str:
    return f"{key.sha256[:8]}…"


def _scope(path: str, stack: StackShape, key: KeySpec) -> Iterator[Problem]:
    teams, models = [team.name for team in stack.teams], [model.name for model in stack.models]
    if key.team not in teams:
        yield Problem(f"{path}.team", key.team, "no such team", nearest_or_few(key.team, teams))
    for number, model in enumerate(key.models):
        place = f"{path}.models[{number}]"
        if model in key.models[:number]:
            yield Problem(place, model, "is named already", LEAVE_OUT)
        elif model not in models:
            free = [each for each in models if each not in key.models]
            yield Problem(place, model, "no such model", nearest_or_few(model, free) or _every_model(path, key))


def _every_model(path: str, key: KeySpec) -> Suggestion:
    """To leave out the only one would open all models."""
    return LEAVE_OUT if len(key.models) > 1 else Suggestion("one of the stack's models", needs=Needs.FACT)


def _budget(path: str, stack: StackShape, gateway: GatewaySpec, key: KeySpec) -> Iterator[Problem]:
    if key.budget is None:
        return
    if gateway.redis.limits is None:
        reason = "what is spent is counted in redis.limits, and there is none: it would be forgotten"
        kept: dict[str, Any] = {"/gateway.redis.limits": {}}
        yield Problem(f"{path}.budget", None, reason, Suggestion("redis.limits: {}", removal=True, edits=[kept]))
    models = [model.name for model in stack.models if not key.models or model.name in key.models]
    unpriced = [name for name in models if gateway.model(name).price is None]
    if key.budget.usd is not None and unpriced:
        reason = f"gateway.models has no price of {', '.join(unpriced)}, so that nothing would be counted"
        without = [{f"/gateway.{path}.budget": None}]
        hint = Suggestion("price of each of them, or no budget in US dollars", edits=without)
        yield Problem(f"{path}.budget.usd", key.budget.usd, reason, hint)


def note_keys(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Nobody who may ask, placeholders, keys that have expired, limits that a common request does not fit."""
    if not gateway.keys and gateway.postgres is None:
        yield Problem("keys", None, "there are none: every request is refused", _NEW_KEY)
    for index, key in enumerate(gateway.keys):
        path = f"keys[{index}]"
        if len(set(key.sha256)) == 1:
            reason = f"is a placeholder, which no key has: requests of {key.name} are refused"
            yield Problem(f"{path}.sha256", _shortened(key), reason, _NEW_KEY)
        if key.expires is not None and stack.today is not None and key.expires[:10] < stack.today.isoformat():
            yield Problem(f"{path}.expires", key.expires, f"is past: requests of {key.name} are refused")
        yield from _too_small(path, gateway.limits.max_output_tokens, key)


def _too_small(path: str, tokens: int, key: KeySpec) -> Iterator[Problem]:
    """A request holds what it may be answered with until it is answered."""
    budget = None if key.budget is None else key.budget.tokens
    for name, limit in (("tokensPerMinute", key.tokens_per_minute), ("budget.tokens", budget)):
        if limit is not None and limit <= tokens:
            reason = (
                f"a request that does not say how long its answer may be holds {tokens} tokens "
                "(gateway.limits.maxOutputTokens), and never fits"
            )
            yield Problem(f"{path}.{name}", limit, reason)
