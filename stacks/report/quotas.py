"""Quotas of machines, as data and as sections."""

from collections.abc import Iterator

from llm_serving.arguments import Frozen
from llm_serving.planning.quota import Quota, capacity_quotas
from stacks.report.sections import Part, Section, Sentence
from stacks.settings import Stack


class QuotaReport(Frozen):
    """What to ask the cloud for.

    Attributes:
        settings: the file that the stack comes from.
        account: whose quotas they are: a project, or an account of AWS; ``None`` where the nodes are already there.
        quotas: what each must be at least.
    """

    settings: str
    account: str | None
    quotas: tuple[Quota, ...]


def report_quotas(stack: Stack) -> QuotaReport:
    """The quotas that a stack needs at its maximum."""
    settings = stack.settings
    capacity = [*settings.system_capacity, *((pool.name, entry) for pool in settings.pools for entry in pool.capacity)]
    quotas = capacity_quotas(stack.cloud, settings.region, capacity) if settings.buys_nodes else []
    return QuotaReport(settings=stack.source, account=settings.account or None, quotas=tuple(quotas))


def quota_sections(report: QuotaReport) -> Iterator[Part]:
    """A row a quota, and the sum behind each."""
    if report.account is None:
        yield Sentence(f"{report.settings}: the cluster is already there, no quota is needed", "")
        return
    rows = [(quota.name, quota.code, quota.region, str(quota.amount), quota.unit) for quota in report.quotas]
    columns = ("quota", "code", "region", "amount", "unit")
    if not any(quota.code for quota in report.quotas):
        rows, columns = [(name, *rest) for name, _, *rest in rows], ("quota", *columns[2:])
    notes = [f"{quota.name}: {quota.why}" for quota in report.quotas]
    yield Section(f"Quotas of {report.account}", columns, rows, notes=notes)
