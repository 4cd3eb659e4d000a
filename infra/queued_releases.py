"""Releases whose nodes come from a queue: an update does not wait for them, so nothing may end for their sake."""

import pulumi

from infra.last_update import last_outputs
from llm_serving.arguments import parse
from llm_serving.planning.replicas import Role
from llm_serving.planning.timeouts import is_awaited
from stacks.outputs import ReleasesOutputs
from stacks.settings import NAMESPACE, Stack


def refuse_unanswered_releases(stack: Stack) -> None:
    """A model's requests move to a release that nobody waits for only where an earlier update has started it.

    Raises:
        pulumi.RunError: this update would end the release that answers, and start one that waits in a queue.
    """
    unawaited = [
        (index, model.spec)
        for index, model in enumerate(stack.models)
        if not is_awaited(model.spec.timeouts, model.node)
    ]
    if not unawaited:
        return
    before = parse(ReleasesOutputs, last_outputs(), "outputs of the last update").releases
    for index, model in unawaited:
        served = {role: release.version for role, release in before.get(model.name, {}).items()}
        stable = model.releases.stable
        if served and stable not in served.values():
            raise pulumi.RunError(
                f"{stack.source}: {NAMESPACE}:models[{index}].releases.stable = {stable!r}: is not started yet, and "
                f"its nodes may come from the queue of flex-start: {served[Role.STABLE]} would end, and nothing would "
                "answer until there are nodes (try: make it the canary first, with weight 0, and stable once it "
                "answers; or timeouts.capacitySeconds, for which the update waits)"
            )
