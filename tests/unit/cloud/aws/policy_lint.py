"""IAM documents beside AWS's own list of actions (parliament)."""

import json
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

with warnings.catch_warnings():
    # It imports pkg_resources, which warns of its end; requirements-dev.in keeps the setuptools that has it.
    warnings.simplefilter("ignore")
    import parliament


def actions(statement: dict[str, Any]) -> Iterator[str]:
    listed = statement["Action"]
    yield from [listed] if isinstance(listed, str) else listed


def findings(policy: dict[str, Any]) -> list[str]:
    analyzed = parliament.analyze_policy_string(json.dumps(policy))
    return [f"{finding.issue}: {finding.detail}" for finding in analyzed.findings]


EXPLAINED = {
    # Parameters of AWS itself belong to no account; the linter wants one in the ARN.
    "ssm:GetParameter",
    # The linter's data have no resource for it; ECR's documentation has ("Creating a pull through cache rule").
    "ecr:BatchImportUpstreamImage",
}
"""Actions whose resource the linter does not know."""


@cache
def known_actions() -> dict[str, dict[str, Any]]:
    """What AWS says of each action, by service and name."""
    # Of IAM the data have an older list too, with fewer actions.
    services = sorted(parliament.iam_definition, key=lambda service: len(service["privileges"]))
    return {
        f"{service['prefix']}:{privilege['privilege']}": privilege
        for service in services
        for privilege in service["privileges"]
    }
