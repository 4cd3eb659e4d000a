"""GPU quotas as a table."""

from rich.table import Table

from llm_serving.planning.quota import gpu_quotas
from stacks.report.tables import plain_table
from stacks.settings import Stack


def quotas_table(stack: Stack) -> Table:
    """What to ask the cloud for, a row a quota."""
    settings = stack.settings
    table = plain_table(f"GPU quotas of project {settings.account}", "quota", "region", "amount", "why")
    for quota in gpu_quotas(stack.cloud, settings.region, settings.pools):
        table.add_row(quota.name, quota.region, str(quota.amount), quota.why)
    return table
