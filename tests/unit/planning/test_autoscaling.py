import pytest

from llm_serving.planning.autoscaling import parse_cron
from llm_serving.planning.rules.autoscaling import check_addons, check_autoscaling, note_autoscaling
from llm_serving.planning.rules.gateway.models import note_models
from llm_serving.spec import AddonsSpec, GatewaySpec, GatewayTimeoutsSpec, ImageReference
from tests.unit.planning.builders import model, stack

OFFICE = {"start": "0 8 * * mon-fri", "end": "0 18 * * mon-fri", "timezone": "Europe/Berlin", "replicas": 3}
IMAGE = ImageReference(repository="registry.example/llm/gateway", tag="1")
GATEWAY = GatewaySpec(image=IMAGE, proxy_image=IMAGE)
SCALES = {"min": 1, "max": 4}


def autoscaled(**fields):
    return {"autoscaling": {**SCALES, **fields}}


def problems(**fields):
    return list(check_autoscaling(stack(models=(model(**fields),))))


def refusal(path, **fields):
    refusals = problems(**fields)
    assert [problem.path for problem in refusals] == [f"models[0].{path}"], [str(problem) for problem in refusals]
    return refusals[0]


def test_good_settings_pass():
    assert problems() == []
    assert problems(**autoscaled(schedules=[OFFICE]), onDemandBase=1) == []
    assert problems(**autoscaled(), releases={"stable": "1.0.0", "canary": {"release": "1.1.0", "weight": 5}}) == []
    assert list(note_autoscaling(stack(models=(model(**autoscaled()),)))) == []


def test_the_maximum_is_at_least_the_minimum():
    assert refusal("autoscaling.max", **autoscaled(min=5)).suggestion == "5, or min: 4"


def test_a_canary_starts_within_the_maximum():
    canary = {"release": "1.1.0", "weight": 5, "replicas": 9}
    problem = refusal("releases.canary.replicas", **autoscaled(), releases={"stable": "1.0.0", "canary": canary})
    assert problem.suggestion == "4"


def test_something_is_left_to_scale_beside_the_base():
    refusal("onDemandBase", **autoscaled(min=4), onDemandBase=4)


def test_the_queue_that_adds_an_instance_may_form():
    problem = refusal("engine.maxQueuedRequests", **autoscaled(), engine={"maxQueuedRequests": 10})
    assert "queueDepth (10)" in problem.reason
    assert problems(**autoscaled(), engine={"maxQueuedRequests": 11}) == []
    assert problems(engine={"maxQueuedRequests": 1}) == []


@pytest.mark.parametrize(
    ("schedule", "field", "reason"),
    [
        ({"replicas": 5}, "replicas", "more than max (4)"),
        ({"timezone": "Europe/Berln"}, "timezone", "IANA"),
        ({"start": "60 8 * * *"}, "start", "'60' is not a minute: 0 to 59"),
        ({"start": "0 24 * * *"}, "start", "'24' is not a hour"),
        ({"start": "0 8 0 * *"}, "start", "not a day of the month"),
        ({"start": "0 8 * 13 *"}, "start", "not a month: 1 to 12, or jan to dec"),
        ({"start": "0 8 * * 7"}, "start", "not a day of the week: 0 to 6, or sun to sat"),
        ({"start": "0 8 * * fri-mon"}, "start", "ends before it begins"),
        ({"start": "*/0 8 * * *"}, "start", "step of 0"),
        ({"start": "0 8-9-10 * * *"}, "start", "not a hour"),
        ({"start": "0 8 31 2 *"}, "start", "no such day"),
        ({"end": "0,x 18 * * *"}, "end", "'x' is not a minute"),
        ({"end": "00 08 * * MON-FRI"}, "end", "the same moment"),
    ],
)
def test_a_schedule_that_keda_would_not_keep_is_refused(schedule, field, reason):
    problem = refusal(f"autoscaling.schedules[0].{field}", **autoscaled(schedules=[{**OFFICE, **schedule}]))
    assert reason in problem.reason
    assert problem.suggestion


def test_a_schedule_below_the_minimum_is_refused():
    refusal("autoscaling.schedules[1].replicas", **autoscaled(min=3, schedules=[OFFICE, {**OFFICE, "replicas": 2}]))


def test_a_time_zone_that_is_misspelt_is_recognized():
    assert "Europe/Berlin" in refusal(
        "autoscaling.schedules[0].timezone", **autoscaled(schedules=[{**OFFICE, "timezone": "Europe/Berln"}])
    ).suggestion  # fmt: skip


def test_cron_expressions_mean_what_keda_takes_them_for():
    cron = parse_cron("*/20 8-10,20 1 JAN,3-4 ?")
    assert cron.minutes == {0, 20, 40}
    assert cron.hours == {8, 9, 10, 20}
    assert (cron.days, cron.months, len(cron.weekdays)) == ({1}, {1, 3, 4}, 7)
    assert parse_cron("50/5 * * * *").minutes == {50, 55}
    assert parse_cron("0 0 29 2 *").happens
    assert not parse_cron("0 0 30 2 *").happens
    assert parse_cron("0 0 30 2 mon").happens, "either day will do"
    with pytest.raises(ValueError, match="4 fields"):
        parse_cron("0 0 * *")


def test_what_changes_nothing_is_said():
    notes = list(note_autoscaling(stack(models=(model(replicas=2, **autoscaled(min=4, pollingSeconds=5)),))))
    assert [note.path for note in notes] == [
        "models[0].autoscaling.max",
        "models[0].autoscaling.pollingSeconds",
        "models[0].replicas",
    ]


# --- addons


def addons(**fields):
    return AddonsSpec.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"monitoring": "existing"}, "required"),
        ({"prometheusUrl": "http://there:9090"}, "another Prometheus"),
        ({"monitoring": "existing", "prometheusUrl": "there:9090"}, "not a base URL"),
        ({"monitoring": "existing", "prometheusUrl": "http://there:9090/"}, "not a base URL"),
    ],
)
def test_where_a_model_scales_somebody_answers_for_prometheus(fields, reason):
    (problem,) = check_addons(addons(**fields), [model(**autoscaled())])
    assert problem.path == "addons.prometheusUrl"
    assert reason in problem.reason


def test_whom_somebody_elses_prometheus_tells_of_alerts_is_not_ours_to_say():
    alertmanager = {"alertmanagerUrl": "http://alertmanager.monitoring.svc:9093"}
    assert list(check_addons(addons(**alertmanager), [model(**autoscaled())])) == []
    theirs = addons(monitoring="existing", prometheusUrl="https://prometheus.example.com", **alertmanager)
    (problem,) = check_addons(theirs, [model(**autoscaled())])
    assert problem.path == "addons.alertmanagerUrl"


def test_a_prometheus_of_somebody_else_is_enough():
    theirs = addons(monitoring="existing", prometheusUrl="https://prometheus.example.com/team")
    assert list(check_addons(theirs, [model(**autoscaled())])) == []
    assert list(check_addons(addons(monitoring="existing"), [model()])) == []


@pytest.mark.parametrize("service_class", ["standard", "batch"])
def test_a_model_sleeps_behind_a_gateway_alone(service_class):
    asleep = model(**autoscaled(min=0), serviceClass=service_class)
    assert list(check_autoscaling(stack(models=(asleep,), gateway=GATEWAY))) == []
    (problem,) = check_autoscaling(stack(models=(asleep,)))
    assert (problem.path, problem.value) == ("models[0].autoscaling.min", 0)
    assert "nothing wakes the model" in problem.reason


def test_a_critical_model_never_sleeps():
    asleep = model(**autoscaled(min=0), serviceClass="critical")
    (problem,) = check_autoscaling(stack(models=(asleep,), gateway=GATEWAY))
    assert "the model is critical" in problem.reason


def test_a_gateway_that_waits_for_less_than_a_cold_start_is_noted():
    asleep = model(**autoscaled(min=0))

    def notes(seconds):
        waits = GATEWAY.model_copy(update={"timeouts": GatewayTimeoutsSpec(wake_seconds=seconds)})
        known = stack(models=(asleep,), gateway=waits)
        return [note.path for note in note_models(known, waits)]

    assert notes(10) == ["timeouts.wakeSeconds"]
    assert notes(0) == notes(3000) == []
