"""What every cluster with a node has inside: the name service and the default storage class. Their manifests are in
``addons.yaml``.
"""

import hashlib
import json
from pathlib import Path
from string import Template
from typing import Any

import yaml

from local.cluster.config import ClusterConfig
from local.cluster.node.provisioner import PROVISIONER, STORAGE_CLASS

Object = dict[str, Any]

DNS_NAMESPACE, DNS_NAME = "kube-system", "coredns"
FINGERPRINT = "local.llm-serving.dev/fingerprint"
_MANIFESTS = Path(__file__).with_name("addons.yaml")


def objects(config: ClusterConfig, dns_image: str) -> list[Object]:
    """All objects, the Deployment of the name service last; it carries :func:`fingerprint` of all.

    Args:
        config: of a cluster with a node that has started once.
        dns_image: reference of the CoreDNS image.
    """
    assert config.node is not None
    assert config.slot is not None
    manifests = Template(_MANIFESTS.read_text(encoding="utf-8")).substitute(
        # As JSON, so that no value is taken for another type than text.
        dns_address=json.dumps(str(config.slot.dns)),
        dns_image=json.dumps(dns_image),
        node=json.dumps(config.node.name),
        provisioner=PROVISIONER,
        storage_class=STORAGE_CLASS,
    )
    things = list(yaml.safe_load_all(manifests))
    text = json.dumps(things, sort_keys=True)
    things[-1]["metadata"]["annotations"] = {FINGERPRINT: hashlib.sha256(text.encode()).hexdigest()[:16]}
    return things


def fingerprint(thing: Object) -> str:
    """The fingerprint that an object carries; empty where it has none."""
    return (thing["metadata"].get("annotations") or {}).get(FINGERPRINT, "")
