"""What an update changes, as sections."""

from collections.abc import Iterator

from stacks.report.sections import Part, Section, Sentence, prose, usd_sum
from stacks.report.stack_changes import StackChanges, StackFigures


def change_sections(changes: StackChanges) -> Iterator[Part]:
    """Figures before and after, and interruptions."""
    if changes.after is None:
        yield Sentence("cost, GPUs and quotas: the nodes are already there, and their owner's", "")
    else:
        yield _figures(changes.before, changes.after, is_new=changes.is_new)
    if changes.interruptions is None or changes.starts is None:
        yield Sentence("interruptions: not known without a preview", "")
    elif not changes.interruptions:
        yield Sentence("interruptions: none", "")
    else:
        yield Section(
            "Interruptions",
            ("model", "object", prose("what happens")),
            [(", ".join(item.models), item.object, item.what) for item in changes.interruptions],
            notes=[
                f"{item.object}: because of {', '.join(item.because)}" for item in changes.interruptions if item.because
            ],
        )
    if changes.starts:
        yield Sentence(f"starts: {', '.join(changes.starts)}", "")
    yield Sentence("not known: how long the cloud takes, and whether it has the capacity and grants the quotas")


def _figures(before: StackFigures | None, after: StackFigures, *, is_new: bool) -> Section:
    old, new = _cells(before), _cells(after)
    rows = [(name, old.get(name, "none"), new.get(name, "none")) for name in dict.fromkeys([*new, *old])]
    notes = ["at minimum: on the fewest nodes on which its models serve; >=: without what has no known price"]
    if before is None:
        why = "no update of the stack has completed" if is_new else "the last update put no cost out"
        notes.insert(0, f"before: none, because {why}")
    return Section("What the update changes", ("what", "before", "after"), rows, notes=notes)


def _cells(figures: StackFigures | None) -> dict[str, str]:
    if figures is None:
        return {}
    fewest, most = figures.min_complete, figures.max_complete
    return {
        "USD an hour, at minimum": usd_sum(figures.min_usd_per_hour, complete=fewest),
        "USD an hour, at maximum": usd_sum(figures.max_usd_per_hour, complete=most),
        "USD a month, at minimum": usd_sum(figures.min_usd_per_month, complete=fewest),
        "USD a month, at maximum": usd_sum(figures.max_usd_per_month, complete=most),
        "GPUs, at minimum": _count(figures.min_gpus),
        "GPUs, at maximum": _count(figures.max_gpus),
        **{f"quota {quota.name}, {quota.region}": str(quota.amount) for quota in figures.quotas},
    }


def _count(value: int | None) -> str:
    return "unknown" if value is None else str(value)
