"""The local Google Cloud as a Pulumi plugin."""

from importlib.metadata import version

import grpc

from local.providers.gcp import functions
from local.providers.gcp.cloud import Cloud
from local.providers.gcp.kinds import Kind, kind_of
from local.providers.properties import Properties, reveal, without_nulls
from local.providers.provider import CloudError, Resource
from local.providers.schema import ResourceType
from local.providers.simulated.plugin import CloudPlugin


class GcpPlugin(CloudPlugin[Cloud]):
    """The local Google Cloud."""

    name = "gcp"
    version = version("pulumi-gcp")
    environment = {
        "project": ("GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"),
        "region": ("GOOGLE_REGION", "GCLOUD_REGION", "CLOUDSDK_COMPUTE_REGION"),
        "zone": ("GOOGLE_ZONE", "GCLOUD_ZONE", "CLOUDSDK_COMPUTE_ZONE"),
    }

    def new_cloud(self) -> Cloud:
        """Google's."""
        return Cloud(self.state_folder, self.engine)

    def kind_of(self, token: str, schema: ResourceType) -> Kind:
        """Google's."""
        return kind_of(self.cloud, self.cloud.type(token), schema)

    def is_kept(self, resource: Resource, inputs: Properties) -> bool:
        """What ``deletionPolicy`` says."""
        policy = reveal(inputs.get("deletionPolicy") or self.cloud.settings.get("deletionPolicy"))
        if policy == "PREVENT":
            raise CloudError(
                f"cannot destroy {resource.token} {resource.name!r} because deletionPolicy is PREVENT. Set it to "
                "DELETE and run an update first",
                grpc.StatusCode.FAILED_PRECONDITION,
            )
        return policy == "ABANDON"

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Functions that look things up."""
        return functions.call(self.cloud, token, without_nulls(reveal(arguments)))
