"""Kubernetes quantities (``500m``, ``16Gi``, ``1e3``) as exact numbers."""

from decimal import Decimal, InvalidOperation

_SUFFIXES = {
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
}


def parse_quantity(text: str | int | float) -> Decimal:
    """The number that a quantity stands for: cores, bytes, or a count.

    Raises:
        ValueError: not a quantity.
    """
    written = str(text).strip()
    for suffix in (written[-2:], written[-1:]):
        factor = _SUFFIXES.get(suffix)
        if factor is not None:
            written = written[: -len(suffix)]
            break
    else:
        factor = Decimal(1)
    try:
        return Decimal(written) * factor
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a quantity: write for example 500m, 2 or 16Gi") from None
