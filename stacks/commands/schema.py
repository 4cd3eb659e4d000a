"""``stacks schema``: which settings are there?"""

import json

from stacks.settings.schema import settings_schema


def schema() -> None:
    """Print the settings as JSON Schema, for editors."""
    print(json.dumps(settings_schema(), indent=2))
