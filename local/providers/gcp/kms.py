"""Keys: what Cloud KMS gives each version."""

import re
from collections.abc import Mapping
from typing import Any

from llm_serving.errors import Problem
from local.providers.gcp.kinds import Kind
from local.providers.properties import Properties

_DAY = 86400


class CryptoKey(Kind):
    """A key with its primary version. It stays in its ring for ever, destroyed or not."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Rotation takes at least a day."""
        period = inputs.get("rotationPeriod")
        if not isinstance(period, str):
            return []
        seconds = re.fullmatch(r"(\d+)(\.\d{1,9})?s", period)
        if seconds is None:
            return [Problem("rotationPeriod", period, "not a number of seconds followed by s", "7776000s")]
        if int(seconds[1]) < _DAY:
            return [Problem("rotationPeriod", period, "less than a day", f"{_DAY}s")]
        return []

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """The first version is enabled at once."""
        if known.get("skipInitialVersionCreation"):
            return {"primaries": []}
        return {"primaries": [{"name": f"{id}/cryptoKeyVersions/1", "state": "ENABLED"}]}

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """The versions stay."""
        return {"primaries": outputs.get("primaries", [])}
