"""Inputs before they reach a cluster: their types, the annotations that this plugin reads, names and namespaces.

Pure functions; what a cluster knows is handed in.
"""

from collections.abc import Callable, Mapping

from llm_serving.errors import Problem
from local.providers.kubernetes import objects, wait_for_annotation
from local.providers.kubernetes.kinds import Kind
from local.providers.kubernetes.sdk import sdk
from local.providers.properties import Properties, Secret
from local.providers.provider import Autoname
from local.providers.schema import Property, check

_META = "kubernetes:core/v1:Pod"
"""Any resource: metadata has the same type everywhere."""


def type_problems(token: str, kind: Kind, inputs: Properties) -> tuple[list[Problem], list[str]]:
    """Problems and warnings by the SDK's types. Of a custom resource only the metadata is known."""
    known = sdk().resource(token)
    if known is not None:
        return check(known.inputs, inputs)
    if kind.core:
        return [Problem("kind", kind.kind, f"the SDK has no {kind.kind} in {kind.api_version}")], []
    pod = sdk().resource(_META)
    metadata: dict[str, Property] = {"metadata": pod.inputs["metadata"]} if pod else {}
    return check(metadata, {k: v for k, v in inputs.items() if k in metadata})


def named(
    name: str, kind: Kind, inputs: Properties, olds: Properties, autoname: Autoname
) -> tuple[Properties, list[Problem]]:
    """Inputs with a name, and why there is none.

    Args:
        name: of the resource in the program.
        kind: of the object.
        inputs: as the program gives them.
        olds: the inputs before; a generated name stays.
        autoname: how the engine wants names to be generated.
    """
    meta = objects.metadata(inputs)
    problems: list[Problem] = []
    if meta.get("name") is None and meta.get("generateName") is None:
        before = objects.metadata(olds)
        if kind.patch:
            problems.append(Problem("metadata.name", None, "required: a patch changes an object by its name"))
        elif objects.flagged(olds, objects.AUTONAMED) and before.get("name"):
            meta["name"] = before["name"]
        elif autoname.disabled:
            problems.append(Problem("metadata.name", None, "required: generated names are turned off"))
        else:
            meta["name"] = objects.autonamed(name, autoname.seed, autoname.proposed)
        if "name" in meta and isinstance(meta.get("annotations", {}), Mapping):
            meta["annotations"] = {**(meta.get("annotations") or {}), objects.AUTONAMED: "true"}
    return _with(inputs, meta), problems


def placed(inputs: Properties, namespaced: bool | None, core: bool, default: Callable[[], str]) -> Properties:
    """Inputs with the namespace that they live in, and without one where they live in none.

    Args:
        inputs: as the program gives them.
        namespaced: objects of this kind live in a namespace; ``None`` where nobody knows yet.
        core: the kind is one of Kubernetes itself.
        default: the namespace of the provider's settings; asked only where it is needed.
    """
    meta = objects.metadata(inputs)
    if namespaced and meta.get("namespace") is None:
        meta["namespace"] = default() or "default"
    if namespaced is False and core:
        meta.pop("namespace", None)
    return _with(inputs, meta)


def annotation_problems(inputs: Properties) -> list[Problem]:
    """Annotations of the provider that say something that nobody understands."""
    annotations = objects.annotations(inputs)
    problems: list[Problem] = []
    if isinstance(rule := annotations.get(objects.WAIT_FOR), str):
        try:
            wait_for_annotation.parse(rule)
        except ValueError as error:
            problems.append(Problem(f'metadata.annotations["{objects.WAIT_FOR}"]', rule, str(error)))
    seconds = annotations.get(objects.TIMEOUT_SECONDS)
    if isinstance(seconds, str) and not seconds.isdigit():
        path = f'metadata.annotations["{objects.TIMEOUT_SECONDS}"]'
        problems.append(Problem(path, seconds, "not a whole number of seconds"))
    wanted = annotations.get(objects.PROPAGATION)
    if isinstance(wanted, str) and wanted.lower() not in objects.PROPAGATIONS:
        path = f'metadata.annotations["{objects.PROPAGATION}"]'
        problems.append(Problem(path, wanted, f"none of {', '.join(objects.PROPAGATIONS)}"))
    return problems


def _with(inputs: Properties, meta: Properties) -> Properties:
    return {**inputs, "metadata": Secret(meta) if isinstance(inputs.get("metadata"), Secret) else meta}
