"""What planning must know of each cloud: one object a cloud, behind one interface (:class:`Cloud`).

This is the one place that chooses by name. Everything else is handed the object and asks it, so that a cloud is added
with a module here and a line below, and no rule changes.
"""

from collections.abc import Mapping

from llm_serving.errors import Problem, ProblemsError, nearest
from llm_serving.planning.clouds.aws import AWS
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.clouds.existing import EXISTING
from llm_serving.planning.clouds.gcp import GCP

CLOUDS: Mapping[str, Cloud] = {cloud.name: cloud for cloud in (GCP, AWS, EXISTING)}


def cloud_named(name: str, path: str = "cloud") -> Cloud:
    """The cloud that settings, arguments and the catalog call ``name``.

    Raises:
        ProblemsError: there is none; the problem has the path ``path``.
    """
    if name not in CLOUDS:
        raise ProblemsError([Problem(path, name, "not a cloud that is known", nearest(name, CLOUDS))])
    return CLOUDS[name]


__all__ = ["AWS", "CLOUDS", "EXISTING", "GCP", "Cloud", "cloud_named"]
