"""How long a server asks to be left alone, as it says in the headers of an answer."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server names, ``None`` where it names none or what it names cannot be read.

    Of an answer that refuses for the time being (429, 503). ``Retry-After`` is in seconds or a date (RFC 9110, section
    10.2.3), which is compared with the server's own clock where the answer has one. The hub sends ``RateLimit`` with
    every answer (``"api";r=0;t=55``: r requests remain, and t seconds until there are more,
    https://huggingface.co/docs/hub/rate-limits); it counts where none remain.
    """
    by_name = {name.lower(): value.strip() for name, value in headers.items()}
    waits: list[float] = []
    for limit in by_name.get("ratelimit", "").split(","):
        parameters: dict[str, str] = {}
        for part in limit.split(";"):
            key, _, value = part.strip().partition("=")
            parameters[key] = value
        seconds = parameters.get("t", "")
        if parameters.get("r") == "0" and _is_number(seconds):
            waits.append(float(seconds))
    named = by_name.get("retry-after", "")
    if _is_number(named):
        waits.append(float(named))
    elif (then := _timestamp(named)) is not None:
        now = _timestamp(by_name.get("date", ""))
        waits.append(max(0.0, then - (time.time() if now is None else now)))
    return max(waits, default=None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _timestamp(date: str) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None
