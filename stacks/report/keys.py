"""Keys of the gateway, as data and as sections; of a hash the first digits."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from llm_serving.arguments import Frozen
from llm_serving.spec import BudgetSpec, KeySpec, ServiceClass
from stacks.key_table import TableKey, check_table_key
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
        place: where it is: `settings` or `table`.
        problems: why one of the table does not do what it says: a team or model that is not there any more.
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
    place: str
    problems: tuple[str, ...]


class KeysReport(Frozen):
    """Who may use a gateway.

    Attributes:
        settings: the file that the stack comes from.
        has_gateway: whether the stack has one.
        table: what is known of the table: `none`, `not read` or `read`.
        keys: in the order of the settings, then those of the table by name.
    """

    settings: str
    has_gateway: bool
    table: str
    keys: tuple[KeyReport, ...]


def report_keys(stack: Stack, now: datetime, rows: Sequence[TableKey] | None = None) -> KeysReport:
    """The keys of a stack, and which have expired at a moment in UTC; with the rows of its table, where it was read."""
    gateway = stack.settings.gateway
    keys = () if gateway is None else gateway.keys
    has_table = gateway is not None and gateway.postgres is not None
    listed = [_key(key, now) for key in keys]
    listed += [_row_of_table(stack, row, now) for row in rows or ()] if gateway is not None else []
    return KeysReport(
        settings=stack.source,
        has_gateway=gateway is not None,
        table="none" if not has_table else "not read" if rows is None else "read",
        keys=tuple(listed),
    )


def _row_of_table(stack: Stack, row: TableKey, now: datetime) -> KeyReport:
    problems = tuple(f"{problem.path}: {problem.reason}" for problem in check_table_key(stack, row.spec))
    spec = row.spec
    if row.ends_at is not None:
        ends_at = f"{row.ends_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        spec = spec.model_copy(update={"expires": min(ends_at, spec.expires or ends_at)})
    return _key(spec, now).model_copy(update={"place": "table", "problems": problems})


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
        place="settings",
        problems=(),
    )


def keys_sections(report: KeysReport) -> Iterator[Part]:
    """A row a key."""
    if not report.has_gateway:
        yield Sentence(f"{report.settings}: the stack has no gateway, and no keys", "")
        return
    if report.table == "not read":
        yield Sentence("keys of the table are not listed: name its database (--database)", "")
    if not report.keys:
        if report.table != "none":
            return
        yield Sentence(f"{report.settings}: the gateway has no keys, every request is refused", "")
        return
    limits = ("requests/min", "tokens/min", "at once", "budget")
    columns = ("key", "team", prose("models"), *limits, "class", "expires", "hash")
    if report.table != "read":
        yield Section("Keys of the gateway", columns, [_row(key) for key in report.keys])
        return
    rows = [(*_row(key), key.place) for key in report.keys]
    yield Section("Keys of the gateway", (*columns, "in"), rows)
    for key in report.keys:
        for problem in key.problems:
            yield Sentence(f"{key.name}, of the table: {problem}", "")


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
