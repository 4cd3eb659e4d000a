"""The plugin process ``pulumi-resource-gcp``."""

import sys

from local.clouds.gcp.plugin import GcpPlugin
from local.clouds.provider import serve

serve(GcpPlugin(), sys.argv[1:])
