"""How nodes of a VPC without a way to the internet reach AWS."""

from collections.abc import Iterator, Sequence

from llm_serving.errors import LEAVE_OUT, Problem, Suggestion, nearest

INTERFACE_ENDPOINTS = (
    "ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "logs", "monitoring", "sqs", "ssm", "sts",
)  # fmt: skip
"""Services of AWS that nodes and what runs on them ask, and that have an interface endpoint."""

NODE_ENDPOINTS = ("ec2", "ecr.api", "ecr.dkr", "eks", "eks-auth", "sqs", "ssm", "sts")
"""Without these no node joins: its name, its images, its cluster, the roles of its pods (EKS documentation, "Deploy
private clusters with limited internet access"), and notices and machine images for Karpenter (its documentation,
"Private clusters")."""


def check_endpoints(endpoints: Sequence[str], reaches_internet: bool) -> Iterator[Problem]:
    """Everything about the interface endpoints of a VPC; paths begin with ``endpoints``.

    Args:
        endpoints: names of services, as at the end of an endpoint's service name.
        reaches_internet: the VPC has NAT.
    """
    for index, endpoint in enumerate(endpoints):
        if endpoint not in INTERFACE_ENDPOINTS:
            reason = "not a service that nodes ask by an interface endpoint"
            yield Problem(f"endpoints[{index}]", endpoint, reason, nearest(endpoint, INTERFACE_ENDPOINTS))
        elif endpoint in endpoints[:index]:
            yield Problem(f"endpoints[{index}]", endpoint, "is there twice", LEAVE_OUT)
    missing = [endpoint for endpoint in NODE_ENDPOINTS if endpoint not in endpoints]
    if missing and not reaches_internet:
        reason = f"without NAT nodes reach AWS by endpoints alone, and these are missing: {', '.join(missing)}"
        enough = Suggestion(values=[list(dict.fromkeys([*endpoints, *missing]))])
        yield Problem("endpoints", list(endpoints), reason, enough)
