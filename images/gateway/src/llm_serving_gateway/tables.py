"""What the gateway has in Postgres: keys that change without an update, and what budgets have used."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from llm_serving_gateway.bounded_postgres import BoundedPostgres, PostgresAwayError
from llm_serving_gateway.configuration import PostgresEndpoint
from llm_serving_gateway.key_table import CHANNEL, KeyTable
from llm_serving_gateway.limits import BudgetTable


@dataclass(frozen=True)
class Tables:
    """Both tables of one database."""

    postgres: BoundedPostgres
    keys: KeyTable
    budgets: BudgetTable

    @classmethod
    def of(cls, endpoint: PostgresEndpoint, files: Path) -> Self:
        """Those of a database, with user and password in the files of a folder; nothing is connected yet."""
        postgres = BoundedPostgres(endpoint, files)
        return cls(postgres, KeyTable(postgres, endpoint.cache_seconds, endpoint.stale_seconds), BudgetTable(postgres))

    async def run(self) -> None:
        """Listen for changes and write what budgets use, until cancelled."""
        await asyncio.gather(self.postgres.run(CHANNEL, self.keys.changed), self.budgets.run())

    async def close(self) -> None:
        """Write what is left to write; what cannot be is lost with this gateway."""
        with suppress(PostgresAwayError):
            await self.budgets.write()
        self.postgres.close()
