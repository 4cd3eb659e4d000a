"""Memberships in roles, and Google's own accounts in a project."""

import re
from collections.abc import Mapping
from typing import Any

from llm_serving.errors import Problem
from local.providers.gcp.cloud import GoogleError, project_number
from local.providers.gcp.kinds import Kind
from local.providers.gcp.types import iam_domain
from local.providers.properties import Properties

_ACCOUNT = "gcp:serviceaccount/account:Account"
_CLUSTER = "gcp:container/cluster:Cluster"
_MEMBER = re.compile(
    r"^(allUsers|allAuthenticatedUsers|(user|group|serviceAccount|domain|principal|principalSet|projectOwner|"
    r"projectEditor|projectViewer|deleted:[a-z]+):.+)$"
)
_ROLE = re.compile(r"^(roles/[A-Za-z0-9_.]+|(projects|organizations)/[^/]+/roles/[A-Za-z0-9_.]+)$")
_OWN_ACCOUNT = re.compile(r"^serviceAccount:(?P<email>[^@\[]+@(?P<domain>[^@]+)\.iam\.gserviceaccount\.com)$")
_WORKLOAD = re.compile(r"^serviceAccount:(?P<pool>[^\[]+)\.svc\.id\.goog\[(?P<namespace>[^/]+)/(?P<name>[^\]]+)\]$")

AGENTS = {
    "container.googleapis.com": "service-{number}@container-engine-robot.iam.gserviceaccount.com",
    "storage.googleapis.com": "service-{number}@gs-project-accounts.iam.gserviceaccount.com",
    "compute.googleapis.com": "service-{number}@compute-system.iam.gserviceaccount.com",
    "artifactregistry.googleapis.com": "service-{number}@gcp-sa-artifactregistry.iam.gserviceaccount.com",
    "secretmanager.googleapis.com": "service-{number}@gcp-sa-secretmanager.iam.gserviceaccount.com",
    "pubsub.googleapis.com": "service-{number}@gcp-sa-pubsub.iam.gserviceaccount.com",
    "dns.googleapis.com": "service-{number}@gcp-sa-dns.iam.gserviceaccount.com",
}
"""Service agents by API: https://cloud.google.com/iam/docs/service-agents."""


def agent(service: str, project: str) -> str:
    """The address of the account with which a Google service acts in a project."""
    short = service.removesuffix(".googleapis.com")
    pattern = AGENTS.get(service, f"service-{{number}}@gcp-sa-{short}.iam.gserviceaccount.com")
    return pattern.format(number=project_number(project))


class Membership(Kind):
    """A member, or all members, of a role on something."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """The forms of members and roles."""
        problems: list[Problem] = []
        several = inputs.get("members")
        listed = enumerate(several) if isinstance(several, list) else ()
        members = [("member", inputs.get("member")), *((f"members[{index}]", item) for index, item in listed)]
        for path, member in members:
            if isinstance(member, str) and not _MEMBER.match(member):
                problems.append(
                    Problem(path, member, "not an IAM member", "serviceAccount:..., user:..., group:..., principal:...")
                )
        role = inputs.get("role")
        if isinstance(role, str) and not _ROLE.match(role):
            problems.append(Problem("role", role, "not a role", "roles/<service>.<name>"))
        return problems

    def refuse_create(self, id: str, known: Properties) -> None:
        """Accounts and identity pools have to exist: IAM refuses members that do not."""
        for member in [known.get("member"), *(known.get("members") or ())]:
            if isinstance(member, str):
                self._refuse_stranger(member)

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """As in :meth:`refuse_create`."""
        self.refuse_create(id, known)
        return {}

    def _refuse_stranger(self, member: str) -> None:
        account = _OWN_ACCOUNT.match(member)
        if account and self._manages(account["domain"]):
            emails = {record.outputs.get("email") for record in self.cloud.ready(_ACCOUNT)}
            if account["email"] not in emails:
                raise GoogleError(400, f"Service account {account['email']} does not exist", "badRequest")
        workload = _WORKLOAD.match(member)
        if workload and self._manages(workload["pool"]):
            pool = f"{workload['pool']}.svc.id.goog"
            for cluster in self.cloud.ready(_CLUSTER):
                config = cluster.outputs.get("workloadIdentityConfig") or {}
                if config.get("workloadPool") == pool:
                    return
            raise GoogleError(
                400,
                f"Identity Pool does not exist ({pool}). Please check that you specified a valid resource name as "
                "returned in the `name` attribute in the configuration API; the pool comes with the project's first "
                "cluster that has Workload Identity",
                "badRequest",
            )

    def _manages(self, project: str) -> bool:
        """Whether a project, by its id or as addresses write it, is one of this cloud's: accounts of any other are
        taken on trust."""
        ours = {str(record.outputs.get("project")) for record in self.cloud.ready(_ACCOUNT)}
        ours.add(str(self.cloud.settings.get("project")))
        return project in ours or project in {iam_domain(id) for id in ours}


class ServiceIdentity(Kind):
    """A service agent."""

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """Its address follows from service and project."""
        email = agent(known["service"], known["project"])
        return {"email": email, "member": f"serviceAccount:{email}"}

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """As in :meth:`create`."""
        return self.create(id, known, timeout)
