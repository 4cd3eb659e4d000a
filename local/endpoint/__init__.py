"""Stack ``local``: from nothing to an endpoint on this machine that answers.

Owns: which cluster is used, which images are built for it and how they get there, what a run adds to the stack's
settings, and the wait for the first answer. Leaves alone: the node (``local.cluster``), the builds (``local.images``),
the Pulumi program, which is the same for every stack.
"""

from local.endpoint.up import STACK, Endpoint, bring_up, look_at_endpoint, open_cluster, open_endpoint

__all__ = ["STACK", "Endpoint", "bring_up", "look_at_endpoint", "open_cluster", "open_endpoint"]
