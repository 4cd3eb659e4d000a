"""Weights of stacks with ``weights: external``: on a real cloud somebody puts them into the bucket, here this does."""

from collections.abc import Iterator

from llm_serving.errors import Problem, ProblemsError
from local.providers.store import Store
from local.state_folder import StateFolder
from stacks.settings import NAMESPACE, Stack

_BUCKETS = {"gcp:storage/bucket:Bucket": "gs", "aws:s3/bucket:Bucket": "s3"}
"""Types of buckets, and how their URLs begin."""


def seed(state: StateFolder, name: str, stack: Stack) -> Iterator[str]:
    """Let the bucket of a stack hold the weights of each release that its settings serve; yields their places.

    Raises:
        ProblemsError: the stack loads its weights, or has no bucket yet.
    """
    if stack.settings.loader is not None:
        problem = Problem(f"{NAMESPACE}:loader", None, "the stack loads its weights itself", "weights: external")
        raise ProblemsError([problem], stack.source)
    stores = (Store(path.parent) for path in state.clouds.rglob("resources"))
    records = (record for store in stores for token in _BUCKETS for record in store.all(token))
    buckets = [
        (_BUCKETS[record.token], record.id) for record in records if record.urn.startswith(f"urn:pulumi:{name}::")
    ]
    if not buckets:
        reason = "the local clouds have no bucket of this stack yet"
        raise ProblemsError([Problem("", None, reason, f"make up STACK={name}, which waits for weights")], stack.source)
    for scheme, bucket in buckets:
        for model in stack.models:
            for release in (served.release.spec for served in model.releases):
                prefix = f"{release.name}/{release.version}"
                state.bucket_weights.put(bucket, prefix, release.model.revision)
                yield f"{scheme}://{bucket}/{prefix}"
