"""The plugin process ``pulumi-resource-aws``."""

import sys

from local.providers.aws.plugin import AwsPlugin
from local.providers.provider import serve

serve(AwsPlugin(), sys.argv[1:])
