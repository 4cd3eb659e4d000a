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
        made["metadata.name"]: made for made in recording.all("kubernetes:scheduling.k8s.io/v1:PriorityClass")
    }


def test_classes_are_valid_children_that_carry_the_labels():
    recording, made = classes()
    assert_valid(recording)
    assert len(recording.children(recording.one("llm-serving:index:PriorityClasses"))) == len(made) == 4
    assert all(found["metadata.labels"] == {"environment": "test"} for found in made.values())


def test_every_service_class_has_its_priority():
    _, made = classes()
    assert {priority_class(service) for service in ServiceClass} | {PLACEHOLDER} == set(made)


def test_critical_comes_before_standard_before_batch_before_placeholders():
    recording, made = classes()
    order = [priority_class(service) for service in (ServiceClass.CRITICAL, ServiceClass.STANDARD, ServiceClass.BATCH)]
    order.append(PLACEHOLDER)
    assert all(made[first]["value"] > made[second]["value"] for first, second in pairwise(order))
    assert recording.output("names") == order


def test_models_come_before_pods_without_a_class_and_placeholders_after_them():
    _, made = classes()
    assert all(made[priority_class(service)]["value"] > 0 for service in ServiceClass)
    assert EXPENDABLE <= made[PLACEHOLDER]["value"] < 0


def test_the_clusters_own_classes_stay_above():
    _, made = classes()
    assert all(found["value"] <= HIGHEST_OF_USERS for found in made.values())
    assert not any("globalDefault" in found.inputs for found in made.values())


def test_batch_and_placeholders_take_nobodys_room():
    _, made = classes()
    never = {name for name, found in made.items() if found["preemptionPolicy"] == "Never"}
    assert never == {priority_class(ServiceClass.BATCH), PLACEHOLDER}


def test_a_changed_value_makes_a_new_class_after_the_old_one_is_gone():
    _, made = classes()
    for found in made.values():
        assert set(found.replace_on_changes) == {"value", "preemptionPolicy"}
        assert found.delete_before_replace
