"""Fixtures of every test on a running cluster; a ``cluster`` fixture says which."""

import uuid

import pytest


@pytest.fixture(scope="session")
def api(cluster):
    """A connection as administrator."""
    return cluster.client()


@pytest.fixture
def namespace(api):
    """A namespace of the test's own."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    made = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    api.delete(made)
