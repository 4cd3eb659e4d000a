"""What is written for the kernel is taken by it, whole, and looks every packet up by address."""

import shutil
import subprocess
from ipaddress import IPv4Network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.cluster.network_policy import nftables, rules
from local.cluster.network_policy.model import Snapshot
from tests.unit.local.network_policy import builders
from tests.unit.local.network_policy.builders import namespace, pod, policy

NETWORK = IPv4Network(builders.POD_RANGE)
IN_A_NAMESPACE = ("unshare", "--map-root-user", "--net")


def render(policies, pods, namespaces=()):
    return nftables.render(rules.build(Snapshot.read(namespaces, pods, policies)), NETWORK)


@pytest.fixture(scope="module")
def check():
    """Checks a program with nft in a network namespace of its own; changes nothing."""
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if nft is None or shutil.which("unshare") is None:
        pytest.skip("NOT TESTED: nft (package nftables) or unshare is missing: run `make setup-node`")
    if subprocess.run([*IN_A_NAMESPACE, nft, "list", "ruleset"], capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: this machine lets nobody make network namespaces with nftables in them")

    def run(program):
        done = subprocess.run(
            [*IN_A_NAMESPACE, nft, "-c", "-f", "-"], input=program, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stderr}\n{program}"

    return run


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(builders.clusters(), st.lists(builders.policies(), max_size=4))
def test_nft_takes_every_table(check, cluster, policies):
    namespaces, pods = cluster
    check(render(policies, pods, namespaces))


def test_nft_takes_long_names_and_the_table_before_the_first_comparison(check):
    check(render([policy(ingress=[])], [pod("p" * 253, "10.244.0.2", "n" * 63)]))
    check(nftables.render(rules.Rules(), NETWORK))


def test_pods_that_are_allowed_the_same_share_a_chain():
    pods = [pod(f"p{i}", f"10.244.0.{2 + i}") for i in range(10)]
    text = render([policy(ingress=[{"ports": [{"port": 80}]}])], pods)
    assert text.count("chain ingress-") == 1
    assert text.count(": jump ingress-") == 10


def test_the_same_policies_give_the_same_text():
    pods = [pod("a", "10.244.0.2", labels={"app": "web"}), pod("b", "10.244.0.3", labels={"app": "db"})]
    policies = [policy("x", ingress=[{"from": [{"podSelector": {}}]}]), policy("y", egress=[{}])]
    assert render(policies, pods, [namespace("chat")]) == render(policies[::-1], pods[::-1], [namespace("chat")])
