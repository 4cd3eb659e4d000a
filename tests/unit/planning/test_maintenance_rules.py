"""GKE's rule of maintenance: 48 hours in every 92 days, in blocks of 4 hours or more; exclusions of scope NO_UPGRADES
of at most 90 days, 3 of them, 20 of all. Source: GKE documentation, "Configure maintenance windows and exclusions",
November 2026 (https://docs.cloud.google.com/kubernetes-engine/docs/how-to/maintenance-window).
"""

import pytest

from llm_serving.planning.rules.gcp.maintenance import check_maintenance, note_maintenance
from llm_serving.spec.gcp import GcpMaintenanceWindow

WEEKEND = {"start": "2026-01-03T02:00:00Z", "hours": 8, "recurrence": "FREQ=WEEKLY;BYDAY=SA,SU"}
MONDAYS = {"start": "2026-01-05T02:00:00Z", "hours": 4, "recurrence": "FREQ=WEEKLY;BYDAY=MO"}


def window(*exclusions, **settings):
    return GcpMaintenanceWindow.model_validate(WEEKEND | {"exclusions": exclusions} | settings)


def exclusion(name="launch", start="2026-11-01", end="2026-12-01", scope="all"):
    return {"name": name, "start": f"{start}T00:00:00Z", "end": f"{end}T00:00:00Z", "scope": scope}


def paths(problems):
    return [problem.path.removeprefix("cluster.maintenance.") for problem in problems]


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({}, []),
        # 13 windows of 4 hours lie in any 92 days.
        (MONDAYS, []),
        ({"recurrence": "FREQ=WEEKLY;INTERVAL=2;BYDAY=SA"}, []),
        (MONDAYS | {"recurrence": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO"}, ["recurrence"]),
        ({"recurrence": "FREQ=DAILY", "hours": 24}, []),
        ({"recurrence": "FREQ=DAILY;INTERVAL=90", "hours": 24}, ["recurrence"]),
        ({"recurrence": "FREQ=WEEKLY;INTERVAL=often"}, ["recurrence"]),
    ],
)
def test_windows_that_do_not_add_up_are_refused(settings, refused):
    assert paths(check_maintenance(window(**settings))) == refused


@pytest.mark.parametrize(
    ("exclusions", "refused"),
    [
        ([exclusion(end="2026-12-31")], []),
        # 90 days are allowed, and leave weekends too little.
        ([exclusion(end="2027-01-30")], ["exclusions"]),
        ([exclusion(end="2027-01-31")], ["exclusions[0].end"]),
        ([exclusion(end="2027-06-01", scope="minor")], []),
        ([exclusion(f"e{n}", f"2026-0{n}-01", f"2026-0{n}-02") for n in range(1, 5)], ["exclusions[3].scope"]),
        ([exclusion(f"e{n}", scope="minor") for n in range(21)], ["exclusions"]),
        ([exclusion(), exclusion()], ["exclusions[1].name"]),
        ([exclusion(end="2026-11-01")], ["exclusions[0].end"]),
        # One after the other they are a freeze of four months.
        ([exclusion(end="2027-01-01"), exclusion("more", "2027-01-01", "2027-03-01")], ["exclusions"]),
        # The three days between them give 8 hours of windows.
        ([exclusion(end="2027-01-01"), exclusion("more", "2027-01-03", "2027-03-01")], ["exclusions"]),
        ([exclusion(end="2026-12-01"), exclusion("more", "2027-01-03", "2027-02-01")], []),
    ],
)
def test_exclusions_that_leave_too_little_are_refused(exclusions, refused):
    assert paths(check_maintenance(window(*exclusions))) == refused


def test_the_longest_exclusion_fits_where_windows_are_always_open():
    always = {"recurrence": "FREQ=DAILY", "hours": 24}
    assert paths(check_maintenance(window(exclusion(end="2027-01-30"), **always))) == []


def test_what_an_exclusion_leaves_of_a_window_counts_from_four_hours_on():
    def left(hours):
        """Windows of ``hours`` on Mondays, of which an exclusion takes the first hour of one."""
        cut = {"name": "cut", "start": "2026-03-01T12:00:00Z", "end": "2026-03-02T03:00:00Z", "scope": "all"}
        return paths(check_maintenance(window(cut, **MONDAYS | {"hours": hours})))

    # 13 windows of 4 hours are 52 hours, 12 of them 48.
    assert left(4) == []
    two = {"start": "2026-03-01T12:00:00Z", "end": "2026-03-09T03:00:00Z"}
    assert paths(check_maintenance(window({"name": "cut", "scope": "all", **two}, **MONDAYS))) == ["exclusions"]
    assert paths(check_maintenance(window({"name": "cut", "scope": "all", **two}, **MONDAYS | {"hours": 5}))) == []


def test_a_refusal_says_what_is_left_and_what_would_work():
    (problem,) = check_maintenance(window(**MONDAYS | {"recurrence": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO"}))
    assert "24 hours" in problem.reason
    assert "48 hours in every 92 days" in problem.reason
    (problem,) = check_maintenance(window(exclusion(end="2027-03-01")))
    assert problem.suggestion == "2027-01-30T00:00:00Z, or scope: minor-and-nodes"


def test_more_than_a_month_without_security_patches_is_told():
    assert paths(note_maintenance(window(exclusion(end="2026-12-02")))) == ["exclusions[0].end"]
    assert paths(note_maintenance(window(exclusion(), exclusion("minor", end="2027-06-01", scope="minor")))) == []
