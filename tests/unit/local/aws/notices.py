"""Notices that instances end: the queue that a stack makes for them, with its rules, and the events of AWS by the name
of the rule that waits for each.

Events: EC2 user guide, "Spot Instance interruption notices", "Monitor interruptible Capacity Reservations" and
"Instance state change events"; AWS Health user guide, "AWS Health events Amazon EventBridge schema".
"""

import json

from llm_serving.cloud.aws import karpenter, policies


def queue_with_rules(api, region, name):
    """Make them as the component does; the URL of the queue."""
    sqs, events = api.client("sqs", region), api.client("events", region)
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    rules = [
        events.put_rule(Name=f"{name}-{event}", EventPattern=json.dumps(pattern))["RuleArn"]
        for event, pattern in karpenter.EVENTS.items()
    ]
    policy = json.dumps(policies.interruption_queue(arn, rules))
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    for event in karpenter.EVENTS:
        events.put_targets(Rule=f"{name}-{event}", Targets=[{"Id": "queue", "Arn": arn}])
    return url


def notices(instance):
    """What AWS says of an instance that ends, as EventBridge takes it."""
    retirement = {
        "eventArn": "arn:aws:health:us-east-1::event/EC2/AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED/1",
        "service": "EC2",
        "eventTypeCode": "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",
        "eventTypeCategory": "scheduledChange",
        "affectedEntities": [{"entityValue": instance}],
    }
    ends = {"instance-id": instance, "instance-action": "terminate"}
    return {
        "spot-interruption": _event("aws.ec2", "EC2 Spot Instance Interruption Warning", ends, instance),
        "reservation-interruption": _event(
            "aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning", ends, instance
        ),
        "state-change": _event(
            "aws.ec2",
            "EC2 Instance State-change Notification",
            {"instance-id": instance, "state": "stopping"},
            instance,
        ),
        "scheduled-change": _event("aws.health", "AWS Health Event", retirement, instance),
    }


def _event(source, kind, detail, instance):
    return {"Source": source, "DetailType": kind, "Detail": json.dumps(detail), "Resources": [instance]}
