"""A load balancer gets an address of its own that belongs to nobody in the world."""

import ipaddress

import pytest

from local.cluster.load_balancers import address, addresses, is_waiting


def service(name="s", ip=None, annotations=None, **spec):
    status = {"loadBalancer": {"ingress": [{"ip": ip}]}} if ip else {}
    meta = {"name": name, "namespace": "ns", "annotations": annotations or {}}
    return {"metadata": meta, "spec": {"type": "LoadBalancer", **spec}, "status": status}


def test_only_load_balancers_without_an_address_wait():
    assert is_waiting(service())
    assert not is_waiting(service(ip="203.0.113.9"))
    assert not is_waiting(service(type="ClusterIP"))
    assert not is_waiting(service(loadBalancerClass="somebody-elses"))


def test_an_external_address_is_one_for_documentation_and_an_internal_one_is_private():
    assert ipaddress.ip_address(address(service(), set())) in ipaddress.ip_network("203.0.113.0/24")
    internal = service(annotations={"networking.gke.io/load-balancer-type": "Internal"})
    assert address(internal, set()).startswith("10.")


def test_addresses_are_never_given_twice_and_run_out_with_a_word():
    taken = set()
    for number in range(254):
        taken.add(address(service(f"s{number}"), taken))
    assert len(taken) == 254
    with pytest.raises(LookupError, match="ns/one-more"):
        address(service("one-more"), taken)


def test_an_address_that_was_asked_for_is_given():
    assert address(service(loadBalancerIP="203.0.113.77"), set()) == "203.0.113.77"


def test_given_addresses_are_seen():
    assert addresses([service(ip="203.0.113.9"), service()]) == {"203.0.113.9"}
