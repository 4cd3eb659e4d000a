"""An error about pods carries the reason of whoever knows it."""

from local.providers.kubernetes.diagnosis import complaints, unready


def pod(name, **status):
    return {"metadata": {"name": name, "namespace": "ns", "uid": name}, "status": status}


def unschedulable_pod(name):
    message = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(name, phase="Pending", conditions=[condition])


def test_pods_with_one_reason_share_a_line():
    lines = unready([unschedulable_pod("a"), unschedulable_pod("b")], [])
    assert len(lines) == 1
    assert "2 pods (a, ...)" in lines[0]
    assert "3 Insufficient nvidia.com/gpu" in lines[0]


def test_the_autoscaler_adds_why_no_node_will_come():
    event = {
        "involvedObject": {"uid": "a"},
        "reason": "NotTriggerScaleUp",
        "message": "pod didn't trigger scale-up: 1 max node group size reached",
    }
    (line,) = unready([unschedulable_pod("a")], [event])
    assert "max node group size reached" in line


def container(name="engine", state=None, before=None, restarts=0, **more):
    last = {"terminated": before} if before else {}
    return {"name": name, "ready": False, "state": state or {}, "lastState": last, "restartCount": restarts, **more}


def event_about(uid="a", reason="", message="", type="Warning", at="2026-01-01T00:00:00Z", container=""):
    involved_object = {"uid": uid, **({"fieldPath": f"spec.containers{{{container}}}"} if container else {})}
    return {"involvedObject": involved_object, "type": type, "reason": reason, "message": message, "lastTimestamp": at}


def read_log(pod_, name, previous):
    return f"{pod_['metadata']['name']}/{name}{' before' if previous else ''} says: no memory"


CRASHED = {"exitCode": 1, "reason": "Error"}
OOM = {"exitCode": 137, "reason": "OOMKilled"}


def test_a_crashing_container_shows_status_restarts_and_log():
    looping = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting pod a_ns(1-2)"}}
    (line,) = unready(
        [pod("a", phase="Running", containerStatuses=[container(state=looping, before=OOM, restarts=3)])], [], read_log
    )
    assert "CrashLoopBackOff, restarted 3 times" in line
    assert "137 (OOMKilled, SIGKILL)" in line
    assert "back-off" not in line
    assert "a/engine says: no memory" in line


def test_a_pod_that_failed_is_not_said_to_wait_for_room():
    failed = unschedulable_pod("a")
    failed["status"] |= {"phase": "Failed", "containerStatuses": [container(state={"terminated": CRASHED})]}
    assert unready([failed], []) == ["pod a: container engine ended with status 1 (Error)"]


def test_memory_that_ran_out_is_told_with_its_limit():
    killed = pod("a", phase="Failed", containerStatuses=[container(state={"terminated": OOM})])
    killed["spec"] = {"containers": [{"name": "engine", "resources": {"limits": {"memory": "64Mi"}}}]}
    (line,) = unready([killed], [])
    assert "its memory limit is 64Mi" in line


def test_a_container_that_runs_again_shows_how_it_ended_before_and_that_log():
    again = container(state={"running": {}}, before=CRASHED, restarts=1, started=True)
    (line,) = unready([pod("a", phase="Running", containerStatuses=[again])], [], read_log)
    assert "restarted 1 time; before that it ended with status 1 (Error)" in line
    assert "a/engine before says" in line


def test_pods_that_crash_alike_share_a_line_and_the_newest_log():
    looping = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off of this very pod"}}
    pods = [pod(n, containerStatuses=[container(state=looping, before=CRASHED)]) for n in ("old", "new")]
    pods[0]["metadata"]["creationTimestamp"], pods[1]["metadata"]["creationTimestamp"] = "2026-01-01", "2026-01-02"
    (line,) = unready(pods, [], read_log)
    assert line.startswith("2 pods (new, ...)")
    assert "new/engine says" in line


def test_an_image_that_cannot_be_pulled_is_named_with_the_cause():
    backing_off = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nope:1"'}}
    event = event_about(reason="Failed", message='Failed to pull image "nope:1": not found', container="engine")
    (line,) = unready([pod("a", phase="Pending", containerStatuses=[container(state=backing_off)])], [event])
    assert "ImagePullBackOff" in line
    assert 'Back-off pulling image "nope:1" (not found)' in line


def test_a_mount_that_fails_is_told_from_its_event():
    starting = container("c", state={"waiting": {"reason": "ContainerCreating"}})
    event = event_about(reason="FailedMount", message="no bucket")
    (line,) = unready([pod("a", phase="Pending", containerStatuses=[starting])], [event])
    assert "FailedMount: no bucket" in line


def test_a_container_that_is_still_being_made_is_not_said_to_run():
    starting = container("c", state={"waiting": {"reason": "ContainerCreating"}})
    starting_pod = pod("a", phase="Pending", containerStatuses=[starting]) | {"spec": {"nodeName": "n1"}}
    (line,) = unready([starting_pod], [event_about(reason="Pulling", message="Pulling image", type="Normal")])
    assert "being made on node n1 (Pulling: Pulling image)" in line


def test_an_init_container_that_still_runs_is_what_the_pod_waits_for():
    main = container("main", state={"waiting": {"reason": "PodInitializing"}})
    waiting = pod("a", containerStatuses=[main], initContainerStatuses=[container("fetch", state={"running": {}})])
    (line,) = unready([waiting], [], read_log)
    assert "init container fetch still runs" in line


def test_a_sidecar_that_runs_is_no_reason():
    sidecar = container("proxy", state={"running": {}}, started=True, ready=True)
    main = container("main", state={"terminated": CRASHED})
    failing = pod("a", containerStatuses=[main], initContainerStatuses=[sidecar])
    failing["spec"] = {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}
    (line,) = unready([failing], [])
    assert "container main ended with status 1" in line


def test_an_unready_probe_says_what_it_heard_without_the_address():
    running = container("c", state={"running": {}}, started=True)
    status = {"phase": "Running", "containerStatuses": [running], "podIPs": [{"ip": "10.0.0.9"}]}
    older = event_about(reason="FailedScheduling", message="0/1 nodes", at="2025-01-01T00:00:00Z")
    probe = event_about(
        reason="Unhealthy", message="Readiness probe failed: http://10.0.0.9:8080 refused", container="c"
    )
    (line,) = unready([pod("a", **status)], [older, probe])
    assert "Readiness probe failed: http://POD:8080 refused" in line
    (line,) = unready([pod("a", **status)], [older])
    assert "its readiness probe has not passed" in line
    running["started"] = False
    (line,) = unready([pod("a", **status)], [])
    assert "its startup probe has not passed" in line


def test_an_evicted_pod_says_so():
    (line,) = unready([pod("a", phase="Failed", reason="Evicted", message="low on memory")], [])
    assert "Evicted: low on memory" in line


def test_pods_that_may_not_be_made_are_told_by_their_owner():
    owner = {"kind": "StatefulSet", "metadata": {"name": "db", "uid": "s"}}
    events = [
        event_about("s", "FailedCreate", "exceeded quota: pods"),
        event_about("s", "SuccessfulCreate", "x", type="Normal"),
    ]
    assert complaints([owner], events) == ["StatefulSet db: FailedCreate: exceeded quota: pods"]


def test_ready_finished_and_leaving_pods_are_no_problem():
    ready = pod("a", conditions=[{"type": "Ready", "status": "True"}])
    leaving = unschedulable_pod("c")
    leaving["metadata"]["deletionTimestamp"] = "now"
    assert unready([ready, pod("b", phase="Succeeded"), leaving], []) == []


def test_a_pod_that_has_to_come_to_an_end_is_not_done_while_it_runs_well():
    ready = [{"type": "Ready", "status": "True"}]
    running = pod("a", conditions=ready, containerStatuses=[container(state={"running": {}})])
    assert unready([running], [], read_log) == []
    assert unready([running], [], read_log, to_the_end=True) == [
        "pod a: container engine runs; its log ends with:\n    a/engine says: no memory"
    ]


def test_many_reasons_are_cut_with_a_count():
    pods = [pod(f"p{i}", phase=f"Phase{i}") for i in range(9)]
    lines = unready(pods, [])
    assert len(lines) == 6
    assert "4 more pods" in lines[-1]
