"""An estimate adds what is known and names what is not."""

import pytest

from llm_serving import catalog
from llm_serving.planning.clouds import EXISTING, GCP
from llm_serving.planning.cost import estimate
from tests.unit.planning.builders import entry, existing_pool, pool


def test_minimum_and_maximum_are_nodes_times_price():
    wanted = pool(capacity=[entry(min=1, max=3), entry(market="spot", min=0, max=4)])
    cost = estimate(GCP, "us-central1", [wanted])
    price = catalog.price("gcp", "g2-standard-12", "us-central1")
    assert price is not None
    assert cost.min_usd_per_hour == price.on_demand
    assert cost.max_usd_per_hour == pytest.approx(3 * price.on_demand + 4 * price.spot)
    assert cost.complete
    assert [line.market for line in cost.lines] == ["on-demand", "spot"]
    assert cost.max_usd_per_month == pytest.approx(730 * cost.max_usd_per_hour, abs=0.01)


def test_an_unknown_price_is_named_with_the_nearest_region_that_has_one_and_never_guessed():
    wanted = pool("h100", "H100-80GB", [entry(machineType="a3-highgpu-8g", min=1, max=1)])
    cost = estimate(GCP, "us-central1", [wanted])
    (line,) = cost.lines
    assert line.usd_per_hour is line.min_usd_per_hour is line.max_usd_per_hour is None
    assert cost.max_usd_per_hour == 0
    assert not cost.complete
    assert "us-east4 has 87.8325" in line.note
    assert "us-east4" in cost.unknown[0]


def test_the_nearest_region_is_on_the_same_continent_even_where_another_is_cheaper():
    wanted = pool("h100", "H100-80GB", [entry(machineType="a3-highgpu-8g")])
    (line,) = estimate(GCP, "europe-west1", [wanted]).lines
    assert "europe-west4 has 111.8172" in line.note


def test_a_machine_without_any_price_says_so():
    wanted = pool("b200", "B200", [entry(machineType="a4-highgpu-8g")])
    (line,) = estimate(GCP, "us-central1", [wanted]).lines
    assert line.note == "no price is recorded in any region"


def test_a_reservation_is_paid_for_whether_it_is_used_or_not():
    wanted = pool(capacity=[entry(market="reservation", reservation="block-1", min=0, max=2)])
    cost = estimate(GCP, "us-central1", [wanted])
    assert cost.min_usd_per_hour == cost.max_usd_per_hour > 0
    assert "reservation" in cost.lines[0].note


def test_flex_start_has_no_known_price():
    cost = estimate(GCP, "us-central1", [pool(capacity=[entry(market="flex-start")])])
    assert "flex-start" in cost.unknown[0]


def test_existing_nodes_cost_their_owner():
    cost = estimate(EXISTING, "", [existing_pool(nodes=3)])
    assert cost.lines[0].min_nodes == 3
    assert not cost.complete


def test_what_is_left_out_is_said():
    left_out = " ".join(estimate(GCP, "us-central1", []).left_out)
    for part in ("system nodes", "cluster fee", "NAT", "disks", "network"):
        assert part in left_out
