"""Where models come from, by the scheme of a URL.

A source is one module with a class that satisfies :class:`Source`; adding a scheme is a line in ``_SCHEMES``.
"""

from collections.abc import Callable
from urllib.parse import urlsplit

from llm_serving_load.errors import LoadError
from llm_serving_load.sources.bucket import BucketSource
from llm_serving_load.sources.folder import FolderSource
from llm_serving_load.sources.hub import HubSource
from llm_serving_load.sources.source import Source, SourceFile, shown
from llm_serving_load.streams import Stream

__all__ = ["Source", "SourceFile", "Stream", "open_source", "shown"]

_SCHEMES: dict[str, tuple[str, Callable[[str, str, str], Source]]] = {
    "file": ("file:///FOLDER", FolderSource.at),
    "hf": ("hf://", HubSource.at),
    "s3": ("s3://BUCKET/PREFIX", BucketSource.at),
    "gs": ("gs://BUCKET/PREFIX", BucketSource.at),
}


def open_source(url: str, repository: str, revision: str) -> Source:
    """A model at a source.

    Raises:
        LoadError: no such scheme, or the source does not have the model.
    """
    known = ", ".join(form for form, _ in _SCHEMES.values())
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        scheme = ""
    if scheme not in _SCHEMES:
        raise LoadError(f"--source {url!r}: no such kind of source; use one of {known}")
    return _SCHEMES[scheme][1](url, repository, revision)
