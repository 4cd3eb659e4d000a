"""A model costs its share of the nodes that it runs on: every release, canaries and placeholders included."""

import pytest

from llm_serving.planning.clouds import EXISTING, GCP
from llm_serving.planning.instance_cost import capacity_costs, gpu_range
from tests.unit.planning.builders import entry, existing_pool, model, pool

THREE = {"stable": "1.1.0", "canary": {"release": "1.0.0", "weight": 10, "replicas": 2}}


def test_canaries_and_placeholders_cost_as_much_as_other_instances():
    canary = model(releases=THREE, replicas=3, warmPool={"placeholders": 2})
    assert gpu_range(canary, [1, 1]) == (3 + 2 + 2, 3 + 2 + 2)
    assert gpu_range(model(autoscaling={"min": 1, "max": 5}), [1]) == (1, 5)


def test_releases_of_different_size_are_counted_with_their_own():
    canary = model(releases=THREE, replicas=3, warmPool={"placeholders": 1})
    assert gpu_range(canary, [2, 4]) == (3 * 2 + 2 * 4 + 2, 3 * 2 + 2 * 4 + 2)


def test_an_instance_costs_its_part_of_a_node():
    h100 = pool("h100", "H100-80GB", [entry(machineType="a3-highgpu-8g", market="spot")])
    (spot,) = capacity_costs(GCP, "us-east4", h100, model(autoscaling={"min": 1, "max": 3}), [2])
    # A node of 8 GPUs at 20.0445 USD an hour (catalog).
    assert spot.instance == pytest.approx(20.0445 * 2 / 8)
    assert (spot.fewest, spot.most) == (spot.instance, pytest.approx(3 * 20.0445 * 2 / 8))


def test_existing_nodes_have_no_known_price():
    (existing,) = capacity_costs(EXISTING, "", existing_pool(), model(), [2])
    assert (existing.market, existing.instance, existing.fewest, existing.most) == ("existing", None, None, None)
