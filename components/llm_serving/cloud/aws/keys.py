"""Keys in AWS KMS that services of AWS encrypt our data with."""

import pulumi
import pulumi_aws as aws

from llm_serving.component import child

DELETION_DAYS = 30
"""How long a deleted key can still be saved, the longest that KMS has. Without it all that it encrypted is lost."""


def service_key(
    owner: pulumi.Resource, name: str, *, description: str, tags: dict[str, str], protect: bool
) -> aws.kms.Key:
    """A key for one purpose, which KMS rotates each year. Who may use it is said by the roles of this account: the
    policy is the one that KMS gives a key that has none.

    Args:
        owner: the component.
        name: beginning of the key's name.
        description: what it encrypts.
        tags: tags of the key.
        protect: refuse to delete the key.
    """
    return aws.kms.Key(
        f"{name}-key",
        description=description,
        enable_key_rotation=True,
        deletion_window_in_days=DELETION_DAYS,
        tags=tags,
        opts=child(owner, protect=protect),
    )
