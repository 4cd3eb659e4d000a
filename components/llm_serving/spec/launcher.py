"""Which launcher runs the engines of a stack."""

from llm_serving.arguments import Frozen
from llm_serving.spec.names import Semver


class LauncherSpec(Frozen):
    """The launcher that comes with the releases of a stack."""

    version: Semver | None = None
    """Version, one of those that the package carries: a change of it restarts every model that runs under it.

    Left out: the one that runs, so that an upgrade of the package restarts nothing; at first the newest.
    """
