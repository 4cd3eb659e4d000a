"""The plugin process ``pulumi-resource-gcp``."""

import sys

from local.providers.gcp.plugin import GcpPlugin
from local.providers.provider import serve

serve(GcpPlugin(), sys.argv[1:])
