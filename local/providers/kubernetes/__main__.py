"""``python -m local.providers.kubernetes``: run as Pulumi's resource plugin."""

import sys

from local.providers.faults import FaultPlan
from local.providers.kubernetes.plugin import KubernetesPlugin
from local.providers.provider import serve
from local.state_folder import StateFolder

serve(KubernetesPlugin(FaultPlan.of(StateFolder.of())), sys.argv[1:])
