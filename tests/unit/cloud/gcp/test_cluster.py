import json
from typing import Any

import pytest
from kubernetes.config.kube_config import KubeConfigLoader
from pulumi.errors import InputPropertiesError

from tests.unit.cloud.gcp.environment import LABELS, REGION, ZONES, cluster, model_cache, registry

CLUSTER = "container/cluster:Cluster"
POOL = "container/nodePool:NodePool"


def test_control_plane_is_reached_by_its_dns_endpoint_alone() -> None:
    control_plane = cluster().one(CLUSTER)
    endpoints = control_plane["controlPlaneEndpointsConfig"]
    assert endpoints["dnsEndpointConfig"]["allowExternalTraffic"] is True
    assert endpoints["ipEndpointsConfig"]["enabled"] is False
    assert control_plane.get("masterAuthorizedNetworksConfig") is None
    assert "enablePrivateEndpoint" not in control_plane["privateClusterConfig"]


@pytest.mark.parametrize("mode", ["authorized", "private"])
def test_a_change_between_public_and_private_address_is_never_ignored(mode: str) -> None:
    ranges = ["203.0.113.0/24"] if mode == "authorized" else []
    control_plane = cluster(access={"mode": mode, "authorized": ranges}).one(CLUSTER)
    assert set(control_plane.ignore_changes) == {"initialNodeCount", "nodeConfig"}


def test_authorized_access_names_its_ranges_and_no_others() -> None:
    control_plane = cluster(access={"mode": "authorized", "authorized": ["203.0.113.0/24"]}).one(CLUSTER)
    networks = control_plane["masterAuthorizedNetworksConfig"]
    assert [block["cidrBlock"] for block in networks["cidrBlocks"]] == ["203.0.113.0/24"]
    assert networks["gcpPublicCidrsAccessEnabled"] is False
    assert networks["privateEndpointEnforcementEnabled"] is False
    assert control_plane["controlPlaneEndpointsConfig.dnsEndpointConfig.allowExternalTraffic"] is False
    assert control_plane["privateClusterConfig.enablePrivateEndpoint"] is False


def test_ranges_beside_the_dns_endpoint_open_a_public_address_for_them_alone() -> None:
    recording = cluster(access={"mode": "dns", "authorized": ["203.0.113.0/24"]})
    control_plane = recording.one(CLUSTER)
    assert control_plane["controlPlaneEndpointsConfig.dnsEndpointConfig.allowExternalTraffic"] is True
    assert control_plane["controlPlaneEndpointsConfig.ipEndpointsConfig.enabled"] is True
    assert control_plane["privateClusterConfig.enablePrivateEndpoint"] is False
    blocks = control_plane["masterAuthorizedNetworksConfig.cidrBlocks"]
    assert [block["cidrBlock"] for block in blocks] == ["203.0.113.0/24"]
    assert control_plane["masterAuthorizedNetworksConfig.privateEndpointEnforcementEnabled"] is False
    assert "privateClusterConfig.enablePrivateEndpoint" not in control_plane.ignore_changes
    assert recording.output("endpoint").endswith(".gke.goog")


def test_a_project_of_a_domain_is_named_as_each_service_writes_it() -> None:
    project = "example.com:my-project"
    recording = cluster(args={"project": project})
    assert recording.output("nodeServiceAccount") == "serving-nodes@my-project.example.com.iam.gserviceaccount.com"
    assert all(
        pool["nodeConfig.serviceAccount"] == recording.output("nodeServiceAccount") for pool in recording.all(POOL)
    )
    images = registry(project=project)
    assert images.output("repositoryUrl") == "us-central1-docker.pkg.dev/example.com/my-project/images"
    bucket = model_cache(args={"project": project}).one("storage/bucket:Bucket")
    assert bucket["name"] == "example-com-my-project-models"


@pytest.mark.parametrize(
    "project", ["my_project", "My-project", "example.com:", ":my-project", "a:my-project", "x.y:z\n"]
)
def test_what_is_no_id_of_a_project_is_refused(project: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        cluster(args={"project": project})
    assert [error["property_path"] for error in caught.value.errors or []] == ["project"]


@pytest.mark.parametrize(
    ("machine", "disk"), [("c4-standard-4", "hyperdisk-balanced"), ("c3d-standard-4", "pd-balanced")]
)
def test_system_nodes_get_a_boot_disk_that_their_series_takes(machine: str, disk: str) -> None:
    pool = cluster(system_pool={"machine_type": machine}).one(POOL)
    assert pool["nodeConfig.diskType"] == disk


def test_private_access_has_no_public_address_and_lets_nobody_in_from_outside() -> None:
    control_plane = cluster(access={"mode": "private"}).one(CLUSTER)
    assert control_plane["privateClusterConfig.enablePrivateEndpoint"] is True
    assert control_plane["masterAuthorizedNetworksConfig.cidrBlocks"] == []
    # GKE enforces the list on the public endpoint alone unless it is told otherwise (REST reference,
    # MasterAuthorizedNetworksConfig.privateEndpointEnforcementEnabled).
    assert control_plane["masterAuthorizedNetworksConfig.privateEndpointEnforcementEnabled"] is True
    assert control_plane["controlPlaneEndpointsConfig.dnsEndpointConfig.allowExternalTraffic"] is False


@pytest.mark.parametrize("mode", ["dns", "authorized", "private"])
def test_kubeconfig_holds_no_credentials(mode: str) -> None:
    ranges = ["203.0.113.0/24"] if mode == "authorized" else []
    text = cluster(access={"mode": mode, "authorized": ranges}).output("kubeconfig")
    user = json.loads(text)["users"][0]["user"]
    assert set(user) == {"exec"}
    assert user["exec"]["command"] == "gke-gcloud-auth-plugin"
    assert not {"token", "password", "client-key", "client-key-data", "client-certificate-data"} & set(user)


@pytest.mark.parametrize(("mode", "pinned"), [("dns", False), ("private", True)])
def test_kubeconfig_pins_the_authority_where_it_is_the_clusters_own(mode: str, pinned: bool) -> None:
    cluster_entry = json.loads(cluster(access={"mode": mode}).output("kubeconfig"))["clusters"][0]["cluster"]
    assert ("certificate-authority-data" in cluster_entry) == pinned
    assert cluster_entry["server"].endswith(".gke.goog") != pinned


def test_kubernetes_own_client_reads_the_kubeconfig() -> None:
    recording = cluster()
    loader = KubeConfigLoader(json.loads(recording.output("kubeconfig")))
    assert loader.current_context["name"] == "serving"
    assert (
        recording.output("endpoint") in json.loads(recording.output("kubeconfig"))["clusters"][0]["cluster"]["server"]
    )


def test_default_pool_is_removed_and_its_description_never_replaces_the_cluster() -> None:
    control_plane = cluster().one(CLUSTER)
    assert control_plane["removeDefaultNodePool"] is True
    assert control_plane["initialNodeCount"] == 1
    assert {"initialNodeCount", "nodeConfig"} <= set(control_plane.ignore_changes)


def test_nodes_have_an_identity_of_their_own_with_the_least_role() -> None:
    recording = cluster()
    account = recording.one("serviceaccount/account:Account")
    grant = recording.one("projects/iAMMember:IAMMember")
    assert grant["role"] == "roles/container.defaultNodeServiceAccount"
    assert grant["member"] == account.outputs["member"]
    assert recording.one(POOL)["nodeConfig.serviceAccount"] == account.outputs["email"]
    assert recording.one(CLUSTER)["nodeConfig.serviceAccount"] == account.outputs["email"]
    assert recording.output("nodeServiceAccount") == account.outputs["email"]


def test_long_cluster_names_still_make_an_account_id() -> None:
    name = "a-cluster-with-the-longest-nam"
    account = cluster(name=name).one("serviceaccount/account:Account")["accountId"]
    assert 6 <= len(account) <= 30
    assert account != cluster(name="a-cluster-with-the-longest-nat").one("serviceaccount/account:Account")["accountId"]


def test_pods_get_no_identity_of_the_node() -> None:
    recording = cluster()
    assert recording.one(CLUSTER)["workloadIdentityConfig.workloadPool"] == "test-project.svc.id.goog"
    assert recording.one(POOL)["nodeConfig.workloadMetadataConfig.mode"] == "GKE_METADATA"


def test_nodes_are_shielded() -> None:
    recording = cluster()
    assert recording.one(CLUSTER)["enableShieldedNodes"] is True
    assert recording.one(POOL)["nodeConfig.shieldedInstanceConfig"] == {
        "enableIntegrityMonitoring": True,
        "enableSecureBoot": True,
    }


def test_kms_keys_are_protected() -> None:
    recording = cluster()
    assert recording.one("kms/cryptoKey:CryptoKey").protect
    assert recording.one("kms/keyRing:KeyRing").protect
    assert recording.one(CLUSTER).protect


def test_an_environment_without_deletion_protection_can_go_as_a_whole() -> None:
    recording = cluster(deletion_protection=False)
    assert recording.one(CLUSTER)["deletionProtection"] is False
    assert not [resource for resource in recording if resource.protect]


def test_secrets_are_encrypted_with_a_key_that_gke_may_use_before_the_cluster_exists() -> None:
    recording = cluster()
    key = recording.one("kms/cryptoKey:CryptoKey")
    grant = recording.one("kms/cryptoKeyIAMMember:CryptoKeyIAMMember")
    control_plane = recording.one(CLUSTER)
    assert control_plane["databaseEncryption"] == {"state": "ENCRYPTED", "keyName": key.outputs["id"]}
    assert grant["member"].endswith("@container-engine-robot.iam.gserviceaccount.com")
    assert recording.depends_on(control_plane, grant)
    assert int(key["rotationPeriod"].removesuffix("s")) <= 90 * 24 * 3600


def test_without_encryption_there_is_no_key_and_the_cluster_lets_go_of_one() -> None:
    recording = cluster(encrypt_secrets=False)
    assert not recording.all("kms/cryptoKey:CryptoKey")
    assert recording.one(CLUSTER)["databaseEncryption"] == {"state": "DECRYPTED"}


def test_a_key_ring_is_new_each_time_because_google_never_deletes_one() -> None:
    assert "name" not in cluster().one("kms/keyRing:KeyRing").inputs


def test_a_regional_cluster_spans_its_zones() -> None:
    control_plane = cluster().one(CLUSTER)
    assert (control_plane["location"], control_plane["nodeLocations"]) == (REGION, ZONES)


def test_a_zonal_cluster_lives_in_its_first_zone() -> None:
    control_plane = cluster(regional=False).one(CLUSTER)
    assert (control_plane["location"], control_plane["nodeLocations"]) == (ZONES[0], ZONES[1:])


def test_whoever_has_the_clusters_name_waits_for_the_system_pool() -> None:
    """GKE leaves the GPU taint out while a cluster has GPU nodes only."""
    import pulumi
    import pulumi_gcp as gcp

    from llm_serving.cloud.gcp import GcpCluster
    from tests.unit.recording import record

    def program() -> None:
        ours = GcpCluster(
            "cluster",
            {
                "project": "test-project",
                "region": REGION,
                "cluster": {"name": "serving", "zones": ZONES},
                "network_id": "n",
                "subnet_id": "s",
                "pods_range_name": "pods",
                "services_range_name": "services",
            },
        )
        gcp.container.NodePool("gpus", cluster=ours.name, opts=pulumi.ResourceOptions())

    recording = record(program)
    assert recording.depends_on(recording.one(POOL, "gpus"), recording.one(POOL, "cluster-system"))


def test_clusters_name_is_known_in_a_preview() -> None:
    assert cluster(preview=True).output("name") == "serving"


def test_system_pool_is_sized_by_the_autoscaler() -> None:
    pool = cluster(system_pool={"machine_type": "e2-standard-8", "min": 1, "max": 5}).one(POOL)
    assert pool["autoscaling"] == {"minNodeCount": 1, "maxNodeCount": 5, "locationPolicy": "BALANCED"}
    assert "nodeCount" not in pool.inputs
    assert pool.ignore_changes == ("initialNodeCount",)
    assert pool["nodeConfig.machineType"] == "e2-standard-8"


def test_what_the_rest_needs_of_gke_is_switched_on() -> None:
    control_plane = cluster().one(CLUSTER)
    assert control_plane["datapathProvider"] == "ADVANCED_DATAPATH"
    assert control_plane["addonsConfig.gcsFuseCsiDriverConfig.enabled"] is True
    assert control_plane["nodePoolDefaults.nodeConfigDefaults.gcfsConfig.enabled"] is True
    assert control_plane["costManagementConfig.enabled"] is True
    assert control_plane["monitoringConfig.managedPrometheus.enabled"] is True
    assert "DCGM" in control_plane["monitoringConfig.enableComponents"]
    assert control_plane["clusterAutoscaling"] == {"enabled": False, "autoscalingProfile": "OPTIMIZE_UTILIZATION"}


def test_gke_leaves_the_definitions_of_the_gateway_api_alone_unless_it_is_to_bring_them() -> None:
    assert cluster().one(CLUSTER)["gatewayApiConfig.channel"] == "CHANNEL_DISABLED"
    assert cluster(args={"gateway_api": True}).one(CLUSTER)["gatewayApiConfig.channel"] == "CHANNEL_STANDARD"


def test_nobody_gets_in_without_a_name() -> None:
    control_plane = cluster().one(CLUSTER)
    assert control_plane["anonymousAuthenticationConfig.mode"] == "LIMITED"
    assert control_plane["masterAuth.clientCertificateConfig.issueClientCertificate"] is False
    assert control_plane["enableLegacyAbac"] is False


def test_gke_looks_up_the_groups_of_people_where_it_is_told_who_keeps_them() -> None:
    group = "gke-security-groups@example.com"
    assert cluster(security_group=group).one(CLUSTER)["authenticatorGroupsConfig.securityGroup"] == group


def test_a_maintenance_window_past_midnight_ends_on_the_next_day() -> None:
    policy = cluster(maintenance={"start": "2026-01-03T22:00:00Z", "hours": 8}).one(CLUSTER)["maintenancePolicy"]
    assert policy["recurringWindow"]["endTime"] == "2026-01-04T06:00:00Z"


def test_nothing_is_upgraded_around_a_launch() -> None:
    launch = {
        "name": "launch",
        "start": "2026-12-01T00:00:00Z",
        "end": "2026-12-14T00:00:00Z",
        "scope": "minor-and-nodes",
    }
    policy = cluster(maintenance={"exclusions": [launch]}).one(CLUSTER)["maintenancePolicy"]
    assert policy["maintenanceExclusions"] == [
        {
            "exclusionName": "launch",
            "startTime": launch["start"],
            "endTime": launch["end"],
            "exclusionOptions": {"scope": "NO_MINOR_OR_NODE_UPGRADES"},
        }
    ]


def test_release_channel_and_version_are_those_asked_for() -> None:
    control_plane = cluster(release_channel="stable", version="1.35").one(CLUSTER)
    assert control_plane["releaseChannel.channel"] == "STABLE"
    assert control_plane["minMasterVersion"] == "1.35"
    assert "minMasterVersion" not in cluster().one(CLUSTER).inputs


def test_cluster_nodes_and_key_carry_the_labels_of_the_bill() -> None:
    recording = cluster()
    assert recording.one(CLUSTER)["resourceLabels"] == LABELS
    assert recording.one(POOL)["nodeConfig.resourceLabels"] == LABELS
    assert recording.one("kms/cryptoKey:CryptoKey")["labels"] == LABELS


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"access": {"mode": "open"}}, "cluster.access.mode"),
        ({"access": {"mode": "authorized"}}, "cluster.access.authorized"),
        ({"zones": ["europe-west4-a"]}, "cluster.zones[0]"),
        ({"system_pool": {"machine_type": "e2-standrad-4"}}, "cluster.systemPool.machineType"),
        ({"max_pods": 32}, "cluster.max_pods"),
        ({"maintenance": {"hours": 1}}, "cluster.maintenance.hours"),
    ],
)
def test_wrong_settings_are_refused_with_their_path(settings: dict[str, Any], path: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        cluster(**settings)
    assert [error["property_path"] for error in (caught.value.errors or [])] == [path]
