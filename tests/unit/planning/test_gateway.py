"""What the gateway knows of each model."""

import pytest

from llm_serving.planning.gateway import model_endpoint
from llm_serving.spec import GatewaySpec, ImageReference
from tests.unit.planning.builders import model, release

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
    assert model_endpoint(GATEWAY, served, [STABLE, OTHER]).context_tokens == tokens
