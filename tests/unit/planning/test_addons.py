from typing import Any

import pytest

from llm_serving.addons.table import GATEWAY_API
from llm_serving.planning.addons import plan_addons, read_gpu_exporter
from llm_serving.planning.clouds import CLOUDS, EXISTING, GCP, cloud_named
from llm_serving.planning.rules import check, notes
from llm_serving.spec import AddonsSpec, GatewaySpec
from tests.unit.planning.builders import existing_pool, model, pool, stack

SCALES: Any = {"autoscaling": {"max": 3}}
ALONE: Any = {"engine": {"launcher": False}, **SCALES}
"""It scales by the GPU, and no launcher reports that."""
LABELED: Any = {"nodeSelector": {"gpu": "l4"}}


def pools_of(cloud):
    return [pool()] if cloud == "gcp" else [existing_pool("l4", **LABELED)]


def planned_addons(models, cloud="gcp", pools=None, **settings):
    its_settings = AddonsSpec.model_validate(settings)
    return [addon.name for addon in plan_addons(its_settings, models, pools or pools_of(cloud), cloud_named(cloud))]


@pytest.mark.parametrize("cloud", ["gcp", "existing"])
def test_an_addon_is_installed_where_a_model_needs_it_and_nobody_else_brings_it(cloud):
    still, scales, spreads = model(), model(**SCALES), model(engine={"nodes": 2})
    assert planned_addons([still], cloud) == []
    assert planned_addons([still, scales], cloud) == ["monitoring", "keda"]
    assert planned_addons([spreads], cloud) == ["leader_worker_set"]
    theirs = {"keda": "existing", "monitoring": "existing", "leaderWorkerSet": "existing"}
    assert planned_addons([scales, spreads], cloud, **theirs) == []


IMAGE: Any = {"repository": "registry.example/image", "tag": "1"}
GATEWAY = GatewaySpec.model_validate({"image": IMAGE, "proxyImage": IMAGE})


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=list(CLOUDS))
def test_a_gateway_brings_the_definitions_of_its_routes_unless_they_are_there(cloud):
    planned = [plan_addons(AddonsSpec(), [model()], [pool()], cloud, gateway) for gateway in (GATEWAY, None)]
    assert planned == [(GATEWAY_API,), ()]
    theirs = AddonsSpec.model_validate({"gatewayApi": "existing"})
    assert plan_addons(theirs, [model()], [pool()], cloud, GATEWAY) == ()


def test_gpu_utilization_that_no_launcher_reports_is_nvidias_exporters_or_the_clouds():
    assert planned_addons([model(**ALONE)], "existing") == ["monitoring", "keda", "dcgm_exporter"]
    assert planned_addons([model(**ALONE)], "gcp") == ["monitoring", "keda"]
    exporter = read_gpu_exporter(AddonsSpec(), [model(**ALONE)], [pool()], GCP)
    assert exporter is not None
    assert (exporter.namespace, exporter.port) == ("gke-managed-system", "metrics")
    assert read_gpu_exporter(AddonsSpec(), [model(**ALONE)], pools_of("existing"), EXISTING) is None


@pytest.mark.parametrize(
    "fields",
    [
        {**SCALES},
        {**ALONE, "autoscaling": {"max": 3, "gpuUtilization": None}},
        {"engine": {"launcher": False}},
    ],
    ids=["the launcher reports it", "nobody asks for it", "it does not scale"],
)
def test_no_exporter_is_installed_or_read_for_nobody(fields):
    assert "dcgm_exporter" not in planned_addons([model(**fields)], "existing")
    assert read_gpu_exporter(AddonsSpec(), [model(**fields)], [pool()], GCP) is None


def test_no_exporter_runs_on_nodes_without_nvidias_gpus():
    on_cpus = existing_pool("l4", accelerator="CPU", **LABELED)
    assert planned_addons([model(**ALONE)], "existing", [on_cpus]) == ["monitoring", "keda"]


THEIR_PROMETHEUS = {"monitoring": "existing", "prometheusUrl": "http://prometheus.theirs.svc:9090"}


@pytest.mark.parametrize(
    ("cloud", "settings", "is_told"),
    [
        ("gcp", {}, False),
        ("existing", {}, False),
        ("gcp", {"dcgmExporter": "existing"}, True),
        ("existing", {"dcgmExporter": "existing"}, True),
        # The one that we install finds whoever asks for ServiceMonitors; that of the cloud is read by ours alone.
        ("existing", THEIR_PROMETHEUS, False),
        ("gcp", THEIR_PROMETHEUS, True),
    ],
)
def test_a_signal_that_nothing_of_the_stack_measures_is_told_and_no_other(cloud, settings, is_told):
    addons = AddonsSpec.model_validate(settings)
    shape = stack(cloud=cloud_named(cloud), pools=tuple(pools_of(cloud)), models=(model(**ALONE),), addons=addons)
    told = [note.path for note in notes(shape) if "nothing of this stack measures it" in note.reason]
    assert told == (["models[0].autoscaling.gpuUtilization"] if is_told else [])


def test_an_exporter_finds_nodes_by_labels_so_a_pool_without_any_is_refused():
    def problems(*pools, **addons):
        its_addons = AddonsSpec.model_validate(addons)
        shape = stack(cloud=EXISTING, region="", pools=pools, models=(model(**ALONE),), addons=its_addons)
        return [(p.path, p.suggestion) for p in check(shape) if "exporter" in p.reason]

    ((path, hint),) = problems(existing_pool("other"), existing_pool("l4"))
    assert path == "pools[1].nodeSelector"
    assert "addons.dcgmExporter: existing" in hint
    assert problems(existing_pool("l4"), dcgmExporter="existing") == []
    assert problems(existing_pool("l4", **LABELED)) == []
