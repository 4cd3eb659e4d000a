"""Real connections between network namespaces go where the API reference lets them, and nowhere else."""

import itertools
import socket
from ipaddress import IPv4Network

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.cluster.network_policy import nftables, rules
from local.cluster.network_policy.model import Snapshot
from tests.node.network_policy_lab import Lab, unusable
from tests.unit.local.network_policy import builders
from tests.unit.local.network_policy.builders import namespace, pod, policy
from tests.unit.local.network_policy.evaluator import Connection, allowed

pytestmark = pytest.mark.skipif(bool(unusable()), reason=f"NOT TESTED: {unusable()}")

NETWORK = IPv4Network("10.244.0.0/28")
NODE, HOST = "10.244.0.1", "10.99.0.254"
PORTS = (80, 8000, 8080)
NAMESPACES = [namespace("chat", team="chat", tier="front"), namespace("search", tier="back"), namespace("kube-system")]
PODS = [
    pod("web", "10.244.0.2", "chat", {"app": "web", "tier": "front"}, [("http", 8000), ("metrics", 8080)]),
    pod("db", "10.244.0.3", "chat", {"app": "db", "tier": "back"}, [("http", 80, "UDP")]),
    pod("api", "10.244.0.4", "search", {"app": "api", "team": "chat"}, [("http", 8080)]),
    pod("other", "10.244.0.5", "search", {"app": "web"}),
    pod("dns", "10.244.0.6", "kube-system", {"app": "db"}, [("metrics", 8000)]),
]
ADDRESSES = [item["status"]["podIP"] for item in PODS]
WEB, DB, API, OTHER, DNS = ADDRESSES
SERVICE = "10.96.0.10"


@pytest.fixture(scope="module")
def lab():
    made = Lab(gateway=NODE)
    try:
        for address in ADDRESSES:
            made.add(address, tcp=PORTS, udp=PORTS)
        made.add(HOST, tcp=PORTS, udp=PORTS, gateway="10.99.0.1")
        yield made
    finally:
        made.close()


@pytest.fixture
def clean(lab):
    lab.node.nft("flush ruleset")
    return lab


def enforce(lab, policies, pods=PODS):
    lab.node.nft(nftables.render(rules.build(Snapshot.read(NAMESPACES, pods, policies)), NETWORK))


def matrix(policies, ports=PORTS):
    """Every connection that can be tried, and whether it should work."""
    ends = itertools.product([*ADDRESSES, HOST], [*ADDRESSES, HOST])
    return {
        (source, target, protocol, port): allowed(
            Connection(source, target, protocol, port), policies, PODS, NAMESPACES
        )
        for (source, target), protocol, port in itertools.product(ends, ("TCP", "UDP"), ports)
        if source != target or source != HOST
    }


def agree(lab, policies, ports=PORTS):
    enforce(lab, policies)
    expected = matrix(policies, ports)
    answered = lab.probe(expected)
    wrong = {attempt: works for attempt, works in expected.items() if works != (attempt in answered)}
    assert not wrong, f"should be {wrong}\nwith {policies}"


PLATFORM = list(
    yaml.safe_load_all("""
metadata: {namespace: chat, name: default-deny}
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
---
metadata: {namespace: chat, name: dns}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
    - to:
        - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
          podSelector: {matchLabels: {app: db}}
      ports: [{protocol: UDP, port: 80}]
---
metadata: {namespace: chat, name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {tier: back}}
        - ipBlock: {cidr: 10.99.0.0/24, except: [10.99.0.0/25]}
      ports: [{port: http}, {port: 8080, endPort: 8090}]
---
metadata: {namespace: chat, name: web-out}
spec:
  podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [back]}]}
  policyTypes: [Egress]
  egress:
    - ports: [{port: http}]
""")
)


def test_a_platforms_policies_hold_for_every_pair_of_pods(clean):
    agree(clean, PLATFORM)


def test_without_policies_everybody_reaches_everybody(clean):
    agree(clean, [])
    assert all(matrix([]).values())


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(builders.policies(protocols=("TCP", "UDP")), min_size=1, max_size=4))
def test_random_policies_hold_for_every_pair_of_pods(lab, policies):
    agree(lab, policies)


def test_a_services_address_is_judged_by_the_pod_behind_it(clean):
    clean.node.nft(
        f"""table ip services {{
            chain translate {{
                type nat hook prerouting priority dstnat
                ip daddr {SERVICE} tcp dport 53 dnat to {WEB}:8000
                ip daddr {SERVICE} tcp dport 54 dnat to {DB}:8000
                ip daddr {SERVICE} tcp dport 55 dnat to {WEB}:8080
            }}
            chain hairpin {{
                type nat hook postrouting priority srcnat
                ip saddr {WEB} ip daddr {WEB} masquerade
            }}
        }}"""
    )
    to_web = {"podSelector": {"matchLabels": {"app": "web"}}}
    enforce(clean, [policy("out", egress=[{"to": [to_web], "ports": [{"port": 8000}]}], policyTypes=["Egress"])])
    expected = {
        (DB, SERVICE, "TCP", 53): True,
        (DB, SERVICE, "TCP", 55): False,
        (WEB, SERVICE, "TCP", 55): True,  # itself, by way of the Service
        (WEB, SERVICE, "TCP", 54): False,
        (OTHER, SERVICE, "TCP", 54): True,
    }
    assert clean.probe(expected) == {attempt for attempt, works in expected.items() if works}


def test_the_node_reaches_every_pod_for_its_probes(clean):
    enforce(clean, [policy(in_namespace=n, policyTypes=["Ingress", "Egress"]) for n in ("chat", "search")])
    expected = {(NODE, address, protocol, 80): True for address in ADDRESSES for protocol in ("TCP", "UDP")}
    assert clean.probe({**expected, (DNS, WEB, "TCP", 80): False}) == expected.keys()


def test_a_new_policy_leaves_open_connections_alone_and_refuses_the_next(clean):
    enforce(clean, [])
    with clean.namespaces[DB].run(socket.create_connection, (WEB, 80), 10) as before:
        before.sendall(b"one")
        assert before.recv(64) == b"one"
        enforce(clean, [policy(policyTypes=["Ingress", "Egress"])])
        before.sendall(b"two")
        assert before.recv(64) == b"two"
        assert clean.probe({(DB, WEB, "TCP", 80): False, (OTHER, API, "TCP", 80): True}) == {(OTHER, API, "TCP", 80)}


def test_a_pod_without_rules_yet_is_closed_until_the_api_knows_it(clean):
    elsewhere = [policy(in_namespace="kube-system", ingress=[{}])]
    enforce(clean, elsewhere, [item for item in PODS if item["metadata"]["name"] != "db"])
    expected = {(DB, WEB, "TCP", 80): False, (WEB, DB, "TCP", 80): False, (WEB, API, "TCP", 80): True}
    assert clean.probe(expected) == {(WEB, API, "TCP", 80)}
    enforce(clean, elsewhere)
    assert clean.probe(dict.fromkeys(expected, True)) == expected.keys()


def test_a_pod_cannot_speak_in_another_ones_name(clean):
    enforce(clean, [policy("out", selector={"matchLabels": {"app": "web"}}, policyTypes=["Egress"])])
    clean.namespaces[WEB].sh(f"ip address add {DB}/32 dev lo")
    try:
        with socket_at(clean, API, 9999) as receiver:

            def forge():
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    sender.bind((DB, 0))
                    sender.sendto(b"forged", (API, 9999))

            clean.namespaces[WEB].run(forge)
            with clean.namespaces[OTHER].run(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as honest:
                honest.sendto(b"honest", (API, 9999))
            assert receiver.recv(64) == b"honest"
    finally:
        clean.namespaces[WEB].sh(f"ip address del {DB}/32 dev lo")


def socket_at(lab, address, port):
    def bind():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(20)
        made.bind(("", port))
        return made

    return lab.namespaces[address].run(bind)
