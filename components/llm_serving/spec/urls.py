"""URLs in settings and arguments, which must not carry credentials: settings appear in plans and outputs."""

from urllib.parse import urlsplit

from llm_serving.errors import Problem


def check_user_info(path: str, url: str, suggestion: str) -> list[Problem]:
    """A problem where a URL carries user name or password; its value is shown without them.

    Args:
        path: where the URL stands.
        url: the URL; one that cannot be read has none.
        suggestion: where the credentials belong.
    """
    try:
        place = urlsplit(url).netloc
    except ValueError:
        place = url.partition("//")[2].partition("/")[0]
    if "@" not in place:
        return []
    shown = url.replace(place, f"***@{place.rpartition('@')[2]}", 1)
    return [Problem(path, shown, "carries credentials, and settings appear in plans and outputs", suggestion)]
