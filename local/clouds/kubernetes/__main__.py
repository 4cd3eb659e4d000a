"""``python -m local.clouds.kubernetes``: run as Pulumi's resource plugin."""

import sys

from local.clouds.faults import FaultPlan
from local.clouds.kubernetes.plugin import KubernetesPlugin
from local.clouds.provider import serve
from local.home import Home

serve(KubernetesPlugin(FaultPlan.of(Home.of())), sys.argv[1:])
