from local.providers.differences import Change, as_pattern, compare
from local.providers.properties import UNKNOWN, Secret


def test_changes_are_named_by_their_path() -> None:
    difference = compare(
        {"a": 1, "b": {"c": [1, 2]}, "gone": "x", "same": {"deep": [1]}},
        {"a": 2, "b": {"c": [1, 3, 4]}, "new": True, "same": {"deep": [1]}},
    )
    assert difference.changes == {
        "a": Change.UPDATE,
        "b.c[1]": Change.UPDATE,
        "b.c[2]": Change.ADD,
        "gone": Change.DELETE,
        "new": Change.ADD,
    }


def test_an_unknown_value_counts_as_changed() -> None:
    assert compare({"network": "n"}, {"network": UNKNOWN}).changes == {"network": Change.UPDATE}
    assert compare({}, {"network": UNKNOWN}).changes == {"network": Change.ADD}


def test_a_value_that_became_secret_did_not_change() -> None:
    assert not compare({"a": "x"}, {"a": Secret("x")}).changes


def test_one_and_true_are_different() -> None:
    assert compare({"a": 1}, {"a": True}).changes == {"a": Change.UPDATE}


def test_order_of_a_set_is_no_change_but_its_members_are() -> None:
    def unordered(pattern: str) -> bool:
        return pattern == "zones"

    assert not compare({"zones": ["a", "b"]}, {"zones": ["b", "a"]}, unordered=unordered).changes
    assert compare({"zones": ["a", "b"]}, {"zones": ["b", "b"]}, unordered=unordered).changes
    assert compare({"names": ["a", "b"]}, {"names": ["b", "a"]}, unordered=unordered).changes


def test_what_replaces_is_found_inside_of_objects_that_come_or_go_as_a_whole() -> None:
    def replaces(pattern: str) -> bool:
        return pattern == "config.accelerators[*].type"

    come = compare({}, {"config": {"accelerators": [{"type": "l4"}], "disk": 1}}, replaces=replaces)
    assert come.replacing == {"config"}
    stays = compare({"config": {"disk": 2}}, {"config": {"disk": 1}}, replaces=replaces)
    assert stays.changes
    assert not stays.replaces


def test_an_entry_covers_what_is_inside_of_it() -> None:
    difference = compare(
        {"policy": {"a": {"b": 1}}}, {"policy": {"a": {"b": 2}}}, replaces=lambda pattern: pattern == "policy"
    )
    assert difference.replacing == {"policy.a.b"}


def test_empty_and_missing_are_the_same() -> None:
    assert not compare({"labels": {}}, {}).changes
    assert not compare({}, {"labels": [], "other": {}}).changes
    assert as_pattern("a[0].b[12]") == "a[*].b[*]"
