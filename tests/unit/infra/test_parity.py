"""What stands on the cluster is the same on both clouds for the same settings, but for a list of differences, each with
its reason. ``docs/clouds.md`` prints the list."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from local.state_folder import REPOSITORY
from tests.unit.infra.test_program import LOADER, run
from tests.unit.recording import Recorded, Recording
from tests.unit.stacks.settings_files import data_with_gateway

ABOVE_THE_CLOUDS = ("labels", "models", "launcher", "addons", "weights", "egress", "gateway")
"""Settings that are no cloud's own; those of ``prod`` on both."""
OF_A_CLOUD = {"GcpGpuPool", "AwsGpuPool", "AwsNodeProvisioner", "AwsModelVolume"}
"""Components that put objects of their own cloud onto the cluster."""


@dataclass(frozen=True)
class Difference:
    """What differs, and why.

    Attributes:
        what: as the page calls it.
        gcp: how it is on Google Cloud.
        aws: how it is on AWS.
        properties: patterns of the kind and property path of what differs so.
    """

    what: str
    gcp: str
    aws: str
    properties: tuple[str, ...]


DIFFERENCES = (
    Difference(
        "images",
        "of Artifact Registry, Docker Hub's through its remote repository",
        "of ECR, Docker Hub's through its pull-through rule",
        (r"containers\.\w+(-\w+)*\.image",),
    ),
    Difference(
        "volume of the weights",
        "GCS FUSE, by a sidecar that requests what it takes",
        "a claim that Mountpoint serves by a pod of its own; the engine requests the cache",
        (r"annotations\.gke-gcsfuse/", r"volumes\.\w+\.(csi|persistentVolumeClaim)", r"requests\.ephemeral-storage"),
    ),
    Difference("where the loader writes", "`gs://` bucket", "`s3://` bucket", (r"^Job .*command.*--target",)),
    Difference(
        "identity of a pod",
        "an annotation names the service account of Google Cloud",
        "Pod Identity knows it outside of the cluster",
        (r"^ServiceAccount .*iam\.gke\.io/gcp-service-account",),
    ),
    Difference(
        "labels and taints of nodes",
        "of the ComputeClass",
        "our own, which Karpenter puts on",
        (r"nodeSelector\.", r"tolerations"),
    ),
    Difference(
        "CPU and memory of an instance",
        "its share of the machine with that GPU",
        "its share of another machine with that GPU",
        (r"resources\.(requests|limits)\.(cpu|memory)",),
    ),
    Difference(
        "time to end",
        "15 s of a Spot node's notice",
        "120 s",
        (
            r"--shutdown-timeout",
            r"preStop\.sleep\.seconds",
            r"[tT]erminationGracePeriodSeconds",
        ),
    ),
    Difference(
        "time to start",
        "images are streamed",
        "images are pulled, so that more is waited for",
        (r"progressDeadlineSeconds", r"startupProbe\.failureThreshold", r"activeDeadlineSeconds"),
    ),
    Difference(
        "libraries of the GPU driver",
        "in a folder that the linker is told of",
        "where the linker looks",
        (r"env\.(LD_LIBRARY_PATH|LIBRARY_PATH)",),
    ),
    Difference(
        "addresses of the cloud's services",
        "metadata server, private Google access, proxies of gateways",
        "Pod Identity's agent, S3",
        (r"^NetworkPolicy .*(egress|ingress)",),
    ),
    Difference(
        "load balancer of a gateway",
        "a passthrough Network Load Balancer",
        "a Network Load Balancer with addresses of all zones",
        (r"^Service .*annotations\.(networking\.gke\.io|service\.beta\.kubernetes\.io)/",),
    ),
)


@cache
def program(stack: str) -> Recording:
    shared, own = data_with_gateway("prod"), data_with_gateway(stack)
    settings = {key: value for key, value in own.items() if key not in ABOVE_THE_CLOUDS}
    settings |= {key: shared[key] for key in ABOVE_THE_CLOUDS if key in shared}
    # Members of teams are people of each cloud.
    settings |= {"loader": {"image": LOADER["image"]}, "teams": [{"name": team["name"]} for team in shared["teams"]]}
    # Where a load balancer is private, each cloud is told so in its own words.
    settings |= {"gateway": {**shared["gateway"], "loadBalancer": {}}}
    # Made ones would differ from run to run.
    return run(settings, {"redisLimitsPassword": "hunter2", "redisCachePassword": "hunter3"}).recording


def components(recording: Recording, resource: Recorded) -> Iterator[str]:
    """Kinds of the components that a resource is a part of."""
    parents = {each.urn: each for each in recording}
    while (parent := parents.get(resource.parent)) is not None:
        yield parent.type.rpartition(":")[2]
        resource = parent


def objects(stack: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Properties of the objects that are no cloud's own, by kind and name: a model and its router have some alike."""
    recording = program(stack)
    return {
        (resource.type, f"{next(components(recording, resource))} {resource.name}"): dict(properties(resource.inputs))
        for resource in recording
        if resource.type.startswith("kubernetes:") and not OF_A_CLOUD & set(components(recording, resource))
    }


def properties(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Single values with their paths. What has a name stands under it, a flag under itself, and the rest of a list is
    one value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from properties(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and all(isinstance(each, dict) and "name" in each for each in value):
        for each in value:
            yield from properties(each, f"{path}.{each['name']}")
    elif path.endswith(".command"):
        for word in value:
            flag, _, argument = str(word).partition("=")
            yield f"{path}.{flag}", argument
    else:
        yield path, value


def differing() -> set[str]:
    """Kind and property path of each value that the two have not alike."""
    google, amazon = objects("prod"), objects("prod-aws")
    return {
        f"{kind.rpartition(':')[2]} {path}"
        for kind, name in google
        for path in {*google[kind, name], *amazon[kind, name]}
        if google[kind, name].get(path, differing) != amazon[kind, name].get(path, differing)
    }


def test_the_same_objects_stand_on_both_clusters() -> None:
    assert objects("prod").keys() == objects("prod-aws").keys()
    kinds = {kind.rpartition(":")[2] for kind, _ in objects("prod")}
    assert {"Deployment", "Job", "Namespace", "NetworkPolicy", "ResourceQuota", "ScaledObject", "Release"} <= kinds
    assert {"Gateway", "HTTPRoute", "HorizontalPodAutoscaler", "StatefulSet"} <= kinds


def test_they_differ_by_what_is_listed_with_its_reason_and_by_nothing_else() -> None:
    listed = re.compile("|".join(pattern for each in DIFFERENCES for pattern in each.properties))
    assert sorted(each for each in differing() if not listed.search(each)) == []


def test_no_difference_is_listed_that_is_none() -> None:
    found = differing()
    for difference in DIFFERENCES:
        for pattern in difference.properties:
            assert any(re.search(pattern, each) for each in found), pattern


def test_the_page_of_the_clouds_prints_the_list() -> None:
    page = (REPOSITORY / "docs/clouds.md").read_text()
    for difference in DIFFERENCES:
        assert f"| {difference.what} | {difference.gcp} | {difference.aws} |" in page
