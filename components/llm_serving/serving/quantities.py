"""Numbers as Kubernetes quantities."""

from math import floor


def cores(value: float) -> str:
    """Cores, rounded down to thousandths: ``7.9`` is ``7900m``."""
    thousandths = floor(round(value * 1000, 6))
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def gibibytes(value: float) -> str:
    """GiB, rounded down to MiB: ``1.5`` is ``1536Mi``."""
    mebibytes = floor(round(value * 1024, 6))
    return f"{mebibytes}Mi" if mebibytes % 1024 else f"{mebibytes // 1024}Gi"
