"""Functions of the local Google Cloud: what a program can look up (``gcp.compute.get_zones`` and the like).

One function of ours for each token.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from llm_serving.errors import Problem, ProblemsError, nearest
from local.providers.gcp import iam, locations
from local.providers.gcp.cloud import Cloud, GoogleError, project_number
from local.providers.properties import Properties
from local.providers.simulated import functions as simulated

_CLUSTER = "gcp:container/cluster:Cluster"


def call(cloud: Cloud, token: str, arguments: Properties) -> Properties:
    """Run a function.

    Raises:
        ProblemsError: the arguments are not those that the SDK knows.
        CloudError: the SDK or the local cloud has no such function, or the cloud refuses.
    """
    functions = {name: partial(function, cloud) for name, function in _FUNCTIONS.items()}
    return simulated.call(cloud.sdk, "Google Cloud", functions, token, arguments)


def _project(cloud: Cloud, arguments: Mapping[str, Any], key: str = "project") -> str:
    project = arguments.get(key) or cloud.settings.get("project")
    if not project:
        raise ProblemsError([Problem(key, None, "required, for the provider has no project either")])
    return str(project)


def _get_project(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    project = _project(cloud, arguments, "projectId")
    return {
        "id": f"projects/{project}",
        "projectId": project,
        "number": str(project_number(project)),
        "name": project,
        "autoCreateNetwork": True,
        "billingAccount": "",
        "deletionPolicy": "PREVENT",
        "folderId": "",
        "orgId": "",
        "labels": {},
        "effectiveLabels": {},
        "pulumiLabels": {},
        "tags": {},
    }


def _get_projects(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    """The filter knows ``id:NAME``, ``projectId:NAME`` and ``projectId=NAME``, as most programs use it."""
    wanted = str(arguments["filter"]).replace("=", ":").rpartition(":")[2].strip("\"' ")
    return {
        "id": str(arguments["filter"]),
        "projects": [
            {
                "projectId": wanted,
                "number": str(project_number(wanted)),
                "name": wanted,
                "createTime": "2024-01-01T00:00:00Z",
                "labels": {},
                "lifecycleState": "ACTIVE",
                "parent": {},
            }
        ],
    }


def _get_zones(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    region = arguments.get("region") or cloud.settings.get("region")
    if not region:
        raise ProblemsError([Problem("region", None, "required, for the provider has no region either")])
    zones = locations.zones(region)
    if not zones:
        raise ProblemsError([Problem("region", region, "no such region", nearest(region, locations.regions()))])
    project = _project(cloud, arguments)
    return {
        "id": f"projects/{project}/regions/{region}",
        "names": [] if arguments.get("status") == "DOWN" else zones,
        "project": project,
        "region": region,
    }


def _get_regions(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    project = _project(cloud, arguments)
    return {"id": f"projects/{project}", "names": locations.regions(), "project": project}


def versions() -> dict[str, Any]:
    """GKE versions: ``channels`` (newest first) and which one counts without a channel."""
    return locations.data("versions.yaml")


def default_version(channel: str) -> str:
    """What a new cluster of a channel gets."""
    channels = versions()["channels"]
    return str(channels.get(channel, channels[versions()["no_channel"]])[0])


def _get_engine_versions(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    project = _project(cloud, arguments)
    location = arguments.get("location") or cloud.settings.get("zone") or cloud.settings.get("region")
    if not location or not locations.exists(location):
        raise ProblemsError([Problem("location", location, "no such region or zone")])
    channels: dict[str, list[str]] = versions()["channels"]
    prefix = arguments.get("versionPrefix") or ""
    valid = sorted({item for listed in channels.values() for item in listed}, key=_order, reverse=True)
    valid = [item for item in valid if item.startswith(prefix)]
    return {
        "id": f"projects/{project}/locations/{location}",
        "location": location,
        "project": project,
        "defaultClusterVersion": default_version("UNSPECIFIED"),
        "latestMasterVersion": valid[0] if valid else "",
        "latestNodeVersion": valid[0] if valid else "",
        "validMasterVersions": valid,
        "validNodeVersions": valid,
        "releaseChannelDefaultVersion": {name: listed[0] for name, listed in channels.items()},
        "releaseChannelLatestVersion": {name: listed[0] for name, listed in channels.items()},
        "releaseChannelUpgradeTargetVersion": {name: listed[0] for name, listed in channels.items()},
    }


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.replace("-gke", "").split("."))


def _get_project_service_account(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    project = _project(cloud, arguments)
    email = iam.agent("storage.googleapis.com", project)
    return {"id": email, "project": project, "emailAddress": email, "member": f"serviceAccount:{email}"}


def _get_client_config(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    settings = cloud.settings
    return {
        "id": "projects/{}/regions/{}/zones/{}".format(
            *(settings.get(key) or "" for key in ("project", "region", "zone"))
        ),
        "project": settings.get("project") or "",
        "region": settings.get("region") or "",
        "zone": settings.get("zone") or "",
        "accessToken": "",
        "defaultLabels": settings.get("defaultLabels") or {},
    }


def _get_cluster(cloud: Cloud, arguments: Mapping[str, Any]) -> Properties:
    project = _project(cloud, arguments)
    location = arguments.get("location") or cloud.settings.get("zone") or cloud.settings.get("region")
    id = f"projects/{project}/locations/{location}/clusters/{arguments['name']}"
    record = cloud.look_up(_CLUSTER, id)
    if record is None:
        raise GoogleError(404, f"Not found: {id}", "notFound")
    outputs: Properties = {}
    schema = cloud.sdk.function("gcp:container/getCluster:getCluster")
    for name in schema.outputs if schema else ():
        # What the resource has once, the function has as a list, under the plural.
        single = {name: name, name.removesuffix("s"): name, name.removesuffix("ies") + "y": name}
        single_key = next((key for key in single if key in record.outputs), None)
        if single_key == name:
            outputs[name] = record.outputs[name]
        elif single_key:
            outputs[name] = [record.outputs[single_key]]
    return {**outputs, "id": id}


_FUNCTIONS: Mapping[str, Callable[[Cloud, Mapping[str, Any]], Properties]] = {
    "gcp:organizations/getProject:getProject": _get_project,
    "gcp:projects/getProject:getProject": _get_projects,
    "gcp:organizations/getClientConfig:getClientConfig": _get_client_config,
    "gcp:compute/getZones:getZones": _get_zones,
    "gcp:compute/getRegions:getRegions": _get_regions,
    "gcp:container/getEngineVersions:getEngineVersions": _get_engine_versions,
    "gcp:container/getCluster:getCluster": _get_cluster,
    "gcp:storage/getProjectServiceAccount:getProjectServiceAccount": _get_project_service_account,
}
