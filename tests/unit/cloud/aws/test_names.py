"""Names keep to the rules of the service that they are for, and tell apart what they name."""

import re

from hypothesis import given
from hypothesis import strategies as st

from llm_serving.cloud.aws import names

ACCOUNT = "012345678901"
labels = st.from_regex(r"[a-z]([-a-z0-9]{0,28}[a-z0-9])?", fullmatch=True)
owners = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
regions = st.sampled_from(["us-east-1", "ap-southeast-1", "us-gov-west-1", "eusc-de-east-1", "cn-northwest-1"])


def is_bucket_of_s3(name: str) -> bool:
    """S3 documentation, "General purpose bucket naming rules"."""
    return (
        re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name) is not None
        and ".." not in name
        and not re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name)
        and not name.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
        and not name.endswith(("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"))
    )


@given(regions, labels)
def test_a_buckets_name_is_one_that_s3_takes(region, cluster):
    name = names.bucket_name(ACCOUNT, region, cluster)
    assert is_bucket_of_s3(name), name
    assert "." not in name


@given(regions, labels, owners, owners)
def test_a_roles_name_is_one_that_iam_takes(region, cluster, namespace, account):
    assert re.fullmatch(r"[\w+=,.@-]{1,64}", names.role_name(region, cluster, namespace, account), re.ASCII)


@given(labels, owners)
def test_queues_and_rules_have_names_that_sqs_and_eventbridge_take(cluster, event):
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", names.queue_name(cluster))
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", names.rule_name(cluster, event))


def test_roles_that_read_alike_are_told_apart():
    alike = {
        names.role_name("us-east-1", "prod", "chat", "eu-qwen"),
        names.role_name("us-east-1", "prod", "chat-eu", "qwen"),
        names.role_name("us-west-2", "prod", "chat", "eu-qwen"),
        names.role_name("us-east-1", "prod-chat", "eu", "qwen"),
    }
    assert len(alike) == 4


def test_a_long_roles_name_keeps_its_beginning():
    name = names.role_name("us-east-1", "a" * 30, "b" * 40, "c" * 40)
    assert len(name) == names.ROLE_LIMIT
    assert name.startswith("a" * 30 + "-bbb")


def test_a_region_is_told_from_a_zone():
    assert re.fullmatch(r"^[a-z]{2,4}(-[a-z]+){1,2}-[0-9]$", "us-east-1a") is None
