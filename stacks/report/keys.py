"""Keys of the gateway, as data and as sections; of a hash the first digits."""

from collections.abc import Iterator
from datetime import datetime

from llm_serving.arguments import Frozen
from llm_serving.spec import BudgetSpec, KeySpec, ServiceClass
from stacks.report.sections import Part, Section, Sentence, prose
from stacks.settings import Stack

HASH_DIGITS = 8


class KeyReport(Frozen):
    """One key.

    Attributes:
        name: its name.
        team: whose it is.
        models: models that it may ask; empty for all.
        requests_per_minute: limit; ``None`` for none, as those below.
        tokens_per_minute: limit.
        parallel_requests: limit.
        budget: limit.
        service_class: whose requests give way.
        expires: moment from which on it is refused; ``None`` for never.
        expired: that moment is past.
        hash_start: first digits of its SHA-256.
    """

    name: str
    team: str
    models: tuple[str, ...]
    requests_per_minute: int | None
    tokens_per_minute: int | None
    parallel_requests: int | None
    budget: BudgetSpec | None
    service_class: ServiceClass
    expires: str | None
    expired: bool
    hash_start: str


class KeysReport(Frozen):
    """Who may use a gateway.

    Attributes:
        settings: the file that the stack comes from.
        has_gateway: whether the stack has one.
        keys: in the order of the settings.
    """

    settings: str
    has_gateway: bool
    keys: tuple[KeyReport, ...]


def report_keys(stack: Stack, now: datetime) -> KeysReport:
    """The keys of a stack, and which have expired at a moment in UTC."""
    gateway = stack.settings.gateway
    keys = () if gateway is None else gateway.keys
    return KeysReport(
        settings=stack.source, has_gateway=gateway is not None, keys=tuple(_key(key, now) for key in keys)
    )


def is_expired(key: KeySpec, now: datetime) -> bool:
    """Whether a key is refused at a moment in UTC."""
    return key.expires is not None and datetime.fromisoformat(key.expires) <= now


def _key(key: KeySpec, now: datetime) -> KeyReport:
    return KeyReport(
        name=key.name,
        team=key.team,
        models=key.models,
        requests_per_minute=key.requests_per_minute,
        tokens_per_minute=key.tokens_per_minute,
        parallel_requests=key.parallel_requests,
        budget=key.budget,
        service_class=key.service_class,
        expires=key.expires,
        expired=is_expired(key, now),
        hash_start=key.sha256[:HASH_DIGITS],
    )


def keys_sections(report: KeysReport) -> Iterator[Part]:
    """A row a key."""
    if not report.has_gateway:
        yield Sentence(f"{report.settings}: the stack has no gateway, and no keys", "")
        return
    if not report.keys:
        yield Sentence(f"{report.settings}: the gateway has no keys, every request is refused", "")
        return
    limits = ("requests/min", "tokens/min", "at once", "budget")
    columns = ("key", "team", prose("models"), *limits, "class", "expires", "hash")
    yield Section("Keys of the gateway", columns, [_row(key) for key in report.keys])


def _row(key: KeyReport) -> tuple[str, ...]:
    limits = (key.requests_per_minute, key.tokens_per_minute, key.parallel_requests)
    expires = "never" if key.expires is None else key.expires.partition("T")[0]
    return (
        key.name,
        key.team,
        ", ".join(key.models) or "all",
        *("-" if limit is None else f"{limit:,}" for limit in limits),
        _budget(key.budget),
        key.service_class.value,
        f"{expires}, expired" if key.expired else expires,
        f"{key.hash_start}…",
    )


def _budget(budget: BudgetSpec | None) -> str:
    if budget is None:
        return "-"
    parts = [f"${budget.usd:,.2f}"] if budget.usd is not None else []
    parts += [f"{budget.tokens:,} tokens"] if budget.tokens is not None else []
    return f"{' and '.join(parts)} in {budget.days} days"
