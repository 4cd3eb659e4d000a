"""Secrets that somebody else makes in a team's namespace, which this program makes: the namespace comes first."""

import pulumi

from infra.last_update import last_outputs
from llm_serving.arguments import parse
from llm_serving.spec.loader import HUB_TOKEN_SECRET
from stacks.outputs import NamespaceOutputs
from stacks.settings import NAMESPACE, Stack
from stacks.settings.secrets import HUB_TOKEN


def refuse_secrets_of_new_namespaces(stack: Stack) -> None:
    """A loader whose token is in a Secret of somebody else's needs a namespace that an earlier update made.

    Raises:
        pulumi.RunError: this update would make the namespace and the Job that needs the Secret in it.
    """
    loader = stack.settings.loader
    if loader is None or loader.token_secret in (None, HUB_TOKEN_SECRET):
        return
    before = last_outputs()
    namespaces = parse(NamespaceOutputs, before, "outputs of the last update").namespaces
    if before and namespaces is None:
        return  # an older program's, which did not say
    new = [team.name for team in stack.settings.teams if stack.has_models(team) and team.name not in (namespaces or ())]
    if new:
        raise pulumi.RunError(
            f"{stack.source}: {NAMESPACE}:loader.tokenSecret = {loader.token_secret!r}: no such Secret can be there: "
            f"this update makes the namespace {', '.join(new)} and the loaders in it (try: "
            f"`pulumi config set --path --secret {NAMESPACE}:{HUB_TOKEN}` instead, of which the stack makes a Secret; "
            "or a first update without the models of these teams, then the Secret, then the models)"
        )
