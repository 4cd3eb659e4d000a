import pytest
from pulumi.errors import InputPropertiesError

from llm_serving.serving import TeamNamespace
from tests.unit.recording import record
from tests.unit.serving.manifests import assert_valid


def team(**changes):
    arguments = {
        "team": {"name": "chat", "viewers": ["readers@example.com"], "editors": ["platform@example.com"]},
        "gpu_quota": 4,
        "labels": {"environment": "test"},
        **changes,
    }
    return record(lambda: TeamNamespace("chat", arguments))


def rules(recording, role):
    return recording.one("kubernetes:rbac.authorization.k8s.io/v1:Role", f"chat-{role}")["rules"]


def allowed(recording, role):
    return {
        (group, resource, verb)
        for rule in rules(recording, role)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_every_object_is_valid_for_kubernetes_and_a_child_of_the_component():
    recording = team()
    assert_valid(recording)
    owner = recording.one("llm-serving:index:TeamNamespace")
    assert len(recording.children(owner)) == len(recording.resources) - 1
    assert recording.output("namespace") == "chat"


def test_pod_security_restricted_is_enforced_audited_and_warned_of_at_a_pinned_version():
    labels = team().one("kubernetes:core/v1:Namespace")["metadata.labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert labels[f"pod-security.kubernetes.io/{mode}-version"] == "v1.34"


def test_users_labels_cannot_switch_pod_security_off():
    labels = team(labels={"pod-security.kubernetes.io/enforce": "privileged"}).one("kubernetes:core/v1:Namespace")
    assert labels["metadata.labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_gpu_quota_counts_requests_of_the_resource_that_was_named():
    assert team().one("ResourceQuota")["spec.hard"] == {"requests.nvidia.com/gpu": "4"}
    assert team(gpu_quota=0, gpu_resource="amd.com/gpu").one("ResourceQuota")["spec.hard"] == {
        "requests.amd.com/gpu": "0"
    }


def test_containers_that_say_nothing_get_requests_and_no_cpu_limit():
    (limit,) = team().one("LimitRange")["spec.limits"]
    assert limit["type"] == "Container"
    assert set(limit["defaultRequest"]) == {"cpu", "memory"}
    assert set(limit["default"]) == {"memory"}


def test_the_default_service_account_mounts_no_token_and_goes_with_the_namespace():
    recording = team()
    account = recording.one("kubernetes:core/v1:ServiceAccountPatch")
    assert account["metadata.name"] == "default"
    assert account["automountServiceAccountToken"] is False
    assert recording.depends_on(account, recording.one("ResourceQuota"))
    assert account.deleted_with == recording.one("kubernetes:core/v1:Namespace").urn


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_nobody_touches_secrets_roles_quotas_or_policies(role):
    resources = {resource for _, resource, verb in allowed(team(), role)}
    assert not resources & {"secrets", "roles", "rolebindings", "serviceaccounts/token", "pods/exec", "*"}
    changed = {resource for _, resource, verb in allowed(team(), role) if verb not in ("get", "list", "watch")}
    assert not changed & {"resourcequotas", "limitranges", "networkpolicies", "serviceaccounts"}


def test_viewers_change_nothing():
    assert {verb for _, _, verb in allowed(team(), "viewer")} == {"get", "list", "watch"}


def test_editors_see_what_viewers_see_and_change_workloads():
    recording = team()
    assert allowed(recording, "viewer") < allowed(recording, "editor")
    assert ("apps", "deployments", "patch") in allowed(recording, "editor")


def test_groups_are_bound_to_their_role():
    recording = team()
    for role, group in (("viewer", "readers@example.com"), ("editor", "platform@example.com")):
        binding = recording.one("RoleBinding", f"chat-{role}s")
        role_object = recording.one("kubernetes:rbac.authorization.k8s.io/v1:Role", f"chat-{role}")
        assert binding["roleRef.name"] == role_object["metadata.name"] == role
        assert [subject["name"] for subject in binding["subjects"]] == [group]
        assert recording.depends_on(binding, role_object)


def test_a_team_without_groups_has_no_bindings():
    assert team(team={"name": "chat"}).all("RoleBinding") == []


def test_two_teams_share_a_program():
    def program():
        for name in ("chat", "search"):
            TeamNamespace(name, {"team": {"name": name}, "gpu_quota": 1})

    assert len(record(program).all("kubernetes:core/v1:Namespace")) == 2


def test_a_negative_quota_is_refused_with_its_path():
    with pytest.raises(InputPropertiesError) as caught:
        team(gpu_quota=-1)
    assert [detail["property_path"] for detail in caught.value.errors or []] == ["gpuQuota"]


def policies(**changes):
    return {policy["metadata.name"]: policy for policy in team(**changes).all("NetworkPolicy")}


def test_a_namespace_is_closed_but_for_what_serving_needs():
    default = policies()
    assert set(default) == {"default-deny", "dns", "serving", "clients", "metrics", "cloud"}
    assert default["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert set(policies(from_internet=True)) - set(default) == {"hub"}


def test_engines_are_reached_from_their_namespace_and_from_where_clients_come_only():
    def sources(**changes):
        (rule,) = policies(**changes)["serving"]["spec.ingress"]
        return rule["from"]

    assert sources() == [{"podSelector": {}}]
    assert sources(reach={"gatewaySources": ["10.1.0.0/24"]}) == [
        {"podSelector": {}},
        {"ipBlock": {"cidr": "10.1.0.0/24"}},
    ]


def test_where_the_cloud_has_no_endpoints_nothing_is_opened_for_them():
    assert policies()["cloud"]["spec.egress"] == []
    (rule,) = policies(reach={"storageEgress": ["199.36.153.8/30"]})["cloud"]["spec.egress"]
    assert rule["to"] == [{"ipBlock": {"cidr": "199.36.153.8/30"}}]


def test_prometheus_finds_the_engines_of_a_team_that_is_monitored():
    assert team().all("PodMonitor") == []
    monitor = team(monitored=True).one("kubernetes:monitoring.coreos.com/v1:PodMonitor")
    assert monitor["metadata.namespace"] == "chat"


def test_loaders_that_write_a_bucket_get_an_account_of_their_own():
    identity = {"serviceAccount": "model-loader", "namespace": "chat", "annotations": {"cloud.example/as": "writer"}}
    account = team(loader_identity=identity).one("kubernetes:core/v1:ServiceAccount")
    assert (account["metadata.name"], account["metadata.annotations"]) == ("model-loader", identity["annotations"])
    assert account["automountServiceAccountToken"] is False


def test_a_reach_that_is_no_contract_is_refused():
    with pytest.raises(InputPropertiesError):
        team(reach={"gatewaySource": []})


def test_editors_run_commands_in_pods_only_where_the_team_says_so_and_viewers_never():
    people = {"name": "chat", "viewers": ["readers@example.com"], "editors": ["platform@example.com"]}
    commands = {("", "pods/exec", "create"), ("", "pods/exec", "get")}
    assert not commands & allowed(team(), "editor")
    recording = team(team={**people, "editors_exec": True})
    assert commands <= allowed(recording, "editor")
    assert not commands & allowed(recording, "viewer")
    assert allowed(recording, "editor") - commands == allowed(team(), "editor")
