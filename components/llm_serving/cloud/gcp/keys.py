"""Keys in Cloud KMS that Google's services encrypt our data with."""

import pulumi
import pulumi_gcp as gcp

from llm_serving.component import child

ENCRYPTER = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
ROTATION = f"{90 * 24 * 3600}s"


def service_key(
    owner: pulumi.Resource,
    name: str,
    *,
    purpose: str,
    project: str,
    region: str,
    agent: pulumi.Input[str],
    labels: dict[str, str],
    protect: bool,
) -> tuple[gcp.kms.CryptoKey, gcp.kms.CryptoKeyIAMMember]:
    """A key that one service agent may use, and the grant that lets it. Whatever is encrypted depends on the grant.

    Key rings stay in a project for ever (Cloud KMS documentation, "Key deletion"), so the ring's name is left to
    Pulumi, which makes a new one each time: an environment can be destroyed and made again.

    Args:
        owner: the component.
        name: beginning of the children's names.
        purpose: name of the key in its ring.
        project: where the key lives.
        region: must be that of the data.
        agent: IAM member of the service agent.
        labels: labels of the key.
        protect: refuse to delete the key. Without it everything that it encrypted is lost.
    """
    ring = gcp.kms.KeyRing(f"{name}-keys", project=project, location=region, opts=child(owner, protect=protect))
    key = gcp.kms.CryptoKey(
        f"{name}-key",
        name=purpose,
        key_ring=ring.id,
        purpose="ENCRYPT_DECRYPT",
        rotation_period=ROTATION,
        labels=labels,
        opts=child(owner, protect=protect),
    )
    grant = gcp.kms.CryptoKeyIAMMember(
        f"{name}-key-agent", crypto_key_id=key.id, role=ENCRYPTER, member=agent, opts=child(owner)
    )
    return key, grant
