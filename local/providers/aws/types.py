"""The resource types that ``data/types.yaml`` describes; its keys are documented in ``simulated/types.py``."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from local.providers.simulated.types import CloudType, fields_of

DATA = Path(__file__).parent / "data"


@cache
def entries() -> Mapping[str, Mapping[str, Any]]:
    """Token -> entry of the data file."""
    return yaml.safe_load((DATA / "types.yaml").read_text(encoding="utf-8"))


def type_tokens() -> list[str]:
    """The types that the local AWS has."""
    return list(entries())


@cache
def described(token: str) -> CloudType:
    """A type that the data file describes.

    Raises:
        KeyError: it describes no such type.
    """
    fields = fields_of({"id": "", **entries()[token]})
    fields["replaces"] |= {"region"}
    return CloudType(token=token, **fields)
