"""Security groups and their rules."""

from collections.abc import Mapping
from typing import Any, ClassVar

from llm_serving.errors import Problem
from local.providers.aws.ec2 import Ec2Kind
from local.providers.aws.kinds import tag_list
from local.providers.properties import Properties

_EVERYTHING = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


class SecurityGroup(Ec2Kind):
    """A security group with the rules that are given inside it."""

    describe, ids, listed, noun = "describe_security_groups", "GroupIds", "SecurityGroups", "security-group"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """Ports that belong to the protocol."""
        problems: list[Problem] = []
        for side in ("ingress", "egress"):
            rules = inputs.get(side)
            for index, rule in enumerate(rules if isinstance(rules, list) else ()):
                if isinstance(rule, Mapping):
                    problems += _check_ports(rule, f"{side}[{index}].", "protocol")
        return problems

    def make(self, id: str, known: Properties) -> str:
        """AWS lets everything out of a new group, the provider nothing that is not asked for."""
        made = self.ask(
            known,
            "create_security_group",
            GroupName=known["name"],
            Description=known.get("description") or "Managed by Pulumi",
            VpcId=known.get("vpcId"),
        )["GroupId"]
        self.ask(known, "revoke_security_group_egress", GroupId=made, IpPermissions=_EVERYTHING)
        self.change(made, {}, known)
        return made

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """Rules that are given are all that there are."""
        found = self.found(known, id) or {}
        for side, listed in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
            if known.get(side) is None:
                continue
            if found.get(listed):
                self.ask(known, f"revoke_security_group_{side}", GroupId=id, IpPermissions=_bare(found[listed]))
            if rules := [_permission(rule, id) for rule in known[side]]:
                self.ask(known, f"authorize_security_group_{side}", GroupId=id, IpPermissions=rules)
        super().change(id, outputs, known)

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Rules are shown as they were given."""
        found = self.found(known, id)
        if found is None:
            return None
        return {
            **self.own_arn(known, id),
            "vpcId": found.get("VpcId", ""),
            "ingress": known.get("ingress") or [],
            "egress": known.get("egress") or [],
        }

    def unmake(self, id: str, outputs: Properties) -> None:
        """EC2 refuses while another group names it or an interface has it."""
        self.ask(outputs, "delete_security_group", GroupId=id)


class DefaultSecurityGroup(SecurityGroup):
    """The group that came with a VPC, taken over: its rules become those that are given."""

    def make(self, id: str, known: Properties) -> str:
        """It is there already. Rules that are not given go, as the provider has it."""
        filters = [{"Name": "group-name", "Values": ["default"]}, {"Name": "vpc-id", "Values": [known["vpcId"]]}]
        groups = self.ask(known, "describe_security_groups", Filters=filters)["SecurityGroups"]
        made = groups[0]["GroupId"]
        self.change(made, {}, known)
        return made

    def change(self, id: str, outputs: Properties, known: Properties) -> None:
        """No rules where none are given."""
        super().change(
            id, outputs, {**known, "ingress": known.get("ingress") or [], "egress": known.get("egress") or []}
        )

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """With the name that AWS gave it."""
        found = super().live(id, known)
        return found and {**found, "name": "default", "description": "default VPC security group", "namePrefix": ""}

    def unmake(self, id: str, outputs: Properties) -> None:
        """It goes with its VPC."""


class IngressRule(Ec2Kind):
    """One rule of a group."""

    describe, ids, listed, noun = (
        "describe_security_group_rules", "SecurityGroupRuleIds", "SecurityGroupRules", "security-group-rule",
    )  # fmt: skip
    side: ClassVar[str] = "ingress"

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """One source, and ports that belong to the protocol."""
        keys = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")
        problems = _check_ports(inputs, "", "ipProtocol")
        if sum(inputs.get(key) is not None for key in keys) != 1:
            problems.append(Problem("cidrIpv4", None, f"exactly one of {', '.join(keys)} has to be given"))
        return problems

    def make(self, id: str, known: Properties) -> str:
        """EC2 draws the id."""
        rule: Properties = {
            "protocol": known["ipProtocol"],
            "fromPort": known.get("fromPort", -1),
            "toPort": known.get("toPort", -1),
            "cidrBlocks": [known["cidrIpv4"]] if known.get("cidrIpv4") else [],
            "ipv6CidrBlocks": [known["cidrIpv6"]] if known.get("cidrIpv6") else [],
            "prefixListIds": [known["prefixListId"]] if known.get("prefixListId") else [],
            "securityGroups": [known["referencedSecurityGroupId"]] if known.get("referencedSecurityGroupId") else [],
            "description": known.get("description"),
        }
        group = known["securityGroupId"]
        answer = self.ask(
            known,
            f"authorize_security_group_{self.side}",
            GroupId=group,
            IpPermissions=[_permission(rule, group)],
            TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": tag_list(tags)}]
            if (tags := self.cloud.tags(known))
            else None,
        )
        return answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """The rule is made anew, under the id that Pulumi knows: moto's changes with it."""
        self.unmake(str(outputs.get("securityGroupRuleId") or id), outputs)
        made = self.make(id, known)
        return {**self.own_arn(known, made), "securityGroupRuleId": made}

    def live(self, id: str, known: Mapping[str, Any]) -> Properties | None:
        """Its id once more."""
        rule = str(known.get("securityGroupRuleId") or id)
        return {**self.own_arn(known, rule), "securityGroupRuleId": rule} if self.found(known, rule) else None

    def unmake(self, id: str, outputs: Properties) -> None:
        """By its id."""
        rule = str(outputs.get("securityGroupRuleId") or id)
        self.ask(
            outputs,
            f"revoke_security_group_{self.side}",
            GroupId=outputs["securityGroupId"],
            SecurityGroupRuleIds=[rule],
        )


class EgressRule(IngressRule):
    """One rule of what a group lets out."""

    side = "egress"


def _check_ports(rule: Mapping[str, Any], path: str, protocol: str) -> list[Problem]:
    first, last = rule.get("fromPort"), rule.get("toPort")
    problems: list[Problem] = []
    if rule.get(protocol) in ("-1", "all") and any(port not in (None, 0, -1) for port in (first, last)):
        problems.append(Problem(f"{path}fromPort", first, f"has to be 0 where {protocol} is {rule[protocol]}", "0"))
    if isinstance(first, int) and isinstance(last, int) and first > last:
        problems.append(Problem(f"{path}fromPort", first, f"greater than toPort, which is {last}"))
    return problems


def _permission(rule: Mapping[str, Any], group: str) -> dict[str, Any]:
    """A rule as EC2's API has it."""
    text = {"Description": rule["description"]} if rule.get("description") else {}
    protocol = "-1" if rule["protocol"] in ("-1", "all") else rule["protocol"]
    groups = [*(rule.get("securityGroups") or ()), *([group] if rule.get("self") else ())]
    ports = {} if protocol == "-1" else {"FromPort": int(rule["fromPort"]), "ToPort": int(rule["toPort"])}
    parts = {
        "IpRanges": [{"CidrIp": block, **text} for block in rule.get("cidrBlocks") or ()],
        "Ipv6Ranges": [{"CidrIpv6": block, **text} for block in rule.get("ipv6CidrBlocks") or ()],
        "PrefixListIds": [{"PrefixListId": each, **text} for each in rule.get("prefixListIds") or ()],
        "UserIdGroupPairs": [{"GroupId": each, **text} for each in groups],
    }
    return {"IpProtocol": protocol, **ports, **{key: value for key, value in parts.items() if value}}


def _bare(permissions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules as EC2 describes them, as it takes them back."""
    return [{key: value for key, value in permission.items() if value not in (None, [])} for permission in permissions]
