import pytest
from pulumi.errors import InputPropertiesError

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


def test_workloads_with_long_names_keep_accounts_of_their_own() -> None:
    long = "a-namespace-with-a-very-long-name"
    one, other = account(identity(namespace=long)), account(identity(namespace=long, service_account="qwen"))
    assert len(one) <= 30
    assert len(other) <= 30
    assert one != other


def test_clusters_of_one_project_do_not_share_accounts() -> None:
    assert account(identity(name="serving-a")) != account(identity(name="serving-b"))


@pytest.mark.parametrize(
    ("args", "path"),
    [({"role": "owner"}, "role"), ({"namespace": "Team_A"}, "namespace"), ({"project": "X"}, "project")],
)
def test_wrong_settings_are_refused_with_their_path(args: dict[str, str], path: str) -> None:
    with pytest.raises(InputPropertiesError) as caught:
        identity(**args)
    assert [error["property_path"] for error in (caught.value.errors or [])] == [path]
