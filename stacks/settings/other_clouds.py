"""Settings of another cloud, where a stack has them: which setting of its own cloud is nearest."""

from collections.abc import Mapping
from dataclasses import replace
from re import sub

from llm_serving.arguments import Frozen
from llm_serving.errors import LEAVE_OUT, Problem, Suggestion
from stacks.settings.aws import AwsSettings
from stacks.settings.gcp import GcpSettings


def _rename(name: str, text: str = "") -> Suggestion:
    return Suggestion(f"{name}{f': {text}' if text else ''}", keys=[name])


def _leave_out(text: str) -> Suggestion:
    return Suggestion(f"leave it out: {text}", removal=True)


GOOGLES: Mapping[str, Suggestion] = {
    "project": _rename("account", "the number of the AWS account"),
    "cluster.regional": _leave_out("a control plane of EKS is in several zones always"),
    "cluster.releaseChannel": _rename("version", "EKS has no channels, it changes its version when this does"),
    "cluster.securityGroup": _leave_out("viewers and editors of teams are IAM roles on AWS"),
    "cluster.maintenance": _leave_out("EKS upgrades nothing by itself before the end of a version's standard support"),
    "network.nodes": _rename("vpc"),
    "network.proxies": _leave_out("load balancers of AWS take addresses of public subnets, which are a part of vpc"),
    "network.natAddresses": _rename("nat", "a NAT gateway has one fixed address"),
    "network.flowLogSampling": _rename("flowLogDays", "flow logs of AWS are whole, and kept for a time"),
    "modelCache.softDeleteDays": _rename("noncurrentDays", "S3 keeps a deleted object as a noncurrent version"),
    "registry.project": _rename("account"),
    "pools[].spotShutdownSeconds": _leave_out("the notice of a Spot Instance is 120 s always"),
}
"""Settings of Google Cloud alone, and what is nearest on AWS."""

AMAZONS: Mapping[str, Suggestion] = {
    "account": _rename("project", "the id of the Google Cloud project"),
    "cluster.administrators": _leave_out("roles/container.admin of the project is for those"),
    "cluster.logTypes": _leave_out("GKE writes logs of its control plane to Cloud Logging"),
    "network.vpc": _rename("nodes"),
    "network.nat": _rename("natAddresses", "Cloud NAT is always there"),
    "network.endpoints": _leave_out("Private Google Access is always there"),
    "network.flowLogDays": _rename("flowLogSampling"),
    "registry.account": _rename("project"),
    "pools[].provisioner": _leave_out("GKE's cluster autoscaler adds and removes nodes"),
    "pools[].nodeImage": _leave_out("nodes start from Google's Container-Optimized OS"),
    "pools[].efa": _leave_out("no machine of Google Cloud has EFA"),
}
"""Settings of AWS alone, and what is nearest on Google Cloud."""

_UNKNOWN = "unknown key"

_CLOUDS: tuple[tuple[str, type[Frozen], Mapping[str, Suggestion]], ...] = (
    ("Google Cloud", GcpSettings, GOOGLES),
    ("AWS", AwsSettings, AMAZONS),
)


def explain_other_cloud(problem: Problem, model: type[Frozen]) -> Problem:
    """The refusal of a key that ``model`` has not, with whose it is and what is nearest; others as they are."""
    if problem.reason != _UNKNOWN:
        return problem
    path = sub(r"\[\d+\]", "[]", problem.path)
    for title, other, suggestions in _CLOUDS:
        if other is model:
            continue
        owner = next(
            (known for known in suggestions if path == known or path.startswith((f"{known}.", f"{known}["))), None
        )
        if owner is None:
            continue
        suggestion = suggestions[owner] if model in (GcpSettings, AwsSettings) else LEAVE_OUT
        return replace(problem, reason=f"a setting of stacks on {title}", suggestion=suggestion)
    return problem
