"""Every certificate of a cluster is accepted by those that it is shown to, under the names that they ask for."""

import ssl
import stat

import pytest

from local.cluster import certificates
from local.cluster.node.addresses import AddressSlot
from tests.unit.local.cluster.handshake import peers_agree

SLOT = AddressSlot(2)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys") / "certificates"
    certificates.make(folder, SLOT)
    return folder


@pytest.mark.parametrize(
    ("server", "client", "name"),
    [
        ("etcd", "etcd", "127.0.0.1"),
        ("apiserver", "etcd", "kubernetes.default.svc"),
        ("apiserver", "etcd", str(SLOT.node)),
        ("apiserver", "etcd", str(SLOT.kubernetes_service)),
        ("kubelet", "kubelet-client", str(SLOT.node)),
    ],
)
def test_both_sides_accept_each_other(keys, server, client, name):
    assert peers_agree(keys / "ca.crt", keys / server, keys / client, name)


def test_a_kubelet_is_not_taken_for_another_address(keys):
    with pytest.raises(ssl.SSLError, match="mismatch"):
        peers_agree(keys / "ca.crt", keys / "kubelet", keys / "kubelet-client", "10.0.0.1")


def test_the_front_proxy_has_an_authority_of_its_own(keys):
    with pytest.raises(ssl.SSLError):
        peers_agree(keys / "ca.crt", keys / "apiserver", keys / "front-proxy-client", "localhost")


@pytest.mark.parametrize(
    ("client", "subject"),
    [
        ("kubelet-client", {"commonName": "kube-apiserver", "organizationName": "system:masters"}),
        ("front-proxy-client", {"commonName": "front-proxy-client"}),
    ],
)
def test_a_client_is_who_the_server_expects(keys, client, subject):
    shown = ssl._ssl._test_decode_cert(keys / f"{client}.crt")
    assert subject.items() <= {name: value for ((name, value),) in shown["subject"]}.items()
    assert shown["subjectAltName"]


def test_keys_are_readable_for_their_owner_alone_and_made_once(keys):
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys.glob("*.key")} == {0o600}
    before = (keys / "service-account.key").read_bytes()
    certificates.make(keys, SLOT)
    assert (keys / "service-account.key").read_bytes() == before


def test_a_folder_that_was_half_filled_is_made_anew(tmp_path):
    certificates.make(tmp_path / "keys")
    (tmp_path / "keys" / "complete").unlink()
    (tmp_path / "keys" / "etcd.key").write_text("half")
    certificates.make(tmp_path / "keys")
    assert peers_agree(*(tmp_path / "keys" / name for name in ("ca.crt", "etcd", "etcd")), "localhost")
