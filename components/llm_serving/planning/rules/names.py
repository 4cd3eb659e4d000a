"""Names: each is given once, and none is the platform's own."""

from collections.abc import Iterator, Sequence

from llm_serving.addons import table
from llm_serving.errors import LEAVE_OUT, Problem, Suggestion
from llm_serving.planning.clouds.cloud import Cloud
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec.names import POOL_NAME_LIMIT

PLATFORM_NAMESPACES = ("default", "kube-", "gke-", "gmp-", "config-management-")
"""Namespaces of Kubernetes and GKE; an entry that ends in ``-`` is a prefix that they keep for themselves."""

RESERVED_MODELS = ("default", "model-loader")
"""Service accounts of a namespace that are not a model's: Kubernetes' own, and that of loaders."""

RESERVED_LABEL_DOMAINS = ("kubernetes.io", "k8s.io", "llm-serving.dev")
"""Domains of node labels that Kubernetes and this package set themselves; GKE and Karpenter refuse the first two."""


def check_names(stack: StackShape) -> Iterator[Problem]:
    """Duplicate names of pools, models and teams; reserved namespaces and pools; reserved node labels."""
    yield from _duplicates("pools", [pool.name for pool in stack.pools])
    yield from _duplicates("models", [model.name for model in stack.models])
    yield from _duplicates("teams", [team.name for team in stack.teams])
    yield from _duplicates("quantizations", [each.name for each in stack.quantizations])
    for index, model in enumerate(stack.models):
        if model.name in RESERVED_MODELS:
            reason = "a model's name is that of its service account, and this one is taken in every namespace"
            yield Problem(f"models[{index}].name", model.name, reason, Suggestion(values=[f"{model.name}-model"]))
    for index, team in enumerate(stack.teams):
        if is_reserved_namespace(stack.cloud, team.name):
            reason = "a team's name is its namespace, and this one belongs to the platform"
            free = Suggestion(values=[f"team-{team.name}"[:40].rstrip("-")])
            yield Problem(f"teams[{index}].name", team.name, reason, free)
        for number, client in enumerate(team.client_namespaces):
            if client in (team.name, *team.client_namespaces[:number]):
                yield Problem(f"teams[{index}].clientNamespaces[{number}]", client, "is let in already", LEAVE_OUT)
    for index, pool in enumerate(stack.pools):
        yield from _reserved_pool(f"pools[{index}].name", stack.cloud, pool.name)
        for key in pool.labels:
            domain = key.rpartition("/")[0]
            for reserved in (*RESERVED_LABEL_DOMAINS, *stack.cloud.reserved_label_domains):
                if domain == reserved or domain.endswith(f".{reserved}"):
                    yield Problem(
                        f"pools[{index}].labels.{key}",
                        None,
                        f"node labels of {reserved} are set by the platform",
                        Suggestion(keys=[key.rpartition("/")[2]]),
                    )


def is_reserved_namespace(cloud: Cloud, name: str) -> bool:
    """Whether a namespace is the platform's, or an add-on's."""
    addons = (addon.namespace for addon in table.ADDONS)
    return any(
        name == reserved or (reserved.endswith("-") and name.startswith(reserved))
        for reserved in (*PLATFORM_NAMESPACES, *cloud.reserved_namespaces, *addons)
    )


def _reserved_pool(path: str, cloud: Cloud, name: str) -> Iterator[Problem]:
    reasons = [
        *(reason for reserved, reason in cloud.reserved_pool_names.items() if name == reserved),
        *(reason for prefix, reason in cloud.reserved_pool_prefixes.items() if name.startswith(prefix)),
    ]
    if reasons:
        yield Problem(path, name, reasons[0], Suggestion(values=[f"gpu-{name}"[:POOL_NAME_LIMIT].rstrip("-")]))


def _duplicates(what: str, names: Sequence[str]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in seen:
            free = next(other for n in range(2, len(names) + 2) if (other := f"{name}-{n}") not in names)
            yield Problem(
                f"{what}[{index}].name", name, f"{what}[{seen[name]}] has the same name", Suggestion(values=[free])
            )
        else:
            seen[name] = index
