"""An error about pods carries the reason of whoever knows it."""

from local.clouds.kubernetes.diagnosis import unready


def pod(name, **status):
    return {"metadata": {"name": name, "namespace": "ns", "uid": name}, "status": status}


def waiting_for_room(name):
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(name, phase="Pending", conditions=[condition])


def test_pods_with_one_reason_share_a_line():
    lines = unready([waiting_for_room("a"), waiting_for_room("b")], [])
    assert len(lines) == 1
    assert "2 pods (a, ...)" in lines[0]
    assert "3 Insufficient nvidia.com/gpu" in lines[0]


def test_the_autoscaler_adds_why_no_node_will_come():
    event = {
        "involvedObject": {"uid": "a"},
        "reason": "NotTriggerScaleUp",
        "message": "pod didn't trigger scale-up: 1 max node group size reached",
    }
    (line,) = unready([waiting_for_room("a")], [event])
    assert "max node group size reached" in line


def test_a_crashing_container_shows_status_and_log():
    container = {
        "name": "engine",
        "ready": False,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    crashing = pod("a", phase="Running", containerStatuses=[container])
    (line,) = unready([crashing], [], lambda p, c: f"{p['metadata']['name']}/{c} says: no memory")
    assert "CrashLoopBackOff" in line
    assert "137 (OOMKilled)" in line
    assert "a/engine says: no memory" in line


def test_a_mount_that_fails_is_told_from_its_event():
    starting = {"name": "c", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
    event = {"involvedObject": {"uid": "a"}, "type": "Warning", "reason": "FailedMount", "message": "no bucket"}
    (line,) = unready([pod("a", phase="Pending", containerStatuses=[starting])], [event])
    assert "FailedMount: no bucket" in line


def test_an_unready_probe_is_told_apart_from_a_crash():
    running = {"name": "c", "ready": False, "state": {"running": {}}}
    (line,) = unready([pod("a", phase="Running", containerStatuses=[running])], [])
    assert "readiness probe" in line


def test_ready_finished_and_leaving_pods_are_no_problem():
    ready = pod("a", conditions=[{"type": "Ready", "status": "True"}])
    leaving = waiting_for_room("c")
    leaving["metadata"]["deletionTimestamp"] = "now"
    assert unready([ready, pod("b", phase="Succeeded"), leaving], []) == []


def test_many_reasons_are_cut_with_a_count():
    pods = [pod(f"p{i}", phase=f"Phase{i}") for i in range(9)]
    lines = unready(pods, [])
    assert len(lines) == 6
    assert "4 more pods" in lines[-1]
