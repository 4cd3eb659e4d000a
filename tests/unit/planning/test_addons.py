import pytest

from llm_serving.planning.addons import plan_addons
from llm_serving.planning.clouds import cloud_named
from llm_serving.spec import AddonsSpec
from tests.unit.planning.builders import model

SCALES = {"autoscaling": {"max": 3}}


def planned_addons(models, cloud="gcp", **settings):
    return [addon.name for addon in plan_addons(AddonsSpec.model_validate(settings), models, cloud_named(cloud))]


@pytest.mark.parametrize("cloud", ["gcp", "existing"])
def test_an_addon_is_installed_where_a_model_needs_it_and_nobody_else_brings_it(cloud):
    still, scales, spreads = model(), model(**SCALES), model(engine={"nodes": 2})
    assert planned_addons([still], cloud) == []
    assert planned_addons([still, scales], cloud) == ["monitoring", "keda"]
    assert planned_addons([spreads], cloud) == ["leader_worker_set"]
    theirs = {"keda": "existing", "monitoring": "existing", "leaderWorkerSet": "existing"}
    assert planned_addons([scales, spreads], cloud, **theirs) == []
