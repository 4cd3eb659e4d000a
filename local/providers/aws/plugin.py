"""The local AWS as a Pulumi plugin."""

from importlib.metadata import version
from typing import Any

from local.providers.aws import functions
from local.providers.aws.cloud import DEFAULT_ACCOUNT, Cloud
from local.providers.aws.kinds import Kind, kind_of
from local.providers.properties import Properties, reveal, without_nulls
from local.providers.schema import ResourceType
from local.providers.simulated.plugin import CloudPlugin


class AwsPlugin(CloudPlugin[Cloud]):
    """The local AWS."""

    name = "aws"
    version = version("pulumi-aws")
    environment = {"region": ("AWS_REGION", "AWS_DEFAULT_REGION")}

    def new_cloud(self) -> Cloud:
        """Amazon's."""
        return Cloud(self.state_folder, self.engine)

    def kind_of(self, token: str, schema: ResourceType) -> Kind:
        """Amazon's."""
        return kind_of(self.cloud, self.cloud.type(token), schema)

    def configure(self, inputs: Properties) -> None:
        """The account is the first that the provider may work in."""
        super().configure(inputs)
        allowed: Any = self.cloud.settings.get("allowedAccountIds") or [DEFAULT_ACCOUNT]
        self.cloud.account = str(allowed[0])

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Functions that look things up."""
        return functions.call(self.cloud, token, without_nulls(reveal(arguments)))
