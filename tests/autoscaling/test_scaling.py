"""The number of instances follows the load, up at once and down with patience."""

import datetime
import math
import os
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

from tests.autoscaling import picture
from tests.autoscaling.clock import SPEED, SYNC_SECONDS, down_seconds
from tests.autoscaling.scene import GUARD_SECONDS, seen_for_a_while, seen_until
from tests.engine.cluster.helpers import eventually

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "autoscaling-trace.svg"
DEPTH = 10


def test_a_queue_gets_the_instances_that_the_formula_wants_and_loses_them_only_after_the_lull(scene):
    release = scene(slots=1)
    release.deploy()
    scaled = release.scale(max=8, queue_depth=DEPTH, gpu_utilization=None)
    calm = release.trace.now()
    release.load.requests = 3
    seen_for_a_while(release)
    assert release.trace.replicas(calm) == [1]

    burst = release.trace.now()
    release.load.requests = 60
    wanted = math.ceil(60 / DEPTH)
    release.eventually_has(replicas=wanted, ready=wanted)
    seen_until(release, burst + down_seconds(scaled))

    lull = release.trace.now()
    up = release.trace.replicas(burst)
    assert all(before < after <= 2 * before for before, after in pairwise(up)), "at most twice as many in one step"
    assert up[-1] == wanted, "and never too many"
    release.load.requests = 2
    release.eventually_has(replicas=1, ready=1)

    down = release.trace.replicas(lull)
    assert all(before > after >= before // 2 for before, after in pairwise(down)), "at most half of them in one step"
    fewer = next(moment for moment in release.trace.moments(lull) if moment.replicas < wanted)
    # The window begins with the last comparison that saw the queue, which may have been one period before.
    assert fewer.second - lull >= down_seconds(scaled) - SYNC_SECONDS, "not before the lull has lasted"
    seen_for_a_while(release, 20)
    drawn = picture.draw(release.trace.moments(calm), SPEED)
    assert len(ElementTree.fromstring(drawn).findall("{*}path")) == 4
    if os.environ.get("UPDATE_PICTURES") == "1":
        PICTURE.write_text(drawn)


def test_one_busy_request_is_no_reason_for_another_instance_but_a_queue_on_busy_gpus_is(scene):
    release = scene(slots=4, requests=1, gpu=100, first_token=5.0)
    release.deploy()
    release.scale(max=2, queue_depth=DEPTH, gpu_utilization=80, ttft_seconds=1)
    seen_for_a_while(release, 150)
    assert max(release.trace.replicas()) == 1

    release.load.requests = 6  # fewer than would fill the queue
    release.eventually_has(replicas=2)


def test_slow_first_tokens_of_a_queue_ask_for_more_instances(scene):
    release = scene(slots=4, requests=6, first_token=5.0)
    release.deploy()
    release.scale(max=2, queue_depth=DEPTH, gpu_utilization=None, ttft_seconds=2)
    release.eventually_has(replicas=2)


def test_nodes_that_do_not_come_get_no_more_instances_although_the_queue_grows(scene, pool):
    release = scene(nodes=1, slots=1, requests=60)
    release.deploy()
    release.scale(max=20, queue_depth=DEPTH, gpu_utilization=None)
    eventually(lambda: len(release.pods(ready=False)) >= 3, GUARD_SECONDS)
    seen_for_a_while(release, 100)
    assert max(release.trace.replicas()) <= math.ceil(60 / (DEPTH + 1))

    release.load.requests = 100
    wanted = math.ceil(100 / (DEPTH + 1))
    seen_for_a_while(release, 150)
    assert len(release.pods(ready=True)) == 1
    assert max(release.trace.replicas()) < wanted, "what loads is counted on"
    assert release.trace.replicas() == sorted(release.trace.replicas()), "it does not go back and forth"

    pool(20, name=release.pool)
    release.eventually_has(replicas=wanted, ready=wanted)


def test_schedules_are_floors_while_they_last(scene):
    release = scene(slots=1)
    release.deploy()
    release.scale(max=8, gpu_utilization=None, schedules=(window(-2, 2, 3), window(4, 6, 7)))
    release.eventually_has(replicas=3)
    seen_for_a_while(release)
    assert release.trace.replicas()[-1] == max(release.trace.replicas()) == 3


def test_instances_that_are_ready_before_their_metrics_are_seen_make_no_overshoot(scene):
    release = scene(slots=1, silent=3.0)
    release.deploy()
    release.scale(max=20, queue_depth=DEPTH, gpu_utilization=None)
    release.load.requests = 60
    release.eventually_has(replicas=6, ready=6)
    seen_for_a_while(release, 100)
    assert max(release.trace.replicas()) == 6


def window(start, end, replicas):
    """A schedule of every day, in hours from now."""
    now = datetime.datetime.now(datetime.UTC)
    times = [(now + datetime.timedelta(hours=hours)).strftime("%-M %-H * * *") for hours in (start, end)]
    return {"start": times[0], "end": times[1], "replicas": replicas}
