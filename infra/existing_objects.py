"""Objects that somebody else makes in a team's namespace, which this program makes: the namespace comes first."""

from collections.abc import Iterator
from dataclasses import dataclass

import pulumi

from infra.last_update import last_outputs
from llm_serving.arguments import parse
from llm_serving.spec.loader import HUB_TOKEN_SECRET
from stacks.outputs import NamespaceOutputs
from stacks.settings import NAMESPACE, Stack
from stacks.settings.secrets import HUB_TOKEN


@dataclass(frozen=True)
class _Reference:
    """An object that a setting names.

    Attributes:
        path: of the setting.
        name: of the object.
        kind: as Kubernetes calls it.
        alternative: setting of which the stack makes the object itself.
        in_gateway: pods of the gateway need it too.
    """

    path: str
    name: str
    kind: str
    alternative: str
    in_gateway: bool = False


def refuse_objects_in_new_namespaces(stack: Stack) -> None:
    """Pods that need an object of somebody else's need a namespace that an earlier update made.

    Raises:
        pulumi.RunError: this update would make the namespace and the pods that need the object in it.
    """
    references = list(_references(stack))
    if not references:
        return
    before = last_outputs()
    made = parse(NamespaceOutputs, before, "outputs of the last update")
    if before and made.namespaces is None:
        return  # an older program's, which did not say
    teams = [team.name for team in stack.settings.teams if stack.has_models(team)]
    new = [team for team in teams if team not in (made.namespaces or ())]
    gateway = stack.settings.gateway if stack.models else None
    is_new = gateway is not None and (made.gateway is None or made.gateway.namespace != gateway.namespace)
    new_of_gateway = [gateway.namespace] if gateway is not None and is_new else []
    lines = [
        f"{stack.source}: {NAMESPACE}:{each.path} = {each.name!r}: no such {each.kind} can be there: this update "
        f"makes the namespace {', '.join(namespaces)} and the pods that need it (try: {each.alternative} instead, of "
        f"which the stack makes one; or a first update without the models, then the {each.kind}, then the models)"
        for each in references
        if (namespaces := [*new, *(new_of_gateway if each.in_gateway else [])])
    ]
    if lines:
        raise pulumi.RunError("\n".join(lines))


def _references(stack: Stack) -> Iterator[_Reference]:
    settings = stack.settings
    if settings.loader is not None and settings.loader.token_secret not in (None, HUB_TOKEN_SECRET):
        secret = f"`pulumi config set --path --secret {NAMESPACE}:{HUB_TOKEN}`"
        yield _Reference("loader.tokenSecret", settings.loader.token_secret, "Secret", secret)
    if settings.image_pull is not None:
        for index, name in enumerate(settings.image_pull.secret_names):
            path = f"imagePull.secretNames[{index}]"
            yield _Reference(path, name, "Secret", "imagePull.registry and imagePull.username", in_gateway=True)
    if settings.egress is not None and settings.egress.ca_config_map is not None:
        yield _Reference("egress.caConfigMap", settings.egress.ca_config_map, "ConfigMap", "egress.caCertificates")
    if settings.claim_of_others is not None:
        yield _Reference(
            "cluster.cacheClaim", settings.claim_of_others, "PersistentVolumeClaim", "cluster.cacheStorage"
        )
