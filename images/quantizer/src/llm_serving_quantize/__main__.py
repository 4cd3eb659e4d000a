"""``python -m llm_serving_quantize``."""

import sys

from llm_serving_quantize.main import main

sys.exit(main())
