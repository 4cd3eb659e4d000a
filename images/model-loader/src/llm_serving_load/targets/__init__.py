"""Where models go, by the form of a target: the absolute path of a folder, or the URL of a prefix in a bucket.

A target is one module with a class that satisfies :class:`Target`; adding one is a line in :func:`open_target`.
"""

from pathlib import Path

from llm_serving_load.retrier import Retrier
from llm_serving_load.stores import bucket_path_of, is_bucket, open_store
from llm_serving_load.targets.bucket import BucketTarget
from llm_serving_load.targets.folder import FolderTarget
from llm_serving_load.targets.target import CLAIM, Part, Target

__all__ = ["CLAIM", "BucketTarget", "FolderTarget", "Part", "Target", "open_target", "target_name"]


def target_name(value: str) -> str:
    """A target that can be understood.

    Raises:
        ValueError: it cannot.
    """
    if is_bucket(value):
        if not bucket_path_of(value).path:
            raise ValueError("name a prefix in the bucket, as in s3://BUCKET/PREFIX/<model>/<version>")
    elif not value.startswith("/"):
        raise ValueError("it must be an absolute path, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX")
    return value


def open_target(name: str, retrier: Retrier | None = None) -> Target:
    """The target of a name that :func:`target_name` accepts. Requests to a store are made again as ``retrier`` does.

    Raises:
        LoadError: a store's client is missing or has no credentials.
    """
    if is_bucket(name):
        place = bucket_path_of(name)
        return BucketTarget(open_store(place, retrier or Retrier()), place.path)
    return FolderTarget(Path(name))
