"""The state that all resources of the local Google Cloud share, and what the API says about them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc

from llm_serving.spec.gcp import GcpRegistrySpec
from local.providers.gcp import types
from local.providers.gcp.types import GcpType, names, relative
from local.providers.properties import reveal
from local.providers.provider import CloudError
from local.providers.schema import ResourceType
from local.providers.simulated import cloud
from local.providers.simulated.types import long_number
from local.providers.store import Phase, Record

SDK = "pulumi_gcp"


PREPARED_REPOSITORIES: tuple[str, ...] = (GcpRegistrySpec.model_fields["name"].default, "docker-hub")
"""Names of the repositories of images that a project has before any stack."""


class GoogleError(CloudError):
    """A refusal of a Google API, in the words of its client library."""

    def __init__(self, status: int, message: str, reason: str) -> None:
        codes = {
            400: grpc.StatusCode.INVALID_ARGUMENT,
            403: grpc.StatusCode.PERMISSION_DENIED,
            404: grpc.StatusCode.NOT_FOUND,
            409: grpc.StatusCode.ALREADY_EXISTS,
            412: grpc.StatusCode.FAILED_PRECONDITION,
        }
        super().__init__(f"googleapi: Error {status}: {message}, {reason}", codes.get(status, grpc.StatusCode.UNKNOWN))


@dataclass
class Cloud(cloud.Cloud[GcpType]):
    """Records, settings and types of Google's.

    Settings are ``project``, ``region``, ``zone``, ``defaultLabels`` and so on.
    """

    name = "gcp"
    package = SDK
    places = ("project", "region", "zone")

    def type(self, token: str) -> GcpType:
        """Our view of a type that the SDK knows."""
        if types.has_entry(token):
            return types.described(token)
        schema = self.schema(token)
        if schema is None:
            raise CloudError(f"{token}: the SDK has no such resource", grpc.StatusCode.NOT_FOUND)
        return types.generic(schema)

    def placed(self, schema: ResourceType, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """``inputs`` in the clear, with project and place filled in from the provider's settings.

        Raises:
            CloudError: the type lives in a project, and nobody says which.
        """
        known = reveal(dict(inputs))
        known.pop("__defaults", None)
        if "project" in schema.outputs or "project" in schema.inputs:
            project = known.get("project") or self.settings.get("project")
            if not project:
                raise CloudError(
                    f"{schema.token}: project: required field is not set. Give the resource a project, or set the "
                    "provider's (`pulumi config set gcp:project ...`)",
                    grpc.StatusCode.INVALID_ARGUMENT,
                )
            known["project"] = project
        region, zone = self.settings.get("region"), self.settings.get("zone")
        if "region" in schema.outputs:
            self._place(schema, known, "region", region)
        if "zone" in schema.outputs:
            self._place(schema, known, "zone", zone)
        if "location" in schema.outputs:
            self._place(schema, known, "location", zone or region)
        for path in self.type(schema.token).upper:
            if isinstance(known.get(path), str):
                known[path] = known[path].upper()
        return known

    @staticmethod
    def _place(schema: ResourceType, known: dict[str, Any], key: str, default: Any) -> None:
        value = known.get(key) or default
        if not value:
            raise CloudError(
                f"{schema.token}: {key}: required field is not set. Give the resource a {key}, or set the provider's "
                f"(`pulumi config set gcp:{'region' if key == 'location' else key} ...`)",
                grpc.StatusCode.INVALID_ARGUMENT,
            )
        known[key] = relative(value).rpartition("/")[2]

    def labels(self, labels: Mapping[str, Any] | None) -> dict[str, str]:
        """The labels that a resource gets: the provider's, Pulumi's own mark, and its own."""
        default = self.settings.get("defaultLabels") or {}
        mark = {} if self.settings.get("addPulumiAttributionLabel") is False else {"goog-pulumi-provisioned": "true"}
        return {**default, **mark, **(labels or {})}

    def look_up(self, token: str, reference: str, place: Mapping[str, Any] | None = None) -> Record | None:
        """The resource of a type that a reference means: a self link, an id, or a bare name in the project of
        ``place``."""
        project = (place or {}).get("project")
        exact = self.store.get(token, relative(reference))
        if exact is not None:
            return exact if exact.phase in (Phase.READY, Phase.DELETING) else None
        for record in self.ready(token):
            own = record.outputs.get("email") or record.outputs.get("selfLink")
            if reference in (own, record.outputs.get("name")) or names(reference, record.id):
                if project and record.outputs.get("project", project) != project and "/" not in relative(reference):
                    continue
                return record
        return None

    def missing(self, type: GcpType, path: str, reference: str, token: str) -> CloudError:
        """404."""
        kind = token.rpartition(":")[2].lower()
        return GoogleError(
            404,
            f"The resource '{relative(reference)}' was not found: {type.token} names it in {path}, and the local cloud "
            f"has no such {kind}. Create it first, and pass its output instead of its name",
            "notFound",
        )

    def is_foreign(self, reference: str, known: Mapping[str, Any]) -> bool:
        """Whether a reference leaves what Pulumi manages here: the default network, the repositories that
        tools/gcp/prepare-project.sh makes, or somebody else's project.
        """
        path = relative(reference)
        if path.rpartition("/")[2] in ("default", *PREPARED_REPOSITORIES):
            return True
        match = re.match(r"projects/([^/]+)/", path)
        project = match[1] if match else known.get("project")
        own = {known.get("project"), self.settings.get("project")} - {None}
        return project is not None and any(project != other for other in own)

    def refers(self, reference: str, user: Record, record: Record) -> bool:
        """By name, within one project."""
        projects = {record.outputs.get("project"), user.outputs.get("project")} - {None}
        return names(reference, record.id) and len(projects) < 2

    def in_use(self, type: GcpType, record: Record, user: Record) -> CloudError:
        """400."""
        return GoogleError(
            400,
            f"The {type.token.rpartition(':')[2].lower()} resource '{record.id}' is already being used by '{user.id}'",
            "resourceInUseByAnotherResource",
        )

    def gone(self, id: str) -> CloudError:
        """404."""
        return GoogleError(
            404,
            f"The resource '{id}' was not found: it was deleted outside of Pulumi. Run `pulumi refresh`, then the "
            "update again",
            "notFound",
        )

    def taken(self, type: GcpType, urn: str, record: Record) -> CloudError:
        """409."""
        return GoogleError(409, _taken(type, urn, record), "alreadyExists")


def _taken(type: GcpType, urn: str, record: Record) -> str:
    if record.phase is Phase.ABANDONED:
        return (
            f"{type.token.rpartition(':')[2]} {record.id} already exists. It can never be deleted, only forgotten "
            "(an earlier `pulumi destroy` did so): use another name, or leave the name out so that Pulumi draws one"
        )
    if record.busy:
        return (
            f"The resource '{record.id}' already exists: another update is creating or deleting it right now "
            f"({record.urn})"
        )
    owner = "the resource that is being replaced" if record.urn == urn else record.urn
    return f"The resource '{record.id}' already exists; it belongs to {owner}. Use another name, or `pulumi import` it"


def project_number(project: str) -> int:
    """The number of a project: made from its id, so that it is the same everywhere."""
    return 10**11 + long_number(f"projects/{project}") % (9 * 10**11)


def now() -> str:
    """The time as Google's APIs write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
