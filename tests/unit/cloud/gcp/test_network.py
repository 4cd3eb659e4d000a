from dataclasses import replace

import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.addons import table
from llm_serving.addons.addon import Addon
from tests.unit.cloud.gcp.environment import cluster, gpu_pool, network


def test_no_node_has_a_public_address() -> None:
    for recording in (cluster(), gpu_pool()):
        for pool in recording.all("container/nodePool:NodePool"):
            assert pool["networkConfig.enablePrivateNodes"] is True
    assert cluster().one("container/cluster:Cluster")["privateClusterConfig.enablePrivateNodes"] is True


def test_nodes_pods_and_services_have_ranges_of_their_own() -> None:
    subnet = network(ranges={"nodes": "10.1.0.0/20", "pods": "10.4.0.0/14", "services": "10.1.16.0/20"}).one(
        name="network-nodes"
    )
    assert subnet["ipCidrRange"] == "10.1.0.0/20"
    assert {r["rangeName"]: r["ipCidrRange"] for r in subnet["secondaryIpRanges"]} == {
        "pods": "10.4.0.0/14",
        "services": "10.1.16.0/20",
    }


def test_names_of_the_ranges_are_those_of_the_subnet() -> None:
    recording = network()
    ranges = {r["rangeName"] for r in recording.one(name="network-nodes")["secondaryIpRanges"]}
    assert {recording.output("podsRangeName"), recording.output("servicesRangeName")} == ranges


def test_gkes_own_range_of_services_takes_nothing_of_the_subnet() -> None:
    recording = network(ranges={"services": "34.118.224.0/20"})
    assert [r["rangeName"] for r in recording.one(name="network-nodes")["secondaryIpRanges"]] == ["pods"]
    services = recording.output("servicesRangeName")
    policy = cluster(args={"services_range_name": services}).one("container/cluster:Cluster")["ipAllocationPolicy"]
    assert {key: value for key, value in policy.items() if value is not None} == {"clusterSecondaryRangeName": "pods"}


@pytest.mark.parametrize(
    ("ranges", "path", "hint"),
    [
        ({"services": "34.118.224.0/24"}, "ranges.services", "34.118.224.0/20"),
        ({"services": "34.118.0.0/16"}, "ranges.services", "34.118.224.0/20"),
        ({"pods": "34.118.224.0/20"}, "ranges.pods", "10."),
    ],
)
def test_gkes_own_range_is_for_services_alone_and_whole(ranges: dict[str, str], path: str, hint: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        network(ranges=ranges)
    errors = {error["property_path"]: error["reason"] for error in caught.value.errors or []}
    assert set(errors) == {path}
    assert f"try: {hint}" in errors[path]


def test_gateways_get_a_proxy_only_subnet() -> None:
    proxies = network().one(name="network-proxies")
    assert (proxies["purpose"], proxies["role"]) == ("REGIONAL_MANAGED_PROXY", "ACTIVE")
    assert proxies.get("logConfig") is None, "flow logs are refused there"


def test_the_network_makes_no_subnets_by_itself() -> None:
    assert network().one("compute/network:Network")["autoCreateSubnetworks"] is False


def test_googles_apis_are_reached_without_the_internet() -> None:
    recording = network()
    assert recording.one(name="network-nodes")["privateIpGoogleAccess"] is True
    zone = recording.one(name="network-googleapis-com")
    assert zone["visibility"] == "private"
    address = recording.one(name="network-googleapis-com-addresses")
    assert (address["name"], address["type"]) == ("googleapis.com.", "A")
    hosts = recording.one(name="network-googleapis-com-hosts")
    assert (hosts["name"], hosts["rrdatas"]) == ("*.googleapis.com.", ["googleapis.com."])


def test_policies_name_the_addresses_that_dns_answers() -> None:
    from ipaddress import ip_address, ip_network

    recording = network()
    reach = recording.output("reach")
    answered = recording.one(name="network-googleapis-com-addresses")["rrdatas"]
    allowed = [ip_network(block) for block in reach["storageEgress"]]
    assert all(any(ip_address(address) in block for block in allowed) for address in answered)


def test_policies_name_the_metadata_server_as_any_dataplane_sees_it() -> None:
    reach = network().output("reach")
    assert set(reach["identityEgress"]) == {"169.254.169.254/32", "169.254.169.252/32"}
    assert {80, 988} <= set(reach["identityPorts"])
    assert (reach["storagePorts"], reach["dnsEgress"]) == ([443], ["169.254.169.254/32"])


def test_gateway_sources_of_the_contract_are_let_in_by_the_firewall() -> None:
    recording = network(ranges={"proxies": "10.9.0.0/23"})
    assert set(recording.output("reach")["gatewaySources"]) == set(
        recording.one(name="network-gateways")["sourceRanges"]
    )
    assert "10.9.0.0/23" in recording.output("reach")["gatewaySources"]


def test_only_serving_ports_of_pods_are_open_to_others_and_only_to_gateways() -> None:
    recording = network(serving_ports=[8000, 4000])
    ours = {"10.0.0.0/20", "10.64.0.0/14"}
    rules = [rule for rule in recording.all("compute/firewall:Firewall") if rule.get("allows")]
    opened = [rule for rule in rules if not set(rule["sourceRanges"]) <= ours]
    assert [rule.name for rule in opened] == ["network-gateways"]
    assert opened[0]["allows"] == [{"protocol": "tcp", "ports": ["8000", "4000"]}]
    assert opened[0]["destinationRanges"] == ["10.64.0.0/14"]
    assert "0.0.0.0/0" not in opened[0]["sourceRanges"]


def reached_by_the_control_plane(port: int, nodes: str, pods: str) -> bool:
    """GKE opens 443 and 10250 by itself (GKE documentation, "Automatically created firewall rules"); all else has to
    come from the node subnet, where the endpoint of the control plane is, or from pods, where its agents are."""
    if port in (443, 10250):
        return True
    for rule in network(
        ranges={"nodes": nodes, "pods": pods, "services": "10.1.16.0/20", "proxies": "10.9.0.0/23"}
    ).all("compute/firewall:Firewall"):
        if {nodes, pods} <= set(rule["sourceRanges"]) and rule["destinationRanges"] == [pods]:
            return any(allowed["protocol"] == "tcp" and str(port) in allowed["ports"] for allowed in rule["allows"])
    return False


@pytest.mark.parametrize("addon", table.ADDONS, ids=lambda addon: addon.name)
def test_the_api_server_reaches_webhooks_and_aggregated_apis_of_every_addon(addon: Addon) -> None:
    for port in addon.control_plane_ports:
        assert reached_by_the_control_plane(port, "10.1.0.0/20", "10.4.0.0/14"), port
    assert not reached_by_the_control_plane(9999, "10.1.0.0/20", "10.4.0.0/14")


def test_an_addon_that_is_new_in_the_table_is_reached_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ADDONS", (replace(table.KEDA, control_plane_ports=(9999,)),))
    assert reached_by_the_control_plane(9999, "10.1.0.0/20", "10.4.0.0/14")


def test_what_is_refused_is_logged_and_does_not_come_before_gkes_own_rules() -> None:
    rule = network().one(name="network-refusal")
    assert rule["denies"] == [{"protocol": "all"}]
    assert rule["priority"] > 1000
    assert rule["logConfig"]


def test_nodes_reach_the_internet_by_nat_that_logs_errors_only() -> None:
    nat = network().one("compute/routerNat:RouterNat")
    assert nat["natIpAllocateOption"] == "AUTO_ONLY"
    assert nat["natIps"] == []
    assert nat["logConfig"] == {"enable": True, "filter": "ERRORS_ONLY"}
    assert [s["sourceIpRangesToNats"] for s in nat["subnetworks"]] == [["ALL_IP_RANGES"]]


def test_nat_has_fixed_addresses_on_request() -> None:
    recording = network(ranges={"nat_addresses": 2})
    nat = recording.one("compute/routerNat:RouterNat")
    addresses = recording.all("compute/address:Address")
    assert len(addresses) == 2
    assert nat["natIpAllocateOption"] == "MANUAL_ONLY"
    assert len(nat["natIps"]) == 2
    assert all(recording.depends_on(nat, address) for address in addresses)


@pytest.mark.parametrize(("sampling", "logged"), [(0.25, True), (0, False)])
def test_flow_logs_are_sampled(sampling: float, logged: bool) -> None:
    config = network(ranges={"flow_log_sampling": sampling}).one(name="network-nodes").get("logConfig")
    assert (config is not None) == logged
    assert config is None or config["flowSampling"] == sampling


def test_overlapping_ranges_are_refused_with_their_path() -> None:
    with pytest.raises(InputPropertiesError) as caught:
        network(ranges={"nodes": "10.0.0.0/20", "services": "10.0.0.0/20"})
    assert {error["property_path"] for error in (caught.value.errors or [])} == {"ranges.services"}


def test_a_range_that_is_none_is_refused_with_its_path() -> None:
    with pytest.raises(InputPropertiesError) as caught:
        network(ranges={"nodes": "10.0.0.1/20"})
    assert [error["property_path"] for error in (caught.value.errors or [])] == ["ranges.nodes"]


def test_whoever_has_the_subnet_finds_the_way_out_ready() -> None:
    """The subnet's id waits for NAT, DNS and firewall, so nodes do as well."""
    import pulumi
    import pulumi_gcp as gcp

    from llm_serving.cloud.gcp import GcpNetwork
    from tests.unit.recording import record

    def program() -> None:
        ours = GcpNetwork("network", {"project": "test-project", "region": "us-central1", "name": "test"})
        gcp.compute.Instance(
            "node",
            machine_type="e2-small",
            boot_disk=gcp.compute.InstanceBootDiskArgs(),
            network_interfaces=[gcp.compute.InstanceNetworkInterfaceArgs(subnetwork=ours.subnet_id)],
            opts=pulumi.ResourceOptions(),
        )

    recording = record(program)
    node = recording.one(name="node")
    for name in ("network-nat", "network-gateways", "network-googleapis-com-hosts"):
        assert recording.depends_on(node, recording.one(name=name)), name
