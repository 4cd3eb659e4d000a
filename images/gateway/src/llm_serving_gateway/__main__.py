"""``python -m llm_serving_gateway``."""

import sys

from llm_serving_gateway.main import main

sys.exit(main())
