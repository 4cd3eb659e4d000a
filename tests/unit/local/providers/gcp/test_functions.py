from pathlib import Path

import grpc
import pytest

from local.providers.gcp.cloud import project_number
from tests.unit.local.providers.engine import RefusedError
from tests.unit.local.providers.gcp.google import PROJECT, details, run


def test_a_project_has_the_same_number_everywhere(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        project = engine.invoke("gcp:organizations/getProject:getProject", {"projectId": "other-1"})
        own = engine.invoke("gcp:organizations/getProject:getProject", {})
        listed = engine.invoke("gcp:projects/getProject:getProject", {"filter": "id:other-1"})
    assert project["number"] == str(project_number("other-1")) == listed["projects"][0]["number"]
    assert own["projectId"] == PROJECT
    assert len(project["number"]) == 12


def test_zones_regions_and_versions_can_be_looked_up(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        assert engine.invoke("gcp:compute/getZones:getZones", {})["names"][0] == "us-central1-a"
        assert "europe-west4" in engine.invoke("gcp:compute/getRegions:getRegions", {})["names"]
        versions = engine.invoke(
            "gcp:container/getEngineVersions:getEngineVersions", {"location": "us-central1", "versionPrefix": "1.34."}
        )
        assert versions["latestMasterVersion"].startswith("1.34.")
        assert all(version.startswith("1.34.") for version in versions["validMasterVersions"])
        assert set(versions["releaseChannelDefaultVersion"]) == {"RAPID", "REGULAR", "STABLE", "EXTENDED"}


def test_service_agents_have_their_real_addresses(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        account = engine.invoke("gcp:storage/getProjectServiceAccount:getProjectServiceAccount", {})
        identity = engine.create(
            "gcp:projects/serviceIdentity:ServiceIdentity", "gke", {"service": "container.googleapis.com"}
        )
    number = project_number(PROJECT)
    assert account["emailAddress"] == f"service-{number}@gs-project-accounts.iam.gserviceaccount.com"
    assert identity.outputs["email"] == f"service-{number}@container-engine-robot.iam.gserviceaccount.com"


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        with pytest.raises(RefusedError, match="regon"):
            engine.invoke("gcp:compute/getZones:getZones", {"regon": "us-central1"})
        with pytest.raises(RefusedError, match="no such region"):
            engine.invoke("gcp:compute/getZones:getZones", {"region": "us-centrl1"})


def test_a_function_without_an_answer_says_so(tmp_path: Path) -> None:
    with run(tmp_path) as engine:
        with pytest.raises(grpc.RpcError) as caught:
            engine.invoke("gcp:compute/getImage:getImage", {"family": "debian-12"})
        assert "does not answer this function" in details(caught.value)
        with pytest.raises(grpc.RpcError) as caught:
            engine.invoke("gcp:compute/getNothing:getNothing", {})
        assert "the SDK has no such function" in details(caught.value)
