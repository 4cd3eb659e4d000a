"""``python -m local.providers.kubernetes``: run as Pulumi's resource plugin."""

import sys

from local.home import Home
from local.providers.faults import FaultPlan
from local.providers.kubernetes.plugin import KubernetesPlugin
from local.providers.provider import serve

serve(KubernetesPlugin(FaultPlan.of(Home.of())), sys.argv[1:])
