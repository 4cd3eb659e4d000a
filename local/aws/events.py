"""Which queues EventBridge fills: those whose policy lets the rule send (EventBridge user guide, "Using resource-based
policies for Amazon EventBridge"). moto looks at no policy.

Who puts an event of AWS's own (source ``aws.ec2``) stands for the service that sends it; from anybody else EventBridge
takes none.
"""

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

from moto.events.models import Rule
from moto.sqs.models import sqs_backends

_SERVICE = "events.amazonaws.com"


def lets_in(policy: str | None, queue: str, rule: str) -> bool:
    """Whether a queue's policy lets EventBridge send what a rule matches.

    Args:
        policy: the document, where the queue has one.
        queue: ARN of the queue.
        rule: ARN of the rule.
    """
    statements = json.loads(policy or "{}").get("Statement") or []
    return any(_allows(each, queue, rule) for each in _listed(statements))


def install() -> None:
    """Let moto's rules send only where they may. An event for a queue that is not there is lost, as in AWS."""
    send = Rule._send_to_sqs_queue

    def send_where_allowed(self: Any, resource_id: str, event: dict[str, Any], group_id: str | None = None) -> None:
        queue = sqs_backends[self.account_id][self.region_name].queues.get(resource_id)
        if queue is not None and lets_in(queue.policy, queue.queue_arn, self.arn):
            send(self, resource_id, event, group_id)

    Rule._send_to_sqs_queue = send_where_allowed


def _allows(statement: Mapping[str, Any], queue: str, rule: str) -> bool:
    principal = statement.get("Principal")
    services = principal.get("Service") if isinstance(principal, Mapping) else principal
    sources = [
        arn
        for operator, keys in (statement.get("Condition") or {}).items()
        if operator in ("ArnEquals", "ArnLike")
        for arn in _listed(keys.get("aws:SourceArn"))
    ]
    return (
        statement.get("Effect") == "Allow"
        and any(each in (_SERVICE, "*") for each in _listed(services))
        and any(fnmatchcase("sqs:SendMessage", str(each)) for each in _listed(statement.get("Action")))
        and any(fnmatchcase(queue, str(each)) for each in _listed(statement.get("Resource")))
        and (not sources or any(fnmatchcase(rule, str(each)) for each in sources))
    )


def _listed(value: Any) -> list[Any]:
    """IAM takes one thing where it takes a list."""
    return cast(list[Any], value) if isinstance(value, list) else [] if value is None else [value]
