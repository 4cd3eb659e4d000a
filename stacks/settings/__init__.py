"""Typed models of ``Pulumi.<stack>.yaml``: shape and types. Rules across fields are ``llm_serving.planning``'s."""

from stacks.settings.aws import AwsSettings
from stacks.settings.common import NAMESPACE
from stacks.settings.document import read_settings_file
from stacks.settings.existing import ExistingClusterSettings, ExistingSettings
from stacks.settings.gcp import GcpSettings
from stacks.settings.models import Settings, parse_settings
from stacks.settings.resolve import (
    PlannedQuantization,
    ServedModel,
    ServedRelease,
    Stack,
    WantedWeights,
    refuse_unpushed,
    resolve,
)

__all__ = [
    "NAMESPACE",
    "AwsSettings",
    "ExistingClusterSettings",
    "ExistingSettings",
    "GcpSettings",
    "PlannedQuantization",
    "ServedModel",
    "ServedRelease",
    "Settings",
    "Stack",
    "WantedWeights",
    "parse_settings",
    "read_settings_file",
    "refuse_unpushed",
    "resolve",
]
