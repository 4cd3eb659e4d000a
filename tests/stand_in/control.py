"""What a test tells a stand-in for the engine that runs."""

import urllib.request

ANSWER_SECONDS = 60


def hold(base: str) -> None:
    """Keep back every further token of its answers.

    Args:
        base: address of the stand-in, past any Service.
    """
    _put(f"{base}/stand-in/hold")


def release(base: str) -> None:
    """Give all tokens from now on."""
    _put(f"{base}/stand-in/release")


def mute(base: str) -> None:
    """Leave its /health without an answer."""
    _put(f"{base}/stand-in/mute")


def unmute(base: str) -> None:
    """Answer /health again, and those who wait for it."""
    _put(f"{base}/stand-in/unmute")


def _put(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=ANSWER_SECONDS) as answer:
        answer.read()
