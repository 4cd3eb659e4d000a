"""What the tests of Karpenter stand on: an account of the local AWS, NodePools, and what watches tell."""

import json
import time

import yaml

from llm_serving.cloud.aws import karpenter
from local.aws import AwsApi
from local.cluster.controller_runtime import ChangeSignal, Informer
from tests.unit.local.aws.notices import notices, queue_with_rules

REGION, CLUSTER, QUEUE = "us-east-1", "local", "interruptions"
RESERVATION = {"id": "cr-0123456789abcdef0", "machine": "g6.xlarge", "zone": "us-east-1b", "count": 1}
PREFERENCES = karpenter.values(CLUSTER, "", QUEUE, isolated=True)["settings"]["preferencePolicy"]
"""As stacks tell Karpenter."""
_DISCOVERY = {"karpenter.sh/discovery": CLUSTER}
_GUARD_SECONDS = 300
"""How long anything is waited for, far more than it takes."""


class Account:
    """The account of the local AWS, with what a cluster's owner makes before Karpenter comes."""

    def __init__(self, folder):
        self.api = AwsApi(folder / "aws", folder / "capacity.yaml")
        self.address = self.api.start()
        self.lacks()
        self.ec2, self.iam = self.api.client("ec2", REGION), self.api.client("iam", REGION)
        tags = [{"Key": key, "Value": value} for key, value in _DISCOVERY.items()]
        vpc = self.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            self.ec2.create_subnet(
                VpcId=vpc,
                CidrBlock=f"10.0.{number}.0/24",
                AvailabilityZone=zone,
                TagSpecifications=[{"ResourceType": "subnet", "Tags": tags}],
            )["Subnet"]["SubnetId"]
            for number, zone in enumerate(("us-east-1a", "us-east-1b"))
        ]
        group = {"GroupName": "nodes", "Description": "nodes", "VpcId": vpc}
        self.ec2.create_security_group(**group, TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}])
        self.iam.create_role(RoleName="node", AssumeRolePolicyDocument="{}")
        queue_with_rules(self.api, REGION, QUEUE)
        self.api.client("eks", REGION).create_cluster(
            name=CLUSTER,
            roleArn="arn:aws:iam::123456789012:role/cluster",
            resourcesVpcConfig={"subnetIds": subnets},
            kubernetesNetworkConfig={"serviceIpv4Cidr": "10.96.0.0/16"},
        )

    def lacks(self, *missing):
        """Say which machines EC2 does not have. It has all others, and a capacity reservation of the account."""
        self.api.capacity.write_text(yaml.safe_dump({"missing": list(missing), "reservations": [RESERVATION]}))

    def instances(self, pool=None):
        """The instances that are not terminated, of one NodePool or of all."""
        filters = [{"Name": "instance-state-name", "Values": ["pending", "running", "shutting-down"]}]
        filters += [{"Name": "tag:karpenter.sh/nodepool", "Values": [pool]}] if pool else []
        shown = self.ec2.describe_instances(Filters=filters)["Reservations"]
        return [instance for reservation in shown for instance in reservation["Instances"]]

    def launch_templates(self, node_class):
        """What Karpenter has made for an EC2NodeClass."""
        tagged = [{"Name": "tag:karpenter.k8s.aws/ec2nodeclass", "Values": [node_class]}]
        return self.ec2.describe_launch_templates(Filters=tagged)["LaunchTemplates"]

    def notify(self, instance, event):
        """Let AWS tell that an instance ends: the name of the rule that waits for such an event."""
        self.api.client("events", REGION).put_events(Entries=[notices(instance)[event]])


class Watched:
    """What the cluster has, as watches tell it."""

    KINDS = {
        "EC2NodeClass": "karpenter.k8s.aws/v1",
        "NodeClaim": "karpenter.sh/v1",
        "Node": "v1",
        "Pod": "v1",
        "Event": "v1",
    }

    def __init__(self, client):
        self._signal = ChangeSignal()
        self._informers = {
            kind: Informer(client, version, kind, self._signal).start() for kind, version in self.KINDS.items()
        }

    def until(self, what):
        """Wait until the answer is true, and return it. It is asked at each change, and every second for AWS, which
        tells of none."""
        end = time.monotonic() + _GUARD_SECONDS
        while not (answer := what()):
            assert time.monotonic() < end, f"still not so after {_GUARD_SECONDS} s"
            self._signal.wait(1.0)
        return answer

    def _all(self, kind):
        return self._informers[kind].objects() or []

    def is_ready(self, kind, name):
        """The condition ``Ready`` of an object of the cluster."""
        conditions = [
            condition
            for each in self._all(kind)
            if each["metadata"]["name"] == name
            for condition in each.get("status", {}).get("conditions", [])
        ]
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def claims(self, pool):
        return [each for each in self._all("NodeClaim") if each["metadata"]["labels"]["karpenter.sh/nodepool"] == pool]

    def nodes(self, pool):
        return [each for each in self._all("Node") if each["metadata"]["labels"].get("karpenter.sh/nodepool") == pool]

    def pod(self, namespace, name):
        found = [
            e for e in self._all("Pod") if (e["metadata"]["namespace"], e["metadata"]["name"]) == (namespace, name)
        ]
        return found[0] if found else None

    def pool_of(self, namespace, name):
        """The NodePool on whose node a pod runs; ``None`` where it does not run."""
        pod = self.pod(namespace, name)
        if pod is None or pod["status"]["phase"] != "Running":
            return None
        nodes = {each["metadata"]["name"]: each for each in self._all("Node")}
        node = nodes.get(pod["spec"]["nodeName"])
        return node and node["metadata"]["labels"]["karpenter.sh/nodepool"]

    def messages(self, namespace, name):
        return [
            each["message"]
            for each in self._all("Event")
            if (each["involvedObject"].get("namespace"), each["involvedObject"].get("name")) == (namespace, name)
            and each.get("source", {}).get("component") == "karpenter"
        ]


def processes(cluster):
    """The processes of a cluster's programs by name."""
    programs = json.loads((cluster.directory / "run" / "programs.json").read_text())
    return {name: program["process"] for name, program in programs.items()}


def node_class(name):
    """An EC2NodeClass with all that the account has."""
    selection = [{"tags": _DISCOVERY}]
    return {
        "apiVersion": "karpenter.k8s.aws/v1",
        "kind": "EC2NodeClass",
        "metadata": {"name": name},
        "spec": {
            "role": "node",
            "amiSelectorTerms": [{"alias": "al2023@latest"}],
            "subnetSelectorTerms": selection,
            "securityGroupSelectorTerms": selection,
            "capacityReservationSelectorTerms": [{"id": RESERVATION["id"]}],
        },
    }


def node_pool(name, machine, market, *, pool, node_class, weight=1, gpus=8):
    """A NodePool of one machine type on one market, whose nodes are those of a pool."""
    wanted = {"node.kubernetes.io/instance-type": machine, "karpenter.sh/capacity-type": market}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {
            "weight": weight,
            "limits": {"nvidia.com/gpu": gpus},
            "disruption": {
                "consolidationPolicy": "WhenEmpty",
                "consolidateAfter": "0s",
                "budgets": [{"nodes": "100%"}],
            },
            "template": {
                "metadata": {"labels": {"llm-serving.dev/pool": pool}},
                "spec": {
                    "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": node_class},
                    "expireAfter": "Never",
                    "taints": [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}],
                    "requirements": [
                        {"key": key, "operator": "In", "values": [value]} for key, value in wanted.items()
                    ],
                },
            },
        },
    }
