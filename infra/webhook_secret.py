"""What webhooks of the gateway's queue are signed with: given as a secret of the stack, or made once and kept as a
secret output. Of it the gateway makes one secret for each key or team, which that one can ask for."""

import pulumi

from infra.last_update import kept_or_made, last_outputs
from llm_serving.arguments import parse
from llm_serving.spec import GatewaySpec
from stacks.outputs import WebhookSecretOutputs
from stacks.settings.secrets import WEBHOOK_SECRET


def webhook_secret(spec: GatewaySpec) -> pulumi.Output[str] | None:
    """The secret; ``None`` where no webhooks are sent."""
    if spec.queue is None or spec.queue.webhooks is None:
        return None
    if (given := pulumi.Config().get_secret(WEBHOOK_SECRET)) is not None:
        return given
    before = parse(WebhookSecretOutputs, last_outputs(), "outputs of the last update").webhook_secret
    made = pulumi.Output.secret(kept_or_made(before))
    pulumi.export("webhookSecret", made)
    return made
