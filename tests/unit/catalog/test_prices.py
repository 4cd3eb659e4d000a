"""Prices are complete as far as they are known, and unknown ones stay unknown."""

from itertools import chain

from llm_serving import catalog


def all_prices():
    machines = chain.from_iterable(catalog.machine_types(cloud) for cloud in catalog.CLOUDS)
    return [price for machine in machines for price in catalog.prices(machine.cloud, machine.name)]


def test_every_row_of_the_source_is_there():
    prices = all_prices()
    assert len(prices) == 263
    assert len({(p.cloud, p.machine_type) for p in prices}) == 55


def test_unknown_prices_stay_unknown():
    on_demand_unknown = [p for p in all_prices() if p.cloud == "gcp" and p.on_demand is None]
    assert len(on_demand_unknown) == 36 + 4  # and a4-highgpu-8g in its four regions
    placeholder = catalog.price("gcp", "a4-highgpu-8g", "us-central1")
    assert placeholder is not None
    assert placeholder.on_demand is placeholder.spot is None
    assert catalog.price("gcp", "g2-standard-4", "mars-north1") is None


def test_spot_is_never_dearer_than_on_demand():
    for price in all_prices():
        if price.on_demand is not None and price.spot is not None:
            assert 0 < price.spot <= price.on_demand


def test_prices_known_by_heart_are_right():
    p5 = catalog.price("aws", "p5.48xlarge", "us-east-1")
    assert p5 is not None
    assert p5.on_demand == 55.04


def test_more_gpus_of_a_gcp_series_cost_proportionally_more():
    for region in ("us-central1", "us-west1"):
        one = catalog.price("gcp", "a2-highgpu-1g", region)
        eight = catalog.price("gcp", "a2-highgpu-8g", region)
        assert one is not None
        assert eight is not None
        assert abs(eight.on_demand - 8 * one.on_demand) < 0.01  # type: ignore[operator]


def test_priced_machines_are_offered_in_a_zone_of_the_region():
    for price in all_prices():
        machine = catalog.machine_type(price.cloud, price.machine_type)
        if machine.zones:
            assert [zone for zone in machine.zones if zone.startswith(f"{price.region}-")], price
