"""Labels of cloud resources, and groups of people, as Google Cloud takes them."""

import re
from collections.abc import Iterator

from llm_serving.errors import Needs, Problem, Suggestion
from llm_serving.planning.rules.stack import StackShape

MOST_LABELS = 64
RESERVED_PREFIX = "goog"
"""GKE documentation, "Create and manage cluster and node pool labels", read 2026-11-29: at most 64 labels a resource;
Google keeps ``goog-`` for its own."""

_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}")


def check_labels(stack: StackShape) -> Iterator[Problem]:
    """Everything about ``labels``."""
    labels = stack.gcp.labels
    if len(labels) > MOST_LABELS:
        reason = f"a resource of Google Cloud has at most {MOST_LABELS} labels"
        yield Problem(
            "labels",
            f"{len(labels)} labels",
            reason,
            Suggestion(f"{len(labels) - MOST_LABELS} fewer", needs=Needs.CHOICE),
        )
    for key in labels:
        if key.startswith(RESERVED_PREFIX):
            reason = f"Google keeps keys that begin with {RESERVED_PREFIX} for its own labels"
            yield Problem(f"labels.{key}", labels[key], reason, Suggestion(keys=[f"x-{key}"[:63].rstrip("-_")]))


def check_groups(stack: StackShape) -> Iterator[Problem]:
    """Viewers and editors of teams: GKE knows a group by its e-mail address (GKE documentation, "Configure Google
    Groups for RBAC")."""
    if stack.gcp.cluster is None:
        return
    for index, team in enumerate(stack.teams):
        for what, groups in (("viewers", team.viewers), ("editors", team.editors)):
            for number, group in enumerate(groups):
                if not _EMAIL.fullmatch(group):
                    reason = "not the e-mail address of a Google group, by which GKE knows it"
                    address = Suggestion(f"{team.name}@<your domain>", needs=Needs.FACT)
                    yield Problem(f"teams[{index}].{what}[{number}]", group, reason, address)
