from itertools import pairwise

from llm_serving.serving.priorities import PLACEHOLDER, PriorityClasses, priority_class
from llm_serving.spec import ServiceClass
from tests.unit.recording import record
from tests.unit.serving.manifests import assert_valid

EXPENDABLE = -10
"""A cluster autoscaler adds no node for pods below this priority."""
HIGHEST_OF_USERS = 1_000_000_000


def classes():
    recording = record(lambda: PriorityClasses("priorities", {"labels": {"environment": "test"}}))
    return recording, {
        each["metadata.name"]: each for each in recording.all("kubernetes:scheduling.k8s.io/v1:PriorityClass")
    }


def test_classes_are_valid_children_that_carry_the_labels():
    recording, by_name = classes()
    assert_valid(recording)
    assert len(recording.children(recording.one("llm-serving:index:PriorityClasses"))) == len(by_name) == 4
    assert all(priority["metadata.labels"] == {"environment": "test"} for priority in by_name.values())


def test_every_service_class_has_its_priority():
    _, by_name = classes()
    assert {priority_class(service) for service in ServiceClass} | {PLACEHOLDER} == set(by_name)


def test_critical_comes_before_standard_before_batch_before_placeholders():
    recording, by_name = classes()
    order = [priority_class(service) for service in (ServiceClass.CRITICAL, ServiceClass.STANDARD, ServiceClass.BATCH)]
    order.append(PLACEHOLDER)
    assert all(by_name[first]["value"] > by_name[second]["value"] for first, second in pairwise(order))
    assert recording.output("names") == order


def test_models_come_before_pods_without_a_class_and_placeholders_after_them():
    _, by_name = classes()
    assert all(by_name[priority_class(service)]["value"] > 0 for service in ServiceClass)
    assert EXPENDABLE <= by_name[PLACEHOLDER]["value"] < 0


def test_the_clusters_own_classes_stay_above():
    _, by_name = classes()
    assert all(priority["value"] <= HIGHEST_OF_USERS for priority in by_name.values())
    assert not any("globalDefault" in priority.inputs for priority in by_name.values())


def test_batch_and_placeholders_take_nobodys_room():
    _, by_name = classes()
    never = {name for name, priority in by_name.items() if priority["preemptionPolicy"] == "Never"}
    assert never == {priority_class(ServiceClass.BATCH), PLACEHOLDER}


def test_a_changed_value_makes_a_new_class_after_the_old_one_is_gone():
    _, by_name = classes()
    for priority in by_name.values():
        assert set(priority.replace_on_changes) == {"value", "preemptionPolicy"}
        assert priority.delete_before_replace
