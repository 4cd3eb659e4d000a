"""GPU quotas, as data and as sections."""

from collections.abc import Iterator

from llm_serving.arguments import Frozen
from llm_serving.planning.quota import Quota, gpu_quotas
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
    quotas = gpu_quotas(stack.cloud, settings.region, settings.pools) if settings.buys_nodes else []
    return QuotaReport(settings=stack.source, account=settings.account or None, quotas=tuple(quotas))


def quota_sections(report: QuotaReport) -> Iterator[Part]:
    """A row a quota, and the sum behind each."""
    if report.account is None:
        yield Sentence(f"{report.settings}: the cluster is already there, no quota is needed", "")
        return
    rows = [(quota.name, quota.region, str(quota.amount), quota.unit) for quota in report.quotas]
    notes = [f"{quota.name}: {quota.why}" for quota in report.quotas]
    yield Section(f"GPU quotas of {report.account}", ("quota", "region", "amount", "unit"), rows, notes=notes)
