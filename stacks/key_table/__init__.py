"""The table of the gateway's keys in Postgres: its schema, and what ``stacks keys`` does with it.

The gateway reads it (``images/gateway``) with rights to nothing else; whoever administers keys writes it. Keys are
there by their SHA-256, with the fields that they have in the settings. A change is notified, so that gateways see it at
once.
"""

from stacks.key_table.checks import check_table_key
from stacks.key_table.database import KeyDatabase, TableKey, in_database

__all__ = ["KeyDatabase", "TableKey", "check_table_key", "in_database"]
