"""Figures that are printed, beside the objects that are planned."""

from math import ceil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llm_serving.planning.clouds import GCP
from llm_serving.planning.replicas import plan_replicas
from stacks.cli import app
from stacks.settings import Stack, read_settings_file, resolve
from tests.unit.stacks.settings_files import REPOSITORY, put, settings_data, write_settings


def _stack(path: Path) -> Stack:
    return resolve(read_settings_file(path), str(path))


@pytest.mark.parametrize("stack", ["dev", "staging", "prod", "prod-aws"])
def test_a_pool_costs_at_least_the_nodes_of_its_models_fewest_instances(stack: str) -> None:
    planned = _stack(REPOSITORY / f"Pulumi.{stack}.yaml")
    for pool in planned.settings.pools:
        lines = [line for line in planned.cost.lines if line.pool == pool.name]
        gpus = sum(
            served.plan.gpus * instances.replicas
            for model in planned.models
            if model.spec.pool == pool.name
            for served, instances in zip(model.releases, plan_replicas(model.spec), strict=True)
        )
        assert sum(line.min_nodes for line in lines) >= ceil(gpus / planned.cloud.pool_node(pool).gpus) > 0
        for line in lines:
            if line.usd_per_hour is not None:
                assert line.min_usd_per_hour == pytest.approx(line.min_nodes * line.usd_per_hour, abs=1e-3)
                assert line.max_usd_per_hour == pytest.approx(line.max_nodes * line.usd_per_hour, abs=1e-3)


def test_a_base_costs_capacity_that_is_not_taken_away_and_the_rest_what_is_preferred(tmp_path: Path) -> None:
    data = settings_data()
    spot = {"market": "spot", "machineType": "g2-standard-8", "max": 4}
    put(data, "pools[0].capacity", [spot, spot | {"market": "on-demand"}])
    put(data, "models[0].autoscaling", {"min": 3, "max": 6})
    put(data, "models[0].onDemandBase", 2)
    planned = _stack(write_settings(tmp_path, data))
    assert [(line.market, line.min_nodes) for line in planned.cost.lines] == [("spot", 1), ("on-demand", 2)]


def test_a_pool_costs_the_nodes_that_its_pods_take_where_their_number_fills_nodes_first(tmp_path: Path) -> None:
    """A node of eight GPUs holds two pods where its cluster allows no more beside those that the cloud starts."""
    data = settings_data()
    machine = {"market": "on-demand", "machineType": "g2-standard-96", "max": 6}
    put(data, "pools[0].capacity", [machine])
    put(data, "pools[0].localSsd", True)
    put(data, "models[0].autoscaling", {"min": 6, "max": 6})
    put(data, "cluster.maxPodsPerNode", 110)
    (line,) = _stack(write_settings(tmp_path, data)).cost.lines
    assert line.min_nodes == 1
    assert GCP.daemon_pods is not None
    put(data, "cluster.maxPodsPerNode", GCP.daemon_pods + 2)
    (line,) = _stack(write_settings(tmp_path, data)).cost.lines
    assert line.min_nodes == 3


def test_a_canary_is_printed_and_counted_with_all_instances_that_it_scales_to(tmp_path: Path) -> None:
    data = settings_data()
    put(data, "pools[0].capacity[0].max", 6)
    put(data, "models[0].autoscaling", {"min": 1, "max": 3})
    put(data, "models[0].releases", {"stable": "1.1.0", "canary": {"release": "1.0.0", "weight": 10}})
    write_settings(tmp_path, data)
    planned = _stack(tmp_path / "Pulumi.dev.yaml")
    assert [instances.most for instances in plan_replicas(planned.models[0].spec)] == [3, 3]
    (line,) = planned.cost.lines
    assert (line.min_nodes, line.max_nodes) == (2, 6)
    done = CliRunner().invoke(app, ["plan", "dev", "--folder", str(tmp_path), "--plain"])
    assert "canary, weight 10 % not in force: no gateway" in " ".join(done.output.split())
    assert done.output.count("1-3 x 1") == 2
