import json
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest
import yaml
from pulumi.errors import InputPropertiesError

from llm_serving.cloud.aws import AwsGpuPool, AwsNodeProvisioner
from tests.unit.cloud.aws import nodes
from tests.unit.cloud.aws.environment import ACCOUNT, REGION, ZONES
from tests.unit.cloud.aws.nodes import EFA, H100_SPOT, L4, NODE_CLASS, NODE_POOL, RELEASE, SHARED, manifest, provisioner
from tests.unit.recording import Recorded, Recording, record
from tests.unit.serving.crds import assert_valid

BOTTLEROCKET = {**L4, "name": "l4-bottle", "node_image": "bottlerocket"}
EVERYTHING = (L4, BOTTLEROCKET, EFA, SHARED)


def release(recording: Recording, chart: str) -> Recorded:
    (found,) = [r for r in recording.all(RELEASE) if r["chart"].rsplit("/", 1)[-1] == chart]
    return found


def charts(*pools: dict[str, Any]) -> set[str]:
    return {r["chart"].rsplit("/", 1)[-1] for r in provisioner(*pools).all(RELEASE)}


def places(values: dict[str, Any]) -> dict[str, list[str]]:
    (term,) = values["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return {each["key"]: each["values"] for each in term["matchExpressions"]}


def matches(pattern: Any, event: Any) -> bool:
    """Whether EventBridge sends an event to the target of a rule, as far as patterns of exact values go."""
    if isinstance(pattern, dict):
        return all(key in event and matches(value, event[key]) for key, value in pattern.items())
    return event in pattern


SPOT_WARNING = {
    "source": "aws.ec2",
    "detail-type": "EC2 Spot Instance Interruption Warning",
    "detail": {"instance-id": "i-0123", "instance-action": "terminate"},
}
"""EC2 documentation, "Spot Instance interruption notices"."""


def test_the_notice_of_a_spot_instance_reaches_the_queue_that_karpenter_reads() -> None:
    recording = provisioner()
    queue = recording.one("sqs/queue:Queue")
    (rule,) = [r for r in recording.all("eventRule:EventRule") if matches(json.loads(r["eventPattern"]), SPOT_WARNING)]
    (target,) = [r for r in recording.all("eventTarget:EventTarget") if r["rule"] == rule["name"]]
    assert target["arn"] == queue.outputs["arn"]
    assert release(recording, "karpenter")["values.settings.interruptionQueue"] == queue["name"]
    assert recording.output("interruptionQueue") == queue["name"]


def state(name: str) -> dict[str, Any]:
    return {"source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification", "detail": {"state": name}}


def health(service: str, category: str) -> dict[str, Any]:
    detail = {"service": service, "eventTypeCategory": category}
    return {"source": "aws.health", "detail-type": "AWS Health Event", "detail": detail}


def of_ec2(kind: str) -> dict[str, Any]:
    return {"source": "aws.ec2", "detail-type": kind, "detail": {}}


@pytest.mark.parametrize(
    ("event", "sent"),
    [
        (state("stopping"), True),
        (state("running"), False),
        (of_ec2("EC2 Capacity Reservation Instance Interruption Warning"), True),
        (of_ec2("EC2 Instance Rebalance Recommendation"), False),
        (health("EC2", "scheduledChange"), True),
        (health("EC2", "issue"), False),
        (health("S3", "scheduledChange"), False),
    ],
)
def test_what_karpenter_acts_on_is_sent_and_nothing_else(event: dict[str, Any], sent: bool) -> None:
    patterns = [json.loads(r["eventPattern"]) for r in provisioner().all("eventRule:EventRule")]
    assert any(matches(pattern, event) for pattern in patterns) is sent


def test_the_queue_is_encrypted_and_takes_notices_from_our_rules_alone() -> None:
    recording = provisioner()
    queue = recording.one("sqs/queue:Queue")
    assert queue["sqsManagedSseEnabled"] is True
    policy = recording.one("QueuePolicy")
    sending = json.loads(policy["policy"])["Statement"][0]
    rules = {r.outputs["arn"] for r in recording.all("eventRule:EventRule")}
    assert set(sending["Condition"]["ArnEquals"]["aws:SourceArn"]) == rules
    assert all(recording.depends_on(target, policy) for target in recording.all("eventTarget:EventTarget"))


def test_karpenter_starts_with_its_definitions_its_role_and_two_replicas_of_its_own_size() -> None:
    recording = provisioner()
    karpenter = release(recording, "karpenter")
    definitions = release(recording, "karpenter-crd")
    assert karpenter["version"] == definitions["version"] == "1.14.0"
    assert karpenter["skipCrds"] is True
    for before in (definitions, recording.one("PodIdentityAssociation"), recording.one("RolePolicy")):
        assert recording.depends_on(karpenter, before), before.name
    assert karpenter["values.replicas"] == 2
    assert {"requests", "limits"} <= set(karpenter["values.controller.resources"])
    assert karpenter["values.settings.clusterName"] == "prod"
    assert karpenter["namespace"] == "kube-system"


def test_only_karpenters_pods_can_take_its_role() -> None:
    recording = provisioner()
    association = recording.one("PodIdentityAssociation")
    release_ = release(recording, "karpenter")
    assert association["serviceAccount"] == release_["values.serviceAccount.name"]
    assert association["namespace"] == release_["namespace"]
    role = recording.one("iam/role:Role")
    conditions = json.loads(role["assumeRolePolicy"])["Statement"][0]["Condition"]["StringEquals"]
    assert conditions["aws:RequestTag/kubernetes-service-account"] == association["serviceAccount"]
    assert association["roleArn"] == role.outputs["arn"]


def test_karpenter_may_give_instances_the_nodes_role_and_no_other() -> None:
    recording = provisioner()
    document = recording.one("RolePolicy")["policy"]
    passing = [s for s in json.loads(document)["Statement"] if "iam:PassRole" in s["Action"]]
    assert [s["Resource"] for s in passing] == [[f"arn:aws:iam::{ACCOUNT}:role/prod-nodes"]]
    profile = recording.one("InstanceProfile")
    assert profile["role"] == "prod-nodes"
    assert profile.outputs["arn"] in document
    # IAM documentation, "IAM and AWS STS quotas": all inline policies of a role together.
    assert len(document.replace(" ", "")) < 10_240


def test_whoever_has_the_instance_profile_finds_karpenter_running_and_goes_before_it() -> None:
    def program() -> None:
        ours = AwsNodeProvisioner(
            "nodes",
            {
                "region": REGION, "account": ACCOUNT, "name": "prod", "cluster_name": "prod", "cluster_arn": "arn",
                "cluster_endpoint": "https://example", "node_role_name": "n", "node_role_arn": "arn:n",
                "security_group_id": "sg-1", "subnet_ids": ["a", "b", "c"], "zones": ZONES,
            },
            pulumi.ResourceOptions(providers=[provider]),
        )  # fmt: skip
        AwsGpuPool(
            "pool",
            {
                "region": REGION, "name": "prod", "cluster_name": "prod",
                "instance_profile": ours.instance_profile, "security_group_id": "sg-1",
                "subnet_ids": ["a", "b", "c"], "zones": ZONES,
                "pool": {"name": "l4", "accelerator": "L4", "capacity": [nodes.ON_DEMAND]},  # type: ignore[typeddict-item]
            },
            pulumi.ResourceOptions(providers=[provider]),
        )  # fmt: skip

    provider: Any = None

    def with_provider() -> None:
        nonlocal provider
        provider = kubernetes.Provider("kubernetes", kubeconfig="{}")
        program()

    recording = record(with_provider, outputs=nodes.OUTPUTS)
    karpenter = release(recording, "karpenter")
    for resource in (*recording.all(NODE_POOL), *recording.all(NODE_CLASS)):
        assert recording.depends_on(resource, karpenter), resource.name


def test_pods_without_gpu_find_more_nodes_than_the_node_group_has() -> None:
    recording = provisioner(system_pool={"machine_type": "m7i.large", "min": 1, "max": 3})
    node_pool = recording.one(NODE_POOL)
    assert node_pool["spec.limits"] == {"nodes": "6", "cpu": "12"}
    assert node_pool.get("spec.template.spec.taints") is None
    values = [each["values"] for each in node_pool["spec.template.spec.requirements"]]
    assert ["m7i.large"] in values
    assert_valid(manifest(node_pool), "karpenter/karpenter.sh_nodepools.yaml")
    assert_valid(manifest(recording.one(NODE_CLASS)), "karpenter/karpenter.k8s.aws_ec2nodeclasses.yaml")


def test_karpenter_adds_none_where_the_node_group_is_all() -> None:
    recording = provisioner(system_pool={"min": 2, "max": 2})
    assert recording.all(NODE_POOL) == recording.all(NODE_CLASS) == []


def test_device_plugins_are_there_where_a_pool_needs_them() -> None:
    karpenter = {"karpenter", "karpenter-crd"}
    assert charts() == charts(BOTTLEROCKET) == karpenter
    assert charts(L4) == karpenter | {"nvidia-device-plugin"}
    assert charts({**EFA, "node_image": "bottlerocket"}) == karpenter | {"aws-efa-k8s-device-plugin"}


def test_device_plugins_run_on_the_nodes_that_need_them_whatever_taints_they_have() -> None:
    recording = provisioner(*EVERYTHING)
    nvidia, efa = (
        release(recording, chart)["values"] for chart in ("nvidia-device-plugin", "aws-efa-k8s-device-plugin")
    )
    assert places(nvidia) == {"llm-serving.dev/pool": ["l4", "h100", "shared"]}
    assert efa["supportedInstanceLabels"] == {"keys": ["llm-serving.dev/pool"], "values": ["h100"]}
    assert nvidia["tolerations"] == efa["tolerations"] == [{"operator": "Exists"}]


def test_a_gpu_is_offered_as_often_as_pods_share_it_on_that_pool_alone() -> None:
    configs = release(provisioner(*EVERYTHING), "nvidia-device-plugin")["values.config"]
    shared = yaml.safe_load(configs["map"]["shared"])
    (resource,) = shared["sharing"]["timeSlicing"]["resources"]
    assert resource == {"name": "nvidia.com/gpu", "replicas": 4}
    assert "sharing" not in yaml.safe_load(configs["map"][configs["default"]])
    assert "config" not in release(provisioner(L4), "nvidia-device-plugin")["values"]


def test_the_image_of_efas_plugin_comes_from_the_nodes_own_region() -> None:
    recording = provisioner({**EFA, "capacity": [{**H100_SPOT, "zones": ["eu-south-1a"]}]}, region="eu-south-1")
    repository = release(recording, "aws-efa-k8s-device-plugin")["values.image.repository"]
    assert repository == "590381155156.dkr.ecr.eu-south-1.amazonaws.com/eks/aws-efa-k8s-device-plugin"


def test_the_security_group_stays_as_eks_made_it() -> None:
    """It lets EFA out already, and EC2 refuses the same rule twice."""
    assert provisioner(EFA).all("SecurityGroupEgressRule") == []


def test_without_internet_nobody_asks_for_prices() -> None:
    assert release(provisioner(isolated=True), "karpenter")["values.settings.isolatedVPC"] is True
    assert release(provisioner(), "karpenter")["values.settings.isolatedVPC"] is False


def test_what_pods_would_like_starts_no_machine() -> None:
    assert release(provisioner(), "karpenter")["values.settings.preferencePolicy"] == "Ignore"


@pytest.mark.parametrize(("args", "path"), [({"account": 12345}, "account"), ({"pool": {}}, "pool")])
def test_a_mistake_is_refused_with_its_path(args: dict[str, Any], path: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        provisioner(**args)
    assert [error["property_path"] for error in caught.value.errors or []] == [path]
