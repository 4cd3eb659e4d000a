"""Ready means what the controllers say, and failure is told as they tell it."""

import pytest

from local.providers.kubernetes.leftovers import leaving
from local.providers.kubernetes.readiness import ReadinessEvidence, deadline_passed, default_seconds, judge


def live_object(kind, spec=None, generation=1, **status):
    meta = {"name": "n", "namespace": "ns", "generation": generation}
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec or {}, "status": status}


def rolled_out(**changes):
    values = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    return live_object("Deployment", {"replicas": 2}, 2, **{**values, **changes})


def test_a_finished_rollout_is_ready():
    assert judge(rolled_out()).done


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observedGeneration": 1}, "not seen"),
        ({"availableReplicas": 1}, "1 of 2 replicas are available"),
        ({"replicas": 3}, "1 old replicas"),
        ({"updatedReplicas": 1, "availableReplicas": 1}, "1 are up to date"),
    ],
)
def test_an_unfinished_rollout_says_what_is_missing(changes, message):
    progress = judge(rolled_out(**changes))
    assert not progress.done
    assert message in progress.waiting


def test_a_rollout_past_its_deadline_has_failed():
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "has timed out"}
    assert "has timed out" in judge(rolled_out(availableReplicas=0, conditions=[late])).failed


def test_a_deadline_that_had_passed_before_the_wait_began_is_no_failure_of_this_one():
    late = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "lastUpdateTime": "2026-01-01T00:00:00Z"}
    deployment = rolled_out(availableReplicas=1, conditions=[late])
    assert "1 of 2" in judge(deployment, ReadinessEvidence(excused=deadline_passed(deployment))).waiting
    assert judge(deployment, ReadinessEvidence(excused="2025-01-01T00:00:00Z")).failed


def test_a_rollout_that_came_late_is_ready_all_the_same():
    late = {"type": "Progressing", "reason": "ProgressDeadlineExceeded", "lastUpdateTime": "2026-01-01T00:00:00Z"}
    assert judge(rolled_out(conditions=[late])).done


def test_pods_that_the_api_server_refuses_are_told():
    replica_failure = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "exceeded quota: gpus",
    }
    progress = judge(rolled_out(replicas=0, updatedReplicas=0, availableReplicas=0, conditions=[replica_failure]))
    assert "exceeded quota: gpus" in progress.waiting


def test_no_replicas_are_ready_at_once():
    assert judge(live_object("Deployment", {"replicas": 0}, observedGeneration=1)).done


def test_a_job_is_ready_when_complete_and_failed_when_it_failed():
    assert not judge(live_object("Job", active=1)).done
    assert judge(live_object("Job", conditions=[{"type": "Complete", "status": "True"}])).done
    failed = judge(
        live_object("Job", conditions=[{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}])
    )
    assert "BackoffLimitExceeded" in failed.failed


def test_a_job_that_is_about_to_fail_says_so():
    target = {"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}
    assert "DeadlineExceeded: too long" in judge(live_object("Job", conditions=[target])).waiting


def test_a_suspended_job_is_waited_for_as_the_provider_does():
    assert "suspended" in judge(live_object("Job", {"suspend": True})).waiting


def endpoints(*ready, terminating=False):
    conditions = [{"ready": each, "terminating": terminating} for each in ready]
    return {"endpoints": [{"addresses": [f"10.0.0.{i}"], "conditions": c} for i, c in enumerate(conditions)]}


def test_a_service_waits_until_no_pod_is_unready():
    service = live_object("Service", {"selector": {"app": "m"}, "clusterIP": "10.96.0.9"})
    assert "endpoints" in judge(service).waiting
    assert "1 of the 2 pods" in judge(service, ReadinessEvidence((endpoints(True, False),))).waiting
    assert judge(service, ReadinessEvidence((endpoints(True, True),))).done


def test_a_service_without_pods_is_ready_for_it_may_be_scaled_to_zero():
    service = live_object("Service", {"selector": {"app": "m"}, "clusterIP": "10.96.0.9"})
    assert judge(service, ReadinessEvidence((endpoints(),))).done


def test_a_pod_that_ends_does_not_hold_its_service_up():
    service = live_object("Service", {"selector": {"app": "m"}, "clusterIP": "10.96.0.9"})
    assert judge(service, ReadinessEvidence((endpoints(True), endpoints(False, terminating=True)))).done


def test_an_ingress_waits_for_its_services_and_an_address():
    ingress = live_object("Ingress", {"ingressClassName": "nginx"})
    assert "do not exist: web" in judge(ingress, ReadinessEvidence(missing_services=("web",))).waiting
    assert "nginx" in judge(ingress).waiting
    assert judge(live_object("Ingress", loadBalancer={"ingress": [{"ip": "203.0.113.7"}]})).done


def test_a_token_secret_waits_for_its_token():
    secret = live_object("Secret") | {"type": "kubernetes.io/service-account-token"}
    assert judge(secret).waiting
    assert judge(secret | {"data": {"token": "eA=="}}).done
    assert judge(live_object("Secret")).done


def test_a_headless_or_selectorless_service_waits_for_nobody():
    assert judge(live_object("Service", {"selector": {"app": "m"}, "clusterIP": "None"})).done
    assert judge(live_object("Service", {"type": "ExternalName"})).done
    assert judge(live_object("Service", {})).done


def test_a_load_balancer_waits_for_its_address():
    spec = {"type": "LoadBalancer"}
    assert "no address" in judge(live_object("Service", spec)).waiting
    assert judge(live_object("Service", spec, loadBalancer={"ingress": [{"ip": "203.0.113.7"}]})).done


def test_a_claim_that_binds_late_is_not_waited_for():
    claim = live_object("PersistentVolumeClaim", {"storageClassName": "s"}, phase="Pending")
    assert judge(claim, ReadinessEvidence(storage_class={"volumeBindingMode": "WaitForFirstConsumer"})).done
    assert not judge(claim, ReadinessEvidence(storage_class={"volumeBindingMode": "Immediate"})).done


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"storageClassName": "fast"}, "no StorageClass 'fast'"),
        ({}, "no default StorageClass"),
        ({"storageClassName": ""}, "not Bound"),  # by hand, to a volume that waits for it
    ],
)
def test_a_claim_without_a_class_waits_for_its_volume_and_says_what_is_missing(spec, message):
    assert message in judge(live_object("PersistentVolumeClaim", spec, phase="Pending")).waiting
    assert judge(live_object("PersistentVolumeClaim", spec, phase="Bound")).done


def test_time_outs_default_to_the_providers():
    assert [default_seconds(kind) for kind in ("Deployment", "PersistentVolumeClaim", "Secret")] == [600, 300, 5]


def test_a_definition_waits_until_it_is_served():
    assert not judge(live_object("CustomResourceDefinition")).done
    assert judge(live_object("CustomResourceDefinition", conditions=[{"type": "Established", "status": "True"}])).done
    clash = {"type": "NamesAccepted", "status": "False", "reason": "ListKindConflict", "message": "taken"}
    assert "taken" in judge(live_object("CustomResourceDefinition", conditions=[clash])).failed


def test_stateful_and_daemon_sets_roll_to_the_end():
    assert not judge(live_object("StatefulSet", {"replicas": 2}, observedGeneration=1, readyReplicas=1)).done
    assert judge(
        live_object("StatefulSet", {"replicas": 2}, observedGeneration=1, readyReplicas=2, updatedReplicas=2)
    ).done
    assert not judge(live_object("DaemonSet", observedGeneration=1, desiredNumberScheduled=2, numberAvailable=1)).done
    done = {"desiredNumberScheduled": 2, "numberAvailable": 2, "updatedNumberScheduled": 2}
    assert judge(live_object("DaemonSet", observedGeneration=1, **done)).done


def test_what_holds_a_namespace_is_named():
    left = {
        "type": "NamespaceFinalizersRemaining",
        "status": "True",
        "message": "example.com/hold in 1 resource instances",
    }
    assert "example.com/hold" in leaving(live_object("Namespace", conditions=[left]))
