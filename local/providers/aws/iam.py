"""Roles, their policies, and the profiles with which instances take them. IAM knows no region."""

import json
from collections.abc import Mapping
from typing import Any

from llm_serving.errors import Problem
from local.providers.aws.cloud import AwsError
from local.providers.aws.kinds import Kind, tag_list
from local.providers.properties import Properties


class IamKind(Kind):
    """A kind of IAM."""

    service = "iam"

    def ask(self, known: Mapping[str, Any], operation: str, /, **parameters: Any) -> dict[str, Any]:
        """In the provider's region, as far as IAM has one."""
        return super().ask({}, operation, **parameters)

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Policies are JSON."""
        problems: list[Problem] = []
        for key in ("policy", "assumeRolePolicy"):
            text = inputs.get(key)
            if isinstance(text, str) and key in self.schema.inputs:
                try:
                    json.loads(text)
                except ValueError as error:
                    problems.append(Problem(key, None, f"contains an invalid JSON policy: {error}"))
        return problems


class Role(IamKind):
    """A role."""

    def make(self, id: str, known: Properties) -> str | None:
        """With the policies that are given inside it."""
        self.ask(
            known,
            "create_role",
            RoleName=id,
            AssumeRolePolicyDocument=known["assumeRolePolicy"],
            Path=known.get("path"),
            Description=known.get("description"),
            MaxSessionDuration=known.get("maxSessionDuration"),
            PermissionsBoundary=known.get("permissionsBoundary"),
            Tags=tag_list(self.cloud.tags(known)),
        )
        self._policies(id, {}, known)
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Trust, description, tags and the policies inside it."""
        self.ask(known, "update_assume_role_policy", RoleName=id, PolicyDocument=known["assumeRolePolicy"])
        self.ask(
            known,
            "update_role",
            RoleName=id,
            Description=known.get("description") or "",
            MaxSessionDuration=known.get("maxSessionDuration") or 3600,
        )
        gone = sorted(set(outputs.get("tagsAll") or {}) - set(self.cloud.tags(known)))
        if gone:
            self.ask(known, "untag_role", RoleName=id, TagKeys=gone)
        self.ask(known, "tag_role", RoleName=id, Tags=tag_list(self.cloud.tags(known)))
        self._policies(id, outputs, known)

    def _policies(self, id: str, old: Mapping[str, Any], known: Mapping[str, Any]) -> None:
        for arn in set(old.get("managedPolicyArns") or ()) - set(known.get("managedPolicyArns") or ()):
            self.look(known, "detach_role_policy", RoleName=id, PolicyArn=arn)
        for arn in known.get("managedPolicyArns") or ():
            self.ask(known, "attach_role_policy", RoleName=id, PolicyArn=arn)
        for policy in known.get("inlinePolicies") or ():
            if policy.get("name"):
                self.ask(
                    known, "put_role_policy", RoleName=id, PolicyName=policy["name"], PolicyDocument=policy["policy"]
                )

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """ARN and unique id."""
        found = self.look(known, "get_role", RoleName=id)
        if found is None:
            return None
        role = found["Role"]
        return {
            "arn": role["Arn"],
            "uniqueId": role["RoleId"],
            "createDate": role["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "managedPolicyArns": known.get("managedPolicyArns") or [],
            "inlinePolicies": known.get("inlinePolicies") or [],
        }

    def unmake(self, id: str, outputs: Properties) -> None:
        """IAM refuses while it has policies; those that were given inside it go first."""
        for arn in outputs.get("managedPolicyArns") or ():
            self.look(outputs, "detach_role_policy", RoleName=id, PolicyArn=arn)
        for policy in outputs.get("inlinePolicies") or ():
            if policy.get("name"):
                self.look(outputs, "delete_role_policy", RoleName=id, PolicyName=policy["name"])
        self.ask(outputs, "delete_role", RoleName=id)


class RolePolicy(IamKind):
    """A policy that is part of a role."""

    def make(self, id: str, known: Properties) -> str | None:
        """Malformed ones are refused by IAM's own grammar, which moto has."""
        role, name = id.split(":", 1)
        self.ask(known, "put_role_policy", RoleName=role, PolicyName=name, PolicyDocument=known["policy"])
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Another document."""
        self.make(id, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """As recorded."""
        role, name = id.split(":", 1)
        return None if self.look(known, "get_role_policy", RoleName=role, PolicyName=name) is None else {}

    def unmake(self, id: str, outputs: Properties) -> None:
        """By role and name."""
        role, name = id.split(":", 1)
        self.ask(outputs, "delete_role_policy", RoleName=role, PolicyName=name)


class RolePolicyAttachment(IamKind):
    """A managed policy of a role."""

    def make(self, id: str, known: Properties) -> str | None:
        """The policy has to exist."""
        self.ask(known, "attach_role_policy", RoleName=known["role"], PolicyArn=known["policyArn"])
        return None

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Among those of the role."""
        answer = self.look(known, "list_attached_role_policies", RoleName=known["role"]) or {}
        arns = [item["PolicyArn"] for item in answer.get("AttachedPolicies", ())]
        return {} if known["policyArn"] in arns else None

    def unmake(self, id: str, outputs: Properties) -> None:
        """By role and ARN."""
        self.ask(outputs, "detach_role_policy", RoleName=outputs["role"], PolicyArn=outputs["policyArn"])


class Policy(IamKind):
    """A managed policy of the account's own."""

    def make(self, id: str, known: Properties) -> str:
        """Its id is its ARN."""
        return self.ask(
            known,
            "create_policy",
            PolicyName=known["name"],
            Path=known.get("path"),
            PolicyDocument=known["policy"],
            Description=known.get("description"),
            Tags=tag_list(self.cloud.tags(known)),
        )["Policy"]["Arn"]

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Another version, which counts; the oldest goes, for there are five at most."""
        versions = self.ask(known, "list_policy_versions", PolicyArn=id)["Versions"]
        spare = [item["VersionId"] for item in versions if not item["IsDefaultVersion"]]
        if len(versions) >= 5:
            self.ask(known, "delete_policy_version", PolicyArn=id, VersionId=spare[-1])
        self.ask(known, "create_policy_version", PolicyArn=id, PolicyDocument=known["policy"], SetAsDefault=True)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """How many roles have it."""
        found = self.look(known, "get_policy", PolicyArn=id) if id.startswith("arn:") else None
        if found is None:
            return None
        policy = found["Policy"]
        return {"arn": id, "policyId": policy["PolicyId"], "attachmentCount": policy.get("AttachmentCount", 0)}

    def unmake(self, id: str, outputs: Properties) -> None:
        """IAM refuses while a role has it."""
        count = self.ask(outputs, "get_policy", PolicyArn=id)["Policy"].get("AttachmentCount", 0)
        if count:
            raise AwsError("iam", "DeletePolicy", "DeleteConflict", "Cannot delete a policy attached to entities.")
        for version in self.ask(outputs, "list_policy_versions", PolicyArn=id)["Versions"]:
            if not version["IsDefaultVersion"]:
                self.ask(outputs, "delete_policy_version", PolicyArn=id, VersionId=version["VersionId"])
        self.ask(outputs, "delete_policy", PolicyArn=id)


class InstanceProfile(IamKind):
    """What gives a role to instances."""

    def make(self, id: str, known: Properties) -> str | None:
        """With its role."""
        self.ask(
            known,
            "create_instance_profile",
            InstanceProfileName=id,
            Path=known.get("path"),
            Tags=tag_list(self.cloud.tags(known)),
        )
        if known.get("role"):
            self.ask(known, "add_role_to_instance_profile", InstanceProfileName=id, RoleName=known["role"])
        return None

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """It has one role at most."""
        for role in self.ask(known, "get_instance_profile", InstanceProfileName=id)["InstanceProfile"]["Roles"]:
            if role["RoleName"] != known.get("role"):
                name = role["RoleName"]
                self.ask(known, "remove_role_from_instance_profile", InstanceProfileName=id, RoleName=name)
        if known.get("role") and known.get("role") != outputs.get("role"):
            self.ask(known, "add_role_to_instance_profile", InstanceProfileName=id, RoleName=known["role"])

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """ARN and unique id."""
        found = self.look(known, "get_instance_profile", InstanceProfileName=id)
        if found is None:
            return None
        profile = found["InstanceProfile"]
        return {
            "arn": profile["Arn"],
            "uniqueId": profile["InstanceProfileId"],
            "createDate": profile["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def unmake(self, id: str, outputs: Properties) -> None:
        """Its role leaves it first."""
        for role in self.ask(outputs, "get_instance_profile", InstanceProfileName=id)["InstanceProfile"]["Roles"]:
            self.ask(outputs, "remove_role_from_instance_profile", InstanceProfileName=id, RoleName=role["RoleName"])
        self.ask(outputs, "delete_instance_profile", InstanceProfileName=id)
