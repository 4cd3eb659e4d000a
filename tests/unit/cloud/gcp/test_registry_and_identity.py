import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pulumi.errors import InputPropertiesError

from llm_serving.cloud.gcp.names import account_id, node_account_id
from tests.unit.cloud.gcp.environment import LABELS, identity, registry
from tests.unit.recording import Recording

REPOSITORY = "artifactregistry/repository:Repository"


def test_tags_never_move() -> None:
    repository = registry().one(REPOSITORY)
    assert repository["format"] == "DOCKER"
    assert repository["dockerConfig.immutableTags"] is True


def test_images_are_scanned() -> None:
    assert registry().one(REPOSITORY)["vulnerabilityScanningConfig.enablementConfig"] == "INHERITED"


def test_cleaning_up_spares_tagged_and_recent_images() -> None:
    policies = {policy["id"]: policy for policy in registry().one(REPOSITORY)["cleanupPolicies"]}
    deleting = [policy for policy in policies.values() if policy["action"] == "DELETE"]
    assert [policy["condition"]["tagState"] for policy in deleting] == ["UNTAGGED"]
    assert policies["keep-recent"]["mostRecentVersions"]["keepCount"] >= 10
    assert registry().one(REPOSITORY)["cleanupPolicyDryRun"] is False


def test_readers_read_and_nothing_else() -> None:
    recording = registry("a@x.iam.gserviceaccount.com", "b@x.iam.gserviceaccount.com")
    grants = recording.all("artifactregistry/repositoryIamMember:RepositoryIamMember")
    assert {(grant["role"], grant["member"]) for grant in grants} == {
        ("roles/artifactregistry.reader", "serviceAccount:a@x.iam.gserviceaccount.com"),
        ("roles/artifactregistry.reader", "serviceAccount:b@x.iam.gserviceaccount.com"),
    }


def test_images_are_streamed_to_nodes_whose_account_is_our_own() -> None:
    """GKE documentation, "Use Image streaming to pull container images": such an account needs the role on the project
    that hosts the images."""
    grants = registry("a@x.iam.gserviceaccount.com").all("projects/iAMMember:IAMMember")
    assert [(grant["project"], grant["role"], grant["member"]) for grant in grants] == [
        ("test-project", "roles/serviceusage.serviceUsageConsumer", "serviceAccount:a@x.iam.gserviceaccount.com")
    ]


def test_a_repository_that_is_there_is_opened_to_readers_and_not_made() -> None:
    recording = registry("a@x.iam.gserviceaccount.com", create=False)
    assert recording.all(REPOSITORY) == []
    grant = recording.one("artifactregistry/repositoryIamMember:RepositoryIamMember")
    assert (grant["project"], grant["location"], grant["repository"]) == ("test-project", "us-central1", "images")
    assert recording.all("projects/iAMMember:IAMMember")
    assert recording.output("repositoryUrl") == "us-central1-docker.pkg.dev/test-project/images"


def test_images_that_come_through_a_remote_repository_may_be_pulled() -> None:
    recording = registry("a@x.iam.gserviceaccount.com", create=False, pull_through="docker-hub")
    grants = recording.all("artifactregistry/repositoryIamMember:RepositoryIamMember")
    assert {(grant["repository"], grant["role"]) for grant in grants} == {
        ("images", "roles/artifactregistry.reader"),
        ("docker-hub", "roles/artifactregistry.reader"),
    }
    assert recording.all(REPOSITORY) == []


def test_repository_url_is_what_an_image_name_follows() -> None:
    recording = registry()
    assert recording.output("repositoryUrl") == "us-central1-docker.pkg.dev/test-project/images"
    assert recording.one(REPOSITORY)["labels"] == LABELS


def test_one_kubernetes_service_account_may_act_as_the_workload() -> None:
    grant = identity().one("serviceaccount/iAMMember:IAMMember")
    assert grant["role"] == "roles/iam.workloadIdentityUser"
    assert grant["member"] == "serviceAccount:test-project.svc.id.goog[team-a/llama]"


@pytest.mark.parametrize(
    ("role", "granted"), [("reader", "roles/storage.objectViewer"), ("writer", "roles/storage.objectUser")]
)
def test_a_workload_has_one_role_on_one_bucket_and_none_on_the_project(role: str, granted: str) -> None:
    recording = identity(role=role)
    grant = recording.one("storage/bucketIAMMember:BucketIAMMember")
    assert (grant["bucket"], grant["role"]) == ("test-project-models", granted)
    assert grant["member"] == recording.one("serviceaccount/account:Account").outputs["member"]
    assert not [r for r in recording if r.type.startswith("gcp:projects/")]


def test_binding_names_the_google_account_to_gke() -> None:
    recording = identity()
    binding = recording.output("binding")
    assert binding["annotations"] == {"iam.gke.io/gcp-service-account": recording.output("email")}
    assert (binding["namespace"], binding["serviceAccount"]) == ("team-a", "llama")


def account(recording: Recording) -> str:
    return recording.one("serviceaccount/account:Account")["accountId"]


NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)


@given(NAMES, NAMES, NAMES)
def test_ids_of_accounts_are_ids_that_iam_takes(cluster: str, team: str, model: str) -> None:
    """6 to 30 characters, lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen
    (IAM REST reference, projects.serviceAccounts.create, accountId)."""
    for identifier in (account_id(cluster, team, model), account_id(cluster * 3, team * 3, model * 3)):
        assert re.fullmatch(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])", identifier), identifier
    assert re.fullmatch(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])", node_account_id(cluster))


@given(st.lists(st.tuples(NAMES, NAMES, NAMES), min_size=2, max_size=20, unique=True))
@example([("c", "chat", "eu-qwen"), ("c", "chat-eu", "qwen"), ("c-chat", "eu", "qwen"), ("c", "team", "nodes")])
@example([("c" * 30, "team", "qwen"), ("c" * 30, "team", "llama")])
def test_no_two_workloads_share_an_account(workloads: list[tuple[str, str, str]]) -> None:
    """A project has one space of ids for all clusters, teams and models: a shared account is access to another's
    weights."""
    identifiers = [account_id(*workload) for workload in workloads]
    assert len({*identifiers, node_account_id("c"), node_account_id("c-team")}) == len(workloads) + 2


def test_a_workloads_account_is_told_apart_by_cluster_namespace_and_name() -> None:
    assert account(identity()) == account_id("serving", "team-a", "llama")


@pytest.mark.parametrize(
    ("args", "path"),
    [({"role": "owner"}, "role"), ({"namespace": "Team_A"}, "namespace"), ({"project": "X"}, "project")],
)
def test_wrong_settings_are_refused_with_their_path(args: dict[str, str], path: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        identity(**args)
    assert [error["property_path"] for error in (caught.value.errors or [])] == [path]
