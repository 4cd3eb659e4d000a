"""A model sleeps when nobody asks it, and the gateway's demand alone wakes it: one instance, whoever asks."""

from tests.autoscaling.clock import SPEED
from tests.autoscaling.scene import seen_for_a_while
from tests.engine.cluster.helpers import eventually

IDLE = 300


def test_a_model_that_nobody_asks_sleeps_and_fifty_clients_wake_one_instance_of_it(scene):
    release = scene(demand=0, slots=1)
    release.deploy()
    release.api.apply(release.scaled_object(min=0, max=4, gpu_utilization=None, idle_seconds=IDLE))
    release.eventually_has(replicas=0, ready=0)
    seen_for_a_while(release)

    asked = release.trace.now()
    release.load.demand = 50
    release.eventually_has(replicas=1, ready=1)
    seen_for_a_while(release)
    assert max(release.trace.replicas(asked)) == 1, "however many ask, they wake one"

    release.load.demand = 0
    left = release.trace.now()
    release.eventually_has(replicas=0, ready=0)
    asleep = next(moment.second for moment in release.trace.moments(left) if moment.replicas == 0)
    assert asleep - left >= IDLE / SPEED, "not before nobody has asked for as long as the settings say"


def test_a_model_that_is_asked_now_and_then_stays_awake_and_one_whose_gateway_is_silent_stays_as_it_is(scene):
    release = scene(demand=1, slots=1)
    release.deploy()
    release.api.apply(release.scaled_object(min=0, max=4, gpu_utilization=None, idle_seconds=60))
    seen_for_a_while(release, 150)
    assert set(release.trace.replicas()) == {1}, "although no engine has a request whenever somebody looks"
    release.load.demand = None
    eventually(release.falls_back)
    seen_for_a_while(release, 100)
    assert release.replicas() == 1
