"""Arguments of every public component as they stand on the wire, with outputs of other components in their places."""

from typing import Any

from pulumi.provider.experimental.util import camel_case

from tests.unit.gateway import offered
from tests.unit.plugin.engine import output
from tests.unit.serving import served

POOL_URN = "urn:pulumi:test::consumer::llm-serving:index:GcpGpuPool::h100"
CLUSTER_URN = "urn:pulumi:test::consumer::llm-serving:index:GcpCluster::serving"
NETWORK_URN = "urn:pulumi:test::consumer::llm-serving:index:GcpNetwork::serving"

KUBECONFIG = """
current-context: lab
clusters: [{name: lab, cluster: {server: "https://10.0.0.1"}}]
users: [{name: me, user: {token: hunter2}}]
contexts: [{name: lab, context: {cluster: lab, user: me}}]
"""


def camel(value: Any) -> Any:
    """Python's spelling of keys as the schema's; only for arguments without free keys in Python's spelling."""
    if isinstance(value, dict):
        return {camel_case(key): camel(item) for key, item in value.items()}
    return [camel(item) for item in value] if isinstance(value, list) else value


PLACE = {"project": "acme-dev", "region": "us-central1"}
GCP = {**PLACE, "labels": {"environment": "test"}}
ZONES = ["us-central1-a", "us-central1-b"]

EKS_URN = "urn:pulumi:test::consumer::aws:eks/cluster:Cluster::serving"
EKS = {
    "region": "us-east-1",
    "name": "serving",
    "clusterName": output("serving", dependencies=(EKS_URN,)),
    "securityGroupId": output("sg-0123", dependencies=(EKS_URN,)),
    "subnetIds": output(["subnet-0a", "subnet-0b"]),
    "zones": ["us-east-1a", "us-east-1b"],
    "tags": {"environment": "test"},
}
EKS_POOL = {
    "name": "l4",
    "accelerator": "L4",
    "capacity": [{"market": "spot", "machineType": "g6.xlarge", "max": 4}],
}

AWS = {"region": "us-east-1", "name": "serving", "tags": {"environment": "test"}}
EKS_ARN = output("arn:aws:eks:us-east-1:012345678901:cluster/serving", dependencies=(EKS_URN,))

EVERY_COMPONENT: dict[str, dict[str, Any]] = {
    "AwsNetwork": {**AWS, "zones": ["us-east-1a", "us-east-1b"], "pods": "100.64.0.0/16"},
    "AwsCluster": {
        **{key: value for key, value in AWS.items() if key != "name"},
        "account": "012345678901",
        "cluster": {
            "name": "serving",
            "zones": ["us-east-1a", "us-east-1b"],
            "administrators": [{"principal": "arn:aws:iam::111122223333:role/deployer"}],
            "systemPool": {"min": 1, "max": 2},
        },
        "nodeSubnetIds": output(["subnet-0a", "subnet-0b"]),
        "servicesRange": "172.20.0.0/16",
        "groups": ["arn:aws:iam::012345678901:role/readers"],
    },
    "AwsModelCache": {**AWS, "account": "012345678901", "cache": {"noncurrentDays": 7}},
    "AwsModelVolume": {
        "region": "us-east-1",
        "name": "serving",
        "namespace": output("chat"),
        "bucketName": output("weights"),
        "cacheGib": 100,
    },
    "AwsRegistry": {
        **AWS,
        "account": "012345678901",
        "readers": [output("serving-nodes", dependencies=(EKS_URN,))],
        "create": ["model-loader"],
    },
    "AwsWorkloadIdentity": {
        **AWS,
        "clusterName": output("serving", dependencies=(EKS_URN,)),
        "clusterArn": EKS_ARN,
        "namespace": "chat",
        "serviceAccount": "qwen3-8b",
        "bucketArn": output("arn:aws:s3:::weights"),
        "keyArn": output("arn:aws:kms:us-east-1:012345678901:key/1"),
    },
    "AwsNodeProvisioner": {
        **EKS,
        "account": "012345678901",
        "clusterArn": EKS_ARN,
        "clusterEndpoint": output("https://serving.eks.amazonaws.com", dependencies=(EKS_URN,)),
        "nodeRoleName": output("serving-nodes", dependencies=(EKS_URN,)),
        "nodeRoleArn": output("arn:aws:iam::012345678901:role/serving-nodes", dependencies=(EKS_URN,)),
        "systemPool": {"min": 1, "max": 2},
        "pools": [EKS_POOL],
    },
    "AwsGpuPool": {**EKS, "instanceProfile": output("serving-nodes"), "pool": EKS_POOL},
    "ExistingCluster": {
        "kubeconfig": output(KUBECONFIG, secret=True),
        "context": "lab",
        "clients": ["10.1.0.0/24"],
    },
    "ExistingModelCache": {"claim": "weights", "storage": {"sizeGib": 20}, "namespace": output("chat")},
    "ExistingPool": {
        "pool": {"name": "lab", "accelerator": "RTX-A6000", "gpusPerNode": 4, "cpu": 60.5, "memoryGib": 480}
    },
    "ExistingWorkloadIdentity": {"namespace": "chat", "serviceAccount": "qwen3-8b"},
    "Gateway": {
        **camel(offered.arguments()),
        "reach": output({"gatewaySources": ["10.1.0.0/24"]}, dependencies=(NETWORK_URN,)),
        "clientNamespaces": ["chat"],
        "limitsPassword": output("hunter2", secret=True),
        "labels": {"llm-serving.example/environment": "test"},
    },
    "GcpNetwork": {**PLACE, "name": "serving", "ranges": {"nodes": "10.10.0.0/22"}},
    "GcpCluster": {
        **GCP,
        "cluster": {"name": "serving", "zones": ZONES, "systemPool": {"min": 1, "max": 2}},
        "networkId": output("projects/acme-dev/global/networks/serving", dependencies=(NETWORK_URN,)),
        "subnetId": output(
            "projects/acme-dev/regions/us-central1/subnetworks/serving-nodes", dependencies=(NETWORK_URN,)
        ),
        "podsRangeName": output("pods", dependencies=(NETWORK_URN,)),
        "servicesRangeName": output("services", dependencies=(NETWORK_URN,)),
    },
    "GcpGpuPool": {
        **GCP,
        "location": output("us-central1", dependencies=(CLUSTER_URN,)),
        "clusterName": output("serving", dependencies=(CLUSTER_URN,)),
        "nodeServiceAccount": output("nodes@acme-dev.iam.gserviceaccount.com", dependencies=(CLUSTER_URN,)),
        "zones": ZONES,
        "pool": {
            "name": "l4",
            "accelerator": "L4",
            "capacity": [{"market": "spot", "machineType": "g2-standard-12", "max": 4}],
        },
    },
    "GcpModelCache": {**GCP, "name": "models", "cache": {"forceDestroy": True}},
    "GcpRegistry": {
        **GCP,
        "name": "images",
        "readers": [output("nodes@acme-dev.iam.gserviceaccount.com", dependencies=(CLUSTER_URN,))],
    },
    "GcpWorkloadIdentity": {
        "project": "acme-dev",
        "name": "serving",
        "namespace": "chat",
        "serviceAccount": "qwen3-8b",
        "workloadPool": output("acme-dev.svc.id.goog", dependencies=(CLUSTER_URN,)),
        "bucketName": "acme-dev-models",
        "role": "reader",
    },
    "ModelService": {
        **camel(served.arguments(labels=None)),
        "namespace": output("chat"),
        "scheduling": output(served.SCHEDULING, dependencies=(POOL_URN,)),
        "cache": output(served.CACHE),
        "identity": output(served.IDENTITY),
        "labels": {"llm-serving.example/environment": "test"},
    },
    "ClusterAddons": {"keda": True, "monitoring": True, "leaderWorkerSet": True, "retentionDays": 7}
    | {
        "alertmanagerUrl": "http://alertmanager.monitoring.svc:9093",
        "dcgmExporter": True,
        "gatewayApi": True,
        "gpuNodes": [{"nodeSelector": {"gpu": "l4"}, "tolerations": [{"key": "nvidia.com/gpu"}]}],
        "gpuExporter": {"namespace": "exporters", "pods": {"app": "exporter"}, "port": "metrics"},
    },
    "GatewayProxy": {
        "namespace": output("llm-gateway"),
        "teamNamespaces": {"chat": output("chat")},
        "image": "docker.io/library/traefik:v3.7.15",
        "host": "llm.example.com",
        "labels": {"llm-serving.example/environment": "test"},
    },
    "ModelRoute": {
        "model": camel(served.MODEL),
        "namespace": output("chat"),
        "parents": output([{"name": "models", "namespace": "llm-gateway"}]),
        "releaseUrls": output({"1.0.0": "http://qwen3-8b-1-0-0.chat.svc:8000/v1"}),
        "labels": {"llm-serving.example/environment": "test"},
    },
    "Monitoring": {
        "models": [
            {
                "name": "qwen3-8b",
                "team": "chat",
                "slo": {"timeToFirstToken": {"seconds": 2}},
                "releases": [{"version": "1.0.0", "name": "qwen3-8b-1-0-0", "engine": "vllm", "startSeconds": 180}],
            }
        ],
        "gateway": True,
        "prefix": "llm-serving-test",
        "labels": {"llm-serving.example/environment": "test"},
    },
    "PriorityClasses": {"labels": {"llm-serving.example/environment": "test"}},
    "CompileCache": {
        **{
            key: value
            for key, value in camel(served.arguments(labels=None)).items()
            if key not in ("releases", "releaseHashes")
        },
        "release": {**camel(served.RELEASE), "image": {**served.RELEASE["image"], "launcher": True}},
        "namespace": output("chat"),
        "scheduling": output(served.SCHEDULING, dependencies=(POOL_URN,)),
        "cache": output({**served.CACHE, "loaderVolume": {"emptyDir": {}}}),
        "identity": output(served.IDENTITY),
        "labels": {"llm-serving.example/environment": "test"},
    },
    "ModelLoader": {
        "release": camel(served.RELEASE),
        "team": "chat",
        "loader": {"image": {"repository": "registry.example/model-loader", "tag": "1.0.0"}},
        "namespace": output("chat"),
        "cache": output({"volume": {"emptyDir": {}}, "loaderVolume": {"emptyDir": {}}}),
        "scheduling": output(served.SCHEDULING, dependencies=(POOL_URN,)),
        "labels": {"llm-serving.example/environment": "test"},
    },
    "QuantizationJob": {
        "quantization": {
            "name": "qwen3-8b-fp8",
            "team": "chat",
            "pool": "h100",
            "base": {"model": "qwen3-8b", "release": "1.0.0"},
            "scheme": "FP8_DYNAMIC",
            "image": {"repository": "registry.example/quantizer", "tag": "0.1.0"},
        },
        "base": camel(served.RELEASE),
        "loader": {"image": {"repository": "registry.example/model-loader", "tag": "1.0.0"}},
        "node": camel(served.NODE),
        "namespace": output("chat"),
        "scheduling": output(served.SCHEDULING, dependencies=(POOL_URN,)),
        "cache": output({**served.CACHE, "loaderVolume": {"emptyDir": {}}}),
        "identity": output(served.IDENTITY),
        "labels": {"llm-serving.example/environment": "test"},
    },
    "Redis": {
        "limits": {"memoryMib": 128, "storageGib": 1},
        "namespace": output("llm-gateway"),
        "image": {"repository": "registry.example/redis", "tag": "0.1.0"},
        "password": output("madeUp", secret=True),
    },
    "ReleaseRouter": {
        "model": "qwen3-8b",
        "release": "1.0.0",
        "team": "chat",
        "namespace": output("chat"),
        "image": {"repository": "registry.example/router", "tag": "0.1.0"},
        "router": {"policy": "power_of_two", "replicas": 3},
    },
    "TeamNamespace": {
        "team": {"name": "chat", "viewers": ["readers@example.com"]},
        "gpuQuota": 4,
        "reach": output({"gatewaySources": ["10.1.0.0/24"]}, dependencies=(NETWORK_URN,)),
    },
}
