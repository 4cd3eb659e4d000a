"""``python -m llm_serving_load``: the same as the command ``llm-serving-load``."""

import sys

from llm_serving_load.main import main

sys.exit(main())
