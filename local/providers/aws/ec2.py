"""What all kinds of EC2 share: one thing of a noun (``vpc``), found by its id, with tags of its own."""

from collections.abc import Mapping
from typing import Any, ClassVar

from local.providers.aws.kinds import Kind, tag_list
from local.providers.properties import Properties


class Ec2Kind(Kind):
    """A thing that EC2 describes by its id.

    Attributes:
        describe: boto3's operation; ``filter`` selects by id where it takes no list of ids under ``ids``.
        listed: member of the answer with the things.
    """

    service = "ec2"
    describe: ClassVar[str]
    ids: ClassVar[str] = ""
    filter: ClassVar[str] = ""
    listed: ClassVar[str]
    noun: ClassVar[str] = ""
    """Of ARNs; none has no tags."""

    def found(self, known: Mapping[str, Any], id: str) -> dict[str, Any] | None:
        """EC2's own description of the thing."""
        if not id.partition("-")[2] or id.startswith("creating-"):
            return None
        selection = {self.ids: [id]} if self.ids else {"Filters": [{"Name": self.filter, "Values": [id]}]}
        answer = self.look(known, self.describe, **selection)
        return next(iter((answer or {}).get(self.listed) or ()), None)

    def tag(self, known: Mapping[str, Any], id: str, old: Mapping[str, str] | None = None) -> None:
        """Give a thing its tags; ``old`` are those that it had."""
        wanted = self.cloud.tags(known)
        if gone := sorted(set(old or {}) - set(wanted)):
            self.ask(known, "delete_tags", Resources=[id], Tags=[{"Key": key} for key in gone])
        if wanted:
            self.ask(known, "create_tags", Resources=[id], Tags=tag_list(wanted))

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Tags; other properties are those of subclasses."""
        if "tags" in self.schema.inputs:
            self.tag(known, id, outputs.get("tagsAll"))

    def own_arn(self, known: Mapping[str, Any], id: str) -> Properties:
        """The ARN as output."""
        return {"arn": self.arn(known, f"{self.noun}/{id}")}
