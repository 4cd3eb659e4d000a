"""What is said of add-ons outside of the table agrees with it; what is not said follows from it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from llm_serving.addons import cluster_addons, table
from llm_serving.addons.addon import Addon, AddonProvider, AddonService, Chart
from llm_serving.addons.cluster_addons import ClusterAddons, ClusterAddonsArgs, ClusterAddonsInputs
from llm_serving.planning.addons import plan_addons
from llm_serving.planning.clouds import CLOUDS, EXISTING, GCP
from llm_serving.planning.rules.names import check_names
from llm_serving.serving.namespace import TeamNamespaceInputs
from llm_serving.serving.roles import editor_rules, viewer_rules
from llm_serving.spec import AddonSource, AddonsSpec, TeamSpec
from local.cluster.autoscaling import programs
from local.endpoint.serving_clusters import OwnNode
from local.providers.kubernetes import releases
from local.state_folder import StateFolder
from tests.unit.planning.builders import model, pool, stack
from tests.unit.recording import record

PAGE = (Path(__file__).resolve().parents[3] / "docs/addons.md").read_text()
NOT_ADDONS = {"priority_classes"}
"""Settings of ``addons`` that install no chart."""

IMAGINARY = Addon(
    name="backup",
    title="Backup",
    namespace="backup-system",
    chart=Chart("backup", "backup", "1.2.3", "https://charts.example.com"),
    values=lambda context: {**context.placement.values(), "with": sorted(context.installed)},
    needed_by=lambda spec, pool: spec.replicas > 1,
    providers={"gcp": AddonProvider.STACK, "existing": AddonProvider.USER},
    control_plane_ports=(9444,),
    readable={"backup.example.com": ("backups",)},
    service=AddonService("backups", {"app": "backup"}, 7000, clients=("keda",)),
)


def check_settings():
    sources = {name for name, field in AddonsSpec.model_fields.items() if field.annotation is AddonSource}
    names = {addon.name for addon in table.ADDONS}
    assert sources - NOT_ADDONS == names
    switches = {name for name, field in ClusterAddonsInputs.model_fields.items() if field.annotation is bool}
    assert switches == names
    assert names <= ClusterAddonsArgs.__annotations__.keys()


def row(addon):
    chart = addon.chart.name.rpartition("/")[2]
    ports = ", ".join(map(str, addon.control_plane_ports)) or "none"
    return (
        f"| {addon.title} | `addons.{to_camel(addon.name)}` | `{chart}` {addon.chart.version} | `{addon.namespace}` |",
        f"| {ports} |",
    )


def check_documentation():
    for addon in table.ADDONS:
        begin, end = row(addon)
        lines = [line for line in PAGE.splitlines() if line.startswith(begin)]
        assert [line.endswith(end) for line in lines] == [True], addon.name


def check_local_definitions():
    charts = {releases.chart_name(addon.chart.name) for addon in table.ADDONS}
    assert charts <= releases._charts().keys()


CHECKS = [check_settings, check_documentation, check_local_definitions]


@pytest.mark.parametrize("check", CHECKS)
def test_every_addon_has_its_setting_its_row_and_its_local_definitions(check):
    check()


def test_no_two_addons_share_a_name_a_namespace_or_a_release():
    for key in (lambda a: a.name, lambda a: a.namespace, lambda a: a.chart.release):
        assert len({key(addon) for addon in table.ADDONS}) == len(table.ADDONS)


def test_every_addon_says_who_brings_it_on_every_cloud_and_where_the_api_server_calls_it():
    for addon in table.ADDONS:
        assert addon.providers.keys() == CLOUDS.keys()
        assert all(1 <= port <= 65535 for port in addon.control_plane_ports)


def test_clients_of_a_service_are_addons_too():
    names = {addon.name for addon in table.ADDONS}
    assert {client for addon in table.ADDONS if addon.service for client in addon.service.clients} <= names


def test_the_namespace_that_scrapes_is_by_default_that_of_the_addon():
    assert AddonsSpec().monitoring_namespace == table.MONITORING.namespace
    assert TeamNamespaceInputs.model_fields["monitoring_namespace"].default == table.MONITORING.namespace


def test_the_local_node_stands_for_addons_by_their_names_and_ports(tmp_path, monkeypatch):
    assert table.KEDA.namespace == programs.NAMESPACE
    assert programs.FIXED_PORTS[programs.WEBHOOKS] in table.KEDA.control_plane_ports
    assert programs.FIXED_PORTS[programs.PROMETHEUS] == table.PROMETHEUS_PORT
    node = OwnNode(StateFolder(tmp_path))
    monkeypatch.setattr(node.cluster, "addresses", lambda: type("Addresses", (), {"node": "10.0.0.1"}))
    names = {to_camel(addon.name) for addon in table.ADDONS}
    there = node.addons(scales=True, has_gateway=True)
    assert {setting for setting, value in there.items() if value == AddonSource.EXISTING} <= names


@pytest.fixture
def imaginary_addon(monkeypatch):
    """One more entry, and its setting."""

    class Inputs(ClusterAddonsInputs):
        backup: bool = False

    monkeypatch.setattr(table, "ADDONS", (*table.ADDONS, IMAGINARY))
    monkeypatch.setattr(cluster_addons, "ClusterAddonsInputs", Inputs)
    return IMAGINARY


class Settings(AddonsSpec):
    """Settings with the field of the imaginary add-on."""

    backup: AddonSource = AddonSource.INSTALL


def test_a_new_entry_is_planned_where_a_model_needs_it_and_the_stack_brings_it(imaginary_addon):
    several = [model(replicas=2)]
    assert plan_addons(Settings(), several, [pool()], GCP) == (imaginary_addon,)
    assert plan_addons(Settings(), [model()], [pool()], GCP) == ()
    assert plan_addons(Settings(), several, [pool()], EXISTING) == ()
    assert plan_addons(Settings(backup=AddonSource.EXISTING), several, [pool()], GCP) == ()


def test_a_new_entry_is_installed_in_its_namespace_behind_its_policy(imaginary_addon):
    nodes = {"system": "true"}
    given: Any = {"keda": True, "backup": True, "node_selector": nodes}
    recording = record(lambda: ClusterAddons("addons", given))
    release = recording.one("kubernetes:helm.sh/v3:Release", "addons-backup")
    assert (release["name"], release["namespace"], release["version"]) == ("backup", imaginary_addon.namespace, "1.2.3")
    assert release["values"] == {"nodeSelector": nodes, "tolerations": [], "with": ["backup", "keda"]}
    policy = recording.one("NetworkPolicy")
    assert (policy["metadata.name"], policy["metadata.namespace"]) == ("backups", imaginary_addon.namespace)
    within, clients = policy["spec.ingress"]
    assert within == {"from": [{"podSelector": {}}]}
    assert clients["ports"] == [{"protocol": "TCP", "port": 7000}]
    assert clients["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "keda"}
    assert recording.output("installed") == ["keda", "backup"]


def test_no_team_can_have_the_namespace_of_a_new_entry(imaginary_addon):
    (problem,) = check_names(stack(teams=(TeamSpec(name=imaginary_addon.namespace),)))
    assert problem.path == "teams[0].name"


def test_teams_may_read_and_not_change_the_custom_resources_of_a_new_entry(imaginary_addon):
    for rules in (viewer_rules(), editor_rules()):
        assert [set(rule.verbs) for rule in rules if rule.group == "backup.example.com"] == [{"get", "list", "watch"}]


@pytest.mark.parametrize("check", CHECKS)
def test_what_a_new_entry_still_lacks_is_an_error(imaginary_addon, check):
    with pytest.raises(AssertionError):
        check()


def test_a_changed_version_is_an_error_until_its_row_says_it(monkeypatch):
    changed = replace(table.KEDA, chart=replace(table.KEDA.chart, version="9.9.9"))
    monkeypatch.setattr(table, "ADDONS", (changed,))
    with pytest.raises(AssertionError, match="keda"):
        check_documentation()
