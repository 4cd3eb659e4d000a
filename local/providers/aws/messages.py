"""Queues, rules of events, and groups of logs."""

import secrets
from collections.abc import Mapping
from typing import Any

from llm_serving.errors import Problem
from local.providers.aws.kinds import Kind, tag_list
from local.providers.properties import Properties

_QUEUE_ATTRIBUTES = {
    "contentBasedDeduplication": "ContentBasedDeduplication", "deduplicationScope": "DeduplicationScope",
    "delaySeconds": "DelaySeconds", "fifoQueue": "FifoQueue", "fifoThroughputLimit": "FifoThroughputLimit",
    "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds", "kmsMasterKeyId": "KmsMasterKeyId",
    "maxMessageSize": "MaximumMessageSize", "messageRetentionSeconds": "MessageRetentionPeriod", "policy": "Policy",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds", "redriveAllowPolicy": "RedriveAllowPolicy",
    "redrivePolicy": "RedrivePolicy", "sqsManagedSseEnabled": "SqsManagedSseEnabled",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}  # fmt: skip
_QUEUE_RANGES = {
    "delaySeconds": (0, 900), "messageRetentionSeconds": (60, 1209600), "receiveWaitTimeSeconds": (0, 20),
    "visibilityTimeoutSeconds": (0, 43200), "kmsDataKeyReusePeriodSeconds": (60, 86400),
}  # fmt: skip
"""SQS API, ``SetQueueAttributes``."""


class Queue(Kind):
    """A queue; its id is its URL, as AWS has it: moto's own begins with an address that may change."""

    service = "sqs"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Ranges of its numbers."""
        return [
            Problem(key, inputs[key], f"outside of {least} to {most}")
            for key, (least, most) in _QUEUE_RANGES.items()
            if isinstance(inputs.get(key), int) and not least <= inputs[key] <= most
        ]

    def make(self, id: str, known: Properties) -> str:
        """With its attributes."""
        tags = self.cloud.tags(known)
        attributes = _attributes(known, new=True)
        self.ask(known, "create_queue", QueueName=known["name"], Attributes=attributes, tags=tags or None)
        return f"https://sqs.{self.cloud.region(known)}.amazonaws.com/{self.cloud.account}/{known['name']}"

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """All attributes but those that say which kind of queue it is."""
        self.ask(known, "set_queue_attributes", QueueUrl=id, Attributes=_attributes(known, new=False))
        if tags := self.cloud.tags(known):
            self.ask(known, "tag_queue", QueueUrl=id, Tags=tags)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """ARN and URL."""
        if not id.startswith("http"):
            return None
        found = self.look(known, "get_queue_attributes", QueueUrl=id, AttributeNames=["All"])
        if found is None:
            return None
        return {"arn": found["Attributes"]["QueueArn"], "url": id, "policy": known.get("policy") or ""}

    def unmake(self, id: str, outputs: Properties) -> None:
        """With its messages."""
        self.ask(outputs, "delete_queue", QueueUrl=id)


def _attributes(known: Mapping[str, Any], *, new: bool) -> dict[str, str]:
    values = {name: known[key] for key, name in _QUEUE_ATTRIBUTES.items() if known.get(key) not in (None, "")}
    if not new or not values.get("FifoQueue"):
        values.pop("FifoQueue", None)
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}


class QueuePolicy(Kind):
    """Who may do what with a queue."""

    service = "sqs"

    def make(self, id: str, known: Properties) -> str | None:
        """An attribute of the queue."""
        self.ask(known, "set_queue_attributes", QueueUrl=known["queueUrl"], Attributes={"Policy": known["policy"]})
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """As in :meth:`make`."""
        self.make(id, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Whether the queue has one."""
        found = self.look(known, "get_queue_attributes", QueueUrl=known["queueUrl"], AttributeNames=["Policy"])
        return {} if found and found.get("Attributes", {}).get("Policy") else None

    def unmake(self, id: str, outputs: Properties) -> None:
        """The queue stays."""
        self.ask(outputs, "set_queue_attributes", QueueUrl=outputs["queueUrl"], Attributes={"Policy": ""})


class EventRule(Kind):
    """Which events go somewhere."""

    service = "events"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Something that it listens to."""
        if inputs.get("eventPattern") is None and inputs.get("scheduleExpression") is None:
            return [Problem("eventPattern", None, "one of eventPattern and scheduleExpression has to be given")]
        return []

    def make(self, id: str, known: Properties) -> str | None:
        """A rule of that name is written over, as by EventBridge."""
        self.ask(
            known,
            "put_rule",
            Name=id,
            EventPattern=known.get("eventPattern"),
            ScheduleExpression=known.get("scheduleExpression"),
            State=known.get("state") or "ENABLED",
            Description=known.get("description"),
            RoleArn=known.get("roleArn"),
            EventBusName=known.get("eventBusName"),
            Tags=tag_list(tags) if (tags := self.cloud.tags(known)) else None,
        )
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """As in :meth:`make`."""
        self.make(id, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Its ARN."""
        found = self.look(known, "describe_rule", Name=id, EventBusName=known.get("eventBusName"))
        return None if found is None else {"arn": found["Arn"]}

    def unmake(self, id: str, outputs: Properties) -> None:
        """EventBridge refuses while it has targets."""
        self.ask(outputs, "delete_rule", Name=id, EventBusName=outputs.get("eventBusName"))


class EventTarget(Kind):
    """Where the events of a rule go."""

    service = "events"

    def make(self, id: str, known: Properties) -> str:
        """Its own id is drawn where none is given."""
        target = str(
            known.get("targetId") or (id if id.startswith("terraform-") else f"terraform-{secrets.token_hex(13)}")
        )
        details = {"Id": target, "Arn": known["arn"], "RoleArn": known.get("roleArn"), "Input": known.get("input")}
        self.ask(
            known,
            "put_targets",
            Rule=known["rule"],
            EventBusName=known.get("eventBusName"),
            Targets=[{key: value for key, value in details.items() if value is not None}],
        )
        return f"{known['rule']}-{target}"

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Another ARN."""
        self.make(id, {**known, "targetId": known.get("targetId") or outputs.get("targetId")})

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Among those of the rule."""
        found = self.look(known, "list_targets_by_rule", Rule=known["rule"], EventBusName=known.get("eventBusName"))
        for target in (found or {}).get("Targets", ()):
            if id == f"{known['rule']}-{target['Id']}":
                return {"targetId": target["Id"], "arn": target["Arn"]}
        return None

    def unmake(self, id: str, outputs: Properties) -> None:
        """By its id."""
        target = id.removeprefix(f"{outputs['rule']}-")
        self.ask(
            outputs, "remove_targets", Rule=outputs["rule"], EventBusName=outputs.get("eventBusName"), Ids=[target]
        )


class LogGroup(Kind):
    """A group of logs."""

    service = "logs"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Days that CloudWatch knows (CloudWatch Logs API, ``PutRetentionPolicy``)."""
        days = inputs.get("retentionInDays")
        if isinstance(days, int) and days not in _RETENTION:
            nearest = min(_RETENTION[1:], key=lambda known: abs(known - days))
            return [Problem("retentionInDays", days, "not a number of days that CloudWatch Logs knows", str(nearest))]
        return []

    def make(self, id: str, known: Properties) -> str | None:
        """The group, then for how long it keeps things."""
        tags = self.cloud.tags(known)
        self.ask(known, "create_log_group", logGroupName=id, kmsKeyId=known.get("kmsKeyId"), tags=tags or None)
        self._retain(id, known)
        return None

    def _retain(self, id: str, known: Properties) -> None:
        if days := known.get("retentionInDays"):
            self.ask(known, "put_retention_policy", logGroupName=id, retentionInDays=days)
        else:
            self.ask(known, "delete_retention_policy", logGroupName=id)

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Days and tags."""
        self._retain(id, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Its ARN, without the asterisk with which the API ends it, as the provider has it."""
        groups = self.ask(known, "describe_log_groups", logGroupNamePrefix=id)["logGroups"]
        if not any(group["logGroupName"] == id for group in groups):
            return None
        return {"arn": self.arn(known, f"log-group:{id}")}

    def unmake(self, id: str, outputs: Properties) -> None:
        """With all logs, unless it is to stay."""
        if not outputs.get("skipDestroy"):
            self.ask(outputs, "delete_log_group", logGroupName=id)


_RETENTION = (
    0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
