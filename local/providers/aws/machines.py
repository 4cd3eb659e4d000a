"""Launch templates, placement groups, and tags of what somebody else made."""

from collections.abc import Mapping
from typing import Any

from llm_serving.errors import Problem
from local.providers.aws.ec2 import Ec2Kind
from local.providers.aws.kinds import tag_list
from local.providers.properties import Properties

_SPELLING = {
    "instanceMarketOptions": "InstanceMarketOptions", "ramDiskId": "RamDiskId",
    "vpcSecurityGroupIds": "SecurityGroupIds", "securityGroupNames": "SecurityGroups",
    "associatePublicIpAddress": "AssociatePublicIpAddress",
}  # fmt: skip
_NOT_DATA = ("name", "namePrefix", "description", "defaultVersion", "updateDefaultVersion", "tags", "region")


class LaunchTemplate(Ec2Kind):
    """What instances start with; each change is a version."""

    describe, ids, listed = "describe_launch_templates", "LaunchTemplateIds", "LaunchTemplates"
    noun = "launch-template"

    def make(self, id: str, known: Properties) -> str:
        """Version 1."""
        made = self.ask(
            known,
            "create_launch_template",
            LaunchTemplateName=known["name"],
            VersionDescription=known.get("description"),
            LaunchTemplateData=_data(known),
        )["LaunchTemplate"]["LaunchTemplateId"]
        self.tag(known, made)
        return made

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Another version; it becomes the default one if asked for."""
        version = self.ask(
            known,
            "create_launch_template_version",
            LaunchTemplateId=id,
            VersionDescription=known.get("description"),
            LaunchTemplateData=_data(known),
        )["LaunchTemplateVersion"]["VersionNumber"]
        default = version if known.get("updateDefaultVersion") else known.get("defaultVersion")
        if default:
            self.ask(known, "modify_launch_template", LaunchTemplateId=id, DefaultVersion=str(default))
        super().change(id, outputs, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Its versions."""
        found = self.found(known, id)
        if found is None:
            return None
        return {
            **self.own_arn(known, id),
            "latestVersion": found["LatestVersionNumber"],
            "defaultVersion": found["DefaultVersionNumber"],
        }

    def unmake(self, id: str, outputs: Properties) -> None:
        """All versions."""
        self.ask(outputs, "delete_launch_template", LaunchTemplateId=id)


def _data(known: Mapping[str, Any]) -> dict[str, Any]:
    data = {key: value for key, value in known.items() if key not in _NOT_DATA and value is not None}
    return _spelt(data)


def _spelt(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            _SPELLING.get(key, key[:1].upper() + key[1:]): tag_list(item) if key == "tags" else _spelt(item)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list):
        return [_spelt(item) for item in value]
    # The SDK has some switches as text.
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


class PlacementGroup(Ec2Kind):
    """Instances that are near to each other. Its name is its id."""

    noun = "placement-group"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """What strategies have."""
        strategy = inputs.get("strategy")
        problems: list[Problem] = []
        for key, owner in (("partitionCount", "partition"), ("spreadLevel", "spread")):
            if isinstance(strategy, str) and inputs.get(key) is not None and strategy != owner:
                problems.append(Problem(key, inputs[key], f"can be given only where strategy is {owner}"))
        return problems

    def make(self, id: str, known: Properties) -> str | None:
        """With its tags."""
        made = self.ask(
            known,
            "create_placement_group",
            GroupName=id,
            Strategy=known["strategy"],
            PartitionCount=known.get("partitionCount"),
            SpreadLevel=known.get("spreadLevel"),
        )["PlacementGroup"]["GroupId"]
        self.tag(known, made)
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Tags alone, of the id that EC2 drew."""
        self.tag(known, str(outputs["placementGroupId"]), outputs.get("tagsAll"))

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Its other id."""
        found = self.look(known, "describe_placement_groups", GroupNames=[id])
        if found is None:
            return None
        return {**self.own_arn(known, id), "placementGroupId": found["PlacementGroups"][0]["GroupId"]}

    def unmake(self, id: str, outputs: Properties) -> None:
        """EC2 refuses while instances are in it."""
        self.ask(outputs, "delete_placement_group", GroupName=id)


class Tag(Ec2Kind):
    """One tag of something that somebody else made."""

    def make(self, id: str, known: Properties) -> str | None:
        """An old value is written over, as by the provider."""
        tags = [{"Key": known["key"], "Value": known["value"]}]
        self.ask(known, "create_tags", Resources=[known["resourceId"]], Tags=tags)
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Another value."""
        self.make(id, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Among the tags of the thing."""
        filters = [
            {"Name": "resource-id", "Values": [known["resourceId"]]},
            {"Name": "key", "Values": [known["key"]]},
        ]
        found = self.ask(known, "describe_tags", Filters=filters)["Tags"]
        return {"value": found[0]["Value"]} if found else None

    def unmake(self, id: str, outputs: Properties) -> None:
        """By its key."""
        self.ask(outputs, "delete_tags", Resources=[outputs["resourceId"]], Tags=[{"Key": outputs["key"]}])
