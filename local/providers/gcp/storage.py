"""Buckets and the objects in them."""

from collections.abc import Mapping
from typing import Any

from llm_serving.errors import Problem, nearest
from local.providers.gcp import locations
from local.providers.gcp.cloud import CloudError, project_number
from local.providers.gcp.kinds import Kind
from local.providers.properties import Properties

_OBJECT = "gcp:storage/bucketObject:BucketObject"


class Bucket(Kind):
    """A bucket; its objects are the records of BucketObject."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Where there are buckets, and settings that exclude each other."""
        problems: list[Problem] = []
        location = inputs.get("location")
        known = locations.bucket_locations()
        if isinstance(location, str) and location.lower() not in known:
            problems.append(Problem("location", location, "no such location", nearest(location, known)))
        policy = inputs.get("softDeletePolicy")
        seconds = policy.get("retentionDurationSeconds") if isinstance(policy, Mapping) else None
        if isinstance(seconds, int) and seconds and not 604800 <= seconds <= 7776000:
            problems.append(
                Problem(
                    "softDeletePolicy.retentionDurationSeconds", seconds, "neither 0 nor between 604800 and 7776000"
                )
            )
        if inputs.get("hierarchicalNamespace") and (inputs.get("versioning") or {}).get("enabled"):
            problems.append(Problem("versioning.enabled", True, "cannot be used with hierarchicalNamespace"))
        return problems

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """Soft deletion is on for seven days unless asked otherwise."""
        policy = known.get("softDeletePolicy") or {"retentionDurationSeconds": 604800}
        return {"projectNumber": project_number(known["project"]), "softDeletePolicy": policy}

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """As in :meth:`create`."""
        return self.create(id, known, timeout)

    def refuse_delete(self, id: str, outputs: Properties) -> None:
        """A bucket with objects goes only with forceDestroy."""
        objects = [record.outputs["name"] for record in self.cloud.ready(_OBJECT) if record.inputs["bucket"] == id]
        objects += self.cloud.state_folder.bucket_weights.prefixes(id)
        if objects and not outputs.get("forceDestroy"):
            raise CloudError(
                f"Error trying to delete bucket {id} containing objects without `force_destroy` set to true "
                f"({', '.join(objects[:3])}{', ...' if len(objects) > 3 else ''}). Delete the objects, or set "
                "forceDestroy and run an update first"
            )

    def delete(self, id: str, outputs: Properties, timeout: float) -> None:
        """Its objects go with it."""
        for record in self.cloud.ready(_OBJECT):
            if record.inputs["bucket"] == id:
                self.cloud.store.remove(_OBJECT, record.id)
        self.cloud.state_folder.bucket_weights.forget(id)


class BucketObject(Kind):
    """An object; its content is not kept."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Content or a source, and not both."""
        if (inputs.get("content") is None) == (inputs.get("source") is None):
            return [Problem("source", None, "exactly one of source and content has to be given")]
        return []
