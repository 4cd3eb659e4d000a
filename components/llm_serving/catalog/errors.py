"""The one error of this package."""


class UnknownFact(LookupError):  # noqa: N818 - a fact that is not known, not a failure
    """The catalog has no entry of this kind and name.

    Attributes:
        kind: what was looked up, for example ``accelerator``.
        name: the name that is not there.
        nearest: names that look like it, or every known name where none does; what to suggest.
    """

    def __init__(self, kind: str, name: str, nearest: str) -> None:
        self.kind = kind
        self.name = name
        self.nearest = nearest
        super().__init__(f"no {kind} {name!r} in the catalog (nearest: {nearest})")
