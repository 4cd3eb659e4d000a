"""GKE clusters: each is a real control plane on this machine, reached under names like the cloud's own.

Not simulated: Autopilot (refused), upgrades of running clusters (the version is recorded), and the difference
between networks: this machine counts as inside of the cluster's network.
"""

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_serving.errors import Problem, nearest
from local.cluster import ClusterError, LocalCluster
from local.providers import host_names
from local.providers.gcp import functions, gke, locations
from local.providers.gcp.cloud import GoogleError, project_number
from local.providers.gcp.kinds import Kind
from local.providers.gcp.node_pool import POOL, check_sizes, refuse_unknown_account
from local.providers.gcp.nodes import PoolShape, check_accelerators, node_config, sizes
from local.providers.properties import Properties, reveal
from local.providers.provider import CloudError
from local.providers.simulated.types import long_number

_SUBNET = "gcp:compute/subnetwork:Subnetwork"
_DEFAULT_POOL = "default-pool"
_POOL_WAIT = 300.0


class Cluster(Kind):
    """A cluster with its control plane and, if it keeps one, its default pool."""

    def check(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """What the Terraform provider refuses before anything is made."""
        problems: list[Problem] = []
        if inputs.get("enableAutopilot") is True:
            refused = ("removeDefaultNodePool", "nodePools", "clusterAutoscaling", "nodeConfig")
            problems += [
                Problem(key, None, "cannot be used with enableAutopilot")
                for key in refused
                if inputs.get(key) is not None
            ]
        location = inputs.get("location")
        if isinstance(location, str) and not locations.exists(location):
            problems.append(
                Problem("location", location, "no such region or zone", nearest(location, locations.regions()))
            )
        policy = inputs.get("ipAllocationPolicy")
        if isinstance(policy, Mapping):
            problems += [
                Problem(f"ipAllocationPolicy.{block}", policy[block], f"cannot be used with {name}")
                for block, name in (
                    ("clusterIpv4CidrBlock", "clusterSecondaryRangeName"),
                    ("servicesIpv4CidrBlock", "servicesSecondaryRangeName"),
                )
                if policy.get(block) is not None and policy.get(name) is not None
            ]
        private = inputs.get("privateClusterConfig")
        block = private.get("masterIpv4CidrBlock") if isinstance(private, Mapping) else None
        if isinstance(block, str) and not block.endswith("/28"):
            problems.append(Problem("privateClusterConfig.masterIpv4CidrBlock", block, "not a /28"))
        encryption = inputs.get("databaseEncryption")
        if isinstance(encryption, Mapping) and encryption.get("state") == "ENCRYPTED" and not encryption.get("keyName"):
            problems.append(Problem("databaseEncryption.keyName", None, "required where state is ENCRYPTED"))
        pods = inputs.get("defaultMaxPodsPerNode")
        if isinstance(pods, int) and not 8 <= pods <= 256:
            problems.append(Problem("defaultMaxPodsPerNode", pods, "outside of 8 to 256"))
        node_locations = inputs.get("nodeLocations")
        if isinstance(node_locations, list) and isinstance(location, str) and locations.exists(location):
            zones = locations.zones(locations.region_of(location))
            for index, zone in enumerate(node_locations):
                if isinstance(zone, str) and zone not in zones:
                    problems.append(
                        Problem(
                            f"nodeLocations[{index}]",
                            zone,
                            f"not a zone of {locations.region_of(location)}",
                            ", ".join(zones),
                        )
                    )
                elif zone == location:
                    problems.append(
                        Problem(f"nodeLocations[{index}]", zone, "the cluster's own zone must not be listed")
                    )
        inline = inputs.get("nodePools")
        for index, pool in enumerate(inline if isinstance(inline, list) else ()):
            if isinstance(pool, Mapping):
                problems += check_sizes(pool, f"nodePools[{index}]")
        return problems

    def refuse_create(self, id: str, known: Properties) -> None:
        """Sizes, ranges and versions that the GKE API refuses."""
        if known.get("enableAutopilot"):
            raise CloudError(f"{id}: the local cloud has no Autopilot; set enableAutopilot to false")
        if not known.get("nodePools") and not known.get("initialNodeCount"):
            raise GoogleError(
                400,
                "Cluster.initial_node_count must be greater than zero (with removeDefaultNodePool too: the default "
                "pool is made first)",
                "badRequest",
            )
        self._ranges(known)
        _version(known)
        refuse_unknown_account(self.cloud, known.get("nodeConfig") or {}, known["project"])
        for shape in self._own_pools(known):
            check_accelerators(shape.config, shape.machine)

    def create(self, id: str, known: Properties, timeout: float) -> Properties:
        """Start a control plane, give it what GKE brings along, and make its names known."""
        directory = self._directory(known)
        local = LocalCluster(directory)
        version = _version(known)
        existed = local.exists()
        try:
            local.create(
                kubernetes_version=version.partition("-")[0],
                admission_plugins=gke.ADMISSION_PLUGINS,
                bucket_weights=self.cloud.state_folder.bucket_weights.folder,
            )
            gke.Equipment.of(known, version).install(local)
            self._realize_pools(local, known)
            note = local.version_note()
            if note and not existed:
                self.cloud.engine.info(f"{known['name']}: {note}")
            return self._outputs(id, known, {}, local, version)
        except ClusterError as error:
            if not existed:
                local.delete()
            raise CloudError(f"error on creation of cluster {id}: {error}") from None

    def update(self, id: str, outputs: Properties, known: Properties, timeout: float) -> Properties:
        """Change settings; a control plane that does not run is started."""
        self._ranges(known)
        local = LocalCluster(self._directory(known))
        version = _version(known, str(outputs.get("masterVersion") or ""))
        try:
            local.start()
            equipment = gke.Equipment.of(known, version)
            if equipment != gke.Equipment.of(outputs, str(outputs.get("masterVersion"))):
                equipment.install(local)
            self._realize_pools(local, known)
            return self._outputs(id, known, outputs, local, version)
        except ClusterError as error:
            raise CloudError(f"error on update of cluster {id}: {error}") from None

    def refuse_delete(self, id: str, outputs: Properties) -> None:
        """The provider itself guards a protected cluster."""
        if outputs.get("deletionProtection", True):
            raise CloudError(
                f"Cannot destroy cluster {id} because deletion_protection is set to true. Set it to false to proceed "
                "with cluster deletion, and run an update first"
            )

    def delete(self, id: str, outputs: Properties, timeout: float) -> None:
        """Everything of it goes: names, pools, processes, folder."""
        directory = self._directory(outputs)
        host_names.unregister(host_names.of(directory, self.cloud.state_folder), self.cloud.state_folder)
        LocalCluster(directory).delete()
        for record in self.cloud.store.all(POOL):
            if record.id.startswith(f"{id}/nodePools/"):
                self.cloud.store.remove(POOL, record.id)

    def refresh(self, id: str, outputs: Properties) -> Properties | None:
        """A cluster without its folder is gone."""
        return outputs if LocalCluster(self._directory(reveal(outputs))).exists() else None

    def _directory(self, known: Mapping[str, Any]) -> Path:
        return self.cloud.state_folder.cluster(str(known["project"]), str(known["location"]), str(known["name"]))

    # Network

    def _ranges(self, known: Properties) -> None:
        """The named ranges have to be those of the subnet."""
        policy = known.get("ipAllocationPolicy") or {}
        subnet = self.cloud.look_up(_SUBNET, known["subnetwork"], known) if known.get("subnetwork") else None
        if subnet is None:
            return
        ranges = {item["rangeName"] for item in subnet.inputs.get("secondaryIpRanges") or ()}
        for key, use in (("clusterSecondaryRangeName", "Pod"), ("servicesSecondaryRangeName", "Services")):
            name = policy.get(key)
            if name is not None and name not in ranges:
                raise GoogleError(
                    400,
                    f"{use} secondary range '{name}' does not exist in subnetwork '{subnet.id}' (it has "
                    f"{', '.join(sorted(ranges)) or 'none'})",
                    "badRequest",
                )
        region = subnet.outputs.get("region")
        if region and region != locations.region_of(known["location"]):
            raise GoogleError(
                400, f"Subnetwork '{subnet.id}' is not in the region of the cluster, {known['location']}", "badRequest"
            )

    def _range(self, known: Mapping[str, Any], name_key: str, block_key: str, default: str) -> str:
        policy = known.get("ipAllocationPolicy") or {}
        subnet = self.cloud.look_up(_SUBNET, known["subnetwork"], known) if known.get("subnetwork") else None
        for item in (subnet.inputs.get("secondaryIpRanges") or ()) if subnet else ():
            if item["rangeName"] == policy.get(name_key):
                return str(item["ipCidrRange"])
        block = str(policy.get(block_key) or "")
        return block if block and not block.startswith("/") else default

    # Pools that the cluster itself owns

    def _own_pools(self, known: Mapping[str, Any]) -> list[PoolShape]:
        inline = known.get("nodePools") or []
        if not inline and known.get("removeDefaultNodePool"):
            return []
        if not inline:
            inline = [
                {"name": _DEFAULT_POOL, "nodeCount": known["initialNodeCount"], "nodeConfig": known.get("nodeConfig")}
            ]
        zones = tuple(_zones(known))
        return [self._own_pool(known, pool, index, zones) for index, pool in enumerate(inline)]

    def _own_pool(
        self, known: Mapping[str, Any], pool: Mapping[str, Any], index: int, zones: tuple[str, ...]
    ) -> PoolShape:
        node_locations = tuple(pool.get("nodeLocations") or zones)
        smallest, largest = sizes(pool, len(node_locations))
        return PoolShape(
            cluster=str(known["name"]),
            project=str(known["project"]),
            name=str(pool.get("name") or f"{_DEFAULT_POOL}-{index}"),
            config=node_config(pool.get("nodeConfig")),
            zones=node_locations,
            min=smallest,
            max=largest,
            max_pods=int(pool.get("maxPodsPerNode") or known.get("defaultMaxPodsPerNode") or 110),
            private=bool((known.get("privateClusterConfig") or {}).get("enablePrivateNodes")),
        )

    def _realize_pools(self, local: LocalCluster, known: Mapping[str, Any]) -> None:
        for shape in self._own_pools(known):
            local.put_pool(shape.node_pool())
            local.wait_pool(shape.name, _POOL_WAIT)

    # What the program gets to see

    def _outputs(self, id: str, known: Properties, old: Properties, local: LocalCluster, version: str) -> Properties:
        access = known.get("controlPlaneEndpointsConfig") or {}
        before = (old.get("controlPlaneEndpointsConfig") or {}).get("dnsEndpointConfig") or {}
        region = locations.region_of(known["location"])
        uid = os.urandom(16).hex()
        host = before.get("endpoint") or f"gke-{uid}-{project_number(known['project'])}.{region}.gke.goog"
        dns = {"allowExternalTraffic": False, **(access.get("dnsEndpointConfig") or {}), "endpoint": host}
        ip = {"enabled": True, **(access.get("ipEndpointsConfig") or {})}
        addresses = _Addresses.of(id, known)
        hosts = [host] if dns["allowExternalTraffic"] else []
        hosts += [addresses.private, addresses.public] if ip["enabled"] else []
        self._publish(hosts, local.directory)
        private = {
            "enablePrivateNodes": False,
            "enablePrivateEndpoint": False,
            **(known.get("privateClusterConfig") or {}),
            "privateEndpoint": addresses.private,
            "publicEndpoint": addresses.public,
            "peeringName": "",
        }
        ca = base64.b64encode(local.endpoint().ca_pem.encode()).decode()
        workload = known.get("workloadIdentityConfig")
        return {
            "endpoint": addresses.private if private["enablePrivateEndpoint"] else addresses.public,
            "controlPlaneEndpointsConfig": {**access, "dnsEndpointConfig": dns, "ipEndpointsConfig": ip},
            "privateClusterConfig": private,
            "masterAuth": {
                "clientCertificateConfig": {"issueClientCertificate": False},
                **(known.get("masterAuth") or {}),
                "clientCertificate": "",
                "clientKey": "",
                "clusterCaCertificate": ca,
            },
            "masterVersion": version,
            "emulatedVersion": ".".join(version.split(".")[:2]),
            "nodeVersion": known.get("nodeVersion") or version,
            "nodeLocations": _zones(known, listed_only=True),
            "clusterIpv4Cidr": known.get("clusterIpv4Cidr")
            or self._range(known, "clusterSecondaryRangeName", "clusterIpv4CidrBlock", "10.4.0.0/14"),
            "servicesIpv4Cidr": self._range(
                known, "servicesSecondaryRangeName", "servicesIpv4CidrBlock", "34.118.224.0/20"
            ),
            "releaseChannel": known.get("releaseChannel") or {"channel": "REGULAR"},
            "operation": "",
            **({"workloadIdentityConfig": workload} if workload else {}),
        }

    def _publish(self, hosts: list[str], directory: Path) -> None:
        """Make these names, and no others, stand for the control plane."""
        state_folder = self.cloud.state_folder
        host_names.unregister(host_names.of(directory, state_folder) - set(hosts), state_folder)
        for host in hosts:
            host_names.register(host, directory, state_folder)


class _Addresses:
    """The addresses of a control plane: made from its id, so that they stay."""

    def __init__(self, public: str, private: str) -> None:
        self.public = public
        self.private = private

    @classmethod
    def of(cls, id: str, known: Mapping[str, Any]) -> "_Addresses":
        number = long_number(id)
        block = (known.get("privateClusterConfig") or {}).get("masterIpv4CidrBlock")
        private = f"10.{200 + number % 50}.{number // 50 % 250}.2"
        if block:
            private = f"{block.rpartition('.')[0]}.{int(block.rpartition('.')[2].partition('/')[0]) + 2}"
        return cls(f"35.{190 + number % 60}.{number // 60 % 250}.{2 + number // 15000 % 250}", private)


def _zones(known: Mapping[str, Any], *, listed_only: bool = False) -> list[str]:
    """The zones of a cluster's nodes; ``nodeLocations`` leaves out a zonal cluster's own."""
    location = str(known["location"])
    listed: list[str] = list(known.get("nodeLocations") or ())
    if locations.is_zone(location):
        return listed if listed_only else [location, *listed]
    return listed or locations.zones(location)[:3]


def _version(known: Mapping[str, Any], current: str = "") -> str:
    """The version of the control plane: what was asked for, or the channel's default.

    Raises:
        GoogleError: 400 where there is no such version.
    """
    channel = str((known.get("releaseChannel") or {}).get("channel") or "REGULAR")
    wanted = str(known.get("minMasterVersion") or "")
    if not wanted or wanted == "latest":
        return current or functions.default_version(channel)
    if current and gke.release(current) >= gke.release(wanted):
        return current
    valid = [item for listed in functions.versions()["channels"].values() for item in listed]
    matching = [item for item in valid if item == wanted or item.startswith((f"{wanted}.", f"{wanted}-"))]
    if not matching:
        raise GoogleError(
            400,
            f'Master version "{wanted}" is unsupported (try: {", ".join(sorted(set(valid)))})',
            "badRequest",
        )
    return max(matching, key=gke.release)
