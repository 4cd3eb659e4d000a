"""What the gateway knows of each model."""

import pytest

from llm_serving.planning.gateway import longest_stay_seconds, model_endpoint
from llm_serving.planning.rules.gateway.models import note_models
from llm_serving.spec import (
    GatewayModelSpec,
    GatewaySpec,
    GatewayTimeoutsSpec,
    ImageReference,
    LimitsRedisSpec,
    RedisStoresSpec,
)
from tests.unit.planning.builders import model, release, stack

IMAGE = ImageReference(repository="registry.example/llm/gateway", tag="1")
GATEWAY = GatewaySpec(image=IMAGE, proxy_image=IMAGE)
STABLE, OTHER = release(version="2.0.0", contextLength=32768), release(version="1.0.0", contextLength=8192)


@pytest.mark.parametrize(
    ("others", "tokens"),
    [
        ({"canary": {"release": "1.0.0", "weight": 10}}, 8192),
        ({"canary": {"release": "1.0.0", "weight": 0}}, 32768),
        ({"previous": "1.0.0"}, 32768),
    ],
    ids=["a canary", "one that is asked nothing yet", "a release that is kept for a way back"],
)
def test_a_prompt_may_be_as_long_as_every_release_takes_that_gets_requests(others, tokens) -> None:
    served = model(releases={"stable": "2.0.0", **others})
    assert model_endpoint(GATEWAY, served, [STABLE, OTHER], 60).context_tokens == tokens


def test_a_model_that_may_sleep_says_how_long_its_first_instance_takes_to_the_next_minute() -> None:
    asleep = model(autoscaling={"min": 0, "max": 2})
    assert model_endpoint(GATEWAY, asleep, [STABLE], 415.2).cold_start_seconds == 420
    assert model_endpoint(GATEWAY, model(), [STABLE], 415.2).cold_start_seconds is None


def test_a_request_stays_as_long_as_it_may_wait_for_a_model_that_sleeps_and_run() -> None:
    gateway = GATEWAY.model_copy(update={"timeouts": GatewayTimeoutsSpec(total_seconds=600, wake_seconds=300)})
    sleeps = model_endpoint(gateway, model(autoscaling={"min": 0, "max": 2}), [STABLE], 100)
    wakes = model_endpoint(gateway, model(), [STABLE], 100)
    assert (longest_stay_seconds(gateway, [wakes]), longest_stay_seconds(gateway, [wakes, sleeps])) == (600, 900)


def test_places_that_pods_cannot_count_together_are_noted_with_the_share_of_one() -> None:
    places = [GatewayModelSpec(name="chat", max_requests=100)]
    alone = GATEWAY.model_copy(update={"models": tuple(places)})
    (note,) = note_models(stack(models=(model(),), gateway=alone), alone)
    assert (note.path, "each takes 25 at once" in note.reason) == ("models[0].maxRequests", True)
    counted = alone.model_copy(update={"redis": RedisStoresSpec(limits=LimitsRedisSpec())})
    assert not [*note_models(stack(models=(model(),), gateway=counted), counted)]
