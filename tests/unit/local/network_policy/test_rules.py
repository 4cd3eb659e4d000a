"""The resolved rules allow what the API reference says, and nothing else."""

import itertools
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.cluster.network_policy import rules
from local.cluster.network_policy.model import Snapshot
from tests.unit.local.network_policy import builders
from tests.unit.local.network_policy.builders import namespace, pod, policy
from tests.unit.local.network_policy.evaluator import Connection, allowed, pod_at

NETWORK = IPv4Network(builders.POD_RANGE)
RANGE = ((int(NETWORK.network_address), int(NETWORK.broadcast_address)),)
WEB = pod("web", "10.244.0.2", labels={"app": "web"}, ports=[("http", 8000)])
DB = pod("db", "10.244.0.3", labels={"app": "db"}, ports=[("sql", 5432)])
FAR = pod("far", "10.244.0.4", "search", labels={"app": "web"}, ports=[("http", 9000)])
PODS = [WEB, DB, FAR]
NAMESPACES = [namespace("chat", team="chat"), namespace("search")]


def build(policies, pods=PODS, namespaces=NAMESPACES):
    return rules.build(Snapshot.read(namespaces, pods, policies))


def verdict(built_rules, source, target, protocol="TCP", port=80):
    source, target = (item["status"]["podIP"] if isinstance(item, dict) else item for item in (source, target))
    return built_rules.verdict(int(IPv4Address(source)), int(IPv4Address(target)), protocol, port, RANGE)


@settings(max_examples=150, deadline=None)
@given(builders.clusters(), st.lists(builders.policies(), max_size=4), st.data())
def test_every_connection_is_judged_as_the_api_reference_says(cluster, policies, data):
    namespaces, pods = cluster
    built_rules = build(policies, pods, namespaces)
    alive = [p["status"]["podIP"] for p in pods if pod_at(p["status"]["podIP"], pods) is p]
    ends = [*alive, *builders.OUTSIDE]
    for source, target in itertools.product(ends, ends):
        protocol, port = data.draw(st.sampled_from(builders.PROTOCOLS)), data.draw(st.sampled_from(builders.PORTS))
        connection = Connection(source, target, protocol, port)
        assert verdict(built_rules, source, target, protocol, port) == allowed(
            connection, policies, pods, namespaces
        ), connection


def test_without_policies_everything_is_open_also_to_addresses_nobody_knows_yet():
    built_rules = build([])
    assert verdict(built_rules, WEB, FAR)
    assert verdict(built_rules, "10.244.0.9", WEB)


def test_a_pod_that_the_api_does_not_know_yet_is_closed_while_there_is_any_policy():
    built_rules = build([policy(in_namespace="search", ingress=[{}])])
    assert verdict(built_rules, WEB, DB)
    assert not verdict(built_rules, "10.244.0.9", WEB)
    assert not verdict(built_rules, WEB, "10.244.0.9")


def test_the_rules_before_the_first_comparison_close_all_pods():
    assert not verdict(rules.Rules(), WEB, DB)
    assert not verdict(rules.Rules(), "192.0.2.1", DB)
    assert verdict(rules.Rules(), "192.0.2.1", "10.99.0.254")


def test_default_deny_closes_one_direction_only():
    built_rules = build([policy(selector={"matchLabels": {"app": "db"}}, policyTypes=["Ingress"])])
    assert not verdict(built_rules, WEB, DB)
    assert verdict(built_rules, DB, WEB)


def test_a_pod_always_reaches_itself():
    built_rules = build([policy(policyTypes=["Ingress", "Egress"])])
    assert verdict(built_rules, DB, DB)
    assert not verdict(built_rules, WEB, DB)


def test_policies_add_up():
    deny = policy("deny", policyTypes=["Ingress"])
    allow = policy("allow", ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}])
    built_rules = build([deny, allow])
    assert verdict(built_rules, WEB, DB)
    assert not verdict(built_rules, FAR, DB)


def test_policy_types_default_to_egress_only_where_there_are_egress_rules():
    assert verdict(build([policy(ingress=[])]), WEB, FAR)
    assert not verdict(build([policy(ingress=[], egress=[{"ports": [{"port": 53}]}])]), WEB, FAR)


def test_a_named_port_means_each_targets_own_number():
    built_rules = build([policy(egress=[{"ports": [{"port": "http"}]}], policyTypes=["Egress"])])
    assert verdict(built_rules, DB, WEB, port=8000)
    assert not verdict(built_rules, DB, WEB, port=9000)
    assert verdict(built_rules, DB, FAR, port=9000)
    assert not verdict(built_rules, DB, "192.0.2.1", port=8000)


def test_a_name_that_no_target_has_is_told_and_allows_nothing():
    built_rules = build([policy(selector={"matchLabels": {"app": "db"}}, ingress=[{"ports": [{"port": "htpp"}]}])])
    assert not verdict(built_rules, WEB, DB)
    (note,) = built_rules.notes
    assert note.reason == "NamedPortNotFound"
    assert "'htpp'" in note.message


def test_sidecars_ports_have_names_too_and_init_containers_ports_have_not():
    port = {"ports": [{"name": "late", "containerPort": 7000}]}
    sidecar = pod("s", "10.244.0.5", initContainers=[{"name": "s", "restartPolicy": "Always", **port}])
    init = pod("i", "10.244.0.6", initContainers=[{"name": "i", **port}])
    built_rules = build([policy(ingress=[{"ports": [{"port": "late"}]}])], [WEB, sidecar, init])
    assert verdict(built_rules, WEB, sidecar, port=7000)
    assert not verdict(built_rules, WEB, init, port=7000)


def test_other_protocols_pass_where_a_rule_names_no_port():
    built_rules = build([policy(ingress=[{"from": [{"podSelector": {}}]}])])
    assert verdict(built_rules, WEB, DB, "ICMP", 0)
    built_rules = build([policy(ingress=[{"ports": [{"protocol": "TCP"}, {"protocol": "UDP"}, {"protocol": "SCTP"}]}])])
    assert not verdict(built_rules, WEB, DB, "ICMP", 0)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"ingress": [{"from": [{"serviceSelector": {}}]}]}, "spec.ingress[0].from[0].serviceSelector is not known"),
        ({"ingress": [{"ports": [{"protocol": "QUIC"}]}]}, "spec.ingress[0].ports[0].protocol: 'QUIC'"),
        ({"ingress": [{"from": [{}]}]}, "has neither podSelector, namespaceSelector nor ipBlock"),
        ({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/40"}}]}]}, "spec.ingress[0].from[0].ipBlock.cidr"),
        ({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}]}, "ipBlock beside"),
        ({"ingress": [{"deny": True}]}, "spec.ingress[0].deny is not known"),
        ({"ingress": [{"ports": [{"port": "http", "endPort": 9}]}]}, "spec.ingress[0].ports[0].endPort: 9"),
        ({"ingress": [{"ports": [{"port": "80"}]}]}, "neither a number nor the name"),
    ],
)
def test_what_is_not_understood_closes_its_direction_though_others_open_it(spec, words):
    everything = policy("open", ingress=[{}], egress=[{}])
    built_rules = build([everything, policy("strange", selector={"matchLabels": {"app": "db"}}, **spec)])
    assert not verdict(built_rules, WEB, DB)
    assert verdict(built_rules, DB, WEB)
    assert verdict(built_rules, DB, FAR)
    (note,) = built_rules.notes
    assert note.reason == "NotUnderstood"
    assert words in note.message
    assert note.policy.name == "strange"


@pytest.mark.parametrize(
    "spec",
    [
        {"podSelector": {"matchFields": {}}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Gt", "values": ["1"]}]}},
        {"policyTypes": ["Ingress", "Sideways"]},
        {"order": 100},
    ],
)
def test_a_policy_whose_reach_is_not_understood_closes_both_directions_of_its_namespace(spec):
    built_rules = build([{**policy(), "spec": {"podSelector": {}, **spec}}])
    assert not verdict(built_rules, WEB, FAR)
    assert not verdict(built_rules, FAR, WEB)
    assert verdict(built_rules, FAR, "192.0.2.1")


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_nobody(phase):
    ended = pod("ended", "10.244.0.5", labels={"app": "web"}, phase=phase)
    built_rules = build(
        [policy(ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}])], [DB, WEB, ended]
    )
    assert verdict(built_rules, WEB, DB)
    assert not verdict(built_rules, "10.244.0.5", DB)


def test_a_pod_without_an_address_is_waited_for():
    assert build([policy(ingress=[])], [WEB, pod("new", None)]).pods.keys() == build([], [WEB]).pods.keys()


def test_a_pod_on_the_nodes_network_is_selected_by_nobody():
    host = pod("host", "10.99.0.1", labels={"app": "web"}, hostNetwork=True)
    built_rules = build(
        [policy(policyTypes=["Ingress", "Egress"], ingress=[{"from": [{"podSelector": {}}]}])], [DB, host]
    )
    assert not verdict(built_rules, "10.99.0.1", DB)
    assert verdict(built_rules, "192.0.2.1", "10.99.0.1")


def test_an_address_belongs_to_the_newer_of_two_pods():
    old = pod("old", "10.244.0.5", labels={"app": "db"})
    old["metadata"] |= {"deletionTimestamp": "2026-01-02T00:00:00Z", "creationTimestamp": "2026-01-02T00:00:00Z"}
    new = pod("new", "10.244.0.5", labels={"app": "web"})
    new["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    closed_db = policy(selector={"matchLabels": {"app": "db"}}, policyTypes=["Ingress"])
    assert verdict(build([closed_db], [WEB, new, old]), WEB, new)


def test_of_a_pod_without_its_namespace_no_condition_on_namespaces_holds():
    built_rules = build([policy(ingress=[{"from": [{"namespaceSelector": {}}]}])], namespaces=[namespace("chat")])
    assert verdict(built_rules, WEB, DB)
    assert not verdict(built_rules, FAR, DB)


def test_pods_that_are_allowed_the_same_share_one_list():
    built_rules = build([policy(ingress=[{"ports": [{"port": 80}, {"port": 81}]}, {"ports": [{"port": 82}]}])])
    lists = {next(iter(by.values())) for by in built_rules.isolated.values() if by}
    assert len(lists) == 1
    assert next(iter(lists))[0].ports == (("TCP", ((80, 82),)),)
