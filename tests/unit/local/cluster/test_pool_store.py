"""What is wanted of a pool survives in its file until its nodes are gone."""

import pytest

from local.cluster import pool_store
from tests.unit.planning.simulation.builders import gpu_pool


def test_a_pool_survives_its_file(tmp_path):
    pool = gpu_pool(compute_class="m", provider_id="gce://p/{zone}/{name}")
    pool_store.write(tmp_path, pool)
    assert pool_store.read_all(tmp_path) == [pool]


def test_a_name_cannot_leave_the_folder(tmp_path):
    with pytest.raises(ValueError, match="cannot be a pool's name"):
        pool_store.write(tmp_path, gpu_pool("../evil"))


def test_a_deleted_pool_is_known_until_its_nodes_are_gone(tmp_path):
    pool_store.write(tmp_path, gpu_pool())
    assert pool_store.mark_deleted(tmp_path, "gpu")
    assert pool_store.read_all(tmp_path)[0].deleted
    pool_store.forget(tmp_path, "gpu")
    assert not pool_store.is_known(tmp_path, "gpu")
    assert not pool_store.mark_deleted(tmp_path, "gpu")
