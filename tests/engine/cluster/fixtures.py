"""Fixtures of every test on a running cluster; a ``cluster`` fixture says which."""

import uuid

import pytest

from tests.engine.cluster.helpers import eventually


@pytest.fixture(scope="session")
def api(cluster):
    """A connection as administrator."""
    return cluster.client()


@pytest.fixture
def namespace(api):
    """A namespace of the test's own."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    made = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    eventually(lambda: api.find("v1", "ServiceAccount", "default", name))  # without it no pod is admitted
    yield name
    api.delete(made)
