"""``python -m llm_serving_engine``: the same as the command ``llm-serving-engine``."""

import sys

from llm_serving_engine.main import main

sys.exit(main())
