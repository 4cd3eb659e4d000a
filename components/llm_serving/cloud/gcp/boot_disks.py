"""Which boot disk a machine series takes."""

HYPERDISK_ONLY = frozenset({"a3-ultragpu", "a4-highgpu", "a4x-highgpu", "g4-standard", "n4", "c4"})
"""Series without Persistent Disk (Compute Engine documentation, "Hyperdisk support by machine series")."""


def boot_disk_type(series: str) -> str:
    """The balanced disk of a series: Persistent Disk where it can be attached, Hyperdisk where it cannot."""
    return "hyperdisk-balanced" if series in HYPERDISK_ONLY else "pd-balanced"
