"""The settings of a stack, whichever cloud it runs on. Every field's own definition is in ``llm_serving.spec``; the
modules beside this one put them together, one a cloud."""

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from pydantic.alias_generators import to_snake

from llm_serving.arguments import parse, plain, scalar_types_at
from llm_serving.errors import LEAVE_OUT, Problem, ProblemsError, nearest_or_few
from llm_serving.spec import ImageReference
from stacks.images.lock import LockedImage, lookup, read_images
from stacks.releases import RELEASES
from stacks.settings.aws import AwsSettings
from stacks.settings.common import NAMESPACE
from stacks.settings.existing import ExistingSettings
from stacks.settings.gcp import GcpSettings
from stacks.settings.other_clouds import explain_other_cloud

Settings = GcpSettings | AwsSettings | ExistingSettings

_Model = type[GcpSettings] | type[AwsSettings] | type[ExistingSettings]

_BY_CLOUD: dict[str, _Model] = {
    cloud: model for model in get_args(Settings) for cloud in get_args(model.model_fields["cloud"].annotation)
}
"""The model of each value that ``cloud`` may have."""


def setting_names() -> frozenset[str]:
    """Names of the settings of any stack, as they stand in files, without the namespace."""
    fields = (field for model in _BY_CLOUD.values() for field in model.model_fields.items())
    return frozenset(field.alias or name for name, field in fields)


def scalar_types(path: str) -> frozenset[type]:
    """Types of the single values that a setting of any stack takes; empty where there is no such setting."""
    return frozenset(
        kind for model in _BY_CLOUD.values() for kind in scalar_types_at(model, path.removeprefix(f"{NAMESPACE}:"))
    )


def parse_settings(data: Mapping[str, Any], source: str, images: Mapping[str, LockedImage] | None = None) -> Settings:
    """The settings of one stack.

    Args:
        data: keys without the namespace (``pools``), values as YAML gives them.
        source: the file that the data came from, for messages.
        images: the lock of images; by default the one of the repository.

    Raises:
        ProblemsError: with every refused value; paths start with the namespace, as in the file.
    """
    cloud = data.get("cloud")
    if not isinstance(cloud, str) or cloud not in _BY_CLOUD:
        reason = "required, but not given" if cloud is None else "not a cloud that is known"
        problem = Problem("cloud", cloud, reason, nearest_or_few(str(cloud or ""), _BY_CLOUD))
        raise ProblemsError([in_file(problem)], source)
    try:
        return _with_named_images(_BY_CLOUD[cloud], data, read_images(RELEASES) if images is None else images)
    except ProblemsError as error:
        problems = (explain_other_cloud(problem, _BY_CLOUD[cloud]) for problem in error.problems)
        raise ProblemsError(map(in_file, problems), source) from None


GATEWAY_IMAGES = ("image", "proxyImage", "routerImage", "redisImage")
"""Settings of the gateway that are images."""


def _with_named_images(model: _Model, data: Mapping[str, Any], images: Mapping[str, LockedImage]) -> Settings:
    """The settings with images in the place of their names."""
    names: dict[str, str] = {}

    def with_images(owner: Any, path: str, keys: Sequence[str] = ("image",)) -> Any:
        given = cast(dict[str, Any], owner) if isinstance(owner, dict) else {}
        named = {key: given[key] for key in keys if isinstance(given.get(key), str)}
        names.update({f"{path}.{key}": name for key, name in named.items()})
        found = {key: plain(lookup(name, images, f"{path}.{key}").image()) for key, name in named.items()}
        return {**given, **found} if found else cast(Any, owner)

    data = dict(data)
    if "loader" in data:
        data["loader"] = with_images(data["loader"], "loader")
    if isinstance(data.get("quantizations"), list):
        each = enumerate(cast(list[Any], data["quantizations"]))
        data["quantizations"] = [with_images(job, f"quantizations[{index}]") for index, job in each]
    if "gateway" in data:
        data["gateway"] = with_images(data["gateway"], "gateway", GATEWAY_IMAGES)
    settings = parse(model, data)
    problems = [
        Problem(f"images.{key}", None, f"is {images[key].digest} in the lock, which decides", LEAVE_OUT)
        for key in settings.images
        if lookup(key, images, "images").digest is not None
    ]
    if problems:
        raise ProblemsError(problems)
    return _with_other_images(settings, names).with_image_names(names)


def _with_other_images(settings: Settings, names: Mapping[str, str]) -> Settings:
    """The settings with the images that they have in place of those of the lock; names by property path."""

    def others(path: str, keys: Sequence[str] = ("image",)) -> dict[str, ImageReference]:
        images = {key: settings.images.get(names.get(f"{path}.{key}", "")) for key in keys}
        return {to_snake(key): image for key, image in images.items() if image is not None}

    changed: dict[str, Any] = {}
    if settings.loader is not None:
        changed["loader"] = settings.loader.model_copy(update=others("loader"))
    jobs = enumerate(settings.quantizations)
    changed["quantizations"] = tuple(job.model_copy(update=others(f"quantizations[{index}]")) for index, job in jobs)
    if settings.gateway is not None:
        changed["gateway"] = settings.gateway.model_copy(update=others("gateway", GATEWAY_IMAGES))
    return settings.model_copy(update=changed)


def in_file(problem: Problem) -> Problem:
    """The problem with its path as it stands in the file, where keys carry the namespace."""
    return Problem(f"{NAMESPACE}:{problem.path}", problem.value, problem.reason, problem.suggestion)
