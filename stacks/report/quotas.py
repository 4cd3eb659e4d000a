"""GPU quotas as a table."""

from rich.table import Table

from llm_serving.planning.quota import gpu_quotas
from stacks.settings import GcpSettings


def quotas_table(settings: GcpSettings) -> Table:
    """What to ask the cloud for, a row a quota."""
    table = Table(title=f"GPU quotas of project {settings.project}", title_justify="left", title_style="bold")
    for column in ("quota", "region", "amount", "why"):
        table.add_column(column, overflow="fold")
    for quota in gpu_quotas(settings.cloud, settings.region, settings.pools):
        table.add_row(quota.name, quota.region, str(quota.amount), quota.why)
    return table
