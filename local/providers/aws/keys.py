"""Keys of AWS KMS and their names."""

from collections.abc import Mapping
from typing import Any

from llm_serving.errors import Problem
from local.providers.aws.kinds import Kind, tag_list
from local.providers.properties import Properties


class Key(Kind):
    """A key. Deleted, it waits for days and cannot be used meanwhile."""

    service = "kms"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """How long it waits, and how often it turns."""
        problems: list[Problem] = []
        for key, least, most in (("deletionWindowInDays", 7, 30), ("rotationPeriodInDays", 90, 2560)):
            days = inputs.get(key)
            if isinstance(days, int) and not least <= days <= most:
                problems.append(Problem(key, days, f"outside of {least} to {most}"))
        return problems

    def make(self, id: str, known: Properties) -> str:
        """KMS draws the id."""
        made = self.ask(
            known,
            "create_key",
            Policy=known.get("policy"),
            Description=known.get("description"),
            KeyUsage=known.get("keyUsage"),
            KeySpec=known.get("customerMasterKeySpec"),
            MultiRegion=known.get("multiRegion"),
            Tags=tag_list(self.cloud.tags(known), "TagKey", "TagValue"),
        )["KeyMetadata"]["KeyId"]
        self._rotation(made, known)
        return made

    def _rotation(self, id: str, known: Properties) -> None:
        turns = bool(known.get("enableKeyRotation"))
        days = {"RotationPeriodInDays": known["rotationPeriodInDays"]} if known.get("rotationPeriodInDays") else {}
        self.ask(known, "enable_key_rotation" if turns else "disable_key_rotation", KeyId=id, **(days if turns else {}))

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Policy, description, rotation, whether it is enabled."""
        if known.get("policy"):
            self.ask(known, "put_key_policy", KeyId=id, PolicyName="default", Policy=known["policy"])
        self.ask(known, "update_key_description", KeyId=id, Description=known.get("description") or "")
        self._rotation(id, known)
        self.ask(known, "enable_key" if known.get("isEnabled", True) else "disable_key", KeyId=id)
        if tags := self.cloud.tags(known):
            self.ask(known, "tag_resource", KeyId=id, Tags=tag_list(tags, "TagKey", "TagValue"))

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """One that waits to be deleted is gone."""
        found = None if id.startswith("creating-") else self.look(known, "describe_key", KeyId=id)
        if found is None or found["KeyMetadata"]["KeyState"] == "PendingDeletion":
            return None
        policy = self.ask(known, "get_key_policy", KeyId=id, PolicyName="default")["Policy"]
        return {"arn": found["KeyMetadata"]["Arn"], "keyId": id, "policy": known.get("policy") or policy}

    def unmake(self, id: str, outputs: Properties) -> None:
        """After the days that were asked for."""
        if self.live(id, outputs) is not None:
            days = outputs.get("deletionWindowInDays") or 30
            self.ask(outputs, "schedule_key_deletion", KeyId=id, PendingWindowInDays=days)


class Alias(Kind):
    """A name of a key."""

    service = "kms"

    def make(self, id: str, known: Properties) -> str | None:
        """One key each."""
        self.ask(known, "create_alias", AliasName=id, TargetKeyId=known["targetKeyId"])
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Another key."""
        self.ask(known, "update_alias", AliasName=id, TargetKeyId=known["targetKeyId"])

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Among all."""
        for item in self.ask(known, "list_aliases")["Aliases"]:
            if item["AliasName"] == id:
                key = self.arn(known, f"key/{item.get('TargetKeyId')}")
                return {"arn": item["AliasArn"], "targetKeyArn": key}
        return None

    def unmake(self, id: str, outputs: Properties) -> None:
        """The key stays."""
        self.ask(outputs, "delete_alias", AliasName=id)
