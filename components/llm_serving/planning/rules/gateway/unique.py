"""Names that must be unique in a list."""

from collections.abc import Iterator, Sequence

from llm_serving.errors import Problem, Suggestion


def check_unique(path: str, names: Sequence[str]) -> Iterator[Problem]:
    """A problem for each entry of the list at ``path`` that has the name of one before it."""
    for index, name in enumerate(names):
        if (first := names.index(name)) < index:
            free = next(each for n in range(2, len(names) + 3) if (each := f"{name[:58]}-{n}") not in names)
            reason = f"{path}[{first}] has the same name"
            yield Problem(f"{path}[{index}].name", name, reason, Suggestion(values=[free]))
